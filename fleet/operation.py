"""One operation: whom it asks for what, how it spreads, and where it stands. Pure."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from contract.modes import Wanted
from contract.request import Request
from contract.times import iso
from fleet.hosts import Place
from fleet.rollout import Ramp, Verdict
from fleet.standing import BAD, CalledOff, NodeState, Standing, step

LIMITS_S = {Wanted.CLOUD: 240.0, Wanted.HLT: 120.0}  # what known callers wait (hltd contract)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered. Times are Unix seconds; each node has `limit_s` from the moment it is asked.

    `order` is who is asked after whom, `not_asked` who else was named, where that matters to whoever orders it once
    more. `verdict` is there once it is over.
    """

    id: str
    to: Wanted
    who: str
    reason: str
    created_s: float
    order: tuple[str, ...]
    places: dict[str, Place]
    ramp: Ramp = Ramp()
    limit_s: float
    hurry: bool = False
    deadline_s: float | None = None
    of: str = ""  # the operation that this one undoes or repeats
    not_asked: tuple[str, ...] = ()
    called_off: bool = False
    stopped: str = ""  # why it asks nobody any more, when too many were bad
    verdict: Verdict | None = None

    @property
    def request(self) -> Request:
        """What each node is asked: the same id everywhere, so that a repeated question is none."""
        return Request(
            id=self.id, to=self.to, who=self.who, reason=self.reason, hurry=self.hurry, deadline_s=self.deadline_s
        )

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.verdict is not None


def new_id(now_s: float | None = None) -> str:
    """Returns an id that no other operation has, and that tells when it was made."""
    now_s = time.time() if now_s is None else now_s
    return f"op-{iso(now_s)[:19].replace(':', '').replace('-', '')}-{secrets.token_hex(3)}"


def counts(nodes: Iterable[NodeState]) -> dict[Standing, int]:
    """Returns how many stand where; those with none are left out."""
    found = Counter(node.standing for node in nodes)
    return {standing: found[standing] for standing in Standing if found[standing]}


def changed(nodes: Mapping[str, NodeState]) -> list[str]:
    """Returns the nodes that this operation has moved, or may have: what an undo must ask back."""
    moved = {
        Standing.DONE, Standing.FAILED, Standing.STUCK, Standing.GOING_ON, Standing.SWITCHING, Standing.ASKED,
        Standing.UNREACHABLE,
    }  # fmt: skip
    return [host for host, node in nodes.items() if node.standing in moved and node.tries and not node.joined]


def missed(nodes: Mapping[str, NodeState]) -> list[str]:
    """Returns the nodes that this operation could not bring where they were wanted: what a retry asks once more."""
    again = {*BAD, Standing.GOING_ON, Standing.LEFT_OUT}
    return [host for host, node in nodes.items() if node.standing in again]


def open_words(operation: Operation) -> str:
    """Returns why an operation that is not over can't be repeated."""
    return (
        f"{operation.id} is not over, so nobody knows yet whom to ask once more; "
        f"`hltmode fleet watch {operation.id}` goes on with it"
    )


def nobody_again(operation: Operation, to: Wanted) -> str:
    """Returns why nobody is asked to go `to` there after an operation, back or once more."""
    why = "every node that it asked is where it was wanted" if to is operation.to else "it has moved nobody"
    return f"{operation.id}: {why}, so there is nobody to ask"


def given_up(operation: Operation, nodes: Iterable[NodeState], now_s: float) -> tuple[Operation, list[NodeState]]:
    """Returns an operation that is over at once, and its nodes: who waited is left out, the others go on unwatched."""
    left = [step(node, CalledOff(), operation.to, now_s) for node in nodes]
    return msgspec.structs.replace(operation, called_off=True, verdict=Verdict.CALLED_OFF), left
