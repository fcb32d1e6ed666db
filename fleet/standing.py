"""How one node stands in an operation, from what it answered and what was seen of it. Pure.

Every node ends in one class, and none is called done because nobody objected: the node's own journal says so, or, of a
node that has none, the mode that was seen (`certain` is False then). `already` is no more than a word until the node is
seen at rest where it was wanted: an earlier request that is still on its way may yet fail.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from contract.modes import Mode, Vms, Wanted
from contract.request import Verdict


class Standing(StrEnum):
    """Where a node stands. The first three are on their way to one of the others."""

    WAITING = "waiting"  # its turn has not come
    ASKED = "asked"  # its turn has come, and nobody knows yet whether it has heard
    SWITCHING = "switching"  # it has accepted, or is on its way by an earlier request
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
    Verdict.ALREADY: Standing.SWITCHING,  # and `joined`
    Verdict.NEWER: Standing.SUPERSEDED,
    Verdict.REFUSED: Standing.REFUSED,
}


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """One node in one operation. Times are Unix seconds.

    `tries` counts how often the request was sent or may have been; with 0 the node can't be where it is because of this
    operation. Its time begins at `asked_s`: when its turn came, and anew, once (`renewed`), when the request was sent
    for the first time. `silent` says that the last look at it failed, `joined` that an earlier request brings it, or
    has brought it, where it is wanted.
    """

    host: str
    request_id: str
    standing: Standing = Standing.WAITING
    words: str = ""
    mode: Mode | None = None
    blocker: str = ""
    stuck: bool = False
    certain: bool = True
    tries: int = 0
    silent: bool = False
    joined: bool = False
    renewed: bool = False
    asked_s: float | None = None
    ended_s: float | None = None


class Called(msgspec.Struct, frozen=True):
    """Its turn has come; it is looked at before it is asked."""


class Asked(msgspec.Struct, frozen=True):
    """The request is about to be sent."""


class NotSent(msgspec.Struct, frozen=True):
    """The request that was about to be sent was not: the node was not reached, or did not let us in."""

    words: str


class Answered(msgspec.Struct, frozen=True):
    """The node answered the request; an old one can only say that it has heard."""

    verdict: Verdict
    reason: str = ""
    certain: bool = True


class Denied(msgspec.Struct, frozen=True):
    """The node lets nobody in who comes like us."""

    words: str


class NoAnswer(msgspec.Struct, frozen=True):
    """Nobody answered, or not in a way that can be understood."""

    words: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How the node stands: `switch_id` is the request under way.

    Of our request the journal says how it was `heard`, and its `outcome`; None where it says nothing. Of a request that
    an earlier one had made needless the outcome is that of the earlier one. `whole` says that there is nothing more in
    the journal.
    """

    mode: Mode | None
    switch_id: str | None = None
    heard: Verdict | None = None
    outcome: str | None = None
    why: str = ""
    blocker: str = ""
    stuck: bool = False
    vms: str = ""
    whole: bool = False
    certain: bool = True


class Late(msgspec.Struct, frozen=True):
    """The time that the operation gives a node is over."""


class Held(msgspec.Struct, frozen=True):
    """No operation may take the node, and why."""

    words: str


class CalledOff(msgspec.Struct, frozen=True):
    """The operation asks nobody any more, and why."""

    words: str = "called off"


Event = Called | Asked | NotSent | Answered | Denied | NoAnswer | Seen | Late | Held | CalledOff


def step(node: NodeState, event: Event, to: Wanted, now_s: float) -> NodeState:
    """Returns `node`, which is to go to `to`, after `event`. One that has ended stays as it is."""
    if node.standing in ENDED:
        return node
    match event:
        case Called() | Asked():
            return _asked(node, now_s, sending=isinstance(event, Asked))
        case NotSent():
            return replace(node, words=event.words, silent=True, tries=max(0, node.tries - 1))
        case Answered():
            heard = replace(node, certain=node.certain and event.certain, silent=False)
            return _heard(heard, event.verdict, event.reason, now_s)
        case Denied() if node.standing is Standing.ASKED and not node.tries:
            return _stands(node, Standing.REFUSED, event.words, now_s)
        case Denied() | NoAnswer():
            # A request that got no answer this time may have been heard before.
            return replace(node, words=event.words, silent=True)
        case Seen():
            return _seen(node, event, to, now_s)
        case Late():
            return _late(node, now_s)
        case Held() | CalledOff():
            words = event.words if isinstance(event, Held) else f"not asked: {event.words}"
            waits = node.standing is Standing.WAITING
            return _stands(node, Standing.LEFT_OUT, words, now_s) if waits else node


def _asked(node: NodeState, now_s: float, *, sending: bool) -> NodeState:
    renewed = node.asked_s is not None and sending and not node.tries and not node.renewed
    return replace(
        node,
        standing=Standing.ASKED,
        tries=node.tries + sending,
        asked_s=now_s if renewed or node.asked_s is None else node.asked_s,
        renewed=node.renewed or renewed,
    )


def _heard(node: NodeState, verdict: Verdict, why: str, now_s: float) -> NodeState:
    if verdict is Verdict.ALREADY:
        if not node.certain:
            return _stands(node, Standing.ALREADY, why, now_s)
        node = replace(node, joined=True)
    return _stands(node, OF_VERDICT[verdict], why, now_s)


def _seen(node: NodeState, seen: Seen, to: Wanted, now_s: float) -> NodeState:
    words = "" if node.silent and node.standing is Standing.SWITCHING else node.words
    node = replace(
        node, mode=seen.mode, blocker=seen.blocker, stuck=seen.stuck, silent=False, words=words,
        certain=node.certain and seen.certain,
    )  # fmt: skip
    there = seen.mode is not None and seen.mode.value == to.value
    if node.standing is Standing.WAITING:
        return node
    if not seen.certain:
        # It names no blocker; while it has not heard, what it said instead is what holds it up.
        waits = replace(node, blocker=node.words if node.standing is Standing.ASKED else "")
        return _seen_old(node, now_s) if there else waits
    if node.standing is Standing.ASKED:
        # The answer was lost, but not the request.
        heard = Verdict.ACCEPTED if seen.switch_id == node.request_id else seen.heard
        if heard is not None:
            node = _heard(node, heard, seen.why, now_s)
    if seen.outcome is not None:
        return _came_out(node, seen.outcome, seen.why, now_s)
    if node.standing is not Standing.SWITCHING or seen.switch_id == node.request_id:
        return node
    if node.joined:
        return _seen_joined(node, seen, now_s) if there and seen.switch_id is None else node
    if not seen.whole:
        return node
    # It had accepted, and neither does it nor has it in its journal: its memory is gone.
    if there and seen.switch_id is None:
        return _stands(replace(node, certain=False), Standing.DONE, "seen in its mode; its journal has lost it", now_s)
    return replace(node, standing=Standing.ASKED, words="it had accepted and no longer knows of it")


def _came_out(node: NodeState, outcome: str, why: str, now_s: float) -> NodeState:
    standing = OF_OUTCOME.get(outcome, Standing.FAILED)
    if node.joined and standing is Standing.DONE:
        standing = Standing.ALREADY
    return _stands(node, standing, why, now_s)


def _seen_old(node: NodeState, now_s: float) -> NodeState:
    if node.standing is Standing.ASKED and not node.tries:
        return _stands(node, Standing.ALREADY, "seen in its mode; it keeps no journal", now_s)
    return _stands(node, Standing.DONE, "seen in its mode; it keeps no journal", now_s)


def _seen_joined(node: NodeState, seen: Seen, now_s: float) -> NodeState:
    """It is at rest in the mode that is wanted, by an earlier request; a cloud without VMs is not what was wanted."""
    if seen.vms == Vms.FAILED.value:
        return _stands(node, Standing.FAILED, f"in cloud since an earlier request, without VMs: {seen.blocker}", now_s)
    if seen.mode is Mode.CLOUD and seen.vms not in ("", Vms.UP.value):
        return node
    return _stands(node, Standing.ALREADY, node.words, now_s)


def _late(node: NodeState, now_s: float) -> NodeState:
    if node.standing is Standing.WAITING:
        return _stands(node, Standing.LEFT_OUT, "not asked in time", now_s)
    if node.standing is Standing.ASKED:
        if node.silent or not node.tries:
            return _stands(node, Standing.UNREACHABLE, node.words or "never answered", now_s)
        return _stands(node, Standing.FAILED, f"it answers, but took no request: {node.words}", now_s)
    if node.silent:
        return _stands(node, Standing.UNREACHABLE, f"accepted, then fell silent: {node.words}", now_s)
    if node.stuck:
        return _stands(node, Standing.STUCK, node.blocker, now_s)
    return _stands(node, Standing.GOING_ON, node.blocker, now_s)


def _stands(node: NodeState, standing: Standing, words: str, now_s: float) -> NodeState:
    ended_s = now_s if standing in ENDED else None
    return replace(node, standing=standing, words=words, ended_s=ended_s)
