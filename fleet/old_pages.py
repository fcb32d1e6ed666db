"""Whether a page of hltd's CGI is the words of an error: it says 200 whatever became of its script. Pure."""

from __future__ import annotations

import html
import re
from typing import Final

LONGEST: Final = 200
TAG: Final = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
MUCH: Final = 64 << 10  # letters of a page that are read
SIGNS: Final = ("traceback (most recent call last)", "a problem occurred in a python script", "internal server error")
# `PermissionError: [Errno 13] …`, `exceptions.OSError: …`, `Error: …`: what Python or a script says last.
RAISED: Final = re.compile(
    r"(?:<(?:class|type) '|[\w.]*\.)?\w*(?:Error|Exception|Interrupt)\b'?>?\s*(?::.*)?", re.ASCII
)


def error_in(page: bytes) -> str:
    """Returns what went wrong by the words of a page, in a line; empty when it names no error."""
    text = html.unescape(TAG.sub("\n", page[:MUCH].decode(errors="replace")))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    raised = next((line for line in reversed(lines) if RAISED.fullmatch(line)), "")
    sign = next((line for line in lines if any(each in line.lower() for each in SIGNS)), "")
    return (raised or sign)[:LONGEST]
