"""A broken promise told as a story: who did what, where the node was then, and which promise broke."""

from __future__ import annotations

from collections.abc import Iterator

from switcher.states import State, mode
from tests.model.explore import Violation
from tests.model.heart import Heart
from tests.model.world import CALLS, FORGETFUL, KILLED, REBOOTED, SERVES, TOKENS, World, runs_in

DOWN = {
    KILLED: "the daemon is down",
    REBOOTED: "the machine has booted",
    FORGETFUL: "the daemon is down, no state file",
}


def told(heart: Heart, violation: Violation) -> str:
    """Returns the story of `violation`, a line for each thing that happened."""
    lines = [f"at first: {stands(heart, violation.first)}"]
    for move in violation.moves:
        cut = f", {move.cut}" if move.cut else ""
        lines.append(f"{move.what}{cut}: {stands(heart, move.world)}")
    number, _, promise = violation.promise.partition(": ")
    name = f"promise {number}" if number.isdigit() else "a promise"
    lines.append(f"{name} is broken: {promise or number}")
    return "\n".join(f"{place:3}. {line}" for place, line in enumerate(lines))


def stands(heart: Heart, world: World) -> str:
    """Returns how a world stands, in a few words."""
    return ", ".join(_facts(heart.states[world.heart], world))


def _facts(state: State, world: World) -> Iterator[str]:
    if world.life != SERVES:
        yield DOWN[world.life]
    yield f"{state.position.value} ({mode(state).value})"
    if state.unproven:
        yield "unproven"
    yield f"VMs {'run' if world.vms else 'down'}, held for {state.vms.value}"
    if world.in_cloud:
        yield f"{world.in_cloud} of {TOKENS} tokens in cloud"
    for run in runs_in(world.jobs):
        yield f"run {run} at work"
    if state.waiting:
        yield f"{state.waiting} waits"
    verb = CALLS[world.call]
    if verb:
        yield f"{verb.value} is called"
    if world.files:
        yield f"files {', '.join(world.files)}"
