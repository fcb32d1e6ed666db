"""The cloud tool's stand-in: `python -S -E cloud_tool.py --state DIR [--faults FILE --node NAME] start|stop|status`.

Its VMs are real processes. Exit codes as a real one's: start 0; stop 0, or 1 when there was nothing to stop, and only
once the VMs are gone; status 0 running, 1 not running. Others (14, 66, …) come from the faults file: `exit` alone does
the work and answers that code, with `crash` nothing is done. Standard library only.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    # Run by its path: the room's folder is where sys.path begins, its parent is what the imports below need.
    sys.path.append(sys.path.pop(0).rpartition("/")[0])

from simulator import faults
from simulator.vms import Vms

EXAMPLE: Final = "hltmode simulate cloud --state /tmp/vms start"
VERBS: Final = ("start", "stop", "status")
VMS: Final = 2
HANG_POLL_S: Final = 0.1


class Options(argparse.Namespace):
    """The command line."""

    state: Path
    faults: Path | None
    node: str
    vms: int
    verb: str


def work(vms: Vms, verb: str, wanted: int) -> tuple[int, str]:
    """Does what `verb` asks and returns the exit code and one line that says so."""
    if verb == "start":
        return 0, f"{vms.start(wanted)} VMs started"
    if verb == "stop":
        stopped = vms.stop()
        return (0 if stopped else 1), f"{stopped} VMs stopped"
    running = len(vms.running())
    return (0 if running else 1), f"{running} VMs running"


def lie(vms: Vms, verb: str) -> tuple[int, str]:
    """Does nothing; returns what status would be if the reverse were true, or success."""
    if verb == "status":
        return (1 if vms.running() else 0), "not what you think"
    return 0, f"{verb} done"


def run(options: Options) -> int:
    """Answers one call and returns its exit code."""
    fault = faults.read(options.faults, options.node, options.verb)
    faults.chatter(fault)
    while fault.behave == "hang":
        time.sleep(HANG_POLL_S)
        fault = faults.read(options.faults, options.node, options.verb)
    time.sleep(fault.delay_s)
    vms = Vms(options.state)
    if fault.behave == "crash":
        code, words = faults.CRASHED, f"{options.verb} crashed"
    elif fault.behave in ("lie", "ignore_stop"):
        code, words = lie(vms, options.verb)
    else:
        code, words = work(vms, options.verb, options.vms)
    print(words, flush=True)
    return code if fault.exit_code is None else fault.exit_code


def main() -> int:
    """Runs the tool and returns its exit code."""
    parser = argparse.ArgumentParser(
        description="The cloud tool's stand-in.", epilog=f"Example: {EXAMPLE}", allow_abbrev=False
    )
    parser.add_argument("--state", type=Path, required=True, help="folder in which its VMs are written down")
    parser.add_argument("--faults", type=Path, default=None, help="faults file")
    parser.add_argument("--node", default="", help="this node's name in the faults file")
    parser.add_argument("--vms", type=int, default=VMS, help="how many VMs a start brings up")
    parser.add_argument("verb", choices=VERBS)
    try:
        return run(parser.parse_args(namespace=Options()))
    except faults.BadFaults as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
