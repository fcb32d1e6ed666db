"""What other programs and people do with files: commands, run directories, core tokens and the mode file."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.journal import RequestRecord
from contract.modes import Mode
from tests.integration.node import Node, in_order, wait_for

ARABIC_ONE = "\u0661"


def still(threads: Path) -> bool:
    try:
        return all(") T " in (thread / "stat").read_text() for thread in threads.iterdir())
    except OSError:
        return False  # one of them has just ended


@contextmanager
def held(node: Node) -> Iterator[None]:
    """Stops the daemon meanwhile, so that it sees everything that is done at one look."""
    assert node.daemon is not None
    pid = node.daemon.pid
    os.kill(pid, signal.SIGSTOP)
    wait_for("every thread still", lambda: still(Path(f"/proc/{pid}/task")))
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def requests(node: Node) -> list[RequestRecord]:
    return [record for record in node.records() if isinstance(record, RequestRecord)]


# Command files


def test_touched_files_exclude_and_include(node: Node) -> None:
    node.paths.command("exclude").touch()
    node.wait_mode(Mode.CLOUD)
    node.paths.command("include").touch()
    node.wait_mode(Mode.HLT)
    wait_for("both files gone", lambda: [path.name for path in node.paths.watch_dir.iterdir()] == ["mode"])
    assert [(asked.who, asked.to.value) for asked in requests(node)] == [("file", "cloud"), ("file", "HLT")]


def test_a_command_file_may_say_who_why_and_under_which_id(node: Node) -> None:
    node.command("exclude", json.dumps({"id": "op-7", "who": "Anna\x1b[31m\nB", "reason": "fill gap\r\nERROR x"}))
    node.wait_mode(Mode.CLOUD)
    asked = requests(node)[0]
    assert (asked.id, asked.who, asked.reason) == ("op-7", "Anna[31mB", "fill gapERROR x")
    node.command("include", json.dumps({"id": "op-7"}))
    node.command("include", json.dumps({"id": "op-8"}))
    node.wait_mode(Mode.HLT)
    assert [asked.id for asked in requests(node)] == ["op-7", "op-8"]


GARBAGE = ["\0\0\0", "}{", "[1,2]", '{"id": 5}', "null", '"x"', "é" * 1000, '{"deadline_s": "soon"}']


def test_a_command_file_full_of_garbage_still_asks(new_node: Callable[..., Node]) -> None:
    """Old callers make the file, whatever is in it; only texts are lost."""
    node = new_node(overlay={"igniter": {"command": ["/bin/false"]}})
    node.start()
    for text in GARBAGE:
        before = len(requests(node))
        node.command("include", text)
        wait_for(f"the request of {text[:20]!r}", lambda: len(requests(node)) > before)  # noqa: B023 - waited for here
    assert {asked.verdict for asked in requests(node)} == {"already"}


def test_a_command_file_that_asks_the_impossible_is_dropped_with_a_line(node: Node) -> None:
    for text in ('{"id": "../../etc/passwd"}', '{"deadline_s": -1}', '{"deadline_s": 1e9}', "x" * 5000):
        node.command("exclude", text)
        wait_for("the file dropped", lambda: not list(node.paths.watch_dir.glob("*exclude*")))
    assert node.log.count("the file is dropped") == 4
    assert requests(node) == []
    assert node.mode is Mode.HLT


def test_excludenow_does_not_wait_for_lumisections(node: Node) -> None:
    node.bu_run(100, 20)
    node.paths.run_dir(100).mkdir()
    wait_for("a job", node.jobs)
    node.paths.command("excludenow").touch()
    node.wait_mode(Mode.CLOUD)
    assert node.stop_file(100) == {"lastLS": 1}


def test_of_two_commands_at_one_look_the_later_wins(node: Node) -> None:
    for first, last, mode in (("include", "exclude", Mode.CLOUD), ("exclude", "include", Mode.HLT)):
        with held(node):
            for name, when_s in ((last, 2_000_000_001), (first, 2_000_000_000)):
                node.paths.command(name).touch()
                os.utime(node.paths.command(name), (when_s, when_s))
        wait_for("both taken", lambda: not list(node.paths.watch_dir.glob("*clude*")))
        node.wait_mode(mode)
        assert node.status()["wanted"] == ("cloud" if mode is Mode.CLOUD else "HLT")


def make_link(path: Path) -> None:
    (path.parent.parent / "precious").write_text('{"who": "leaked"}')
    path.symlink_to(path.parent.parent / "precious")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def test_what_is_no_file_commands_nothing_and_blocks_nothing(node: Node) -> None:
    kinds: list[Callable[[Path], None]] = [make_link, make_dangling_link, os.mkfifo, Path.mkdir]
    for make in kinds:
        make(node.paths.command("exclude"))
        wait_for("the place free again", lambda: not os.path.lexists(node.paths.command("exclude")))
    assert node.log.count(f"{node.paths.command('exclude')}: neither a command file") == len(kinds)
    assert requests(node) == []
    assert (node.paths.watch_dir.parent / "precious").read_text() == '{"who": "leaked"}'
    node.paths.command("exclude").touch()
    node.wait_mode(Mode.CLOUD)
    assert requests(node)[0].who == "file"


def test_a_pipe_held_open_by_its_writer_does_not_end_the_daemon(node: Node) -> None:
    with held(node):
        os.mkfifo(node.paths.command("exclude"))
        writer = os.open(node.paths.command("exclude"), os.O_RDWR)
    node.paths.command("include").touch()
    wait_for("the next command taken", lambda: requests(node))
    os.close(writer)
    assert "Traceback" not in node.log


def test_a_directory_with_something_in_it_stays_and_other_commands_work(node: Node) -> None:
    (node.paths.command("exclude") / "work").mkdir(parents=True)
    wait_for("a line about it", lambda: f"{node.paths.command('exclude')}: Directory not empty" in node.log)
    status, body = node.get("/cgi-bin/exclude_cgi.py")
    assert (status, len(body.splitlines())) == (500, 1)
    node.paths.command("excludenow").touch()
    node.wait_mode(Mode.CLOUD)
    assert (node.paths.command("exclude") / "work").is_dir()


# Run directories


def test_run_directories_and_end_files_made_by_hand(node: Node) -> None:
    node.settle()
    node.bu_run(100, 3)
    (node.paths.watch_dir / "run000100_bu-sim01").mkdir()
    wait_for("a job at work", lambda: node.jobs() and node.markers(100) == ["active"])
    assert not (node.paths.watch_dir / "run000100_bu-sim01").exists()
    (node.paths.watch_dir / "end000100").touch()
    wait_for("the end noted", lambda: "ended" in node.run_story(100))
    node.end_bu_run(100)
    wait_for("the run finished", lambda: node.markers(100) == ["complete"])
    assert node.tokens("idle") == 4
    assert not list(node.paths.watch_dir.glob("end*"))
    (node.paths.run_dir(100) / "x").touch()
    node.paths.run_dir(101).mkdir()
    wait_for("the next run", lambda: "started" in node.run_story(101))
    wait_for("the whole story", lambda: node.run_story(100) == ["started", "ended", "finished"])


def test_a_run_and_its_end_at_one_look_leave_no_run_behind(node: Node) -> None:
    node.settle()
    node.bu_run(100, 3)
    with held(node):
        node.paths.run_dir(100).mkdir()
        (node.paths.watch_dir / "end000100").touch()
    wait_for("the end file taken", lambda: not list(node.paths.watch_dir.glob("end*")))
    wait_for("the run seen and done with", lambda: node.markers(100) == ["complete"])
    wait_for("no run at work", lambda: not node.status()["runs"])
    assert not node.jobs()


def test_names_that_are_no_runs_are_left_alone(node: Node) -> None:
    node.settle()
    for name in ("run1", "run000100_", "run000100_..%x", "runabcdef", f"run{ARABIC_ONE * 6}", "RUN000100"):
        (node.paths.watch_dir / name).mkdir()
    for name in ("end", "endx", "run000100", "endgame", f"end{ARABIC_ONE}"):
        (node.paths.watch_dir / name).touch()
    node.cgi("start", "?run=7")
    wait_for("run 7 and no other", lambda: [run["number"] for run in node.status()["runs"]] == [7])
    assert "Traceback" not in node.log
    assert (node.paths.watch_dir / "endgame").exists()


# Core tokens


def test_a_token_moved_to_cloud_by_hand_counts_as_exclude_and_out_of_it_as_include(node: Node) -> None:
    (node.paths.tokens("idle") / "core2").rename(node.paths.tokens("cloud") / "core2")
    node.wait_mode(Mode.CLOUD)
    assert node.tokens("cloud") == 4
    (node.paths.tokens("cloud") / "core1").rename(node.paths.tokens("idle") / "core1")
    node.wait_mode(Mode.HLT)
    assert node.tokens("idle") == 4
    assert [asked.who for asked in requests(node)] == ["hand", "hand"]


def test_a_token_moved_by_hand_comes_back_when_the_switch_is_refused(node: Node) -> None:
    node.faults({"status": {"exit": 66}})
    (node.paths.tokens("idle") / "core2").rename(node.paths.tokens("cloud") / "core2")
    wait_for("the refusal", lambda: [switch.outcome for switch in node.switches()] == ["refused"])
    wait_for("the token back", lambda: node.tokens("idle") == 4)
    node.wait_mode(Mode.HLT)


# The mode file


def test_a_mode_file_that_somebody_spoils_is_mended(node: Node) -> None:
    node.paths.mode.unlink()
    wait_for("a mode file", lambda: node.mode is Mode.HLT)
    for words in ("", "cloud", "HLT\ncloud", "x" * 1000):
        node.paths.mode.write_text(words)
        wait_for(f"HLT in place of {words[:20]!r}", lambda: node.paths.mode.read_text() == "HLT")
    with held(node):
        node.paths.mode.unlink()
        node.paths.mode.symlink_to("/dev/null")
    wait_for("a file in place of the link", lambda: not node.paths.mode.is_symlink() and node.mode is Mode.HLT)
    assert "did not hold the mode; written again" in node.log


def test_a_pipe_in_place_of_the_mode_file_does_not_hang_the_daemon(node: Node) -> None:
    with held(node):
        node.paths.mode.unlink()
        os.mkfifo(node.paths.mode)
    wait_for("a file in place of the pipe", node.paths.mode.is_file)
    assert node.mode is Mode.HLT
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)


def test_a_directory_in_place_of_the_mode_file_is_said_and_waited_out(node: Node) -> None:
    with held(node):
        node.paths.mode.unlink()
        (node.paths.mode / "x").mkdir(parents=True)
    wait_for("a line about it", lambda: "Is a directory" in node.log)
    (node.paths.mode / "x").rmdir()
    node.paths.mode.rmdir()
    wait_for("the mode file", lambda: node.mode is Mode.HLT)


def test_the_mode_file_holds_one_of_the_four_names_at_every_moment(node: Node) -> None:
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                word = node.paths.mode.read_text()
            except OSError as error:
                word = str(error)
            if seen[-1:] != [word]:
                seen.append(word)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        node.faults({"status": {"delay_s": 0.05}, "stop": {"delay_s": 0.1}})
        for _ in range(2):
            for command, mode in (("exclude", Mode.CLOUD), ("include", Mode.HLT)):
                node.cgi(command)
                wait_for(f"a look at {mode.value}", lambda: seen[-1:] == [mode.value])  # noqa: B023 - waited for here
    finally:
        over.set()
        watcher.join()
    # A slow watcher may miss a name, but it sees no other and none out of order.
    passed = [mode.value for mode in node.modes_passed()]
    assert passed == ["HLT", *(["activatingCloud", "cloud", "deactivatingCloud", "HLT"] * 2)]
    assert in_order(seen, passed), seen
    assert len(seen) > 4
