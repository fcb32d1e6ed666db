"""What callers do wrong at the HTTP entrance is one line in the log; a traceback is kept for what we do wrong."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

SERVER_LOG: Final = "aiohttp.server"
LONGEST: Final = 120


class CallersFault(logging.Filter):
    """Shortens records about requests that are no HTTP, or whose caller hung up before they were whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns True: every record is kept."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | ConnectionResetError):
            words = " ".join(str(error).split())[:LONGEST]
            record.msg, record.args = f"{record.getMessage()}: %s", (words,)
            record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True
