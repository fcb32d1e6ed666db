"""How many examples a property gets, how they are chosen, and how many there were."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

from hypothesis import HealthCheck, settings

EXAMPLES: Final = "FUZZ_EXAMPLES"

# In CI few examples and always the same ones; `make fuzz` sets the variable and draws others each time.
BUDGET: Final = settings(
    max_examples=int(os.environ.get(EXAMPLES, "120")),
    derandomize=EXAMPLES not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)

tried: Final[Counter[str]] = Counter()


def one_line(error: BaseException) -> None:
    """Fails unless `error` says one printable line of bearable length, as people are promised."""
    words = str(error)
    assert words
    assert words.isprintable(), repr(words)
    assert len(words) < 2000, len(words)
