"""A request to leave HLT or to come back, and the answer to it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from contract.errors import HltmodeError
from contract.modes import Wanted

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,79}")
LONGEST_WHO: Final = 80
LONGEST_REASON: Final = 300
LONGEST_DEADLINE_S: Final = 86_400.0


class Verdict(StrEnum):
    """What became of a request when it came in."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    NEWER = "newer"
    REFUSED = "refused"


HTTP_STATUS: Final[dict[Verdict, int]] = {
    Verdict.ACCEPTED: 202,
    Verdict.ALREADY: 200,
    Verdict.NEWER: 409,
    Verdict.REFUSED: 412,
}


class BadRequest(HltmodeError):
    """A request that can't be understood; the message says which field and why."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks this node to be where, and why.

    `hurry` leaves without waiting for two more lumisections. `deadline_s` starts the ladder: jobs that still run
    after it get SIGTERM, then SIGKILL; without one they are only asked.
    """

    id: str
    to: Wanted
    who: str = ""
    reason: str = ""
    hurry: bool = False
    deadline_s: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the node says to request `id`."""

    id: str
    verdict: Verdict
    reason: str = ""


def printable(text: str, longest: int) -> str:
    """Returns `text` without control characters, cut to `longest` characters."""
    return "".join(letter for letter in text if letter.isprintable())[:longest]


def checked(request: Request) -> Request:
    """Returns `request` with its free texts made harmless. Raises BadRequest for a bad id or deadline."""
    if not REQUEST_ID.fullmatch(request.id):
        raise BadRequest("id: 1 to 80 letters, digits or ._:@- wanted, a letter or digit first")
    deadline = request.deadline_s
    if deadline is not None and not 0 < deadline <= LONGEST_DEADLINE_S:
        raise BadRequest(f"deadline_s: more than 0 and at most {LONGEST_DEADLINE_S:g} seconds wanted")
    return msgspec.structs.replace(
        request,
        who=printable(request.who, LONGEST_WHO),
        reason=printable(request.reason, LONGEST_REASON),
    )
