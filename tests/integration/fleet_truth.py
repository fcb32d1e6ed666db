"""A simulated farm, the fleet tool beside it, and an oracle: which class follows for a node from what really happened.

The oracle shares no code with the tool. It reads the simulator's `GET /truth` and the tool's file of operations.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from simulator.daemons import Daemon

Told = dict[str, Any]  # of one node the simulator's truth
Kept = dict[str, Any]  # of one node what the tool keeps

FAULTS: Final = (
    "slow", "refuses", "refuses-late", "hangs", "dead", "silent", "loses", "lies", "dies", "forgets", "mistaken", "old",
    "old-broken",
)  # fmt: skip
LARGEST_SHARE: Final = 7  # percent of the nodes with one fault
CLASSES: Final = {"done": "done", "refused": "refused", "superseded": "superseded", "vms_failed": "failed"}
GOOD: Final = {"done", "already"}
ON_THE_WAY: Final = {"going on"}


def random_mix(seed: int, *, without: Sequence[str] = ()) -> str:
    """Returns a mix of faults in random shares."""
    dice = random.Random(seed)
    some = [fault for fault in FAULTS if fault not in without]
    return ",".join(
        f"{fault}={dice.randint(1, LARGEST_SHARE)}%" for fault in dice.sample(some, dice.randint(5, len(some)))
    )


class Farm:
    """`nodes` nodes as a process below `root`. As a context it ends."""

    def __init__(self, root: Path, nodes: int, speed: float, faults: str = "", seed: int = 1) -> None:
        self.speed = speed
        self.file = root / "farm.txt"
        self.daemon = Daemon(
            "farm",
            [
                *("simulate", "farm", "--nodes", str(nodes), "--first", "127.81.0.1", "--port", "0", "--control", "0"),
                *("--speed", str(speed), "--faults", faults, "--seed", str(seed), "--hosts", str(self.file)),
            ],
            root / "farm.log",
        )
        self.daemon.wait_ready(60)
        self.addresses = {line.split()[0]: line.split()[2] for line in self.file.read_text().splitlines()}
        self.hosts = list(self.addresses)
        self._control = self.daemon.said.split()[-1]

    def truth(self) -> dict[str, Told]:
        with urllib.request.urlopen(self._control, timeout=30) as answer:
            truth: dict[str, Told] = json.load(answer)
        return truth

    def ask(self, host: str, name: str, to: str) -> int:
        """Asks one node as somebody else would, and returns the status of the answer."""
        body = json.dumps({"id": name, "to": to, "who": "ben"}).encode()
        request = urllib.request.Request(
            f"http://{self.addresses[host]}/switch", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status: int = answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        return status

    def phase(self, host: str) -> str:
        """Returns in which phase of a switch a node is, empty for none."""
        with urllib.request.urlopen(f"http://{self.addresses[host]}/status", timeout=10) as answer:
            switch = json.load(answer)["switch"]
        return str(switch["phase"]) if switch else ""

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.end()


class Operation(NamedTuple):
    """An operation as the tool's file has it."""

    id: str
    to: str
    limit_s: float
    created_s: float
    verdict: str | None
    nodes: dict[str, Kept]

    @property
    def classes(self) -> dict[str, int]:
        standings = [node.get("standing", "waiting") for node in self.nodes.values()]
        return {standing: standings.count(standing) for standing in dict.fromkeys(standings)}


class Tool:
    """The fleet tool with a file of operations of its own."""

    def __init__(self, farm: Farm, store: Path) -> None:
        self.store = store
        self._farm = farm

    def command(self, *words: str, hosts: Sequence[str] = ()) -> list[str]:
        files = ["--store", str(self.store), "--nodes", str(self._farm.file)]
        names = [",".join(hosts)] if hosts else []
        return [sys.executable, "-m", "hltmode", "fleet", words[0], *names, *words[1:], *files]

    def run(self, *words: str, hosts: Sequence[str] = (), within_s: float = 120.0) -> int:
        """Runs the tool to its end and returns the exit code."""
        return subprocess.run(
            self.command(*words, hosts=hosts), check=False, stdout=subprocess.DEVNULL, timeout=within_s
        ).returncode

    @contextmanager
    def running(self, *words: str, hosts: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """Yields the tool at work; it is gone at the end."""
        with subprocess.Popen(self.command(*words, hosts=hosts), stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def operations(self) -> list[Operation]:
        """Returns what the file has, oldest first; nothing while there is none."""
        if not self.store.exists():
            return []
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)
        try:
            return [*_read(connection)]
        except sqlite3.OperationalError:  # the tool is about to make its tables
            return []
        finally:
            connection.close()


def _read(connection: sqlite3.Connection) -> Iterator[Operation]:
    for name, body in connection.execute("SELECT id, body FROM operations ORDER BY created_s, id").fetchall():
        rows = connection.execute("SELECT host, body FROM nodes WHERE operation = ?", (name,)).fetchall()
        said = json.loads(body)
        nodes = {host: json.loads(node) for host, node in rows}
        yield Operation(name, said["to"], said["limit_s"], said["created_s"], said.get("verdict"), nodes)


def wrongs(truth: Mapping[str, Told], operation: Operation) -> list[str]:
    """Returns of which nodes the tool does not tell the truth, in words."""
    found = []
    for host, kept in operation.nodes.items():
        may_be = implied(truth[host], operation, kept)
        if kept["standing"] not in may_be:
            words = f"{kept['standing']} ({kept.get('words', '')})"
            found.append(f"{host}: {words}, and not {' or '.join(sorted(may_be))}: {kept}, {truth[host]}")
    return found


def implied(told: Told, operation: Operation, kept: Kept) -> set[str]:
    """Returns in which class a node must have ended.

    What happened between the end of its time and the tool's last look at it may be in the class or not.
    """
    requests, fault = told["requests"], told["fault"]
    got = requests.get(operation.id)
    if kept["asked_s"] is None:
        return {"left out"} if got is None else set()
    ends_s, decided_s = kept["asked_s"] + operation.limit_s, kept["ended_s"]
    if fault in ("dead", "silent", "mistaken"):
        return {"unreachable"} if not requests else set()
    if fault == "dies" and any(each["verdict"] == "accepted" for each in requests.values()):
        seen_on_its_way = kept["mode"] in ("activatingCloud", "deactivatingCloud")  # before it had answered, and died
        return {"unreachable", "going on"} if seen_on_its_way else {"unreachable"}
    if fault == "old-broken":  # its scripts do nothing, and say so with status 200
        return {"already"} if told["mode"] == operation.to else {"failed"}
    if fault == "old":
        return _old(told, operation, ends_s)
    if got is None:
        return set()  # a node that answers was not asked
    if got["verdict"] in ("refused", "newer"):
        return {"refused"} if got["verdict"] == "refused" else {"superseded"}
    if got["verdict"] == "already":
        return {"already"} if (told["mode"], told["vms"]) in (("HLT", "down"), ("cloud", "up")) else set()
    if fault == "forgets" and got["times"] == 1 and got["outcome"] is None:
        return {"failed", "going on"}  # by whether the last look at it was after it had forgotten
    return _in_time(got, ends_s, decided_s)


def _in_time(got: Mapping[str, Any], ends_s: float, decided_s: float) -> set[str]:
    late = {"going on"}
    if got["stuck_s"] is not None and got["stuck_s"] <= decided_s:
        late = {"stuck"} if got["stuck_s"] <= ends_s else {"stuck", "going on"}
    if got["outcome"] is None or got["outcome_s"] > decided_s:
        return late
    ended = {CLASSES[got["outcome"]]}
    return ended if got["outcome_s"] <= ends_s else ended | late


def _old(told: Told, operation: Operation, ends_s: float) -> set[str]:
    """Of hltd one sees only where the core tokens are; they move some seconds before a switch to the cloud is done."""
    since = [each for each in told["requests"].values() if each["first_s"] >= operation.created_s]
    mine = [each for each in since if each["to"] == operation.to]
    if not mine or mine[0]["verdict"] == "already":
        return {"already"} if told["mode"] == operation.to else set()
    if mine[0]["outcome"] == "done" and mine[0]["outcome_s"] <= ends_s:
        return {"done"}
    return {"done", "going on"}


def asked_twice(truth: Mapping[str, Told], names: Sequence[str]) -> list[str]:
    """Returns the nodes that were asked under another id than `names`, hltd's aside, which knows none."""
    return [
        f"{host}: {sorted(told['requests'])}"
        for host, told in truth.items()
        if not told["fault"].startswith("old") and set(told["requests"]) - set(names)
    ]
