"""How one node stands in an operation, from what it answered and what was seen of it. Pure.

Every node ends in one class, and none is called done because nobody objected: the node's own journal says so, or, of a
node that has none, the mode that was seen (`certain` is False then).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from contract.modes import Mode, Wanted
from contract.request import Verdict


class Standing(StrEnum):
    """Where a node stands. The first three are on their way to one of the others."""

    WAITING = "waiting"  # not asked yet
    ASKED = "asked"  # asked, and nobody knows yet whether that arrived
    SWITCHING = "switching"  # it has accepted
    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"
    FAILED = "failed"
    STUCK = "stuck"
    GOING_ON = "going on"
    UNREACHABLE = "unreachable"
    SUPERSEDED = "superseded"
    LEFT_OUT = "left out"


UNDER_WAY: Final = frozenset({Standing.ASKED, Standing.SWITCHING})
GOOD: Final = frozenset({Standing.DONE, Standing.ALREADY})
BAD: Final = frozenset({Standing.REFUSED, Standing.FAILED, Standing.STUCK, Standing.UNREACHABLE})
ENDED: Final = frozenset(set(Standing) - UNDER_WAY - {Standing.WAITING})

# What a node's journal says of our request, as a class.
OF_OUTCOME: Final = {
    "done": Standing.DONE,
    "refused": Standing.REFUSED,
    "superseded": Standing.SUPERSEDED,
    "vms_failed": Standing.FAILED,
}
OF_VERDICT: Final = {
    Verdict.ACCEPTED: Standing.SWITCHING,
    Verdict.ALREADY: Standing.ALREADY,
    Verdict.NEWER: Standing.SUPERSEDED,
    Verdict.REFUSED: Standing.REFUSED,
}


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """One node in one operation. Times are Unix seconds; `tries` counts how often it was asked."""

    host: str
    request_id: str
    standing: Standing = Standing.WAITING
    words: str = ""
    mode: Mode | None = None
    blocker: str = ""
    stuck: bool = False
    certain: bool = True
    tries: int = 0
    asked_s: float | None = None
    ended_s: float | None = None


class Asked(msgspec.Struct, frozen=True):
    """The request is about to be sent."""


class Answered(msgspec.Struct, frozen=True):
    """The node answered the request; an old one can only say that it has heard."""

    verdict: Verdict
    reason: str = ""
    certain: bool = True


class NoAnswer(msgspec.Struct, frozen=True):
    """Nobody answered. `sent` is False when the node was not even reached, so that nothing can have come of it."""

    words: str
    sent: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How the node stands: `switch_id` is the request under way.

    Of our request the journal says how it was `heard`, and its `outcome`; None where it says nothing.
    """

    mode: Mode | None
    switch_id: str | None = None
    heard: Verdict | None = None
    outcome: str | None = None
    why: str = ""
    blocker: str = ""
    stuck: bool = False
    certain: bool = True


class Late(msgspec.Struct, frozen=True):
    """The time that the operation gives a node is over."""


class CalledOff(msgspec.Struct, frozen=True):
    """The operation asks nobody any more."""


Event = Asked | Answered | NoAnswer | Seen | Late | CalledOff


def step(node: NodeState, event: Event, to: Wanted, now_s: float) -> NodeState:
    """Returns `node`, which is to go to `to`, after `event`. One that has ended stays as it is."""
    if node.standing in ENDED:
        return node
    match event:
        case Asked():
            asked_s = node.asked_s if node.asked_s is not None else now_s
            return replace(node, standing=Standing.ASKED, tries=node.tries + 1, asked_s=asked_s)
        case Answered():
            answered = replace(node, certain=node.certain and event.certain)
            return _stands(answered, OF_VERDICT[event.verdict], event.reason, now_s)
        case NoAnswer():
            # A request that was not sent this time may have been sent before.
            return replace(node, words=event.words)
        case Seen():
            return _seen(node, event, to, now_s)
        case Late():
            return _late(node, now_s)
        case CalledOff():
            return _stands(node, Standing.LEFT_OUT, "not asked", now_s) if node.standing is Standing.WAITING else node


def _seen(node: NodeState, seen: Seen, to: Wanted, now_s: float) -> NodeState:
    node = replace(node, mode=seen.mode, blocker=seen.blocker, stuck=seen.stuck, certain=node.certain and seen.certain)
    if node.standing is Standing.WAITING:
        return node
    if seen.outcome is not None:
        return _stands(node, OF_OUTCOME.get(seen.outcome, Standing.FAILED), seen.why, now_s)
    if node.standing is Standing.ASKED:
        # The answer was lost, but not the request.
        heard = Verdict.ACCEPTED if seen.switch_id == node.request_id else seen.heard
        return node if heard is None else _stands(node, OF_VERDICT[heard], seen.why, now_s)
    if seen.switch_id == node.request_id:
        return node
    if not seen.certain and seen.mode is not None and seen.mode.value == to.value:
        return _stands(node, Standing.DONE, "seen in its mode; it keeps no journal", now_s)
    return node


def _late(node: NodeState, now_s: float) -> NodeState:
    if node.standing is Standing.WAITING:
        return _stands(node, Standing.LEFT_OUT, "not asked in time", now_s)
    if node.standing is Standing.ASKED:
        return _stands(node, Standing.UNREACHABLE, node.words or "never answered", now_s)
    if node.stuck:
        return _stands(node, Standing.STUCK, node.blocker, now_s)
    return _stands(node, Standing.GOING_ON, node.blocker, now_s)


def _stands(node: NodeState, standing: Standing, words: str, now_s: float) -> NodeState:
    ended_s = now_s if standing in ENDED else None
    return replace(node, standing=standing, words=words, ended_s=ended_s)
