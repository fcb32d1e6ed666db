"""`hltmode index` against servers that answer as those with lifecycle policies do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from collector.index import command as index_command
from collector.index.clients import IndexClient, NoAnswer, Reply
from contract.sink import Product, Sink
from hltmode.main import cli

ELASTIC = ("--host", "http://127.0.0.1:1", "--kind", "elasticsearch")
OPEN = ("--host", "http://127.0.0.1:1", "--kind", "opensearch")


class Server(IndexClient):
    """A server in memory that gives back what it was given in the form of the real ones."""

    def __init__(self, kind: Product = Product.ELASTICSEARCH) -> None:
        super().__init__(Sink(kind=kind, hosts=["http://127.0.0.1:1"]))
        self.held: dict[str, Any] = {}
        self.writes: list[tuple[str, Mapping[str, str]]] = []
        self.forbidden: tuple[str, ...] = ()
        self.indices: dict[str, Any] = {}
        self.silent = False

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "",  # noqa: ARG002 - the signature is the client's
    ) -> Reply:
        if self.silent:
            raise NoAnswer(f"{self.where}: refused")
        if path == "/":
            return Reply(200, {"version": {"distribution": "opensearch"}})
        if path.startswith(self.forbidden) and self.forbidden:
            return Reply(403, {"error": {"type": "security_exception", "reason": "not allowed"}})
        if method == "PUT":
            self.writes.append((path, params or {}))
            assert body is not None
            self.held[path] = msgspec.json.decode(body)
            return Reply(200, {"acknowledged": True})
        if method == "DELETE":
            del self.indices[path[1:]]
            return Reply(200, {})
        if path.endswith(("/_mapping", "/_settings")):
            return Reply(200, self.indices)
        if path not in self.held:
            return Reply(404, {"error": "no such thing"})
        return Reply(200, self._form(path, self.held[path]))

    def _form(self, path: str, body: Any) -> Any:
        name = path.rpartition("/")[2]
        if "_ilm" in path:
            return {name: {"version": 1, "modified_date": "2026", "policy": body["policy"], "in_use_by": {}}}
        if "_ism" in path:
            added = {"policy_id": name, "last_updated_time": 1, "schema_version": 21, "error_notification": None}
            return {"_id": name, "_version": 1, "_seq_no": 7, "_primary_term": 2, "policy": body["policy"] | added}
        one = "component_template" if "component" in path else "index_template"
        return {f"{one}s": [{"name": name, one: body}]}

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()

    def connect(sink: Sink) -> IndexClient:
        made.sink = sink
        return made

    monkeypatch.setattr(index_command, "connect", connect)
    return made


def index(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["index", *arguments])


def findings(answer: Result) -> dict[tuple[str, str], str]:
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {(line["what"], line["name"]): line["state"] for line in lines}


@pytest.mark.parametrize("which", [ELASTIC, OPEN])
def test_a_second_apply_finds_everything_in_place(server: Server, which: tuple[str, ...]) -> None:
    first = index("apply", *which, "--json")
    assert first.exit_code == 0, first.output
    assert set(findings(first).values()) == {"installed"}
    assert len(server.writes) == len(findings(first)) == 11
    second = index("apply", *which, "--json")
    assert set(findings(second).values()) == {"in place"}
    assert len(server.writes) == 11
    assert index("check", *which).exit_code == 0
    assert index("diff", *which).exit_code == 0


@pytest.mark.parametrize(
    ("which", "path"), [(ELASTIC, "/_ilm/policy/hltmode-box"), (OPEN, "/_plugins/_ism/policies/hltmode-box")]
)
def test_a_policy_changed_by_hand_is_left_alone_until_forced(server: Server, which: tuple[str, ...], path: str) -> None:
    index("apply", *which)
    theirs = json.loads(json.dumps(server.held[path]).replace("90d", "7d"))
    server.held[path] = theirs
    refused = index("apply", *which)
    assert refused.exit_code == 1
    assert "changed by hand" in refused.output
    assert "apply --force" in refused.output
    assert server.held[path] == theirs
    shown = index("diff", *which)
    assert shown.exit_code == 1
    assert any(line.startswith("-") and '"7d"' in line for line in shown.output.splitlines())
    assert index("apply", *which, "--force").exit_code == 0
    assert "90d" in json.dumps(server.held[path])


def test_an_ism_policy_is_replaced_under_the_number_it_was_read_with(server: Server) -> None:
    index("apply", *OPEN)
    assert index("apply", *OPEN, "--keep-days", "30", "--json").exit_code == 0
    changed = {path: dict(params) for path, params in server.writes[11:]}
    assert changed == {"/_plugins/_ism/policies/hltmode-box": {"if_seq_no": "7", "if_primary_term": "2"}}


def test_what_one_part_is_refused_does_not_keep_the_others_out(server: Server) -> None:
    server.forbidden = ("/_ilm",)
    answer = index("apply", *ELASTIC, "--json")
    assert answer.exit_code == 1
    states = findings(answer)
    assert states["ILM policy", "hltmode-box"] == "refused"
    assert states["index template", "hltmode-box"] == "installed"
    assert "needs the right to manage" in answer.stdout


def test_a_user_who_may_not_look_is_told_so_in_one_line(server: Server) -> None:
    server.forbidden = ("/_component_template",)
    answer = index("apply", *ELASTIC)
    assert (answer.exit_code, answer.stdout) == (5, "")
    assert answer.stderr.count("\n") == 1
    assert "name a user who may manage them with --username-file" in answer.stderr


def test_check_names_what_is_missing_and_changes_nothing(server: Server) -> None:
    answer = index("check", *ELASTIC)
    assert answer.exit_code == 1
    assert "index template  hltmode-box  missing" in answer.output
    assert server.writes == []


def test_a_server_that_does_not_answer_is_one_line_and_the_next_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dead = Server()
    dead.silent = True
    monkeypatch.setattr(index_command, "connect", lambda sink: dead if sink.name == "dead" else server)
    config = tmp_path / "node.toml"
    config.write_text(
        "".join(
            f'[[sink]]\nname = "{name}"\nkind = "elasticsearch"\nhosts = ["http://h:1"]\n' for name in ("dead", "es")
        )
    )
    answer = index("apply", "--config", str(config), "--json")
    assert answer.exit_code == 5
    assert answer.stderr.count("\n") == 1
    assert len(server.writes) == 11
    assert index("check", "--config", str(config), "--sink", "es").exit_code == 0
    unknown = index("check", "--config", str(config), "--sink", "nowhere")
    assert "has no sink named nowhere; known are dead, es" in str(unknown.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--host", "http://h:1"),
        ("--host", "http://me:secret@h:1", "--kind", "opensearch"),
        (*ELASTIC, "--config", "x"),
        (*ELASTIC, "--username-file", "x"),
        (*ELASTIC, "--username-file", "x", "--password-file", "y", "--api-key-file", "z"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    answer = index("check", *arguments)
    assert answer.exit_code == 2, answer.output


def test_without_a_sink_one_is_asked_for() -> None:
    assert "has no [[sink]]; name a file with --config" in str(index("check").exception)


def test_the_secrets_of_the_one_who_installs_stand_above_those_of_the_sink(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        '[[sink]]\nkind = "elasticsearch"\nhosts = ["http://h:1"]\napi_key_file = "/k"\nca_file = "/ca"\n'
    )
    index("check", "--config", str(config), "--username-file", "/u", "--password-file", "/p")
    assert (server.sink.username_file, server.sink.api_key_file, server.sink.ca_file) == ("/u", "", "/ca")


def test_expire_deletes_old_days_and_with_dry_run_only_names_them(server: Server) -> None:
    server.indices = {"hltmode-box-cdaq-2020.01.01": {}, "hltmode-box-cdaq-2999.01.01": {}}
    dry = index("expire", *ELASTIC, "--dry-run")
    assert dry.output == "index  hltmode-box-cdaq-2020.01.01  old\n"
    assert len(server.indices) == 2
    assert index("expire", *ELASTIC).output == "index  hltmode-box-cdaq-2020.01.01  deleted\n"
    assert set(server.indices) == {"hltmode-box-cdaq-2999.01.01"}


def test_a_ca_file_that_is_not_there_is_named_before_anybody_is_asked() -> None:
    answer = index("check", *ELASTIC, "--ca-file", "/nowhere/ca.pem")
    assert "/nowhere/ca.pem: cannot be read (No such file or directory); see ca_file" in str(answer.exception)


def test_expire_deletes_nothing_on_a_server_of_another_product(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.indices = {"hltmode-box-cdaq-2020.01.01": {}}
    request = server.request
    answers = {"/": Reply(200, {"version": {"number": "9.2.0"}})}
    monkeypatch.setattr(
        server, "request", lambda method, path, **rest: answers.get(path) or request(method, path, **rest)
    )
    answer = index("expire", *OPEN)
    assert (answer.exit_code, list(server.indices)) == (5, ["hltmode-box-cdaq-2020.01.01"])
    assert "not an OpenSearch server" in answer.stderr


def test_write_makes_the_folder_of_the_repository(tmp_path: Path) -> None:
    assert index("write", str(tmp_path / "out")).exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"elasticsearch", "opensearch"}


@pytest.mark.parametrize("verb", ["apply", "check", "diff", "expire", "write"])
def test_every_verb_has_an_example_and_its_exit_codes(verb: str) -> None:
    answer = index(verb, "--help")
    assert "Example" in answer.output
    assert "Exit codes" in " ".join(answer.output.split())
