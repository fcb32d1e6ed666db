"""Where a request ends, told by its head alone, so that only whole requests of a bounded size go further."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, NamedTuple

LARGEST_HEAD_BYTES: Final = 16 << 10
LARGEST_BODY_BYTES: Final = 16 << 10
MOST_HEADERS: Final = 100

END: Final = re.compile(rb"\r?\n\r?\n")
LONGEST_END: Final = 4
BEGINNING: Final = re.compile(rb"[A-Z]{1,15}(?: |\Z)")
FIRST_LINE: Final = re.compile(rb"[A-Z]{1,15} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r?(?:\n|\Z)")
LENGTH: Final = re.compile(rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class Unfit(NamedTuple):
    """Why bytes are not taken as a request: the status and the one line of the answer."""

    status: HTTPStatus
    words: str


def _header(name: bytes, value: bytes = b"") -> re.Pattern[bytes]:
    return re.compile(b"^" + name + rb"[ \t]*:" + value, re.IGNORECASE | re.MULTILINE)


# What would make the end of a request doubtful, its body larger than it came, or aiohttp answer by itself.
UNWANTED: Final = (
    (_header(b"transfer-encoding"), Unfit(HTTPStatus.LENGTH_REQUIRED, "Content-Length wanted, no Transfer-Encoding")),
    (_header(b"content-encoding"), Unfit(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no Content-Encoding wanted")),
    (
        _header(b"expect", rb"(?![ \t]*100-continue[ \t]*\r?$)"),
        Unfit(HTTPStatus.EXPECTATION_FAILED, "Expect: nothing but 100-continue is known"),
    ),
)


def length(
    waiting: bytes | bytearray, looked_at: int = 0, largest_body_bytes: int = LARGEST_BODY_BYTES
) -> int | Unfit | None:
    """Returns how many bytes of `waiting` are the first request; None while its head is not whole.

    It was not whole in the first `looked_at` bytes, which are not searched again. The body may still be missing. A
    request that is too large is known as such before its body has come.
    """
    if not BEGINNING.match(waiting[:16]):
        return Unfit(HTTPStatus.BAD_REQUEST, "not HTTP")
    end = END.search(waiting, max(0, looked_at - LONGEST_END + 1), LARGEST_HEAD_BYTES)
    if end is None:
        if len(waiting) >= LARGEST_HEAD_BYTES:
            return Unfit(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers: at most {LARGEST_HEAD_BYTES} bytes wanted"
            )
        return None
    head = bytes(waiting[: end.start()])
    if unfit := _unwanted(head):
        return unfit
    lengths = LENGTH.findall(head)
    if not lengths:
        return end.end()
    if len(lengths) > 1 or not lengths[0].isdigit():
        return Unfit(HTTPStatus.BAD_REQUEST, "Content-Length: one number wanted")
    if len(lengths[0]) > 12 or int(lengths[0]) > largest_body_bytes:
        return Unfit(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: at most {largest_body_bytes} bytes wanted")
    return end.end() + int(lengths[0])


def _unwanted(head: bytes) -> Unfit | None:
    if not FIRST_LINE.match(head):
        return Unfit(HTTPStatus.BAD_REQUEST, "not HTTP/1.0 or HTTP/1.1")
    if head.count(b"\n") > MOST_HEADERS:
        return Unfit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers: at most {MOST_HEADERS} wanted")
    return next((unfit for pattern, unfit in UNWANTED if pattern.search(head)), None)
