"""A server whose queue is full for some documents of a bulk request: what it hears and what is answered. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

REJECTED: Final = {
    "status": 429,
    "error": {"type": "es_rejected_execution_exception", "reason": "rejected execution of primary operation"},
}


def actions(body: bytes) -> Iterator[bytes]:
    """Yields each action of a bulk request with its document."""
    lines = body.split(b"\n")[:-1]
    for at in range(0, len(lines), 2):
        yield b"\n".join(lines[at : at + 2]) + b"\n"


def chosen(dice: random.Random, share: float, amount: int) -> list[bool]:
    """Returns which of `amount` actions are refused."""
    return [dice.random() < share for _ in range(amount)]


def without(body: bytes, refused: list[bool]) -> bytes:
    """Returns the request without what is refused."""
    return b"".join(action for action, out in zip(actions(body), refused, strict=True) if not out)


def answered(body: bytes, answer: bytes, refused: list[bool]) -> bytes:
    """Returns the answer to the whole request `body`, of which the server has answered the rest with `answer`."""
    told: dict[str, Any] = msgspec.json.decode(answer) if answer else {"items": []}
    rest = iter(told["items"])
    told["items"] = [
        {_verb(action): REJECTED} if out else next(rest) for action, out in zip(actions(body), refused, strict=True)
    ]
    told["errors"] = told.get("errors", False) or any(refused)
    return msgspec.json.encode(told)


def _verb(action: bytes) -> str:
    return str(next(iter(msgspec.json.decode(action.split(b"\n")[0]))))
