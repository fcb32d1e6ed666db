"""`hltmode mode` as the cloud team uses it: a file, a process, an exit code."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from contract.modefile import write_mode
from contract.modes import Mode
from hltmode.main import cli
from tests.integration.node import PATIENCE_S, wait_for

COMMAND = [sys.executable, "-m", "hltmode", "mode"]


class Running:
    """One `hltmode mode` that goes on; `out` and `err` are what it has said so far."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([*COMMAND, *arguments], stdout=out, stderr=err)

    @property
    def out(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)

    def terminate(self) -> int:
        self.process.terminate()
        return self.ended()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def begin(*arguments: str) -> Running:
        made.append(Running(tmp_path, ["--file", str(tmp_path / "data" / "mode"), *arguments]))
        return made[-1]

    yield begin
    for running in made:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Returns a mode file that says HLT."""
    (tmp_path / "data").mkdir()
    write_mode(tmp_path / "data" / "mode", Mode.HLT)
    return tmp_path / "data" / "mode"


def mode(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_it_prints_the_word_of_the_file_and_nothing_else(file: Path) -> None:
    answer = mode("--file", file)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "HLT\n", "")
    found = json.loads(mode("--file", file, "--json").stdout)
    assert (found["mode"], found["since"][-1]) == ("HLT", "Z")


def test_the_configuration_says_where_the_file_is(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\nwatch_dir = "{file.parent}"\n')
    assert CliRunner().invoke(cli, ["mode", "--config", str(config)]).stdout == "HLT\n"


@pytest.mark.parametrize("content", [None, "", "clout"])
def test_a_missing_or_illegible_file_is_exit_1_and_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "mode").write_text(content)
    answer = mode("--file", tmp_path / "mode")
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
    assert str(tmp_path / "mode") in answer.stderr


def test_waiting_for_the_present_mode_ends_at_once(file: Path) -> None:
    answer = mode("--file", file, "--wait", "hlt", "--timeout", "0")
    assert (answer.returncode, answer.stdout) == (0, "HLT\n")


def test_waiting_ends_when_the_file_is_replaced(file: Path, start: Callable[..., Running]) -> None:
    waiting = start("--wait", "cloud", "--timeout", "60")
    write_mode(file, Mode.ACTIVATING_CLOUD)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(1.0)
    write_mode(file, Mode.CLOUD)
    assert waiting.ended() == 0
    assert waiting.out == ["cloud"]


def test_waiting_in_vain_is_exit_6_and_says_what_there_is_instead(file: Path, tmp_path: Path) -> None:
    answer = mode("--file", file, "--wait", "cloud", "--timeout", "0.2")
    assert (answer.returncode, answer.stdout) == (6, "")
    assert "not in cloud within 0.2 s, but in HLT" in answer.stderr
    answer = mode("--file", tmp_path / "none" / "mode", "--wait", "cloud", "--timeout", "0.2")
    assert answer.returncode == 6
    assert "but no legible mode" in answer.stderr


def test_waiting_outlives_a_folder_that_comes_later(tmp_path: Path, start: Callable[..., Running]) -> None:
    waiting = start("--wait", "cloud", "--timeout", "60")
    wait_for("it says what is missing", lambda: "no mode to read" in waiting.err)
    (tmp_path / "data").mkdir()
    write_mode(tmp_path / "data" / "mode", Mode.CLOUD)
    assert waiting.ended() == 0


def test_following_prints_every_change_in_order_and_ends_with_0(file: Path, start: Callable[..., Running]) -> None:
    following = start("--follow")
    wanted = ["HLT"]
    wait_for("the first line", lambda: len(following.out) == 1)
    for each in (Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD, Mode.HLT) * 3:
        write_mode(file, each)
        wanted.append(each.value)
        wait_for(f"{each} is printed", lambda: len(following.out) == len(wanted))
    assert [line.split()[1] for line in following.out] == wanted
    assert following.terminate() == 0


def test_following_in_json_gives_mode_and_time(file: Path, start: Callable[..., Running]) -> None:
    following = start("--follow", "--json")
    wait_for("the first line", lambda: following.out)
    write_mode(file, Mode.CLOUD)
    wait_for("the second line", lambda: len(following.out) == 2)
    found = [json.loads(line) for line in following.out]
    assert [each["mode"] for each in found] == ["HLT", "cloud"]
    assert found[0]["since"] < found[1]["since"]


def test_following_outlives_a_folder_that_is_replaced(file: Path, start: Callable[..., Running]) -> None:
    following = start("--follow")
    wait_for("the first line", lambda: following.out)
    shutil.rmtree(file.parent)
    wait_for("it says what is missing", lambda: "no mode to read" in following.err)
    file.parent.mkdir()
    write_mode(file, Mode.CLOUD)
    wait_for("the change is printed", lambda: len(following.out) == 2)
    assert "legible again" in following.err


def series(textfile: Path) -> dict[str, float]:
    families = text_string_to_metric_families(textfile.read_text())
    return {sample.labels.get("mode", "since"): sample.value for family in families for sample in family.samples}


def test_a_textfile_follows_the_mode_legible_for_all_and_goes_when_nobody_keeps_it(
    file: Path, tmp_path: Path, start: Callable[..., Running]
) -> None:
    textfile = tmp_path / "hltmode.prom"
    umask = os.umask(0o077)
    try:
        keeping = start("--textfile", str(textfile))
    finally:
        os.umask(umask)
    wait_for("the textfile", textfile.exists)
    assert stat.S_IMODE(textfile.stat().st_mode) == 0o644
    since = series(textfile).pop("since")
    write_mode(file, Mode.CLOUD)
    wait_for("the textfile follows", lambda: series(textfile)["cloud"] == 1.0)
    found = series(textfile)
    assert found.pop("since") > since
    assert found == {"HLT": 0.0, "activatingCloud": 0.0, "cloud": 1.0, "deactivatingCloud": 0.0}
    file.unlink()
    wait_for("the mode is unknown", lambda: set(series(textfile).values()) == {0.0})
    assert keeping.terminate() == 0
    assert not textfile.exists()
    assert not list(tmp_path.glob(".hltmode*"))


def test_a_textfile_without_a_folder_is_exit_5(file: Path, tmp_path: Path) -> None:
    answer = mode("--file", file, "--textfile", tmp_path / "none" / "x.prom")
    assert answer.returncode == 5
    assert "cannot be written" in answer.stderr


@pytest.mark.parametrize("arguments", [["--wait", "clout"], ["--follow", "--wait", "cloud"], ["--timeout", "3"]])
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["mode", *arguments]).exit_code == 2


def test_printing_the_mode_imports_nothing_heavy(file: Path) -> None:
    program = (
        "import sys\nfrom hltmode.main import cli\n"
        f"cli(['mode', '--file', {str(file)!r}], standalone_mode=False)\n"
        "print(sorted({'aiohttp', 'watchdog', 'rich', 'prometheus_client', 'sqlite3'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert answer.stdout == "HLT\n[]\n", answer.stderr
