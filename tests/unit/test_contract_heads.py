"""Where a request ends, and what is no request."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from contract import heads

GET = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /switch HTTP/1.1\r\nContent-Length: 3\r\n\r\n"


def test_a_request_ends_after_its_head_and_body() -> None:
    assert heads.length(GET) == len(GET)
    assert heads.length(GET + b"more") == len(GET)
    assert heads.length(POST) == len(POST) + 3
    assert heads.length(POST + b"abcGET") == len(POST) + 3
    assert heads.length(b"GET / HTTP/1.0\n\n") == 16
    assert heads.length(b"GET / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n") == 40


def test_a_head_that_is_not_whole_is_waited_for() -> None:
    for end in range(1, len(GET) - 1):
        assert heads.length(GET[:end]) is None, GET[:end]


@pytest.mark.parametrize(
    "request_", [GET, POST, b"GET / HTTP/1.0\n\n", b"GET / HTTP/1.0\r\n\n", b"GET / HTTP/1.0\n\r\n"]
)
def test_the_end_of_a_head_is_found_however_it_comes_and_never_looked_for_again(request_: bytes) -> None:
    for looked_at in range(1, len(request_)):
        assert heads.length(request_, looked_at) == heads.length(request_), looked_at
    behind = GET + b"a: b\r\n"
    assert heads.length(behind, len(behind) - 1) is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", HTTPStatus.BAD_REQUEST),
        (b"get / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/2.0\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET  / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"G" * 17, HTTPStatus.BAD_REQUEST),
        (b"GET /" + b"a" * heads.LARGEST_HEAD_BYTES, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", HTTPStatus.LENGTH_REQUIRED),
        (b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n\r\n", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue, x\r\n\r\n", HTTPStatus.EXPECTATION_FAILED),
        (b"GET / HTTP/1.1\r\nexpect:\r\n\r\n", HTTPStatus.EXPECTATION_FAILED),
        (b"POST / HTTP/1.1\r\ncontent-length: 16385\r\n\r\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (b"POST / HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", HTTPStatus.BAD_REQUEST),
    ],
)
def test_what_is_no_request_is_told_with_its_status(text: bytes, status: HTTPStatus) -> None:
    found = heads.length(text)
    assert isinstance(found, heads.Unfit)
    assert found.status is status
    assert found.words.isprintable()
