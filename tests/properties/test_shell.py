"""Whatever comes to a node, in whatever order: its files tell the truth, and in a world that answers it arrives.

The real shell with real files and its real HTTP entrance; see `shell_world` for what is acted. `make properties` tries
many more and longer stories than the test run does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.box import Box, read_box
from contract.journal import AnyRecord, RequestRecord, read_journal
from contract.modefile import read_mode
from contract.modes import Vms, Wanted
from contract.paths import COMMANDS, TOKEN_STATES
from contract.request import Verdict
from switcher.states import Told, Verb
from tests.properties import shell_checks
from tests.properties.acted_processes import Acted
from tests.properties.shell_world import CORES, ActedMount, ShellWorld

pytestmark = pytest.mark.timeout(900)  # seconds of work, but a busy machine may take its time

RUNS: Final = st.integers(100, 103)
MODES: Final = st.sampled_from(Wanted)
NOTICED: Final = st.booleans()
PLACES: Final = st.sampled_from(TOKEN_STATES)
SECRET: Final = "nobody's business"  # noqa: S105 - a text to be left alone
ROUNDS: Final = 60
CONTENTS: Final = st.sampled_from(["", "because", "{", '{"id": "no good"}', '{"deadline_s": -1}', "\0\xff", "x" * 5000])
STRANGE: Final = st.sampled_from(["folder", "full folder", "link", "dangling link", "pipe"])
GARBAGE: Final = st.sampled_from(
    [
        "Exclude",
        "exclude.tmp",
        "include~",
        "run12",
        "runaway",
        "run000100_",
        "end",
        "endless",
        ".hidden",
        "core0",
        "ünïcode",
    ]
)
RUDE: Final = st.sampled_from(
    [b"", b"\x16\x03\x01\r\n\r\n", b"GET /status HTT", b"POST /switch HTTP/1.1\r\nContent-Len"]
)


class Shell(RuleBasedStateMachine):
    """One node and everything that may come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ShellWorld()
        self.said = Said()
        logging.getLogger().addHandler(self.said)
        self.cores = {f"core{core}" for core in range(CORES)}
        self.answered: dict[str, dict[str, Any]] = {}
        self.open: dict[str, tuple[Wanted, asyncio.Task[bytes]]] = {}
        self.filed: dict[str, Wanted] = {}
        self.before: list[AnyRecord] = []
        self.good = True
        self.mode_spoilt = False
        self.next_id = 0
        self.next_core = CORES
        self.garbage: dict[Path, bytes] = {}
        self.secret = self.world.root / "secret"
        self.secret.write_text(SECRET)

    @initialize()
    def begin(self) -> None:
        self.world.start()

    # Requests

    @precondition(lambda self: self.world.life)
    @rule(to=MODES, hurry=st.booleans(), deadline_s=st.sampled_from([None, 1.0, 30.0]))
    def post(self, to: Wanted, hurry: bool, deadline_s: float | None) -> None:
        self._request(to, hurry, deadline_s)

    @precondition(lambda self: self.world.life)
    @rule(name=st.sampled_from(COMMANDS), to=MODES)
    def post_right_after_a_file(self, name: str, to: Wanted) -> None:
        self._write_command(name, json.dumps({"id": self._file_id(name), "who": "file"}), 0, noticed=False)
        self._request(to)

    @precondition(lambda self: self.world.life and self.answered)
    @rule(data=st.data(), to=MODES)
    def post_again(self, data: st.DataObject, to: Wanted) -> None:
        identity = data.draw(st.sampled_from(sorted(self.answered)))
        task = self._post({"id": identity, "to": to.value})
        if not task.done() or task.cancelled() or task.exception():
            return  # killed meanwhile
        again = _json(task.result())
        first = self.answered[identity]
        # Accepted may have become refused by the cloud tool; what was not refused may be undone by a later one, also by
        # a file that lay there unnoticed until now.
        changes = {Verdict.ACCEPTED: {Verdict.NEWER, Verdict.REFUSED}, Verdict.ALREADY: {Verdict.NEWER}}
        verdicts = {first["verdict"], *changes.get(first["verdict"], set())}
        assert again is None or again["verdict"] in verdicts, f"first {first}, then {again}"

    @precondition(lambda self: self.world.life)
    @rule(command=st.sampled_from(["exclude", "include"]), named=st.booleans())
    def cgi(self, command: str, named: bool) -> None:
        self._forget(command)
        in_the_way = self.world.paths.command(command).is_dir()
        query = f"?id={self._file_id(command)}" if named else ""
        answer = self._get(f"/cgi-bin/{command}_cgi.py{query}")
        if not self.world.life or in_the_way:
            self._forget(command)
        else:
            assert b" 200 OK" in answer, answer

    @rule(name=st.sampled_from(COMMANDS), noticed=NOTICED, older_s=st.sampled_from([0, 0, 3]))
    def command_file(self, name: str, noticed: bool, older_s: int) -> None:
        self._write_command(name, json.dumps({"id": self._file_id(name), "who": "file"}), older_s, noticed)

    @rule(name=st.sampled_from(COMMANDS), content=CONTENTS, noticed=NOTICED)
    def odd_command_file(self, name: str, content: str, noticed: bool) -> None:
        self._forget(name)
        self._write_command(name, content, 0, noticed)

    @rule(name=st.sampled_from([*COMMANDS, ".exclude.taken", ".include.taken"]), kind=STRANGE, noticed=NOTICED)
    def strange_command(self, name: str, kind: str, noticed: bool) -> None:
        path = self.world.paths.watch_dir / name
        if os.path.lexists(path):
            return
        if kind in ("folder", "full folder"):
            path.mkdir()
            if kind == "full folder":
                (path / "precious").write_text(SECRET)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(self.secret if kind == "link" else self.world.root / "nowhere")
        self._notice(noticed)

    @rule(name=GARBAGE, noticed=NOTICED)
    def garbage_file(self, name: str, noticed: bool) -> None:
        path = self.world.paths.watch_dir / name
        path.write_text(name)
        self.garbage[path] = name.encode()
        self._notice(noticed)

    @precondition(lambda self: self.world.life)
    @rule(words=RUDE)
    def rude_caller(self, words: bytes) -> None:
        self.world.call(words).cancel()
        self.world.rest()

    @precondition(lambda self: self.world.life)
    @rule(page=st.sampled_from(["status", "journal", "cgi-bin/cloud_mode_active_cgi.py", "cgi-bin/runl_cgi.py"]))
    def ask(self, page: str) -> None:
        answer = self._get(f"/{page}")
        assert b" 200 OK" in answer or not self.world.life, answer

    # Runs

    @rule(number=RUNS, bu=st.sampled_from(["", "_bu-1"]), noticed=NOTICED)
    def run_directory(self, number: int, bu: str, noticed: bool) -> None:
        (self.world.paths.watch_dir / f"run{number:06d}{bu}").mkdir(exist_ok=True)
        self._notice(noticed)

    @precondition(lambda self: self.world.life)
    @rule(number=RUNS, bu=st.sampled_from(["", "&buname=bu-1"]))
    def start_cgi(self, number: int, bu: str) -> None:
        self._get(f"/cgi-bin/start_cgi.py?run={number}{bu}")

    @rule(number=RUNS, noticed=NOTICED)
    def run_vanishes(self, number: int, noticed: bool) -> None:
        for name in (f"run{number:06d}", f"run{number:06d}_bu-1"):
            shutil.rmtree(self.world.paths.watch_dir / name, ignore_errors=True)
        self._notice(noticed)

    @rule(number=RUNS, noticed=NOTICED)
    def end_file(self, number: int, noticed: bool) -> None:
        (self.world.paths.watch_dir / f"end{number}").touch()
        self._notice(noticed)

    @rule(number=RUNS, closed=st.integers(0, 3))
    def bu_takes_data(self, number: int, closed: int) -> None:
        bu = self.world.paths.bu
        if not bu.ramdisk.is_dir():
            return
        bu.run_dir(number).mkdir(exist_ok=True)
        bu.eor(number).unlink(missing_ok=True)
        for lumisection in range(1, closed + 1):
            bu.eols(number, lumisection).touch()

    @rule(number=RUNS, gone=st.booleans())
    def bu_ends_run(self, number: int, gone: bool) -> None:
        bu = self.world.paths.bu
        if gone:
            shutil.rmtree(bu.run_dir(number), ignore_errors=True)
        elif bu.run_dir(number).is_dir():
            bu.eor(number).touch()

    @rule()
    def bu_goes_or_comes(self) -> None:
        ramdisk = self.world.paths.bu_dir
        away = ramdisk.with_name("away")
        if away.exists():
            away.rename(ramdisk)
        else:
            ramdisk.rename(away)

    @rule(hangs=st.booleans())
    def bu_hangs(self, hangs: bool) -> None:
        ActedMount.hanging = hangs

    # Processes

    @precondition(lambda self: self.world.processes.of_role("igniter"))
    @rule(how=st.sampled_from(["true", "true", "true", "error", "error, done", "nothing done", 14, 66]))
    def cloud_tool_answers(self, how: str | int) -> None:
        processes = self.world.processes
        call = processes.of_role("igniter")[0]
        if how == "true":
            processes.answer_truly(call)
        elif how in ("error", "error, done"):
            processes.answer(call, 5, does_it=how == "error, done")
        elif how == "nothing done":  # of a status, that would be a lie
            processes.answer(call, 5 if call.verb is Verb.STATUS else 0, does_it=False)
        else:
            assert isinstance(how, int)
            processes.answer(call, how, does_it=False)
        self.world.rest()

    @precondition(lambda self: self.world.processes.vms)
    @rule()
    def vms_die(self) -> None:
        self.world.processes.vms = False

    @precondition(lambda self: self.world.processes.of_role("job") or self.world.processes.of_role("merge"))
    @rule(data=st.data(), code=st.sampled_from([0, 0, 1]))
    def work_ends(self, data: st.DataObject, code: int) -> None:
        working = [*self.world.processes.of_role("job"), *self.world.processes.of_role("merge")]
        index = data.draw(st.integers(0, len(working) - 1))
        self.world.processes.end(working[index].pid, code)
        self.world.rest()

    # Core tokens

    @rule(source=PLACES, to=PLACES, noticed=NOTICED)
    def token_moved(self, source: str, to: str, noticed: bool) -> None:
        found = sorted(self.world.paths.tokens(source).glob("core*"))
        if found:
            self.world.processes.hands_in = True
            found[0].rename(self.world.paths.tokens(to) / found[0].name)
            self._notice(noticed)

    @rule(source=PLACES, to=PLACES, noticed=NOTICED)
    def token_doubled(self, source: str, to: str, noticed: bool) -> None:
        found = sorted(self.world.paths.tokens(source).glob("core*"))
        if found:
            self.world.processes.hands_in = True
            (self.world.paths.tokens(to) / found[0].name).touch()
            self._notice(noticed)

    @rule(place=PLACES, noticed=NOTICED)
    def token_added(self, place: str, noticed: bool) -> None:
        self.world.processes.hands_in = True
        name = f"core{self.next_core}"
        self.next_core += 1
        self.cores.add(name)
        (self.world.paths.tokens(place) / name).touch()
        self._notice(noticed)

    @rule(data=st.data(), noticed=NOTICED)
    def token_removed(self, data: st.DataObject, noticed: bool) -> None:
        if len(self.cores) < 3:
            return
        name = data.draw(st.sampled_from(sorted(self.cores)))
        self.cores.discard(name)
        for place in TOKEN_STATES:
            (self.world.paths.tokens(place) / name).unlink(missing_ok=True)
        self._notice(noticed)

    # Time, disk, death

    @rule(seconds=st.sampled_from([0.5, 1.5, 5, 10, 65, 300]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_s(seconds)

    @rule(by_s=st.sampled_from([-86_400, -100, -1, 1, 100, 86_400]))
    def clock_is_set(self, by_s: int) -> None:
        self.world.wall_s += by_s

    @rule(full=st.booleans())
    def disk_fills(self, full: bool) -> None:
        if full:
            self.world.fill_disk()
        else:
            self.world.free_disk()

    @rule(spoil=st.sampled_from(["", "clou", "HLT cloud", None]), noticed=NOTICED)
    def mode_file_is_spoilt(self, spoil: str | None, noticed: bool) -> None:
        if spoil is None:
            self.world.paths.mode.unlink(missing_ok=True)
        else:
            self.world.paths.mode.write_text(spoil)
        self.mode_spoilt = True
        self._notice(noticed)

    @rule()
    def daemon_ends(self) -> None:
        self.world.end()

    @precondition(lambda self: not self.world.life and not self.world.disk_full)
    @rule(works=st.sampled_from([None, None, 0, 1, 2, 3, 5, 8]))
    def daemon_starts(self, works: int | None) -> None:
        self.world.works_left = works
        self.world.start()

    @precondition(lambda self: self.world.life)
    @rule(works=st.integers(0, 30))
    def daemon_will_die(self, works: int) -> None:
        self.world.works_left = works

    @rule()
    def machine_reboots(self) -> None:
        self.world.reboot()

    # What must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        world = self.world
        self.good = False
        records = list(read_journal(world.paths.journal))
        assert not world.processes.wrongs, world.processes.wrongs
        mishaps = [*world.mishaps, *self.said.mishaps, *(world.life.loop.mishaps if world.life else ())]
        assert not mishaps, mishaps
        assert records[: len(self.before)] == self.before, "the journal has changed behind"
        self.before = records
        faults = [*shell_checks.journal_faults(records), *shell_checks.run_faults(records)]
        assert not faults, faults
        self._no_file_is_hurt()
        names = {path.name for place in TOKEN_STATES for path in world.paths.tokens(place).glob("core*")}
        assert names == self.cores
        if world.processes.vms:
            assert not world.processes.of_role("job")
        self._answers_are_kept(self._requests())
        if world.life:
            self._status_is_true(records)
        self.good = True

    def _status_is_true(self, records: list[AnyRecord]) -> None:
        status = self.world.switcher.status()
        if not self._held():
            assert status.journal_seq == len(records)
            assert status.wanted == shell_checks.wanted(records), status
        if not self.mode_spoilt:
            assert read_mode(self.world.paths.mode) is status.mode
        box = read_box(self.world.paths.box) if self.world.paths.box.exists() else None
        assert box is None or isinstance(box, Box)

    def _requests(self) -> dict[str, RequestRecord]:
        records = read_journal(self.world.paths.journal)
        return {record.id: record for record in records if isinstance(record, RequestRecord)}

    def _held(self) -> bool:
        """Returns whether the daemon waits for the disk."""
        return self.world.switcher.status().blocker.startswith(str(self.world.paths.state_dir))

    def _answers_are_kept(self, records: dict[str, RequestRecord]) -> None:
        """What was answered is in the journal, with the same words."""
        for identity, (to, task) in list(self.open.items()):
            if not task.done():
                continue
            del self.open[identity]
            answer = None if task.cancelled() or task.exception() else _json(task.result())
            if answer is None or "verdict" not in answer:
                continue  # the daemon died, or the disk is full
            self.answered[identity] = answer
            record = records[identity]
            assert record.to is to
            already = answer["verdict"] == Verdict.ALREADY
            assert (record.verdict == Verdict.ALREADY) is already, (answer, record)
        watch_dir = self.world.paths.watch_dir
        for identity, to in list(self.filed.items()):
            name, kind = identity.rsplit("-", 1)[0], "file"
            if not any((watch_dir / waiting).exists() for waiting in (name, f".{name}.taken")):
                del self.filed[identity]
                assert records[identity].to is to, (kind, identity)

    def _no_file_is_hurt(self) -> None:
        world = self.world
        assert self.secret.read_text() == SECRET
        for path, content in self.garbage.items():
            assert path.read_bytes() == content
        known = {"fu-1", "ramdisk", "away", "secret", "faults.json"}
        assert {path.name for path in world.root.iterdir()} <= known
        assert {path.name for path in world.paths.watch_dir.parent.iterdir()} == {
            *("data", "resources", "state", "vms", "node.toml")
        }

    # The end: a world that answers

    def teardown(self) -> None:
        try:
            if self.good and self.before:
                self._arrives()
        finally:
            logging.getLogger().removeHandler(self.said)
            self.world.clean()

    def _arrives(self) -> None:
        world = self.world
        world.free_disk()
        ActedMount.hanging = False
        away = world.paths.bu_dir.with_name("away")
        if away.exists():
            away.rename(world.paths.bu_dir)
        world.works_left = None
        if not world.life:
            world.start()
        world.processes.obedient = True
        for call in world.processes.of_role("igniter"):
            world.processes.answer_truly(call)
        for path in world.paths.watch_dir.iterdir():
            if path.name.strip(".").split(".")[0] in COMMANDS and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
        self.mode_spoilt = False
        world.pass_s(world.config.igniter.check_every_s)
        self._world_answers()
        self._settled()
        self._post({"id": "at-last-cloud", "to": "cloud"})
        self._world_answers()
        assert self._settled() is Wanted.CLOUD
        self._post({"id": "at-last-HLT", "to": "HLT"})
        self._world_answers()
        assert self._settled() is Wanted.HLT
        self._the_newest_run_is_joined()

    def _world_answers(self) -> None:
        """Lets jobs end that are told to, and time go by, until the node is at rest."""
        for _ in range(ROUNDS):
            self.world.pass_s(5)
            self.nothing_is_wrong()
            runs = {run.number: run for run in self.world.switcher.status().runs}
            for process in [*self.world.processes.of_role("job"), *self.world.processes.of_role("merge")]:
                run = runs.get(process.run)
                if run is None or run.ended or run.told != Told.NOTHING.name.lower():
                    self._ends_in_order(process)
            self.world.rest()
            status = self.world.switcher.status()
            if status.switch is None and status.waiting_run is None and status.vms in (Vms.UP, Vms.DOWN):
                break
        self.world.pass_s(5)

    def _ends_in_order(self, process: Acted) -> None:
        if process.pid in self.world.processes.living:
            self.world.processes.end(process.pid, 0)

    def _settled(self) -> Wanted:
        """Checks that the node has arrived where the last accepted request wanted it, and returns where that is."""
        status = self.world.switcher.status()
        wanted = shell_checks.wanted(self.before)
        assert status.mode == wanted.value, f"{wanted}, but {status}"
        assert status.switch is None, status
        tokens = status.tokens
        if wanted is Wanted.CLOUD:
            assert status.vms is Vms.UP, status
            assert self.world.processes.vms
            assert tokens["cloud"] == len(self.cores)
            assert not self.world.processes.of_role("job")
        else:
            assert not self.world.processes.vms
            assert tokens["cloud"] == 0, status
        assert not self.open, self.open
        assert not self.filed, self.filed
        return wanted

    def _the_newest_run_is_joined(self) -> None:
        """One found at the start of the daemon counts as well, though no record says that it waits."""
        joined = shell_checks.joined_last(self.before)
        newest = shell_checks.newest_left(self.before)
        assert sum(joined.values()) <= 1, joined
        assert all(self.world.paths.bu.ongoing(run) for run in joined), joined
        if newest is not None and self.world.paths.bu.ongoing(newest):
            assert max(joined, default=0) >= newest, f"run {newest} goes on, joined {joined}"

    # Steps

    def _notice(self, noticed: bool) -> None:
        if noticed:
            self.world.poke()
        self.world.rest()
        if noticed and self.world.life and not self._held():
            self.mode_spoilt = False

    def _file_id(self, command: str) -> str:
        """Returns a new id for a command file; one of the same name that is not read yet is gone by that."""
        self._forget(command)
        self.next_id += 1
        identity = f"{command}-{self.next_id}"
        self.filed[identity] = Wanted.HLT if command == "include" else Wanted.CLOUD
        return identity

    def _forget(self, command: str) -> None:
        for identity in [identity for identity in self.filed if identity.rsplit("-", 1)[0] == command]:
            del self.filed[identity]

    def _write_command(self, name: str, content: str, older_s: int, noticed: bool) -> None:
        path = self.world.paths.command(name)
        if path.is_dir() and not path.is_symlink():
            self._forget(name)
            return
        new = self.world.root / "fu-1" / "state" / "command.new"
        new.write_bytes(content.encode("latin-1"))
        stamp = self.world.stamp_ns() - older_s * 10**9
        os.utime(new, ns=(stamp, stamp))
        new.rename(path)
        self._notice(noticed)

    def _request(self, to: Wanted, hurry: bool = False, deadline_s: float | None = None) -> None:
        self.next_id += 1
        asked = {"id": f"api-{self.next_id}", "to": to.value, "hurry": hurry, "deadline_s": deadline_s}
        before = set(self.filed)
        task = self._post(asked)
        self.open[f"api-{self.next_id}"] = (to, task)
        self._answers_are_kept(self._requests())
        # What was asked by a file before must not undo this one later.
        waiting = before & set(self.filed)
        blocked = any(path.is_dir() for path in self.world.paths.watch_dir.glob(".*.taken"))
        assert f"api-{self.next_id}" not in self.answered or blocked or not waiting, waiting

    def _get(self, page: str) -> bytes:
        task = self.world.call(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        return b"" if task.cancelled() or task.exception() else task.result()

    def _post(self, asked: dict[str, Any]) -> asyncio.Task[bytes]:
        body = json.dumps(asked)
        head = f"POST /switch HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return self.world.call(f"{head}{body}".encode())


class Said(logging.Handler):
    """Keeps what the log says about errors that nobody meant."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.mishaps: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record with a traceback."""
        if record.exc_info or record.name == "asyncio":
            self.mishaps.append(f"{record.name}: {record.getMessage()}: {record.exc_info}")


def _json(answer: bytes) -> dict[str, Any] | None:
    """Returns the body of an answer; None when there is none."""
    _, _, body = answer.partition(b"\r\n\r\n")
    if not body:
        return None
    content: dict[str, Any] = json.loads(body)
    return content


TestShell = Shell.TestCase
TestShell.settings = settings.get_profile("long" if settings.get_current_profile_name() == "long" else "short")
