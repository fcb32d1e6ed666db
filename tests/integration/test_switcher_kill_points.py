"""kill -9 before and after everything that a switcher does on a journey there and back: the next one arrives.

The journeys and what must be true are in `journeys`, the points in `killed_switcher`. `make kill` dies at every point;
CI dies at each kind of point once, and at each save between its two files.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from switcher.events import Ask, CheckRun, Effect, Ignite, MoveTokens, Refuse, Reply, StartWork, TellJobs
from tests.integration.journeys import JOURNEYS, Trial, Truth, crossing, points_passed, refused_and_joined
from tests.integration.nursery import Nursery

SIDE_BY_SIDE: Final = 4
BETWEEN_TWO_FILES: Final = "before append"  # the state file is written, the journal is not
Journey = Callable[[Trial], None]
# Of the effects only these are made on purpose by no journey: tokens moved by hand, and a cloud tool that lies.
NOT_ON_A_JOURNEY: Final = {Ask}


class Death(NamedTuple):
    """One trial: where the switcher was to die, whether it did, and what was wrong afterwards."""

    point: str
    died: bool
    wrong: str


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def trial(nursery: Nursery, truth: Truth, journey: Journey, point: str, root: Path) -> Death:
    """Goes on `journey` with a daemon that dies at `point`."""
    node = Trial(nursery, root)
    wrong = ""
    try:
        with truth.of(node.folder):
            node.start(deadly=point, passed=root / "points")
            journey(node)
    except AssertionError as error:
        wrong = f"{journey.__name__}, killed {point}: {error}"
    finally:
        node.clean()
    passed = points_passed(root / "points")
    if not wrong:
        shutil.rmtree(root)
    return Death(point, passed[-1:] == [point], wrong)


def reference(nursery: Nursery, journey: Journey, root: Path) -> list[str]:
    """Returns the points of a journey on which nobody dies."""
    with Truth() as truth:
        node = Trial(nursery, root)
        try:
            with truth.of(node.folder):
                node.start(passed=root / "points")
                journey(node)
        finally:
            node.clean()
    assert not truth.lies
    return points_passed(root / "points")


def kind(point: str) -> str:
    """Returns `after save` of `after save#3`."""
    return point.partition("#")[0]


def chosen(journey: Journey, points: list[str]) -> list[str]:
    """Returns the points at which CI dies: each kind once, on the first journey that has it, and between two files."""
    elsewhere = set().union(*(expected(earlier) for earlier in JOURNEYS[: JOURNEYS.index(journey)]))
    counts = Counter(kind(point) for point in points)
    middles = {f"{name}#{(count + 1) // 2}" for name, count in counts.items() if name not in elsewhere}
    return [point for point in points if point in middles or kind(point) == BETWEEN_TWO_FILES]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
def test_a_switcher_killed_at_any_point_arrives_all_the_same(
    nursery: Nursery, journey: Journey, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    points = reference(nursery, journey, tmp_path / "reference")
    deadly = points if request.config.getoption("every_point") else chosen(journey, points)
    with Truth() as truth, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        deaths = list(pool.map(lambda point: trial(nursery, truth, journey, point, tmp_path / point), deadly))
    wrong = [death.wrong for death in deaths if death.wrong]
    assert not wrong, "\n\n".join(wrong)
    assert not truth.lies
    died = [death.point for death in deaths if death.died]
    sys.stdout.write(f"{journey.__name__}: {len(points)} points, killed at {len(died)}, {truth.looks} looks\n")
    # Which points there are differs from time to time by a look or two.
    assert len(died) >= 0.9 * len(deadly)
    assert {kind(point) for point in points} >= expected(journey)
    assert {kind(point) for point in died} >= {kind(point) for point in deadly}


def expected(journey: Journey) -> set[str]:
    """Returns the kinds of points that a journey has for certain."""
    around = {"save", "append", "write_mode", "spawn", "move", "prepare", "mark"}
    if journey is refused_and_joined:
        around |= {"take", "drop", "remove_refused", "Refuse"}
    else:
        around |= {"TellJobs last_lumisection", "tell_last_lumisection"}
    effects = {"Reply", "StartWork", "CheckRun", "Ignite status", "MoveTokens HLT"}
    if journey is not crossing:
        effects |= {"Ignite start", "Ignite stop", "MoveTokens cloud"}
    return {f"{when} {what}" for what in around | effects for when in ("before", "after")} | {"one token moved"}


def test_every_effect_of_the_machine_is_met_on_some_journey() -> None:
    """A new effect must be put on a journey, or said to be on none."""
    met = {name.split()[1] for journey in JOURNEYS for name in expected(journey)}
    done = {Ignite, MoveTokens, Refuse, Reply, StartWork, TellJobs, CheckRun}
    assert {effect.__name__ for effect in done} <= met
    notes = {"NoteRequest", "NoteRun", "EndSwitch", "Wake"}  # see SILENT in killed_switcher
    every = {effect.__name__ for effect in Effect.__subclasses__()}
    assert every == {effect.__name__ for effect in done | NOT_ON_A_JOURNEY} | notes
