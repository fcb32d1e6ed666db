"""The command line as people meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hltmode.main import COMMANDS, cli
from simulator.node_files import lay_out


def hltmode(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hltmode", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    answer = CliRunner().invoke(cli, [name, "--help"])
    assert answer.exit_code == 0, answer.output
    assert "Usage: " in answer.output


@pytest.mark.parametrize(
    "command",
    [
        ["switcher", "run"], ["collector", "run"], ["collector", "log", "status"], ["collector", "log", "replay"],
        ["collector", "log", "dead"], ["history"], ["mode"], ["config", "check"], ["doctor"], ["demo"],
        ["fleet", "follow"], ["fleet", "decisions"], ["fleet", "policy", "check"], ["fleet", "policy", "replay"],
        ["fleet", "policy", "hold"], ["fleet", "policy", "release"], ["simulate", "bu"],
    ],
)  # fmt: skip
def test_every_verb_has_an_example_and_its_exit_codes(command: list[str]) -> None:
    answer = CliRunner().invoke(cli, [*command, "--help"])
    assert "Example" in answer.output
    assert "xit code" in " ".join(answer.output.split()) or command == ["simulate", "bu"]


def test_an_error_for_people_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    answer = hltmode("switcher", "run", "--config", str(tmp_path / "nowhere.toml"))
    assert answer.returncode == 3
    assert answer.stderr.count("\n") == 1
    assert "nowhere.toml: cannot be read" in answer.stderr


def test_config_check_says_where_each_value_comes_from(tmp_path: Path) -> None:
    files = lay_out(tmp_path, "fu-1", port=9001)
    answer = CliRunner().invoke(
        cli,
        ["config", "check", str(files.config), "--set", "switch.kill_grace_s=3", "--json"],
        env={"HLTMODE_COLLECTOR_KEEP_DAYS": "7"},
    )
    assert answer.exit_code == 0, answer.output
    table = json.loads(answer.output)
    assert table["http"]["port"] == {"value": 9001, "source": str(files.config)}
    assert table["switch"]["kill_grace_s"] == {"value": 3.0, "source": "--set"}
    assert table["collector"]["keep_days"] == {"value": 7.0, "source": "HLTMODE_COLLECTOR_KEEP_DAYS"}
    assert table["jobs"]["extra_lumisections"] == {"value": 2, "source": "default"}


def test_config_check_refuses_an_unknown_key_with_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("[jobs]\ncores_per_jop = 2\n")
    answer = hltmode("config", "check", str(path))
    assert answer.returncode == 3
    assert "jobs.cores_per_jop is unknown; did you mean cores_per_job?" in answer.stderr


def test_the_doctor_is_content_with_a_node_that_is_laid_out_and_names_what_lacks(tmp_path: Path) -> None:
    files = lay_out(tmp_path, "fu-1", port=0, metrics_port=0)
    answer = CliRunner().invoke(cli, ["doctor", "--config", str(files.config), "--json"])
    assert answer.exit_code == 0, answer.output
    assert {check["finding"] for check in json.loads(answer.output)} <= {"good", "warning"}
    for token in files.paths.tokens("idle").iterdir():
        token.unlink()
    files.paths.bu.boxes.rmdir()
    answer = CliRunner().invoke(cli, ["doctor", "--config", str(files.config), "--json"])
    assert answer.exit_code == 1
    bad = {check["what"]: check["words"] for check in json.loads(answer.output) if check["finding"] == "bad"}
    assert set(bad) == {"node.resources_dir", "node.bu_dir"}
    assert "mount the BU's ramdisk or set node.bu_dir" in bad["node.bu_dir"]
