"""A recorded day through the real decisions: what the manual shows is what the code decides, and nothing flaps."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from contract.beam import FREE_FOR_CLOUD, WHOLE_FARM_WANTED, BeamMode
from contract.errors import ConfigError
from fleet.follow.beam import Stay
from fleet.follow.decision import Act
from fleet.follow.policy_file import load
from fleet.follow.replay import Replayed, markdown, read_day, replay

ROOT = Path(__file__).parents[2]
DAY = ROOT / "tests" / "samples" / "beam" / "day.txt"
POLICY = load(ROOT / "packaging" / "policy.toml").policy


@pytest.fixture(scope="module")
def stays() -> list[Stay]:
    return read_day(DAY)


@pytest.fixture(scope="module")
def made(stays: list[Stay]) -> list[Replayed]:
    return list(replay(POLICY, stays))


def test_the_manual_shows_what_the_code_decides(made: list[Replayed]) -> None:
    manual = (ROOT / "docs" / "policy.md").read_text()
    shown = re.search(r"<!-- decisions: (.*) -->\n(.*?)\n<!-- end -->", manual, re.DOTALL)
    assert shown
    assert shown[2] == markdown(made), f"stale: put what this prints between the marks: {shown[1]}"


def test_each_turn_is_followed_by_its_way_back_and_none_is_near_another(made: list[Replayed]) -> None:
    assert len([each for each in made if each.act is Act.TO_CLOUD]) == 5
    for earlier, later in pairwise(made):
        assert earlier.act is not later.act
    turns = [each.at_s for each in made if each.act is Act.TO_CLOUD]
    assert min(later - earlier for earlier, later in pairwise(turns)) >= POLICY.between_s


def test_at_every_moment_of_beam_the_farm_is_home_or_has_been_asked_back(
    made: list[Replayed], stays: list[Stay]
) -> None:
    for stay in stays[:-1]:
        before = [each for each in made if each.at_s <= stay.since_s + 5.0]
        if stay.mode in WHOLE_FARM_WANTED and before:
            assert before[-1].act is Act.TO_HLT
            assert before[-1].at_s < stay.since_s - 3600.0
    for each in made:
        if each.act is Act.TO_CLOUD:
            assert each.beam in FREE_FOR_CLOUD


def test_the_false_ramp_down_and_the_short_gap_move_nobody(made: list[Replayed], stays: list[Stay]) -> None:
    beams = [stay.mode for stay in stays]
    assert beams.count(BeamMode.RAMP_DOWN) == 8
    for first, last in (("05:50", "06:10"), ("18:25", "18:45")):
        assert not [each for each in markdown(made).splitlines() if f"| {first}" <= each[:7] <= f"| {last}"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-10-17T00:00:00Z STABLE BEEMS\n", ":1: STABLE BEEMS is no beam mode; did you mean STABLE BEAMS?"),
        ("# none\n\nyesterday RAMP\n", ":3: yesterday: a time such as"),
        ("2026-10-17T01:00:00Z RAMP\n2026-10-17T00:00:00Z SETUP\n", ":2: 2026-10-17T00:00:00Z is not later"),
        ("2026-10-17T01:00:00Z RAMP\n", "at least two lines"),
        ("2026-10-17T01:00:00Z\n", ":1: nothing is no beam mode"),
    ],
)
def test_a_day_that_makes_no_sense_is_named_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "day.txt"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_day(path)
    assert str(raised.value).startswith(str(path))
    assert words in str(raised.value)
