"""What operators get wrong: one line that names it, the documented exit code, at once and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hltmode.main import main

ALONE = {  # what a file or an option may hold that makes no sense
    "twice": b"fu-1 bu-1\nfu-1 bu-1\n",
    "short": b"fu-1 bu-1\nfu-2\n",
    "address": b"fu-1 bu-1 127.0.0.1:99999\n",
    "rubbish": b"\xff\xfe\x00" * 100,
    "empty": b"",
    "control": b"\x01\x02\n",
}


def fleet(*words: str, store: Path | str = "/nonexistent", stdin: bytes = b"") -> Result:
    """Runs `hltmode fleet` as the console does, so that an error is a line and an exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hltmode", "fleet", *words])
        patch.setenv("HLTMODE_FLEET_STORE", str(store))
        patch.delenv("HLTMODE_FLEET_NODES", raising=False)
        return CliRunner().invoke(click.Command("whole", callback=main), [], input=stdin)


def told(done: Result, code: int, said: str) -> None:
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 or lines[0].startswith("Usage: ")  # click's own form of wrong usage


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["exclude"], 2, "no node is named"),
        (["exclude", ""], 2, "no node is named"),
        (["exclude", "fu-1!fu-1"], 2, "fu-1!fu-1: nobody is left"),
        (["exclude", "fu-[1-"], 2, "fu-[1-: not a set of nodes"),
        (["exclude", "fu-9", "--nodes", "known"], 2, "fu-9: not in the file of nodes"),
        (["nodes", "fu-[1-100000]"], 2, "means more than 10000 nodes"),
        (["nodes", "a[1-99999999]"], 2, "means more than 10000 nodes"),
        (["nodes", "a[1-99999999]!a[2-99999999]"], 2, "means more than 10000 nodes"),
        (["nodes", "a[1-1000]-b[1-1000]"], 2, "means more than 10000 nodes"),
        (["nodes", "fu-[1-9000]", "gu-[1-9000]"], 2, "that makes more than 10000 nodes"),
        (["nodes", "a[1000000000000000001-10000000000000000019]"], 2, "means more than 10000 nodes"),
        (["nodes", "a,,b"], 2, "a,,b: not a set of nodes"),
        (["nodes", "@$(id)"], 2, "not a set of nodes"),
        (["nodes", "a;b"], 2, "not a set of nodes"),
        (["exclude", "fu-1", "--nodes", "twice"], 2, "twice:2: fu-1 stands there twice"),
        (["exclude", "fu-1", "--nodes", "short"], 2, "short:2: write it as `host appliance [address[:port]]`"),
        (["exclude", "fu-1", "--nodes", "address"], 2, "address:1: write it as"),
        (["exclude", "fu-1", "--nodes", "rubbish"], 2, "rubbish: not text"),
        (["exclude", "fu-1", "--nodes", "nowhere"], 2, "nowhere: cannot be read (No such file or directory)"),
        (["exclude", "fu-1", "--pause", "nan"], 2, "nan is not a number"),
        (["exclude", "fu-1", "--limit", "inf"], 2, "inf is not in the range"),
        (["exclude", "fu-1", "--ramp", "inf%"], 2, "--ramp inf%: a number of nodes or a share"),
        (["exclude", "fu-1,@nobody"], 2, "@nobody: no such group, or nobody is in it"),
        (["exclude", "fu-[1-3]!@nobody"], 2, "@nobody: no such group, or nobody is in it"),
        (["exclude", "--hostfile", "rubbish"], 2, "rubbish: not text"),
        (["exclude", "fu-1", "--token-file", "nowhere"], 3, "nowhere: cannot be read (No such file or directory)"),
        (["exclude", "fu-1", "--token-file", "empty"], 3, "empty: 16 or more printable ASCII characters wanted"),
        (["exclude", "fu-1", "--token-file", "control"], 3, "control: 16 or more printable ASCII characters wanted"),
        (["exclude", "fu-1", "--token-file", "rubbish"], 3, "rubbish: not text; see --token-file"),
        (["exclude", "fu-1", "--token-file", "known"], 3, "known: open to others (mode 0644); chmod 600"),
        (["exclude", "--from", "index", "--config", "nowhere"], 3, "nowhere: cannot be read"),
        (["exclude", "fu-1", "--count", "1", "--percent", "5"], 2, "not both"),
        (["include", "localhost", "--keep", "1", "--nodes", "nobody"], 2, "with the way to the cloud only"),
        (["exclude", "fu-1", "--ramp", "1,soon"], 2, "--ramp soon: a number of nodes or a share"),
        (["exclude", "fu-1", "--ramp", "0,100%"], 2, "--ramp 0: more than 0 wanted"),
        (["exclude", "fu-1", "--resume", "op-1"], 2, "--resume op-1 knows its nodes"),
        (["exclude", "--resume", "op-1"], 2, "op-1: no such operation"),
        (["watch", "nobody"], 2, "nobody: no such operation"),
        (["undo", "last"], 2, "last: no such operation"),
        (["exclude", "localhost", "--percent", "1", "--nodes", "nobody"], 2, "1 % of 1 nodes is less than one node"),
        (["exclude", "fu-1", "--who", " "], 2, "some words are wanted"),
        (["hold", "fu-1", "--reason", ""], 2, "some words are wanted"),
        (["policy", "hold", "--reason", " "], 2, "some words are wanted"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    for name, content in ALONE.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "known").write_text("fu-1 bu-1\n")
    (tmp_path / "known").chmod(0o644)
    (tmp_path / "nobody").write_text("localhost bu-1 127.0.0.1:1\n")
    monkeypatch.chdir(tmp_path)
    told(fleet(*words, store=tmp_path / "fleet.sqlite"), code, said)


@pytest.mark.parametrize(
    ("to", "more", "stages"), [("cloud", [], [1, 1, 38]), ("hlt", [], [40]), ("cloud", ["--ramp", "100%"], [40])]
)
def test_to_the_cloud_it_goes_in_steps_unless_told_otherwise(
    tmp_path: Path, to: str, more: list[str], stages: list[int]
) -> None:
    (tmp_path / "farm").write_text("".join(f"fu-{n} bu-1 127.0.0.1:1\n" for n in range(1, 41)))
    words = ["plan", to, "fu-[1-40]", "--nodes", str(tmp_path / "farm"), "--json", *more]
    made = json.loads(fleet(*words, store=tmp_path / "fleet.sqlite").stdout)
    assert [len(stage["hosts"]) for stage in made["stages"]] == stages


@pytest.mark.parametrize("words", [["history"], ["watch", "last"], ["hold", "fu-1", "--reason", "x"]])
def test_a_store_that_is_no_database_is_told(tmp_path: Path, words: list[str]) -> None:
    store = tmp_path / "store"
    store.write_bytes(b"no database at all, but long enough to be read as one " * 99)
    told(fleet(*words, store=store), 5, f"{store}: cannot be used (file is not a database)")
    told(fleet(*words, store=tmp_path), 5, f"{tmp_path}: cannot be used")


def test_a_store_that_can_grow_no_more_is_told_and_nothing_is_half_there(tmp_path: Path) -> None:
    store = tmp_path / "fleet.sqlite"
    assert fleet("hold", "fu-1", "--reason", "new disk", store=store).exit_code == 0
    hold = f"{sys.executable} -m hltmode fleet hold 'fu-[1-9000]' --reason x --store {store}"
    full = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 200; exec {hold}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (full.returncode, len(full.stderr.splitlines())) == (5, 1), full.stderr
    assert f"{store}: cannot be written" in full.stderr
    assert "1 released" in fleet("release", "fu-[1-9000]", store=store).stdout


def test_endless_and_empty_stdin_are_told() -> None:
    told(fleet("nodes", "-", stdin=b"a" * (17 << 20)), 2, "stdin: more than 16 MiB")
    told(fleet("nodes", "-", stdin=b"# nobody\n"), 2, "no node is named")


def test_holds_are_listed_by_who_made_them_and_why(tmp_path: Path) -> None:
    store = tmp_path / "fleet.sqlite"
    fleet("hold", "fu-[1-3]", "--who", "anna", "--reason", "new disks", store=store)
    fleet("hold", "fu-9", "--who", "ben", "--reason", "test", store=store)
    shown = fleet("holds", store=store).stdout.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["3", "fu-[1-3]"], ["1", "fu-9"]]
    assert shown[1].endswith("anna  new disks")
    assert len(fleet("holds", "--json", store=store).stdout.splitlines()) == 4


def test_a_shell_is_offered_verbs_and_operations(tmp_path: Path) -> None:
    def offered(*words: str) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("_HLTMODE_COMPLETE", "bash_complete")
            patch.setenv("COMP_WORDS", " ".join(["hltmode", "fleet", *words]))
            patch.setenv("COMP_CWORD", str(len(words) + 1))
            patch.setenv("HLTMODE_FLEET_STORE", str(tmp_path / "none.sqlite"))
            patch.setattr(sys, "argv", ["hltmode"])
            done = CliRunner().invoke(click.Command("whole", callback=main), [])
        return [line.removeprefix("plain,") for line in done.stdout.split()]

    assert {"resume", "retry", "release"} <= set(offered("re"))
    assert offered("watch", "") == []  # no store, no operations, and none is made
    assert not (tmp_path / "none.sqlite").exists()
