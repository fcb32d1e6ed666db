"""The templates and policies: from one description, signed, and as they lie in the repository."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.documents import BOX, SWITCHOVER
from collector.index.command import files
from collector.index.fields import ALL_KINDS
from collector.index.parts import Part, PartKind, bare, content_hash, signature
from collector.index.templates import VERSION, Shape, mappings, parts, settings
from contract.index_names import CURRENT
from contract.sink import Product

FOLDER = Path(__file__).parents[2] / "index-templates"
BOTH = pytest.mark.parametrize("product", list(Product))


def body(product: Product, name: str, kind: PartKind, **shape: int) -> Any:
    return next(part.body for part in parts(product, Shape(**shape)) if (part.name, part.kind) == (name, kind))


def test_the_folder_in_the_repository_is_what_the_program_writes() -> None:
    lying = {path.relative_to(FOLDER): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    assert lying == files(), "stale: run `hltmode index write index-templates`, and remove what is too many"


def test_other_content_has_another_version() -> None:
    content = b"".join(content for _, content in sorted(files().items()))
    # A server that has version N is left alone by a program of version N: raise VERSION, then change this line.
    assert (VERSION, hashlib.sha256(content).hexdigest()[:12]) == (1, "a7ae9fe7b9a1")


@BOTH
def test_each_index_template_is_made_of_components_that_come_before_it(product: Product) -> None:
    every = parts(product)
    seen: set[str] = set()
    for part in every:
        if part.kind is PartKind.TEMPLATE:
            assert set(part.body["composed_of"]) <= seen
        seen.add(part.name)
    assert [part.name for part in every if part.kind is PartKind.TEMPLATE] == [f"hltmode-{kind}" for kind in ALL_KINDS]


def test_templates_of_the_products_differ_in_the_lifecycle_alone() -> None:
    def templates(product: Product, *, lifecycle: bool) -> dict[str, Part]:
        return {part.name: part for part in parts(product, lifecycle=lifecycle) if not part.kind.is_policy}

    elastic, open_search = Product.ELASTICSEARCH, Product.OPENSEARCH
    assert templates(elastic, lifecycle=False) == templates(open_search, lifecycle=True)
    with_it = templates(elastic, lifecycle=True)
    changed = {name for name, part in templates(elastic, lifecycle=False).items() if part != with_it[name]}
    assert changed == {"hltmode-box-settings", "hltmode-switchover-settings"}
    named = body(elastic, "hltmode-box-settings", PartKind.COMPONENT)["template"]["settings"]["index.lifecycle.name"]
    assert named == "hltmode-box"


def test_the_policies_delete_boxes_after_months_and_switchovers_after_years_and_close_nothing_before() -> None:
    ilm = body(Product.ELASTICSEARCH, "hltmode-box", PartKind.ILM, box_days=30)["policy"]["phases"]
    assert ilm["delete"]["min_age"] == "30d"
    assert ilm["hot"]["actions"] == {}
    assert set(ilm) == {"hot", "delete"}
    ism = body(Product.OPENSEARCH, "hltmode-switchover", PartKind.ISM)["policy"]
    assert ism["states"][0]["transitions"] == [{"state_name": "deleted", "conditions": {"min_index_age": "3650d"}}]
    assert ism["ism_template"][0]["index_patterns"] == ["hltmode-switchover-*"]
    assert not [part for product in Product for part in parts(product) if part.kind.is_policy and CURRENT in part.name]


def test_a_box_keeps_unknown_fields_unseen_and_a_switchover_refuses_them() -> None:
    assert [mappings(kind)["dynamic"] for kind in (BOX, SWITCHOVER, CURRENT)] == [False, "strict", False]
    assert all(settings(kind, Shape())["index.codec"] == "best_compression" for kind in ALL_KINDS)
    lenient = [settings(kind, Shape()).get("index.mapping.ignore_malformed") for kind in (BOX, SWITCHOVER, CURRENT)]
    assert lenient == [True, None, True]


def test_metrics_have_no_index_and_names_no_text() -> None:
    box = mappings(BOX)["properties"]
    assert box["used"] == {"type": "integer", "index": False}
    assert box["host"] == {"type": "keyword", "ignore_above": 1024}
    assert box["activeRunStats"]["properties"]["errors"] == {"type": "integer", "index": False}
    assert mappings(SWITCHOVER)["properties"]["reason"]["fields"] == {
        "keyword": {"type": "keyword", "ignore_above": 1024}
    }


@BOTH
def test_every_part_is_signed_with_version_and_content(product: Product) -> None:
    for part in parts(product):
        found = signature(part.kind, part.body)
        assert found is not None
        assert (found.version, found.content) == (VERSION, content_hash(part.kind, part.body))


def test_other_options_make_another_content() -> None:
    hashes = {
        content_hash(
            PartKind.COMPONENT, body(Product.OPENSEARCH, "hltmode-box-settings", PartKind.COMPONENT, replicas=n)
        )
        for n in (0, 1)
    }
    assert len(hashes) == 2


def test_the_form_in_which_a_server_gives_a_component_back_makes_no_difference() -> None:
    sent = {
        "version": 1,
        "template": {
            "settings": {"index.codec": "x", "index.mapping.total_fields.limit": 200, "index.sort.field": ["a", "b"],
                         "index.mapping.ignore_malformed": True},
            "mappings": {"dynamic": False,
                         "properties": {"o": {"type": "object", "properties": {"n": {"type": "long"}}}}},
        },
    }  # fmt: skip
    returned = {
        "_meta": {"owner": "hltmode"},
        "created_date_millis": 1,
        "modified_date_millis": 2,
        "version": 1,
        "template": {
            "mappings": {"properties": {"o": {"properties": {"n": {"type": "long"}}}}, "dynamic": "false"},
            "settings": {"index": {"sort": {"field": ["a", "b"]}, "codec": "x",
                                   "mapping": {"ignore_malformed": "true", "total_fields": {"limit": "200"}}}},
        },
    }  # fmt: skip
    assert bare(PartKind.COMPONENT, sent) == bare(PartKind.COMPONENT, returned)
    returned["template"]["settings"]["index"]["codec"] = "y"  # type: ignore[index]
    assert content_hash(PartKind.COMPONENT, sent) != content_hash(PartKind.COMPONENT, returned)


def test_what_opensearch_adds_to_a_policy_makes_no_difference_and_what_a_person_changes_does() -> None:
    sent = body(Product.OPENSEARCH, "hltmode-box", PartKind.ISM)
    returned = msgspec.json.decode(msgspec.json.encode(sent))
    policy = returned["policy"]
    policy |= {"policy_id": "hltmode-box", "last_updated_time": 1, "schema_version": 21, "error_notification": None}
    policy["ism_template"][0]["last_updated_time"] = 1
    policy["states"][1]["actions"][0]["retry"] = {"count": 3, "backoff": "exponential", "delay": "1m"}
    assert bare(PartKind.ISM, returned) == bare(PartKind.ISM, sent)
    assert signature(PartKind.ISM, returned) == signature(PartKind.ISM, sent)
    policy["states"][0]["transitions"][0]["conditions"]["min_index_age"] = "7d"
    assert content_hash(PartKind.ISM, returned) != content_hash(PartKind.ISM, sent)
