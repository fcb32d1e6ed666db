"""Variables and macros in queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NAME = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
ALL = "$__all"


class Window(NamedTuple):
    """The time that is looked at, in Unix seconds, and the points wanted in it."""

    start_s: float
    end_s: float
    points: int = 200
    least_step_s: float = 1.0
    scrape_s: float = 15.0

    @property
    def step_s(self) -> float:
        """The time between two points, whole seconds."""
        return max(self.least_step_s, round((self.end_s - self.start_s) / self.points))

    def earlier(self, shift_s: float) -> Window:
        """Returns the window as much earlier."""
        return self._replace(start_s=self.start_s - shift_s, end_s=self.end_s - shift_s)


def seconds(text: str) -> float:
    """Returns a duration such as 7d in seconds."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[text[-1]]


def fill(text: str, values: Mapping[str, Sequence[str]], window: Window) -> str:
    """Returns `text` with variables and macros replaced; a variable of several values becomes a pattern."""
    step_s, span_s = window.step_s, window.end_s - window.start_s
    macros = {
        "__interval": f"{step_s:g}s",
        "__range": f"{max(1, round(span_s))}s",
        "__rate_interval": f"{max(step_s + window.scrape_s, 4 * window.scrape_s):g}s",
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in macros:
            return macros[name]
        chosen = values[name]  # a KeyError names the variable that no dashboard declares
        if list(chosen) == [ALL]:
            return ".+"
        words = [re.escape(word) if match[2] == "regex" else word for word in chosen]
        return words[0] if len(words) == 1 else f"({'|'.join(words)})"

    return NAME.sub(value, text)
