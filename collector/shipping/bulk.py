"""A bulk request and what its answer means for each document. Pure.

Documents are written with `create` and their fixed id: 409 says that an earlier try has arrived after all. What a
server holds against one document alone goes to the dead letters; all else is kept and sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from collector.documents import BOX

FILTER: Final = "errors,items.*.status,items.*.error.type,items.*.error.reason"

# Said of a document, whatever the surroundings; of any other 400 the document is not to blame.
DOCUMENT_FAULTS: Final = frozenset(
    {
        "mapper_parsing_exception",
        "document_parsing_exception",
        "strict_dynamic_mapping_exception",
        "parsing_exception",
        "illegal_argument_exception",
        "max_bytes_length_exceeded_exception",
    }
)


class Row(NamedTuple):
    """A document of the log: `body` is its JSON as stored, `time_s` its own time in Unix seconds."""

    number: int
    id: str
    index_name: str
    kind: str
    host: str
    time_s: float
    body: bytes


class Fault(StrEnum):
    """Why a request, or part of it, is to be sent again."""

    NO_ANSWER = "no_answer"
    NOT_REACHED = "not_reached"
    BUSY = "busy"
    SURROUNDINGS = "surroundings"
    TOO_LARGE = "too_large"


class Outcome(NamedTuple):
    """What became of the documents of a request, by number. `again` are to be sent again because of `fault`."""

    delivered: tuple[int, ...] = ()
    dead: tuple[tuple[int, str], ...] = ()
    again: tuple[int, ...] = ()
    fault: Fault | None = None
    reason: str = ""


class Unreadable(ValueError):
    """The answer is not one to this request."""


def create(rows: Iterable[Row]) -> list[bytes]:
    """Returns the lines that create `rows`; stored JSON is not encoded again."""
    lines: list[bytes] = []
    for row in rows:
        lines += (msgspec.json.encode({"create": {"_index": row.index_name, "_id": row.id}}), row.body)
    return lines


def current(rows: Iterable[Row], index: str) -> list[bytes]:
    """Returns the lines that put `rows`, the newest of their hosts, into `index`, in the place of what is there.

    They carry no version: of one that a clock was ahead for, a server would take no other for hours.
    """
    lines: list[bytes] = []
    for row in rows:
        lines += (msgspec.json.encode({"index": {"_index": index, "_id": row.host}}), row.body)
    return lines


def hltd_form(rows: Iterable[Row], alias: str) -> list[bytes]:
    """Returns the lines that put `rows` where hltd puts the box of each host (hltd contract: The central index)."""
    lines: list[bytes] = []
    for row in rows:
        box: dict[str, Any] = msgspec.json.decode(row.body)
        runs = [str(run) for run in box.get("activeRuns", [])]
        document = box | {
            "doc_type": "boxinfo",
            "id": row.host,
            "instance": "main",
            "activeRuns": " ".join(runs),
            "activeRunList": runs,
        }
        action = {"index": {"_index": alias, "_id": row.host, "require_alias": True}}
        lines += (msgspec.json.encode(action), msgspec.json.encode(document))
    return lines


def newest_of_hosts(rows: Iterable[Row]) -> list[Row]:
    """Returns the newest box of each host."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.kind == BOX and (row.host not in found or row.number > found[row.host].number):
            found[row.host] = row
    return list(found.values())


def body_of(lines: Sequence[bytes]) -> bytes:
    """Returns the request's body: a line each, the last one ended too."""
    return b"\n".join(lines) + b"\n"


def read_items(rows: Sequence[Row], answer: object) -> Outcome:
    """Returns what an answer of status 200 says of each of `rows`. Raises Unreadable."""
    if _all_went_well(answer, len(rows)):
        return Outcome(delivered=tuple(row.number for row in rows))
    items = _items(answer)[: len(rows)]
    if len(items) != len(rows):
        raise Unreadable(f"an answer about {len(items)} of {len(rows)} documents")
    delivered: list[int] = []
    dead: list[tuple[int, str]] = []
    again: list[int] = []
    fault: Fault | None = None
    reason = ""
    for row, (status, said) in zip(rows, items, strict=True):
        if status < 300 or status == 409:
            delivered.append(row.number)
        elif status == 413 or (status == 400 and said.get("type") in DOCUMENT_FAULTS):
            dead.append((row.number, _words(said, status)))
        else:
            again.append(row.number)
            busy = status == 429 or status >= 500
            fault = Fault.BUSY if busy and fault is not Fault.SURROUNDINGS else Fault.SURROUNDINGS
            reason = _words(said, status)
    return Outcome(tuple(delivered), tuple(dead), tuple(again), fault, reason)


def read_refusal(rows: Sequence[Row], status: int, reason: str) -> Outcome:
    """Returns what a refused request means: too large, busy, or a fault of the surroundings."""
    numbers = tuple(row.number for row in rows)
    if status == 413 and len(rows) == 1:
        return Outcome(dead=((numbers[0], f"413: {reason}"),))
    if status == 413:
        return Outcome(again=numbers, fault=Fault.TOO_LARGE, reason=f"413: {reason}")
    fault = Fault.BUSY if status == 429 or status >= 500 else Fault.SURROUNDINGS
    return Outcome(again=numbers, fault=fault, reason=f"{status}: {reason}")


def read_upserts(rows: Sequence[Row], answer: object) -> str:
    """Returns why the first upsert that came after `rows` was refused; empty when all went well. Raises Unreadable."""
    if _all_went_well(answer, len(rows)):
        return ""
    return next((_words(said, status) for status, said in _items(answer)[len(rows) :] if status >= 300), "")


def _all_went_well(answer: object, documents: int) -> bool:
    """Returns whether the server says so of at least so many documents: then nothing more need be read."""
    if not isinstance(answer, dict) or answer.get("errors") is not False:
        return False
    items = answer.get("items")
    return isinstance(items, list) and len(items) >= documents


def _items(answer: object) -> list[tuple[int, dict[str, object]]]:
    """Returns status and error of each item."""
    try:
        items = [next(iter(item.values())) for item in answer["items"]]  # type: ignore[index]
        return [(int(item["status"]), item.get("error") or {}) for item in items]
    except (TypeError, KeyError, ValueError, AttributeError, StopIteration) as error:
        raise Unreadable("not an answer to a bulk request") from error


def _words(error: dict[str, object], status: int) -> str:
    text = f"{status} {error.get('type', '')}: {error.get('reason', '')}"
    return " ".join(text.split())[:300]
