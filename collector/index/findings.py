"""What is found on an index server beside what should be there: in place, older, changed by hand, unmapped. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from collector.index.fields import ALL_KINDS
from collector.index.parts import Found, Json, Part, bare, content_hash, plain_mapping, signature
from collector.index.templates import VERSION, mappings, pattern


class State(StrEnum):
    """How something on the server stands; the words are those of `--json`."""

    IN_PLACE = "in place"
    INSTALLED = "installed"
    UPDATED = "updated"
    MISSING = "missing"
    OLDER = "older"
    OTHER = "other options"
    CHANGED = "changed by hand"
    NEWER = "newer"
    LACKING = "fields lacking"
    UNMAPPED = "unmapped"
    OVERRULED = "overruled"
    REFUSED = "refused"
    NOT_HAD = "not to be had"


# These are as they should be, or no fault of anybody's.
GOOD: Final = frozenset({State.IN_PLACE, State.INSTALLED, State.UPDATED, State.NOT_HAD})

# `apply` writes these, and those that follow only when forced.
WRITTEN: Final = frozenset({State.MISSING, State.OLDER, State.OTHER})
FORCED: Final = frozenset({State.CHANGED, State.NEWER})


class Finding(NamedTuple):
    """One line of the answer: `what` is its kind, `words` say more or name the remedy."""

    what: str
    name: str
    state: State
    words: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is left to do about it."""
        return self.state in GOOD


def judge(part: Part, on_server: Found | None) -> Finding:
    """Returns how the server's copy of `part` stands."""
    if on_server is None:
        return _finding(part, State.MISSING, "install it with `hltmode index apply`")
    ours, theirs = signature(part.kind, part.body), signature(part.kind, on_server.body)
    same = bare(part.kind, part.body) == bare(part.kind, on_server.body)
    if same and theirs == ours:
        return _finding(part, State.IN_PLACE)
    if theirs is None and not same:
        return _finding(part, State.CHANGED, f"not signed by this program; {BY_HAND}")
    if theirs is not None and theirs.content != content_hash(part.kind, on_server.body):
        return _finding(part, State.CHANGED, BY_HAND)
    version = theirs.version if theirs else 0
    if version > VERSION:
        return _finding(part, State.NEWER, f"version {version}, this program has {VERSION}: update the program")
    if version < VERSION:
        return _finding(part, State.OLDER, f"version {version}, this program has {VERSION}")
    return _finding(part, State.OTHER, "made with other shards, replicas or days; give the same, or apply these")


BY_HAND: Final = "see `hltmode index diff`; `hltmode index apply --force` writes over it"


def _finding(part: Part, state: State, words: str = "") -> Finding:
    return Finding(part.kind.words, part.name, state, words)


def difference(part: Part, on_server: Found | None) -> list[str]:
    """Returns a unified diff from the server's copy to ours, signatures left out; empty when they hold the same."""
    before = _lines(bare(part.kind, on_server.body)) if on_server else []
    return list(
        difflib.unified_diff(before, _lines(bare(part.kind, part.body)), f"server{part.path}", f"hltmode{part.path}",
                             lineterm="")
    )  # fmt: skip


def _lines(body: Json) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(body, order="sorted"), indent=2).decode().splitlines()


def kind_of(index: str) -> str | None:
    """Returns which kind of documents an index holds, by its name."""
    return next((kind for kind in ALL_KINDS if index.startswith(pattern(kind).rstrip("*"))), None)


def judge_index(index: str, kind: str, mapping: Mapping[str, Any]) -> tuple[Finding, Json]:
    """Returns how the mapping of an existing index stands, and what must be put to it to mend it."""
    ours = plain_mapping(mappings(kind))
    theirs = plain_mapping(mapping)
    lacking, wrong = compare_fields(ours["properties"], theirs.get("properties", {}))
    if wrong:
        words = f"{', '.join(sorted(wrong)[:3])}: not the type they should have; reindex it, or delete it"
        return Finding("index", index, State.UNMAPPED, words), {}
    mend: Json = {"properties": lacking} if lacking else {}
    if theirs.get("dynamic", "true") != ours["dynamic"]:
        mend["dynamic"] = ours["dynamic"]
    if not mend:
        return Finding("index", index, State.IN_PLACE), {}
    names = [*lacking, *(["dynamic"] if "dynamic" in mend else [])]
    words = f"{len(names)}: {', '.join(names[:3])}; add them with `hltmode index apply`"
    return Finding("index", index, State.LACKING, words), mend


def compare_fields(ours: Json, theirs: Json, prefix: str = "") -> tuple[Json, list[str]]:
    """Returns the fields of `ours` that `theirs` lacks, as a mapping, and the names of those with another type."""
    lacking: Json = {}
    wrong: list[str] = []
    for name, field in ours.items():
        other = theirs.get(name)
        if other is None:
            lacking[name] = field
        elif other.get("type", "object") != field.get("type", "object"):
            wrong.append(prefix + name)
        elif "properties" in field:
            inner, inner_wrong = compare_fields(field["properties"], other.get("properties", {}), f"{prefix}{name}.")
            wrong += inner_wrong
            if inner:
                lacking[name] = {"properties": inner}
    return lacking, wrong
