"""Where things lie on a node and on its BU (source: the hltd contract).

Roots come from the configuration; every name below them is here and nowhere else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

RUN_DIRECTORY: Final = re.compile(r"run([0-9]{6,9})(?:_([A-Za-z0-9][A-Za-z0-9.-]{0,63}))?")
END_FILE: Final = re.compile(r"end([0-9]{1,9})")
EOLS_FILE: Final = re.compile(r"run[0-9]{6,9}_ls([0-9]{4,})_EoLS\.jsn")
CORE_TOKEN: Final = re.compile(r"core([0-9]{1,5})")

TOKEN_STATES: Final = ("idle", "online", "except", "quarantined", "cloud")
MARKERS: Final = ("starting", "active", "stopping", "complete", "aborted", "abortcomplete")
COMMANDS: Final = ("exclude", "include", "excludenow")


class RunRef(msgspec.Struct, frozen=True, order=True):
    """A run and the BU that announced it (empty when nobody said)."""

    number: int
    bu: str = ""

    def __str__(self) -> str:
        return f"run {self.number}"


def run_name(number: int) -> str:
    """Returns `run000100` for run 100."""
    return f"run{number:06d}"


def parse_run(name: str) -> RunRef | None:
    """Returns the run of a directory name such as `run000100` or `run000100_bu-c2f01`, else None."""
    match = RUN_DIRECTORY.fullmatch(name)
    return RunRef(int(match[1]), match[2] or "") if match else None


class NodePaths(NamedTuple):
    """The files of one filter unit."""

    host: str
    watch_dir: Path
    resources_dir: Path
    bu_dir: Path
    state_dir: Path

    @property
    def mode(self) -> Path:
        """The mode file."""
        return self.watch_dir / "mode"

    def command(self, name: str) -> Path:
        """The command file `exclude`, `include` or `excludenow`."""
        return self.watch_dir / name

    def run_dir(self, number: int) -> Path:
        """The run directory on this node."""
        return self.watch_dir / run_name(number)

    def tokens(self, state: str) -> Path:
        """The folder whose core tokens are in `state`."""
        return self.resources_dir / state

    @property
    def box(self) -> Path:
        """The box file of this node, on the BU's mount."""
        return BuPaths(self.bu_dir).boxes / self.host

    @property
    def bu(self) -> BuPaths:
        """The BU's ramdisk as this node sees it."""
        return BuPaths(self.bu_dir)

    @property
    def state(self) -> Path:
        """The switcher's state file."""
        return self.state_dir / "state.json"

    @property
    def journal(self) -> Path:
        """The switcher's journal, JSON lines."""
        return self.state_dir / "journal.jsonl"

    @property
    def log(self) -> Path:
        """The collector's log, the embedded store."""
        return self.state_dir / "telemetry.sqlite"

    def lock(self, daemon: str) -> Path:
        """The lock that `daemon` holds while it serves this node."""
        return self.state_dir / f"{daemon}.lock"


class BuPaths(NamedTuple):
    """The files of a BU's ramdisk."""

    ramdisk: Path

    @property
    def boxes(self) -> Path:
        """The folder of box files, one for each host."""
        return self.ramdisk / "appliance" / "boxes"

    @property
    def summary(self) -> Path:
        """The BU's sum over its box files."""
        return self.ramdisk / "appliance" / "resource_summary"

    def run_dir(self, number: int) -> Path:
        """The run directory on the BU."""
        return self.ramdisk / run_name(number)

    def eols(self, number: int, lumisection: int) -> Path:
        """The file that says that `lumisection` is complete."""
        return self.run_dir(number) / f"{run_name(number)}_ls{lumisection:04d}_EoLS.jsn"

    def eor(self, number: int) -> Path:
        """The file that says that the run ended."""
        return self.run_dir(number) / f"{run_name(number)}_ls0000_EoR.jsn"

    def last_lumisection(self, number: int) -> int:
        """Returns the highest lumisection complete on the BU, 0 with none. Raises OSError."""
        found = (EOLS_FILE.fullmatch(entry.name) for entry in self.run_dir(number).iterdir())
        return max((int(match[1]) for match in found if match), default=0)

    def ongoing(self, number: int) -> bool:
        """Returns whether the run still goes on: its directory is there and has no EoR. Raises OSError."""
        try:
            self.run_dir(number).stat()
        except FileNotFoundError:
            self.ramdisk.stat()
            return False
        return not self.eor(number).exists()
