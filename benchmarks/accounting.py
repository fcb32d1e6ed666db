"""Compares what logs hold with what an index holds, id by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.asking import Stored
from collector.log.reading import opened
from collector.log.schema import MADE


class Kept(NamedTuple):
    """One document of a log: its id, the index it belongs to, and its `@timestamp`."""

    id: str
    index_name: str
    timestamp: str


class Books(NamedTuple):
    """What became of the documents that were made.

    `doubled` ids are in the index more than once, in one index or in several. `strange` ones are there and in no log,
    or in another index, or with another content, than the log says.
    """

    made: int
    delivered: int
    missing: int
    doubled: int
    strange: int


def kept(path: Path) -> Iterator[Kept]:
    """Yields every document of the log at `path`."""
    question = """SELECT id, index_name, json_extract(CAST(body AS TEXT), '$."@timestamp"') FROM documents"""
    with opened(path) as connection:
        yield from map(Kept._make, connection.execute(question))


def made(path: Path) -> int:
    """Returns how many documents were ever put in the log at `path`, those dropped since too."""
    with opened(path) as connection:
        (n,) = connection.execute("SELECT sum(n) FROM counts WHERE what = ?", (MADE,)).fetchone()
    return int(n or 0)


def settle(logs: Iterable[Kept], index: Iterable[Stored]) -> Books:
    """Returns the books; `index` must carry `@timestamp`."""
    wanted = {each.id: each for each in logs}
    found: Counter[str] = Counter()
    strange = 0
    for each in index:
        found[each.id] += 1
        want = wanted.get(each.id)
        strange += want is None or (want.index_name, want.timestamp) != (each.index_name, each.fields["@timestamp"])
    return Books(
        made=len(wanted),
        delivered=sum(found[identity] > 0 for identity in wanted),
        missing=sum(found[identity] == 0 for identity in wanted),
        doubled=sum(n > 1 for n in found.values()),
        strange=strange,
    )
