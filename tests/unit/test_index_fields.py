"""Every field that is emitted is described, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import pytest

from collector.documents import BOX, SWITCHOVER, Document, Sighting, box_document, switchover_document
from collector.facts import ModeNow
from collector.index.fields import ALL_KINDS, FIELDS, Field, Type
from collector.sources.observed import follow, observed_document
from contract.box import RunStats
from contract.config import Node, Switch
from contract.index_names import CURRENT
from contract.journal import PHASES
from contract.modes import Mode, Vms
from contract.times import iso
from tests.unit.test_collector_facts import NOW_S, ended, make_box

NODE = Node(host="fu-1", appliance="bu-1", subsystem="cdaq")
STATS = RunStats(run=1, totalRes=4, qRes=0, ongoing=True, errors=0, errorsRes=0)
NOW = ModeNow(mode=Mode.CLOUD, since_s=NOW_S - 10, switch_id="r1", vms=Vms.UP)

# What a value of each type may be described as.
FIT: Mapping[type, frozenset[Type]] = {
    bool: frozenset({Type.BOOLEAN}),
    int: frozenset({Type.INTEGER, Type.LONG, Type.FLOAT}),
    float: frozenset({Type.FLOAT}),
    str: frozenset({Type.KEYWORD, Type.TEXT, Type.DATE}),
    dict: frozenset({Type.OBJECT}),
}


def whole_box() -> Document:
    box = make_box(
        mode="cloud", mode_since=iso(NOW_S), switch_id="r", vms="up", blocker="x", stuck=True,
        activeRunStats=[msgspec.to_builtins(STATS)],
    )  # fmt: skip
    return box_document(Sighting(box=box), NOW, NODE, NOW_S).fields


def whole_switchover() -> Document:
    record = msgspec.structs.replace(ended(7, 12), who="a", reason="b", why="c", phases=dict.fromkeys(PHASES, 1.0))
    course, _ = follow(None, Mode.ACTIVATING_CLOUD, NOW_S, host=NODE.host, limits=Switch())
    _, (seen,) = follow(course, Mode.CLOUD, NOW_S + 5, host=NODE.host, limits=Switch())
    return observed_document(seen, NODE).fields | switchover_document(record, NODE).fields


def flat(fields: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        one = value[0] if isinstance(value, list) else value
        yield prefix + name, one
        if isinstance(one, dict):
            yield from flat(one, f"{prefix}{name}.")


def described(fields: tuple[Field, ...], prefix: str = "") -> Iterator[tuple[str, Field]]:
    for field in fields:
        yield prefix + field.name, field
        yield from described(field.parts, f"{prefix}{field.name}.")


@pytest.mark.parametrize(
    ("kind", "document"), [(BOX, whole_box()), (SWITCHOVER, whole_switchover()), (CURRENT, whole_box())]
)
def test_all_that_is_emitted_is_described_with_a_fitting_type_and_the_other_way_round(
    kind: str, document: Document
) -> None:
    table, emitted = dict(described(FIELDS[kind])), dict(flat(msgspec.to_builtins(document)))
    assert set(table) == set(emitted)
    assert {name: table[name].type for name, value in emitted.items() if table[name].type not in FIT[type(value)]} == {}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_field_has_a_meaning_and_a_name_of_its_own(kind: str) -> None:
    fields = list(described(FIELDS[kind]))
    assert len(dict(fields)) == len(fields)
    assert [name for name, field in fields if len(field.meaning) < 8 or field.meaning.endswith(".")] == []


def test_numbers_of_a_box_are_searched_by_run_only() -> None:
    numbers = {Type.INTEGER, Type.LONG, Type.FLOAT}
    searched = {name for name, field in described(FIELDS[BOX]) if field.searched and field.type in numbers}
    assert searched == {"activeRuns", "activeRunStats.run"}
