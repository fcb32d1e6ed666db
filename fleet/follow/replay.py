"""A policy on recorded beam modes, through the same decisions as on a farm, with a clock that is stepped. Pure but for
the reading of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contract.beam import BeamMode, beam_mode
from contract.config import nearest
from contract.errors import ConfigError
from contract.modes import Wanted
from contract.times import iso, unix
from fleet.follow.beam import Beam, Stay, heard, silent
from fleet.follow.decision import Act, Course, Situation, after, decide
from fleet.follow.policy import Policy

STEP_S: Final = 5.0
EXCLUSION_S: Final = 150.0  # how long an operation is under way in a replay
INCLUSION_S: Final = 60.0
UNKNOWN: Final = "-"


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: when (Unix seconds), in which beam mode, and why."""

    at_s: float
    beam: str
    act: Act
    reason: str


def read_day(path: Path) -> list[Stay]:
    """Returns the stays of a file with lines `TIME MODE`. Raises ConfigError with the line that is wrong."""
    try:
        texts = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    stays: list[Stay] = []
    for number, text in enumerate(texts, 1):
        when, _, word = text.partition("#")[0].strip().partition(" ")
        if not when:
            continue
        mode = None if word.strip() == UNKNOWN else beam_mode(word)
        if mode is None and word.strip() != UNKNOWN:
            near = nearest(word.strip().upper(), [each.value for each in BeamMode])
            raise ConfigError(f"{path}:{number}: {word.strip() or 'nothing'} is no beam mode{near}")
        try:
            since_s = unix(when)
        except ValueError:
            raise ConfigError(f"{path}:{number}: {when}: a time such as 2026-10-17T08:00:00Z wanted") from None
        if stays and since_s <= stays[-1].since_s:
            raise ConfigError(f"{path}:{number}: {when} is not later than the line before")
        stays.append(Stay(mode, since_s))
    if len(stays) < 2:
        raise ConfigError(f"{path}: at least two lines `TIME MODE` wanted; the last one says when it ends")
    return stays


def replay(policy: Policy, day: Sequence[Stay], step_s: float = STEP_S) -> Iterator[Replayed]:
    """Yields what `policy` decides from the first stay of `day` to the beginning of the last."""
    beam, course = Beam(heard_s=day[0].since_s), Course()
    way: Wanted | None = None
    until_s = 0.0
    for now_s, mode in _steps(day, step_s):
        if mode is not None:
            beam = heard(beam, mode, now_s, policy.patience_s)
        else:
            beam = msgspec.structs.replace(silent(beam, now_s, policy.patience_s), trouble="nothing is heard")
        if way is not None and now_s >= until_s:
            way = None
        decision = decide(policy, Situation(now_s=now_s, beam=beam, course=course, under_way=way))
        course = after(course, decision, now_s)
        if decision.act is Act.WAIT:
            continue
        way = decision.wanted
        until_s = now_s + (EXCLUSION_S if decision.act is Act.TO_CLOUD else INCLUSION_S)
        yield Replayed(at_s=now_s, beam=beam.mode or "unknown", act=decision.act, reason=decision.reason)


def markdown(made: Iterable[Replayed]) -> str:
    """Returns decisions as a table for a manual."""
    rows = [
        f"| {iso(each.at_s)[11:19]} | {each.beam} | {'to the cloud' if each.act is Act.TO_CLOUD else each.act.value} "
        f"| {each.reason} |"
        for each in made
    ]
    return "\n".join(["| time (UTC) | beam mode | decision | why |", "|---|---|---|---|", *rows])


def _steps(day: Sequence[Stay], step_s: float) -> Iterator[tuple[float, BeamMode | None]]:
    """Yields the moments of a day, `step_s` apart, with the mode of each."""
    now_s, end_s = day[0].since_s, day[-1].since_s
    place = 0
    while now_s < end_s:
        while day[place + 1].since_s <= now_s:
            place += 1
        yield now_s, day[place].mode
        now_s += step_s
