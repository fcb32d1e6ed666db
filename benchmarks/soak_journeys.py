"""One filter unit that is sent to the cloud and back while its world misbehaves; everything asked is written down."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.rude_clients import RUDE
from benchmarks.soak_books import Asked
from contract.modes import Wanted
from simulator import faults
from simulator.vms import Vms
from tests.integration.node import Node, wait_for

CORES: Final = 4
FIRST_RUN: Final = 1001
PATIENCE_S: Final = 90.0
LOOK_EVERY_S: Final = 0.03

# Short limits, so that what hangs is not waited for long; the ladder of a deadline in a second.
OVERLAY: Final[Mapping[str, Mapping[str, Any]]] = {
    "igniter": {"timeout_s": 1.5, "status_timeout_s": 1.0},
    "jobs": {"cores_per_job": 2, "restart_delay_s": 0.1},
    "switch": {"kill_grace_s": 0.3, "mount_timeout_s": 0.5},
    "collector": {"interval_s": 1.0},
}
_JOB: Final[tuple[dict[str, Any], ...]] = (
    {"behave": "crash", "after_ls": 4},
    {"behave": "slow", "delay_s": 0.3},
    {"behave": "hang"},
    {"behave": "ignore_stop"},
)
_MERGE: Final[tuple[dict[str, Any], ...]] = (
    {"behave": "crash"},
    {"behave": "slow", "delay_s": 0.5},
    {"behave": "ignore_stop"},
    {"print_bytes": 1 << 20},
)
_STATUS: Final[tuple[dict[str, Any], ...]] = (
    *({"exit": 14}, {"exit": 66}, {"exit": 3}, {"behave": "crash", "exit": 2}),
    *({"behave": "hang"}, {"behave": "slow", "delay_s": 0.3}, {"print_bytes": 1 << 20}),
)
# A status that lies is left out, and so is one that crashes with exit 1, which means "not running" by contract: nothing
# could tell VMs that it denies.
TROUBLES: Final[Mapping[Wanted, Mapping[str, tuple[dict[str, Any], ...]]]] = {
    Wanted.CLOUD: {
        "job": _JOB,
        "merge": _MERGE,
        "status": _STATUS,
        "start": (
            *({"behave": "crash"}, {"behave": "hang"}, {"behave": "lie"}, {"exit": 5}),
            {"behave": "slow", "delay_s": 0.5},
        ),
    },
    Wanted.HLT: {
        "status": _STATUS,
        "stop": (
            *({"behave": "crash"}, {"behave": "hang"}, {"behave": "lie"}, {"exit": 5}),
            {"behave": "slow", "delay_s": 0.5},
        ),
    },
}


class Traveller:
    """A node below `root` with one daemon all along. `diary` holds what was asked, `met` what it met, by name."""

    def __init__(self, root: Path, seed: int) -> None:
        self.node = Node(root, cores=CORES, overlay=OVERLAY)
        self.vms = Vms(self.node.paths.watch_dir.parent / "vms")
        self.diary: list[Asked] = []
        self.met: Counter[str] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - dice need no secrecy, but the same seed the same soak
        self._asked = 0
        self._run = 0
        self._goes_on = False
        self._away = self.node.paths.bu_dir.with_name("ramdisk.away")

    def there_and_back(self) -> None:
        """Goes from rest in HLT to rest in the cloud and back. Raises AssertionError when it does not arrive."""
        working = self._chance(0.3)
        if working:
            self._announce()
            wait_for("jobs", lambda: len(self.node.status()["runs"]) == 1 and self.node.jobs())
        self._travel(Wanted.CLOUD)
        assert self.node.tokens("cloud") == CORES, self.node.token_names()
        assert not self.node.jobs()
        if self._goes_on and self._chance(0.5):
            self._end_run()
        if self._chance(0.2):
            self._announce()
            wait_for("the run refused", lambda: not self.node.paths.run_dir(self._run).exists())
            self.met["run in the cloud"] += 1
            if self._chance(0.3):
                self._end_run()
        self._travel(Wanted.HLT)
        self._tidy()

    # The way

    def _travel(self, to: Wanted) -> None:
        """Asks for `to`, with whatever crosses it, and waits until the node has arrived."""
        self._misbehave(to)
        if self._chance(0.15):
            self.met["requests that cross"] += 1
            for turn in range(self._dice.randint(1, 4), 0, -1):
                self._ask(to if turn % 2 == 0 else _other(to), crossing=True)
        self._ask(to)
        self._annoy()
        begin_s = time.monotonic()
        bear_s = self._dice.uniform(0.1, 0.8)
        lifted = False
        while True:
            spent_s = time.monotonic() - begin_s
            if not lifted and spent_s > bear_s:
                self._relent()
                if to is Wanted.HLT:
                    self.vms.stop()  # a stop that did nothing is asked again after a minute; the cloud team is quicker
                lifted = True
            pending = self._pending()
            status = self.node.status()
            if not pending and self._arrived(status, to):
                break
            if lifted and not pending and status["switch"] is None and status["wanted"] != to.value:
                self.met["asked once more"] += 1
                self._ask(to, plainly=True)
            self._go_on_with_the_run()
            assert spent_s < PATIENCE_S, f"not in {to.value} after {spent_s:.0f} s: {json.dumps(status)}"
            time.sleep(LOOK_EVERY_S)
        self._relent()

    def _arrived(self, status: Mapping[str, Any], to: Wanted) -> bool:
        there = status["mode"] == to.value and status["switch"] is None
        return there and (to is Wanted.HLT or status["vms"] == "up")

    def _pending(self) -> bool:
        """Returns whether a command file waits to be read."""
        names = {path.name for path in self.node.paths.watch_dir.iterdir()}
        return any("clude" in name for name in names)

    def _go_on_with_the_run(self) -> None:
        """The BU closes lumisections as long as jobs are told to end after one."""
        stop = self.node.stop_file(self._run) if self._goes_on else None
        if stop is None:
            return
        with contextlib.suppress(OSError):
            last = self.node.paths.bu.last_lumisection(self._run)
            for lumisection in range(last + 1, stop["lastLS"] + 1):
                self.node.close_lumisection(self._run, lumisection)

    # What is asked

    def _ask(self, to: Wanted, *, crossing: bool = False, plainly: bool = False) -> None:
        entrances = [self._post, self._cgi, self._file]
        if not crossing and not plainly:
            entrances.append(self._by_hand)
        entrance = self._post if plainly else self._dice.choice(entrances)
        self.met[f"asked: {entrance.__name__.strip('_').replace('_', ' ')}"] += 1
        entrance(to)

    def _post(self, to: Wanted) -> None:
        asked: dict[str, Any] = {"id": self._next_id(), "to": to.value, "who": "soak"}
        if self._chance(0.3):
            asked["deadline_s"] = round(self._dice.uniform(0.2, 1.0), 3)
        if self._chance(0.2):
            asked["hurry"] = True
        status, _ = self.node.post(asked)
        self.diary.append(Asked(asked["id"], to, "api", status))
        if self._chance(0.2):
            self.met["repeated id"] += 1
            again, _ = self.node.post(asked)
            # What was accepted may have been refused by now, and whatever was answered may have been overtaken.
            assert again in (status, 409) or status == 202, f"{asked['id']}: first {status}, then {again}"

    def _cgi(self, to: Wanted) -> None:
        command = self._free_command(to)
        identity = self._next_id()
        self.node.cgi(command, f"?id={identity}&who=soak")
        self.diary.append(Asked(identity, to, "cgi"))

    def _file(self, to: Wanted) -> None:
        command = self._free_command(to)
        if command == "exclude" and self._chance(0.3):
            command = "excludenow"
        identity = self._next_id()
        self.node.command(command, json.dumps({"id": identity, "who": "soak"}))
        self.diary.append(Asked(identity, to, "file"))

    def _by_hand(self, to: Wanted) -> None:
        source, target = ("idle", "cloud") if to is Wanted.CLOUD else ("cloud", "idle")
        paths = self.node.paths
        found = sorted(paths.tokens(source).glob("core*"))
        if not found:
            self._post(to)
            return
        with contextlib.suppress(FileNotFoundError):
            found[0].rename(paths.tokens(target) / found[0].name)

    def _free_command(self, to: Wanted) -> str:
        """A command file that is written again before it was read is one request, not two: waits for the reading."""
        command = "exclude" if to is Wanted.CLOUD else "include"
        wait_for("the command files read", lambda: not self._pending(), PATIENCE_S)
        return command

    def _next_id(self) -> str:
        self._asked += 1
        return f"soak-{self._asked}"

    # What goes wrong

    def _misbehave(self, to: Wanted) -> None:
        table = {}
        for program, kinds in TROUBLES[to].items():
            if self._chance(0.1):
                table[program] = self._dice.choice(kinds)
                self.met[f"{program}: {table[program].get('behave') or next(iter(table[program]))}"] += 1
        faults.write(self.node.files.faults, {self.node.files.host: table})
        if self._chance(0.05):
            self.met["BU away"] += 1
            self.node.paths.bu_dir.rename(self._away)
        if self._chance(0.03) and self.node.daemon is not None:
            self.met["SIGHUP"] += 1
            os.kill(self.node.daemon.pid, signal.SIGHUP)

    def _relent(self) -> None:
        """From here on the world answers."""
        faults.write(self.node.files.faults, {})
        if self._away.exists():
            self._away.rename(self.node.paths.bu_dir)

    def _annoy(self) -> None:
        if self._chance(0.3):
            rude = self._dice.choice(RUDE)
            self.met[f"rude: {rude.__name__.replace('_', ' ')}"] += 1
            rude(self.node.port)

    # Runs

    def _announce(self) -> None:
        """A new run begins at the BU, which tells the node in one of the three ways."""
        if self._goes_on:
            self._end_run()
        self._run = max(self._run, FIRST_RUN - 1) + 1
        self._goes_on = True
        self.node.bu_run(self._run, 3)
        way = self._dice.randint(0, 2)
        if way == 0:
            (self.node.paths.watch_dir / f"run{self._run:06d}_bu-sim01").mkdir()
        else:
            self.node.cgi("start", f"?run={self._run}" + ("&buname=bu-sim01" if way == 1 else ""))

    def _end_run(self) -> None:
        self._goes_on = False
        self.node.end_bu_run(self._run)
        self.node.cgi("stop", f"?run={self._run}")

    def _tidy(self) -> None:
        """Back at rest in HLT: the run that was joined, if any, comes to its end, and its folders are cleared away."""
        if self._goes_on:
            self._end_run()
        wait_for("every run over", self._nothing_runs, PATIENCE_S)
        for folder in (self.node.paths.watch_dir, self.node.paths.bu_dir):
            for old in folder.glob("run*"):
                shutil.rmtree(old)
        wait_for("every token idle", lambda: self.node.tokens("idle") == CORES, PATIENCE_S)
        assert self.node.token_names() == [f"core{core}" for core in range(CORES)], self.node.token_names()
        assert self.node.mode == Wanted.HLT.value
        assert not self.node.vms()

    def _nothing_runs(self) -> bool:
        state = self.node.state()
        return not state["runs"] and state["waiting"] is None and not self.node.merges()

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    # Life

    def __enter__(self) -> Self:
        self.node.start()
        self.node.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self._relent()
        self.node.clean()
        self.vms.stop()


def _other(to: Wanted) -> Wanted:
    return Wanted.HLT if to is Wanted.CLOUD else Wanted.CLOUD
