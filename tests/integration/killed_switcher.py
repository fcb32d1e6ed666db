"""The real switcher, killed with -9 at a point, such as `after save#3`.

    python -m tests.integration.killed_switcher POINT PASSED run --config node.toml

A point lies before and after everything in WRAPPED and before and after every effect, and is named by its kind and how
often that kind has come by. They are wrapped here, from outside, so the daemon carries no switch for its own death.
Each point is written to the file PASSED as it is passed; with an empty POINT nothing is killed, and the file says which
there are.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from contract.journal import Journal
from hltmode.main import main as hltmode
from switcher import intake, node, processes, run_files, tokens
from switcher.carrying import Carrier
from switcher.events import Effect, EndSwitch, Ignite, MoveTokens, NoteRequest, NoteRun, TellJobs, Wake
from switcher.states import State
from switcher.store import Store
from switcher.timeline import Timeline

WRAPPED: Final[tuple[tuple[Any, str], ...]] = (
    (Store, "save"),  # state file, then journal
    (Journal, "append"),  # between the two
    (node, "write_mode"),
    (processes, "spawn"),
    (tokens, "move"),
    (intake, "take"),
    (intake, "drop"),
    (run_files, "prepare"),
    (run_files, "mark"),
    (run_files, "tell_last_lumisection"),
    (run_files, "remove_refused"),
)
# Notes are in the journal by then, and an alarm clock dies with the daemon: nothing is done that could be seen.
SILENT: Final = (NoteRequest, NoteRun, EndSwitch, Wake)


class Points:
    """Counts the points that the daemon passes and kills it at `deadly`, whatever thread it is in."""

    def __init__(self, deadly: str, passed: Path) -> None:
        self._deadly = deadly
        self._passed = os.open(passed, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def at(self, kind: str) -> None:
        """Passes a point of this kind, or dies there."""
        with self._lock:
            self._counts[kind] += 1
            name = f"{kind}#{self._counts[kind]}"
            os.write(self._passed, f"{name}\n".encode())
            if name == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)


def wrap(points: Points) -> None:
    """Puts points around everything that the outside world or the next start can see."""
    for owner, name in WRAPPED:
        setattr(owner, name, _around(points, name, getattr(owner, name)))
    _between_tokens(points)
    carry_out = Carrier.carry_out

    async def carried(carrier: Carrier, effect: Effect, state: State, timeline: Timeline) -> object:
        if isinstance(effect, SILENT):
            return await carry_out(carrier, effect, state, timeline)
        points.at(f"before {_called(effect)}")
        result = await carry_out(carrier, effect, state, timeline)
        points.at(f"after {_called(effect)}")
        return result

    Carrier.carry_out = carried  # type: ignore[method-assign, assignment]  # the point of this module


def _around(points: Points, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **named: Any) -> Any:
        points.at(f"before {name}")
        result = original(*args, **named)
        points.at(f"after {name}")
        return result

    return wrapped


def _between_tokens(points: Points) -> None:
    """A point after each token on its way, before the next one and before the folders are synced."""
    rename = Path.rename

    def renamed(path: Path, target: Any) -> Path:
        result = rename(path, target)
        if path.name.startswith("core"):
            points.at("one token moved")
        return result

    Path.rename = renamed  # type: ignore[method-assign, assignment]  # as above


def _called(effect: Effect) -> str:
    name = type(effect).__name__
    match effect:
        case Ignite(verb):
            return f"{name} {verb.value}"
        case MoveTokens(to):
            return f"{name} {to.value}"
        case TellJobs(_, told):
            return f"{name} {told.name.lower()}"
    return name


def main() -> None:
    """Runs the switcher with points around its effects."""
    deadly, passed, *arguments = sys.argv[1:]
    wrap(Points(deadly, Path(passed)))
    sys.argv = ["hltmode", "switcher", *arguments]
    hltmode()


if __name__ == "__main__":
    main()
