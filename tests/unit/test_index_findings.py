"""How what is found on a server is judged."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from collector.documents import BOX, SWITCHOVER
from collector.index.expire import expired
from collector.index.findings import State, difference, judge, judge_index, kind_of
from collector.index.parts import Found, Part, PartKind, signed
from collector.index.templates import VERSION, Shape, mappings, parts
from contract.sink import Product

PART = next(part for part in parts(Product.OPENSEARCH) if part.name == "hltmode-box-settings")


def as_found(body: object) -> Found:
    return Found(msgspec.json.decode(msgspec.json.encode(body)), {})


def of_version(version: int, codec: str = "default") -> Found:
    made = {"version": version, "template": {"settings": {"index.codec": codec}}}
    return as_found(signed(PartKind.COMPONENT, PART.name, made, version).body)


def test_what_is_there_as_we_would_write_it_is_in_place() -> None:
    assert judge(PART, as_found(PART.body)).state is State.IN_PLACE
    assert difference(PART, as_found(PART.body)) == []


def test_what_is_not_there_is_missing_and_the_remedy_is_named() -> None:
    finding = judge(PART, None)
    assert finding.state is State.MISSING
    assert "hltmode index apply" in finding.words


def test_an_older_and_a_newer_one_are_told_apart_by_the_version() -> None:
    assert judge(PART, of_version(VERSION - 1)).state is State.OLDER
    assert judge(PART, of_version(VERSION + 1)).state is State.NEWER
    assert judge(PART, of_version(VERSION)).state is State.OTHER


def test_other_options_are_no_change_by_hand() -> None:
    other = next(part for part in parts(Product.OPENSEARCH, Shape(replicas=0)) if part.name == PART.name)
    assert judge(PART, as_found(other.body)).state is State.OTHER


def test_a_change_by_hand_shows_whatever_the_version_says() -> None:
    for found in (as_found(PART.body), of_version(VERSION - 1), of_version(VERSION + 1)):
        found.body["template"]["settings"]["index.number_of_replicas"] = 7
        assert judge(PART, found).state is State.CHANGED


def test_a_template_of_our_name_that_nobody_signed_is_somebodys() -> None:
    found = as_found(PART.body)
    found.body["_meta"] = {"owner": "me"}
    assert judge(PART, found).state is State.OLDER, "the same content lacks the signature only"
    found.body["template"]["settings"]["index.codec"] = "default"
    assert judge(PART, found).state is State.CHANGED


def test_the_difference_is_a_unified_diff_towards_ours() -> None:
    lines = difference(PART, of_version(VERSION))
    assert lines[0] == f"--- server{PART.path}"
    assert '-      "index.codec": "default"' in lines
    assert '+      "index.codec": "best_compression",' in lines


def existing(kind: str) -> Any:
    return msgspec.json.decode(msgspec.json.encode(mappings(kind)))


def test_an_index_made_from_the_template_is_in_place() -> None:
    finding, mend = judge_index("hltmode-box-cdaq-2026.11.23", BOX, existing(BOX))
    assert (finding.state, mend) == (State.IN_PLACE, {})


def test_an_index_that_lacks_fields_is_mended_by_those_alone() -> None:
    mapping = existing(SWITCHOVER)
    del mapping["properties"]["observed"], mapping["properties"]["phases"]["properties"]["drain"]
    finding, mend = judge_index("hltmode-switchover-cdaq-2026", SWITCHOVER, mapping)
    assert finding.state is State.LACKING
    assert mend == {
        "properties": {"phases": {"properties": {"drain": {"type": "float"}}}, "observed": {"type": "boolean"}}
    }


def test_an_index_made_without_the_template_is_unmapped_and_past_mending() -> None:
    dynamic = {"properties": {"host": {"type": "text", "fields": {"keyword": {"type": "keyword"}}}}}
    finding, mend = judge_index("hltmode-box-cdaq-2026.11.23", BOX, dynamic)
    assert (finding.state, mend) == (State.UNMAPPED, {})
    assert finding.words.startswith("host: ")


def test_a_switchover_index_that_takes_anything_is_made_strict() -> None:
    finding, mend = judge_index("hltmode-switchover-cdaq-2026", SWITCHOVER, existing(SWITCHOVER) | {"dynamic": "true"})
    assert (finding.state, mend) == (State.LACKING, {"dynamic": "strict"})


@pytest.mark.parametrize(
    ("index", "kind"),
    [("hltmode-box-cdaq-2026.11.23", "box"), ("hltmode-current-cdaq", "current"), ("hltmode-boxes", None), ("x", None)],
)
def test_the_kind_of_an_index_is_in_its_name(index: str, kind: str | None) -> None:
    assert kind_of(index) == kind


def test_days_long_past_are_deleted_and_nothing_whose_name_is_no_day() -> None:
    names = [
        "hltmode-box-cdaq-2026.11.23", "hltmode-box-cdaq-2026.08.24", "hltmode-box-mini-daq-2025.01.01",
        "hltmode-box-cdaq-2026.08.25", "hltmode-box-cdaq-2026.13.45", "hltmode-switchover-cdaq-2019",
        "hltmode-current-cdaq", "hltmode-box-cdaq-2020.01.01-kept", "my-hltmode-box-cdaq-2020.01.01",
    ]  # fmt: skip
    assert expired(names, date(2026, 11, 23), 90) == ["hltmode-box-mini-daq-2025.01.01", "hltmode-box-cdaq-2026.08.24"]


def test_parts_know_their_place_and_file() -> None:
    part = Part(PartKind.ISM, "hltmode-box", {})
    assert (part.path, part.file_name) == ("/_plugins/_ism/policies/hltmode-box", "hltmode-box.ism.json")
