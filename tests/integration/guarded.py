"""Stand-ins that look at their start whether they may: `python -S -E guarded.py tool|job …`, else as in `simulator`.

A core with two owners begins either with a job that starts while VMs run, or with VMs that start while a job lives. So
each looks for the other when it starts, and nothing is missed between two looks. What is wrong is added to the file
`violations` beside the node's state folder. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    # Run by its path: the repository is where the room's imports are found.
    sys.path[0] = str(Path(__file__).parents[2])

from simulator import cloud_tool, cmssw, living
from simulator.vms import Vms

VIOLATIONS: Final = "violations"
JOBS: Final = "jobs"
STARTING: Final = "starting"


def alive_in(folder: Path) -> Iterator[int]:
    """Yields the pids of the processes that have enrolled in `folder` and live."""
    if folder.is_dir():
        for path in folder.iterdir():
            content = path.read_text() if path.suffix != ".new" else ""
            if content and living.alive(int(path.name), int(content)):
                yield int(path.name)


def enrol(folder: Path) -> None:
    """Leaves pid and start time of this process in `folder`."""
    folder.mkdir(exist_ok=True)
    new = folder / f"{os.getpid()}.new"
    new.write_text(str(living.started(os.getpid())))
    new.rename(folder / str(os.getpid()))


def tokens_in(node: Path, *states: str) -> list[str]:
    """Returns the tokens in the folders `states`."""
    found = [path for state in states for path in (node / "resources" / state).glob("core*")]
    return [str(path) for path in found if path.is_file()]


def check_job(node: Path) -> list[str]:
    """Returns what forbids a job to start."""
    vms = [f"VM {pid} runs" for pid in Vms(node / "vms").running()]
    starting = [f"start {pid} of the cloud tool runs" for pid in alive_in(node / STARTING)]
    return [*vms, *starting, *(f"{token} is in cloud" for token in tokens_in(node, "cloud"))]


def check_start(node: Path) -> list[str]:
    """Returns what forbids VMs to start."""
    jobs = [f"job {pid} lives" for pid in alive_in(node / JOBS)]
    outside = tokens_in(node, "idle", "online", "except", "quarantined")
    return [*jobs, *(f"{token} is not in cloud" for token in outside)]


def main() -> int:
    """Looks, enrols, and does what the stand-in does."""
    node = Path(os.environ["HLTMODE_MARK_NODE"]).parent
    kind = sys.argv.pop(1)
    wrong: list[str] = []
    if kind == "job":
        enrol(node / JOBS)
        wrong = check_job(node)
    elif sys.argv[-1] == "start":
        enrol(node / STARTING)
        wrong = check_start(node)
    if wrong:
        with (node / VIOLATIONS).open("a") as file:
            file.write(f"{kind} {os.getpid()} started although {'; '.join(wrong)}\n")
    return cmssw.main() if kind == "job" else cloud_tool.main()


if __name__ == "__main__":
    sys.exit(main())
