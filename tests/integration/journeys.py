"""Journeys there and back during which the switcher may die at any moment, and what must be true whatever happens.

A journey is told from outside, by the test: it makes runs, closes lumisections and asks, and asks again under the same
id when the daemon died before it had answered, as every careful caller does. Whoever waits here starts a dead daemon
again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Final

from contract.journal import MoveRecord, RequestRecord, StartRecord, SwitchRecord
from contract.modefile import READ_BYTES
from contract.modes import Mode
from contract.paths import TOKEN_STATES
from simulator.daemons import working
from simulator.node_files import program
from simulator.vms import Vms
from tests.integration.guarded import JOBS, VIOLATIONS, alive_in, tokens_in
from tests.integration.node import Node
from tests.integration.nursery import Forked, Nursery

GUARDED: Final = str(Path(__file__).with_name("guarded.py"))
WITHIN_S: Final = 60.0
CORES: Final = 2


def guarded(files: Path) -> dict[str, dict[str, Any]]:
    """Returns the configuration under which the stand-ins look whether they may start."""
    folder = files / "fu-1"
    faults = ["--faults", str(files / "faults.json"), "--node", "fu-1"]
    tool, job = (program("cloud_tool.py"), program("cmssw.py"))
    run = ["--run", "{run}", "--run-dir", "{run_dir}", "--bu-run-dir", "{bu_run_dir}"]
    return {
        "igniter": {"command": [*tool[:-1], GUARDED, "tool", "--state", str(folder / "vms"), *faults]},
        "jobs": {
            "command": [*job[:-1], GUARDED, "job", *run, "--cores", "{cores}", "--ls-poll-s", "0.05", *faults],
            "merge_command": [*program("merge.py"), *run, "--ls-poll-s", "0.02", *faults],
            "cores_per_job": CORES,
            "restart_delay_s": 0.1,
        },
    }


class Trial:
    """One node on a journey, below `root`; its switcher is from `nursery` and may die."""

    def __init__(self, nursery: Nursery, root: Path, overlay: dict[str, dict[str, Any]] | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        sections = guarded(root)
        for section, keys in (overlay or {}).items():
            sections.setdefault(section, {}).update(keys)
        self.node = Node(root, cores=CORES, overlay=sections)
        self.folder = root / "fu-1"
        self.log = root / "fu-1-switcher.log"
        self.lives = 0
        self._nursery = nursery
        self.daemon: Forked | None = None

    def start(self, **wrapping: Any) -> None:
        """Starts the switcher; it may die before it serves."""
        self.lives += 1
        self.daemon = self._nursery.start(self.node.files.config, self.log, **wrapping)
        self.daemon.wait_ready()

    @property
    def alive(self) -> bool:
        return self.daemon is not None and self.daemon.alive

    def until(self, what: str, met: Callable[[], object]) -> None:
        """Waits until `met`, and starts the daemon again when it has died. What can't be asked is not met yet."""
        end_s = time.monotonic() + WITHIN_S
        while True:
            if not self.alive:
                assert self.lives < 4, f"the daemon dies again and again\n{self.told()}"
                self.start()
            with contextlib.suppress(OSError, urllib.error.URLError, HTTPException, ValueError):
                if met():
                    return
            assert time.monotonic() < end_s, f"never came: {what}\n{self.told()}"
            time.sleep(0.02)

    def ask(self, request_id: str, to: str, **more: Any) -> None:
        """Asks until there is an answer."""
        self.until(
            f"an answer to {request_id}",
            lambda: self.node.post({"id": request_id, "to": to, **more})[0] in (200, 202),
        )

    def told(self) -> str:
        """Returns what to read when something went wrong."""
        journal = self.node.paths.journal
        records = journal.read_text() if journal.exists() else "no journal"
        return f"{self.log.read_text()}\n{records}\nfolder: {self.folder}"

    # What is seen

    def jobs(self) -> list[int]:
        return list(alive_in(self.folder / JOBS))

    def at_rest(self, mode: Mode) -> bool:
        """Returns whether the node is in `mode` for good: proven, nothing asked, no switch under way."""
        if self.node.mode is not mode:
            return False
        status, state = self.node.status(), self.node.state()
        vms = "up" if mode is Mode.CLOUD else "down"
        settled = not state["unproven"] and state["asked"] is None and status["switch"] is None
        return self.node.mode is mode and status["vms"] == vms and settled

    def working_on(self, number: int) -> bool:
        """Returns whether exactly one job and one merge script of run `number` work, and the status knows them."""
        shown = {run["number"]: run for run in self.node.status()["runs"]}
        return number in shown and shown[number]["jobs"] == self.jobs() and len(self.jobs()) == 1

    def announce(self, number: int, lumisections: int = 3) -> None:
        """Has the BU make a run and announce it, as it does: a directory in the watch directory."""
        self.node.bu_run(number, lumisections)
        with contextlib.suppress(FileExistsError):
            self.node.paths.run_dir(number).mkdir()

    def clean(self) -> None:
        """Ends everything."""
        if self.daemon is not None:
            self.daemon.signal(signal.SIGKILL)
        self.node.clean()
        Vms(self.folder / "vms").stop()


# Journeys


def there_and_back(trial: Trial) -> None:
    """A run at work; asked by HTTP to cloud, and back while the run still goes on."""
    node = trial.node
    trial.until("the first answer of the cloud tool", lambda: not node.state()["unproven"])
    trial.announce(100)
    trial.until("a job at work", lambda: trial.working_on(100))
    trial.ask("op-1", "cloud")
    trial.until("told to stop", lambda: node.stop_file(100) or node.mode is Mode.CLOUD)
    node.bu_run(100, 6)
    trial.until("in cloud", lambda: trial.at_rest(Mode.CLOUD))
    assert not trial.jobs(), trial.told()
    trial.ask("op-2", "HLT")
    trial.until("in HLT", lambda: trial.at_rest(Mode.HLT))
    trial.until("the run joined", lambda: trial.working_on(100))
    finish(trial, 100)
    expect_switches(trial, {"op-1": "done", "op-2": "done"})


def refused_and_joined(trial: Trial, exclude: str = "", include: str = "") -> None:
    """Asked by files; a run is announced in cloud, refused, and joined on return."""
    node = trial.node
    node.command("exclude", exclude)
    trial.until("in cloud", lambda: trial.at_rest(Mode.CLOUD))
    trial.announce(101)
    trial.until("the run refused", lambda: node.state()["waiting"])
    node.command("include", include)
    trial.until("in HLT", lambda: trial.at_rest(Mode.HLT))
    trial.until("the run joined", lambda: trial.working_on(101))
    finish(trial, 101)
    outcomes = [switch.outcome for switch in node.switches()]
    assert outcomes == ["done", "done"], trial.told()
    story = node.run_story(101)
    assert story.count("joined") <= 2 and "joined" in story and story.count("refused") <= 1, (story, trial.told())


def crossing(trial: Trial) -> None:
    """Asked to cloud, and back to HLT while the jobs still drain; the run is joined again."""
    node = trial.node
    trial.until("the first answer of the cloud tool", lambda: not node.state()["unproven"])
    trial.announce(100)
    trial.until("a job at work", lambda: trial.working_on(100))
    trial.ask("op-1", "cloud")
    trial.until("told to stop", lambda: node.stop_file(100))
    trial.ask("op-2", "HLT")
    node.bu_run(100, 6)
    trial.until("in HLT", lambda: trial.at_rest(Mode.HLT))
    trial.until("the run joined", lambda: trial.working_on(100))
    finish(trial, 100)
    expect_switches(trial, {"op-1": "superseded", "op-2": "done"})


JOURNEYS: Final = (there_and_back, refused_and_joined, crossing)


# What must be true


def finish(trial: Trial, number: int) -> None:
    """Ends the run and checks the books of a node in HLT."""
    trial.node.end_bu_run(number)
    trial.until("the run over", lambda: not trial.node.status()["runs"])
    trial.until("at rest", lambda: trial.at_rest(Mode.HLT))
    trial.until("tokens at home", lambda: trial.node.tokens("idle") == CORES)
    assert trial.node.vms() == 0, trial.told()
    check_books(trial)


def expect_switches(trial: Trial, outcomes: dict[str, str]) -> None:
    """Checks that each request was noted once, and has one switch record with its outcome."""
    assert [asked.id for asked in trial.node.requests()] == list(outcomes), trial.told()
    assert [(switch.id, switch.outcome) for switch in trial.node.switches()] == list(outcomes.items()), trial.told()


def check_books(trial: Trial) -> None:
    """What must be so after any death: tokens conserved, nothing orphaned, the journal whole, one owner for a core."""
    node = trial.node
    assert node.token_names() == [f"core{number}" for number in range(CORES)], trial.told()
    assert not (trial.folder / VIOLATIONS).exists(), (trial.folder / VIOLATIONS).read_text() + trial.told()
    known = {pid for run in node.status()["runs"] for pid in run["jobs"]}
    assert set(trial.jobs()) == known, trial.told()
    assert not list(working(node.paths.state_dir, "igniter")), trial.told()
    check_journal(trial)
    assert not list(node.paths.watch_dir.glob("*clude*")), trial.told()
    assert "Traceback" not in trial.log.read_text(), trial.told()


def check_journal(trial: Trial, ends_in: Mode = Mode.HLT) -> None:
    """Numbers without a gap, every move from where the last one ended, every request once and each with its switch."""
    lines = trial.node.paths.journal.read_bytes().splitlines(keepends=True)
    records = trial.node.records()
    assert len(lines) == len(records), trial.told()
    assert [record.seq for record in records] == list(range(1, len(records) + 1)), trial.told()
    where = ("HLT", "hlt")
    for record in records:
        if isinstance(record, MoveRecord):
            assert (record.from_mode.value, record.from_position) == where, (record, trial.told())
            where = (record.mode.value, record.position)
        elif isinstance(record, StartRecord):
            assert (record.mode.value, record.position) == where, (record, trial.told())
    moves = [record for record in records if isinstance(record, MoveRecord)]
    for before, after in itertools.pairwise(moves):
        assert (after.mode, after.position, after.vms) != (before.mode, before.position, before.vms), trial.told()
    accepted = [record.id for record in records if isinstance(record, RequestRecord) and record.verdict == "accepted"]
    assert len(accepted) == len(set(accepted)), trial.told()
    assert sorted(accepted) == sorted(record.id for record in records if isinstance(record, SwitchRecord)), trial.told()
    assert where == (ends_in.value, ends_in.value.lower()), trial.told()


class Truth:
    """Looks all along whether the mode files of many nodes tell the truth; what is wrong is in `lies`."""

    def __init__(self) -> None:
        self.lies: list[str] = []
        self.looks = 0
        self._folders: set[Path] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextlib.contextmanager
    def of(self, folder: Path) -> Iterator[None]:
        """Watches the node in `folder` meanwhile."""
        self._folders.add(folder)
        try:
            yield
        finally:
            self._folders.discard(folder)

    def __enter__(self) -> Truth:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            for folder in list(self._folders):
                self.looks += 1
                if lie := self._look(folder):
                    self.lies.append(f"{folder}: {lie}")

    @staticmethod
    def _look(folder: Path) -> str:
        """Returns what is wrong about the mode file now, read before and after the facts."""
        path = folder / "data" / "mode"
        try:
            # Held open: its number is nobody else's meanwhile.
            with path.open("rb") as file:
                return Truth._compare(folder, path, file)
        except FileNotFoundError:
            return ""

    @staticmethod
    def _compare(folder: Path, path: Path, file: IO[bytes]) -> str:
        word = file.read(READ_BYTES).decode(errors="replace")
        if word not in set(Mode):
            return f"{word!r} is not a mode" if _is(path, file) else ""
        before = Mode(word)
        in_cloud = len(tokens_in(folder, "cloud"))
        elsewhere = len(tokens_in(folder, *TOKEN_STATES[:-1]))
        vms, jobs = Vms(folder / "vms").running(), list(alive_in(folder / JOBS))
        if not _is(path, file):
            return ""  # written meanwhile: the facts may belong to either
        if before is Mode.HLT and (in_cloud or vms):
            return f"HLT with {in_cloud} tokens in cloud and VMs {vms}"
        if before is Mode.CLOUD and (elsewhere or jobs):
            return f"cloud with {elsewhere} tokens elsewhere and jobs {jobs}"
        if jobs and (vms or in_cloud):
            return f"jobs {jobs} beside VMs {vms} or {in_cloud} tokens in cloud"
        return ""


def _is(path: Path, file: IO[bytes]) -> bool:
    """Returns whether `file`, which is open, is the one at `path` now."""
    return os.path.samestat(path.stat(), os.fstat(file.fileno()))


def points_passed(path: Path) -> list[str]:
    """Returns the names of the points that a daemon has passed."""
    return path.read_text().splitlines() if path.exists() else []
