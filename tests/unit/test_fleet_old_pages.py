"""Which pages of an old node are the words of an error, and which words are told."""

from __future__ import annotations

import pytest

from fleet.old_pages import LONGEST, error_in
from simulator.node_farm.entrance import BROKEN


@pytest.mark.parametrize(
    "page",
    [
        b"", b"4\n", b"()\n<TITLE>CGI script exclude</TITLE>\n", b"<html><body>exclude requested</body></html>\n",
        b"<p>no Errors so far", "\xff\xfe<".encode("latin-1"),
    ],
)  # fmt: skip
def test_what_hltd_says_when_all_is_well_is_no_error(page: bytes) -> None:
    assert error_in(page) == ""


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (BROKEN.encode(), "PermissionError: [Errno 13] Permission denied: 'command'"),
        (
            b"Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left on device\n",
            "OSError: [Errno",
        ),
        (b"<title>500 Internal Server Error</title>", "500 Internal Server Error"),
        (
            b"<p><!--: spam\nContent-Type: text/html\n-->\n<strong>exceptions.IOError</strong>: [Errno 2]",
            "exceptions.IO",
        ),
        (b"Traceback (most recent call last):\ncut off", "Traceback (most recent call last):"),
        (b"ValueError: " + b"x" * 900, "ValueError: xxx"),
    ],
)
def test_an_error_is_told_by_its_last_line(page: bytes, words: str) -> None:
    found = error_in(page)
    assert found.startswith(words)
    assert len(found) <= LONGEST
