"""The transitions of the machine as they were met while exploring, as a table and a diagram for the manual."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contract.modes import Wanted
from switcher.events import (
    Event,
    IgniterSaid,
    Requested,
    RunAppeared,
    RunChecked,
    RunEnded,
    Said,
    Started,
    TokensMoved,
    TokensSeen,
    Woke,
    WorkEnded,
)
from switcher.states import Position
from tests.model.explore import Explored
from tests.model.heart import Heart

MANUAL: Final = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN: Final = "<!-- made by `make diagrams` -->"
END: Final = "<!-- until here -->"

NOTHING, STAYS = "", "·"

# Order of the rows: a journey to the cloud and back, then what may happen anywhere.
ORDER: Final = (
    *("exclude", "include"),
    *("status: not running", "status: running", "status fails"),
    *("jobs of a run ended", "core tokens moved", "core token stuck"),
    *("start done", "start fails", "stop done", "stop fails"),
    *("run announced", "BU: run goes on", "BU: run is over", "BU is silent", "run ended or vanished"),
    "core token moved by hand",
    *("clock retry", "clock poll", "clock stop_again", "clock deadline", "clock kill", "clock check"),
    *("restart", "reboot", "first start"),
)


def in_manual(text: str, section: str) -> str:
    """Returns the manual `text` with the generated section replaced. Raises ValueError without the markers."""
    found = re.search(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"the manual needs the lines {BEGIN} and {END}")
    return f"{text[: found.start()]}{section}{text[found.end() :]}"


def section(explored: Explored) -> str:
    """Returns what stands between the markers, markers included."""
    moves = _moves(explored.heart)
    return "\n".join((BEGIN, "", *_table(moves), "", *_mermaid(moves), "", *_figures(explored), "", END))


Moves = dict[str, dict[Position, set[Position | None]]]


def _moves(heart: Heart) -> Moves:
    """Returns for each event and position where it leads; None is a step that changes nothing and does nothing."""
    moves: Moves = defaultdict(lambda: defaultdict(set))
    for transition in heart.transitions:
        before, after = heart.states[transition.before].position, heart.states[transition.after].position
        idle = transition.before == transition.after and not transition.effects
        moves[_name(transition.event)][before].add(None if idle else after)
    return moves


def _name(event: Event) -> str:
    match event:
        case Requested(request):
            return "exclude" if request.to is Wanted.CLOUD else "include"
        case IgniterSaid(verb, said):
            return f"{verb.value} fails" if said is Said.ERROR else _said(verb.value, said)
        case TokensMoved(_, error):
            return "core token stuck" if error else "core tokens moved"
        case RunChecked(_, ongoing):
            return {True: "BU: run goes on", False: "BU: run is over", None: "BU is silent"}[ongoing]
        case Started(known=known, rebooted=rebooted):
            return "reboot" if rebooted else "restart" if known else "first start"
        case Woke(timer):
            return f"clock {timer.value}"
    return {
        WorkEnded: "jobs of a run ended",
        RunAppeared: "run announced",
        RunEnded: "run ended or vanished",
        TokensSeen: "core token moved by hand",
    }[type(event)]


def _said(verb: str, said: Said) -> str:
    return f"{verb} done" if said is Said.DONE else f"{verb}: {said.value}"


def _table(moves: Moves) -> Iterator[str]:
    positions = list(Position)
    yield f"| event | {' | '.join(f'`{position.value}`' for position in positions)} |"
    yield "|---" * (len(positions) + 1) + "|"
    for name in sorted(moves, key=ORDER.index):
        cells = (_cell(moves[name].get(position, set()), position) for position in positions)
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(ends: set[Position | None], here: Position) -> str:
    away = [position.value for position in Position if position in ends and position is not here]
    if away:
        return ", ".join([*away, *([STAYS] if here in ends else [])])
    return STAYS if here in ends else NOTHING


def _mermaid(moves: Moves) -> Iterator[str]:
    ways: dict[tuple[Position, Position], list[str]] = defaultdict(list)
    for name in sorted(moves, key=ORDER.index):
        if name in ("restart", "reboot", "first start"):
            continue
        for start, ends in moves[name].items():
            for end in ends - {start, None}:
                if end is not None:
                    ways[start, end].append(name)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {Position.HLT.value}"
    for start in Position:
        for end in Position:
            if (start, end) in ways:
                # A colon would end the words of an arrow.
                words = ", ".join(name.replace(":", "") for name in ways[start, end])
                yield f"    {start.value} --> {end.value}: {words}"
    yield "```"


def _figures(explored: Explored) -> Iterator[str]:
    yield "| disturbances | worlds | transitions |"
    yield "|---|---|---|"
    for layer in explored.layers:
        yield f"| {layer.disturbances} | {layer.worlds:,} | {layer.transitions:,} |"
    yield f"| together | {explored.worlds:,} | {explored.transitions:,} |"
