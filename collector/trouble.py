"""Trouble that lasts is said once, not at every look."""

from __future__ import annotations

import logging

log = logging.getLogger("collector")


class Trouble:
    """What is wrong with one thing; a log line when it changes. `good_again` is said when it is over."""

    def __init__(self, good_again: str) -> None:
        self.words = ""
        self._good_again = good_again

    def say(self, words: str) -> None:
        """Takes over what is wrong now; empty for nothing."""
        if words and words != self.words:
            log.warning("%s", words)
        elif self.words and not words:
            log.info("%s", self._good_again)
        self.words = words
