"""`hltmode index` and the documents under its templates, on every real server."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from collector.documents import BOX, SWITCHOVER, Document, document_id
from collector.index.command import files
from collector.index.templates import pattern
from contract.index_names import CURRENT
from hltmode.main import cli
from tests.servers.server import IndexServer
from tests.unit.test_collector_facts import NOW_S
from tests.unit.test_index_fields import whole_box, whole_switchover

# by server and not by test: a small machine does not run all of them at once
pytestmark = [
    pytest.mark.servers,
    pytest.mark.parametrize(
        "each_server", ["opensearch3", "opensearch2", "elasticsearch8", "elasticsearch9"], indirect=True, scope="module"
    ),
]

BOXES = "hltmode-box-cdaq-2027.01.15"
SWITCHOVERS = "hltmode-switchover-cdaq-2027"
NOWS = "hltmode-current-cdaq"


@pytest.fixture
def server(each_server: IndexServer) -> Iterator[IndexServer]:
    """Returns a server without anything of ours, before and after."""
    clear(each_server)
    yield each_server
    clear(each_server)


def clear(server: IndexServer) -> None:
    server.ask("/hltmode-*?ignore_unavailable=true", method="DELETE")
    for path in ("/_index_template/hltmode-*", "/_component_template/hltmode-*"):
        try:
            server.ask(path, method="DELETE")
        except urllib.error.HTTPError as error:
            assert error.code == 404, error.read()


def index(server: IndexServer, verb: str, *more: str) -> Result:
    return CliRunner().invoke(cli, ["index", verb, "--host", server.url, "--kind", server.product.value, *more])


def states(answer: Result) -> dict[str, str]:
    return {line["name"]: line["state"] for line in map(json.loads, answer.stdout.splitlines())}


def put(server: IndexServer, index_name: str, identity: str, document: Document) -> int:
    """Creates a document and returns the status."""
    try:
        plain = msgspec.to_builtins(document)
        server.ask(f"/{index_name}/_create/{identity}?refresh=true", plain, "PUT")
    except urllib.error.HTTPError as error:
        return error.code
    return 201


def found(server: IndexServer, index_name: str, *filters: dict[str, Any]) -> int:
    hits: int = server.ask(f"/{index_name}/_count", {"query": {"bool": {"filter": list(filters)}}})["count"]
    return hits


def test_apply_twice_then_check_and_diff_have_nothing_to_say(server: IndexServer) -> None:
    assert index(server, "check").exit_code == 1
    first = index(server, "apply", "--json")
    assert first.exit_code == 0, first.output
    assert sorted(states(first).values()) == ["installed"] * 9 + ["not to be had"]
    assert "hltmode index expire" in first.stdout
    second = index(server, "apply", "--json")
    assert sorted(states(second).values()) == ["in place"] * 9 + ["not to be had"]
    assert index(server, "check").exit_code == 0
    diff = index(server, "diff")
    assert (diff.exit_code, diff.output) == (0, "")


def test_what_somebody_changed_by_hand_is_left_alone_until_forced(server: IndexServer) -> None:
    index(server, "apply")
    path = "/_component_template/hltmode-box-settings"
    theirs = server.ask(path)["component_templates"][0]["component_template"]
    theirs["template"]["settings"]["index"]["refresh_interval"] = "30s"
    server.ask(path, {key: theirs[key] for key in ("template", "version", "_meta")}, "PUT")
    refused = index(server, "apply", "--json")
    assert refused.exit_code == 1
    assert states(refused)["hltmode-box-settings"] == "changed by hand"
    diff = index(server, "diff")
    assert diff.exit_code == 1
    changed = [line.split(": ")[1] for line in diff.output.splitlines() if line[:2] in ("- ", "+ ")]
    assert changed == ['"30s",', '"5s",']
    assert states(index(server, "apply", "--force", "--json"))["hltmode-box-settings"] == "updated"
    assert index(server, "check").exit_code == 0


def test_other_options_are_brought_in_without_force(server: IndexServer) -> None:
    index(server, "apply")
    answer = index(server, "apply", "--replicas", "0", "--json")
    assert answer.exit_code == 0
    assert {name for name, state in states(answer).items() if state == "updated"} == {
        "hltmode-box-settings", "hltmode-switchover-settings", "hltmode-current-settings",
    }  # fmt: skip
    assert index(server, "check", "--replicas", "0").exit_code == 0


def test_every_document_is_kept_once_and_found_by_node_mode_and_time(server: IndexServer) -> None:
    index(server, "apply")
    for kind, name, document in (
        (BOX, BOXES, whole_box()),
        (CURRENT, NOWS, whole_box()),
        (SWITCHOVER, SWITCHOVERS, whole_switchover()),
    ):
        identity = document_id("fu-1", kind, "1")
        assert [put(server, name, identity, document) for _ in range(2)] == [201, 409]
        mode = {"mode": "cloud"} if kind != SWITCHOVER else {"to": "cloud"}
        at_ms = {"gte": int((NOW_S - 1) * 1000), "lte": int((NOW_S + 60) * 1000), "format": "epoch_millis"}
        about = ({"term": {"host": "fu-1"}}, {"term": mode}, {"range": {"@timestamp": at_ms}})
        assert found(server, name, *about) == 1, name
        assert found(server, name, {"term": {"host": "fu-2"}}) == 0
    # metrics without an index answer as well, only slower
    assert found(server, BOXES, {"range": {"idles": {"gte": 4}}}, {"term": {"activeRunStats.run": 1}}) == 1
    assert found(server, SWITCHOVERS, {"range": {"phases.drain": {"gte": 1}}}, {"term": {"observed": True}}) == 1
    assert index(server, "check").exit_code == 0


def test_an_index_gets_the_settings_of_its_template(server: IndexServer) -> None:
    index(server, "apply")
    put(server, BOXES, "1", whole_box())
    settings = server.ask(f"/{BOXES}/_settings")[BOXES]["settings"]["index"]
    assert settings["codec"] == "best_compression"
    assert settings["sort"] == {"field": ["host", "@timestamp"]}
    assert settings["mapping"]["total_fields"]["limit"] == "200"
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("1", "1")
    assert settings["refresh_interval"] == "5s"


def test_a_box_keeps_what_nobody_knows_and_drops_a_value_that_makes_no_sense(server: IndexServer) -> None:
    index(server, "apply")
    odd: Document = {"novelty": {"x": 1}, "fm_date": "soon", "used": 10**12, "blocker": "x" * 40_000}
    assert put(server, BOXES, "1", whole_box() | odd) == 201
    assert server.ask(f"/{BOXES}/_doc/1")["_source"]["novelty"] == {"x": 1}
    assert "novelty" not in server.ask(f"/{BOXES}/_mapping")[BOXES]["mappings"]["properties"]
    assert found(server, BOXES, {"term": {"host": "fu-1"}}) == 1
    assert found(server, BOXES, {"exists": {"field": "used"}}) == 0
    assert put(server, BOXES, "2", whole_box() | {"activeRunStats": "many"}) == 400


def test_a_switchover_with_an_unknown_field_or_a_value_that_makes_no_sense_is_refused(server: IndexServer) -> None:
    index(server, "apply")
    assert put(server, SWITCHOVERS, "1", whole_switchover() | {"novelty": 1}) == 400
    assert put(server, SWITCHOVERS, "2", whole_switchover() | {"phases": {"rest": 1.0}}) == 400
    assert put(server, SWITCHOVERS, "3", whole_switchover() | {"duration_s": "long"}) == 400
    assert found(server, SWITCHOVERS) == 0


def test_indices_made_before_the_template_are_named_and_mended_where_that_is_possible(server: IndexServer) -> None:
    put(server, BOXES, "1", whole_box())
    server.ask(f"/{SWITCHOVERS}", {"mappings": {"properties": {"host": {"type": "keyword"}}}}, "PUT")
    answer = index(server, "apply", "--json")
    assert answer.exit_code == 1
    assert (states(answer)[BOXES], states(answer)[SWITCHOVERS]) == ("unmapped", "updated")
    assert put(server, SWITCHOVERS, "1", whole_switchover() | {"novelty": 1}) == 400
    assert put(server, SWITCHOVERS, "2", whole_switchover()) == 201
    checked = index(server, "check")
    assert checked.exit_code == 1
    assert f"{BOXES}  unmapped" in checked.output
    server.ask(f"/{BOXES}", method="DELETE")
    assert index(server, "check").exit_code == 0


def test_a_template_that_wins_over_ours_is_told(server: IndexServer) -> None:
    index(server, "apply")
    theirs = {"index_patterns": [pattern(BOX)], "priority": 10_000, "template": {"settings": {}}}
    server.ask("/_index_template/hltmode-stranger", theirs, "PUT")
    answer = index(server, "check")
    assert answer.exit_code == 1
    assert "hltmode-box  overruled" in answer.output


def test_old_days_are_deleted(server: IndexServer) -> None:
    index(server, "apply")
    old = "hltmode-box-cdaq-2020.01.01"
    for name in (old, "hltmode-box-cdaq-2999.01.01"):
        put(server, name, "1", whole_box())
    answer = index(server, "expire", "--keep-days", "30")
    assert (answer.exit_code, answer.output) == (0, f"index  {old}  deleted\n")
    assert list(server.ask(f"/{pattern(BOX)}/_mapping")) == ["hltmode-box-cdaq-2999.01.01"]


def test_the_files_of_the_repository_are_what_the_server_takes(server: IndexServer) -> None:
    where = {"component": "_component_template", "template": "_index_template"}
    for path, content in files().items():
        name, part, _ = path.name.split(".")
        if path.parts[0] == server.product.value and part in where:
            body = json.loads(content)
            # the archives for tests lack ILM, and with it this setting
            body.get("template", {}).get("settings", {}).pop("index.lifecycle.name", None)
            assert server.ask(f"/{where[part]}/{name}", body, "PUT") == {"acknowledged": True}


def test_a_server_of_the_other_product_is_told(server: IndexServer, tmp_path: Path) -> None:
    other = "opensearch" if server.product.value == "elasticsearch" else "elasticsearch"
    config = tmp_path / "node.toml"
    config.write_text(f'[[sink]]\nkind = "{other}"\nhosts = ["{server.url}"]\n')
    answer = CliRunner().invoke(cli, ["index", "apply", "--config", str(config)])
    assert answer.exit_code == 5
    assert "see kind of sink index" in answer.stderr
    assert (
        server.ask("/_cluster/state/metadata")["metadata"]["index_template"]["index_template"]
        .keys()
        .isdisjoint({"hltmode-box"})
    )
