"""A real filter unit for tests: its folders, its switcher as a process, and what callers and onlookers do with it."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from contract.box import Box, read_box
from contract.errors import Unreadable
from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, SwitchRecord, read_journal
from contract.modefile import read_mode
from contract.modes import Mode
from contract.paths import MARKERS, TOKEN_STATES
from simulator.daemons import Daemon, kill_left_behind, working
from simulator.node_files import NodeFiles, lay_out
from simulator.vms import Vms
from tests.ports import free_port

# Nothing here takes so long; a machine that has much else to do may.
PATIENCE_S: Final = 60.0


def wait_for(what: str, met: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Waits until `met` is true; fails with `what` otherwise."""
    end_s = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)


def in_order(seen: Iterable[str], whole: Iterable[str]) -> bool:
    """Returns whether `seen` is `whole` with some left out."""
    rest = iter(whole)
    return all(word in rest for word in seen)


def script(path: Path, text: str) -> list[str]:
    """Writes a shell script and returns the command that runs it."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def secret(path: Path, text: str) -> Path:
    """Writes a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


class Node:
    """One filter unit below `root`. `start` may be called again after `kill` or `end`."""

    def __init__(
        self, root: Path, *, cores: int = 4, overlay: Mapping[str, Mapping[str, Any]] | None = None, host: str = "fu-1"
    ) -> None:
        self.root = root
        self.port = free_port()
        # A cloud tool that starts slowly on a busy machine is no failure of the tool.
        sections = {
            **(overlay or {}),
            "igniter": {"status_timeout_s": PATIENCE_S, **(overlay or {}).get("igniter", {})},
        }
        self.files: NodeFiles = lay_out(
            root, host, port=self.port, metrics_port=free_port(), cores=cores, overlay=sections
        )
        self.paths = self.files.paths
        self.daemon: Daemon | None = None

    def start(self, *, environment: Mapping[str, str] | None = None, ready: bool = True) -> Daemon:
        log = self.root / f"{self.files.host}-switcher.log"
        self.daemon = Daemon("switcher", ["switcher", "run", "--config", str(self.files.config)], log, environment)
        if ready:
            self.daemon.wait_ready()
        return self.daemon

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.end()

    def end(self) -> int:
        assert self.daemon is not None
        return self.daemon.end()

    def clean(self) -> None:
        """Ends everything that was started for this node."""
        if self.daemon is not None:
            self.daemon.end()
        kill_left_behind(self.paths.state_dir)

    def settle(self) -> None:
        """Waits until the switcher knows from the cloud tool that no VMs run, so that it takes runs at once."""
        wait_for("the first answer of the cloud tool", lambda: not self.state()["unproven"])

    @property
    def log(self) -> str:
        assert self.daemon is not None
        return self.daemon.said

    # What callers do

    def get(self, path: str) -> tuple[int, str]:
        """Returns status and body of a GET."""
        return self._call(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}"))

    def cgi(self, name: str, query: str = "") -> str:
        status, body = self.get(f"/cgi-bin/{name}_cgi.py{query}")
        assert status == 200, body
        return body

    def post(self, asked: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Returns status and answer of `POST /switch`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/switch",
            data=json.dumps(asked).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        status, body = self._call(request)
        answer = json.loads(body) if body.startswith("{") else {"text": body}
        return status, answer

    def status(self) -> dict[str, Any]:
        status, body = self.get("/status")
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    @staticmethod
    def _call(request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def raw(self, request: str, timeout_s: float = 10.0) -> str:
        """Sends `request` as it is and returns what comes until the node closes the connection; fails if it doesn't."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            connection.sendall(request.encode())
            answer = b""
            while chunk := connection.recv(1 << 16):
                answer += chunk
        return answer.decode()

    def reload(self, *, good: bool = True) -> None:
        """Has the switcher read its configuration again and waits until it has."""
        assert self.daemon is not None
        words = "configuration read again" if good else "configuration not taken over"
        before = self.log.count(words)
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(words, lambda: self.log.count(words) > before)

    def configure(self, old: str, new: str) -> None:
        """Puts `new` in place of `old` in the configuration and has it read again."""
        text = self.files.config.read_text()
        assert old in text
        self.files.config.write_text(text.replace(old, new))
        self.reload()

    def command(self, name: str, content: str = "") -> None:
        """Makes a command file, whole from its first moment."""
        new = self.paths.watch_dir.with_name("command.new")
        new.write_text(content)
        new.rename(self.paths.command(name))

    def faults(self, faults: Mapping[str, Any]) -> None:
        """Has this node's stand-ins misbehave, from their next look at the file on."""
        new = self.files.faults.with_suffix(".new")
        new.write_text(json.dumps({self.files.host: faults}))
        new.rename(self.files.faults)

    def bu_run(self, number: int, lumisections: int = 0) -> Path:
        """Makes a run at the BU with so many closed lumisections, and returns its directory."""
        folder = self.paths.bu.run_dir(number)
        folder.mkdir(exist_ok=True)
        for lumisection in range(1, lumisections + 1):
            self.close_lumisection(number, lumisection)
        return folder

    def close_lumisection(self, number: int, lumisection: int) -> None:
        path = self.paths.bu.eols(number, lumisection)
        new = path.with_suffix(".new")
        new.write_text("{}")
        new.rename(path)

    def end_bu_run(self, number: int) -> None:
        self.paths.bu.eor(number).write_text("{}")

    def work_on(self, number: int = 100, *, closed: int = 3, jobs: int = 1) -> None:
        """Has the node work on a run of which so many lumisections are closed."""
        self.settle()
        self.bu_run(number, closed)
        self.cgi("start", f"?run={number}")
        wait_for(
            f"{jobs} jobs of run {number}", lambda: len(self.jobs()) == jobs and self.markers(number) == ["active"]
        )

    # What onlookers see

    def looked(self) -> None:
        """Waits until the switcher, which is in HLT, has looked around anew and done what follows from it."""
        self.paths.command("include").touch()
        wait_for("the file taken", lambda: not list(self.paths.watch_dir.glob("*include*")))
        assert self.post({"id": f"look-{time.time_ns()}", "to": "HLT"})[0] == 200

    def told_to_stop(self, number: int = 100) -> None:
        """Waits until the jobs of a run have been told to end."""
        wait_for(f"run {number} told to stop", lambda: self.stop_file(number))

    def vms(self) -> int:
        return len(Vms(self.paths.watch_dir.parent / "vms").running())

    def outcomes(self) -> list[str]:
        return [switch.outcome for switch in self.switches()]

    def run_story(self, number: int) -> list[str]:
        """Returns what the journal says about a run."""
        return [record.what for record in self.records() if isinstance(record, RunRecord) and record.run == number]

    @property
    def mode(self) -> Mode | None:
        try:
            return read_mode(self.paths.mode)
        except Unreadable:
            return None

    def wait_mode(self, mode: Mode, timeout_s: float = PATIENCE_S) -> None:
        wait_for(f"mode {mode.value}", lambda: self.mode is mode, timeout_s)

    def box(self) -> Box:
        box = read_box(self.paths.box)
        assert isinstance(box, Box)
        return box

    def tokens(self, state: str) -> int:
        return len(list(self.paths.tokens(state).glob("core*")))

    def jobs(self) -> list[int]:
        return list(working(self.paths.state_dir, "job"))

    def merges(self) -> list[int]:
        return list(working(self.paths.state_dir, "merge"))

    def token_names(self) -> list[str]:
        """Returns the name of every token as often as it lies in a folder, in order."""
        return sorted(path.name for state in TOKEN_STATES for path in self.paths.tokens(state).glob("core*"))

    def markers(self, number: int) -> list[str]:
        return [name for name in MARKERS if (self.paths.run_dir(number) / name).exists()]

    def stop_file(self, number: int) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.paths.run_dir(number) / "CMSSW_STOP").read_text())
        except FileNotFoundError:
            return None
        return content

    def state(self) -> dict[str, Any]:
        """Returns the state as the switcher has it on disk."""
        content: dict[str, Any] = json.loads(self.paths.state.read_text())["state"]
        return content

    def records(self) -> list[AnyRecord]:
        return list(read_journal(self.paths.journal))

    def requests(self) -> list[RequestRecord]:
        return [record for record in self.records() if isinstance(record, RequestRecord)]

    def switches(self) -> list[SwitchRecord]:
        return [record for record in self.records() if isinstance(record, SwitchRecord)]

    def modes_passed(self) -> list[Mode]:
        """Returns the modes in the order of the journal, from HLT on."""
        moves = [record for record in self.records() if isinstance(record, MoveRecord)]
        return [Mode.HLT, *(move.mode for move in moves if move.mode is not move.from_mode)]
