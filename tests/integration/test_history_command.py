"""`hltmode history` as people and machines use it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from collector.documents import switchover_document
from collector.log.store import Keep, Log
from contract.config import Node
from contract.journal import SwitchRecord
from contract.modes import Mode, Wanted
from contract.times import iso
from hltmode.main import cli

EVER = Keep(days=1e6)
START_S = 1_800_000_000.0
OUT = SwitchRecord(
    seq=1, time=iso(START_S + 30), id="out", who="shift", reason="fill over", from_mode=Mode.HLT, to=Wanted.CLOUD,
    outcome="done", started=iso(START_S), duration_s=30.0,
    phases={"check": 0.25, "drain": 29.0, "hand_over": 0.25, "start_vms": 0.5},
)  # fmt: skip
BACK = SwitchRecord(
    seq=2, time=iso(START_S + 105), id="back", who="LevelZero", reason="beam, soon", from_mode=Mode.CLOUD,
    to=Wanted.HLT, outcome="done", started=iso(START_S + 100), duration_s=5.0,
    phases={"stop_vms": 4.5, "take_back": 0.5}, was_stuck=True,
)  # fmt: skip
NO = SwitchRecord(
    seq=3, time=iso(START_S + 200), id="no", who="shift", reason="", from_mode=Mode.HLT, to=Wanted.CLOUD,
    outcome="refused", why="no cloud tool", started=iso(START_S + 200), duration_s=0.1, phases={"check": 0.1},
)  # fmt: skip


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Returns the logs of two nodes: fu-1 went out and back, fu-2 was refused."""
    made = []
    for host, records in (("fu-1", [OUT, BACK]), ("fu-2", [NO])):
        log = Log(tmp_path / f"{host}.sqlite")
        log.open()
        node = Node(host=host, appliance="bu-1")
        log.append([switchover_document(record, node) for record in records], 3, EVER, START_S)
        log.close()
        made.append(log.path)
    return made


def history(logs: list[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    flags = [word for log in logs for word in ("--log", str(log))]
    return subprocess.run(
        [sys.executable, "-m", "hltmode", "history", *flags, *arguments],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def quick(logs: list[Path], *arguments: str) -> str:
    """Returns what `history` prints, called in this process."""
    flags = [word for log in logs for word in ("--log", str(log))]
    answer = CliRunner().invoke(cli, ["history", *flags, *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def ids(output: str) -> list[str]:
    return [json.loads(line)["switch_id"] for line in output.splitlines()]


def test_a_pipe_gets_plain_columns_with_each_phase(logs: list[Path]) -> None:
    answer = history(logs)
    head, *rows = answer.stdout.splitlines()
    assert head.split()[:6] == ["started", "node", "to", "outcome", "total", "s"]
    assert len(rows) == 3
    assert "fu-1" in rows[0] and "30.000" in rows[0] and "29.000" in rows[0] and "fill over" in rows[0]
    assert "done (stuck)" in rows[1]
    assert "refused" in rows[2] and "no cloud tool" in rows[2]
    assert "\x1b" not in answer.stdout
    assert answer.stderr == "3 of 3 switches\n"


def test_a_terminal_gets_a_table(logs: list[Path]) -> None:
    main, side = pty.openpty()
    command = [sys.executable, "-m", "hltmode", "history", "--log", str(logs[0])]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=side, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(side)
        drawn = b""
        try:
            while piece := os.read(main, 4096):
                drawn += piece
        except OSError:
            pass  # the other side of a terminal that closes is an error, not an end
        assert process.wait(30) == 0
    os.close(main)
    text = drawn.decode()
    assert "─" in text
    assert "drain=29.000" in text
    assert "shift: fill over" in text


def test_json_is_one_object_a_line_with_every_field(logs: list[Path]) -> None:
    lines = quick(logs, "--json").splitlines()
    assert len(lines) == 3
    first = json.loads(lines[0])
    assert (first["host"], first["outcome"], first["phases"]["drain"], first["who"]) == ("fu-1", "done", 29.0, "shift")
    assert (first["started"], first["ended"]) == (OUT.started, OUT.time)


def test_csv_has_a_column_for_each_phase_and_quotes_what_needs_it(logs: list[Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(quick(logs, "--csv"))))
    assert [row["switch_id"] for row in rows] == ["out", "back", "no"]
    assert (rows[0]["drain_s"], rows[0]["stop_vms_s"], rows[0]["was_stuck"]) == ("29.0", "", "no")
    assert (rows[1]["reason"], rows[1]["was_stuck"]) == ("beam, soon", "yes")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--node", "fu-2"], ["no"]),
        (["--appliance", "bu-2"], []),
        (["--outcome", "done"], ["out", "back"]),
        (["--who", "Level*"], ["back"]),
        (["--slowest", "2"], ["out", "back"]),
        (["--limit", "1"], ["no"]),
        (["--since", iso(START_S + 100)], ["back", "no"]),
        (["--until", iso(START_S + 100)], ["out"]),
        (["--since", iso(START_S + 50), "--until", iso(START_S + 150), "--node", "fu-*"], ["back"]),
    ],
)
def test_options_pick_switches(logs: list[Path], arguments: list[str], wanted: list[str]) -> None:
    assert ids(quick(logs, "--json", *arguments)) == wanted


def test_a_summary_counts_outcomes_and_gives_percentiles(logs: list[Path]) -> None:
    text = quick(logs, "--summary")
    assert "to cloud: 1 done, 1 refused" in text
    assert "to HLT: 1 done; 1 stuck on the way" in text
    drain = next(line for line in text.splitlines() if " drain " in line)
    assert drain.split() == ["cloud", "drain", "1", "29.000", "29.000", "29.000"]
    as_json = [json.loads(line) for line in quick(logs, "--summary", "--json").splitlines()]
    away = next(summary for summary in as_json if summary["to"] == "cloud")
    assert away["durations"]["whole"] == {"n": 1, "p50_s": 30.0, "p95_s": 30.0, "max_s": 30.0}


def test_a_switch_in_two_logs_is_shown_once(logs: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(logs[0].read_bytes())
    assert ids(quick([logs[0], copy], "--json")) == ["out", "back"]


def test_a_log_is_shown_while_a_collector_writes_it(logs: list[Path]) -> None:
    log = Log(logs[0])
    log.open()
    late = msgspec.structs.replace(NO, id="late")
    log.append([switchover_document(late, Node(host="fu-1"))], 3, EVER, START_S)
    assert ids(history([logs[0]], "--json").stdout) == ["out", "back", "late"]
    log.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--log", "/nowhere/log"], 5, "/nowhere/log: no such log"),
        (["--log", __file__], 1, "cannot be read as a log"),
        (["--since", "yesterday"], 2, "neither a time"),
        (["--outcome", "given_up"], 2, "'done', 'refused', 'superseded', 'vms_failed'"),
        (["--csv", "--summary"], 2, "--csv goes neither"),
        (["--config", "/nowhere/node.toml"], 3, "/nowhere/node.toml"),
    ],
)
def test_what_a_person_can_cause_has_its_exit_code(arguments: list[str], code: int, words: str) -> None:
    answer = history([], *arguments)
    assert answer.returncode == code
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
