"""The soak in its short form: the way to thousand journeys is the same, the figures of growth say nothing here."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.soak import soak

JOURNEYS = 12


@pytest.mark.timeout(600)
def test_every_request_of_a_few_bad_journeys_is_accounted_for(tmp_path: Path) -> None:
    soaked = soak(tmp_path, JOURNEYS, seed=3, console=Console(quiet=True))
    books = soaked.books
    assert books.faults == ()
    assert sum(books.outcomes.values()) == books.accepted >= 2 * JOURNEYS
    for held in (soaked.switcher, soaked.collector):
        assert [each.children for each in held] == [0] * JOURNEYS
        # A daemon that happens to look around has some files more open for a moment; one that loses them keeps them.
        early, late = (min(each.files for each in half) for half in (held[: JOURNEYS // 2], held[JOURNEYS // 2 :]))
        assert late - early <= 1
