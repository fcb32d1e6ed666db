"""What goes into a bulk request, and what its answer means for each document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from collector.documents import BOX, SWITCHOVER
from collector.shipping.bulk import (
    Fault,
    Outcome,
    Row,
    Unreadable,
    body_of,
    create,
    current,
    hltd_form,
    newest_of_hosts,
    read_items,
    read_refusal,
    read_upserts,
)


def row(number: int, host: str = "fu-1", kind: str = BOX, **fields: object) -> Row:
    body = msgspec.json.encode({"host": host} | fields)
    return Row(number, f"{host}-{kind}-{number}", "hltmode-box-cdaq-2026.11.23", kind, host, 1.0, body)


def answer(*items: tuple[int, str]) -> dict[str, Any]:
    return {
        "items": [
            {"create": {"status": status} | ({"error": {"type": kind, "reason": "why"}} if kind else {})}
            for status, kind in items
        ]
    }


ROWS = tuple(map(row, range(1, 7)))


def test_a_request_has_two_lines_for_each_document_and_the_last_line_ends() -> None:
    body = body_of(create(ROWS[:2]))
    assert body.endswith(b"\n")
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines[0] == {"create": {"_index": "hltmode-box-cdaq-2026.11.23", "_id": "fu-1-box-1"}}
    assert lines[1] == {"host": "fu-1"}


def test_each_document_has_its_own_fate() -> None:
    outcome = read_items(
        ROWS,
        answer(
            (201, ""),
            (409, "version_conflict_engine_exception"),
            (400, "document_parsing_exception"),
            (429, "es_rejected_execution_exception"),
            (413, "too_large"),
            (503, "unavailable_shards_exception"),
        ),
    )
    assert outcome.delivered == (1, 2)
    assert [number for number, _ in outcome.dead] == [3, 5]
    assert outcome.dead[0][1] == "400 document_parsing_exception: why"
    assert (outcome.again, outcome.fault) == ((4, 6), Fault.BUSY)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, "security_exception"),
        (403, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (400, "invalid_index_name_exception"),
    ],
)
def test_what_a_document_is_not_to_blame_for_is_kept(status: int, kind: str) -> None:
    outcome = read_items(ROWS[:2], answer((status, kind), (429, "busy")))
    assert (outcome.dead, outcome.again, outcome.fault) == ((), (1, 2), Fault.SURROUNDINGS)


@pytest.mark.parametrize(
    "spoiled",
    [None, "text", [], {}, {"items": None}, {"items": [{}]}, {"items": ["x"]}, {"items": [{"create": {}}] * 2},
     {"items": [{"create": {"status": "x"}}] * 2}, answer((201, ""))],
)  # fmt: skip
def test_an_answer_to_something_else_is_none(spoiled: object) -> None:
    with pytest.raises(Unreadable):
        read_items(ROWS[:2], spoiled)


@pytest.mark.parametrize(
    ("rows", "status", "fault"),
    [
        (ROWS, 413, Fault.TOO_LARGE),
        (ROWS, 429, Fault.BUSY),
        (ROWS, 502, Fault.BUSY),
        (ROWS, 401, Fault.SURROUNDINGS),
        (ROWS, 400, Fault.SURROUNDINGS),
        (ROWS[:1], 404, Fault.SURROUNDINGS),
    ],
)
def test_a_refused_request_keeps_all_its_documents(rows: Sequence[Row], status: int, fault: Fault) -> None:
    outcome = read_refusal(rows, status, "why")
    assert outcome == Outcome(again=tuple(row.number for row in rows), fault=fault, reason=f"{status}: why")


def test_a_single_document_that_is_too_large_is_dead() -> None:
    assert read_refusal(ROWS[:1], 413, "why").dead == ((1, "413: why"),)


def test_the_newest_box_of_each_host_is_put_in_its_place_besides() -> None:
    rows = [row(3), row(2, "fu-2"), row(1), row(4, kind=SWITCHOVER)]
    newest = newest_of_hosts(rows)
    assert sorted(each.number for each in newest) == [2, 3]
    lines = [json.loads(line) for line in current(newest, "hltmode-current-cdaq")]
    assert {"index": {"_index": "hltmode-current-cdaq", "_id": "fu-2"}} in lines


def test_what_comes_of_upserts_is_said_and_changes_nothing() -> None:
    items = answer((201, ""), (201, ""), (404, "index_not_found_exception"))
    assert read_items(ROWS[:2], items) == Outcome(delivered=(1, 2))
    assert read_upserts(ROWS[:2], items) == "404 index_not_found_exception: why"
    assert read_upserts(ROWS[:2], answer((201, ""), (201, ""), (200, ""))) == ""


def test_hltds_form_has_its_id_and_its_lists() -> None:
    action, document = map(json.loads, hltd_form([row(1, activeRuns=[7, 8])], "boxinfo_cdaq_write"))
    assert action == {"index": {"_index": "boxinfo_cdaq_write", "_id": "fu-1", "require_alias": True}}
    assert (document["doc_type"], document["id"], document["activeRuns"], document["activeRunList"]) == (
        "boxinfo", "fu-1", "7 8", ["7", "8"],
    )  # fmt: skip
