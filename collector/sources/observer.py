"""Follows the modes of one or many nodes from look to look, and the switches of those that nobody journals."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from collector.documents import Document, Sighting
from collector.facts import JournalView, ModeNow, Published, mode_now
from collector.sources.looks import Switched
from collector.sources.observed import SHARP_S, Course, course_of, follow, moment_s, observed_document
from contract.box import Box
from contract.config import Node, NodeConfig
from contract.modes import MODE_OF_CLOUD_STATE, Mode
from contract.times import unix

log = logging.getLogger("collector")

# Switches that wait for a log that takes nothing; a farm that switches every minute fills it in a week.
OWED_AT_MOST: Final = 10_000


class Observer:
    """Knows the mode of each node it was shown. `left` holds the newest box document of each, from an earlier life."""

    def __init__(self, left: Mapping[str, Document], config: NodeConfig) -> None:
        self._config = config
        self._now = {host: _as_left(box) for host, box in left.items()}
        self._courses = {host: course for host, box in left.items() if (course := course_of(box))}
        self._owed: deque[Switched] = deque(maxlen=OWED_AT_MOST)

    def look(
        self, node: Node, seen: Sighting, now_s: float, *, published: Published | None, journal: JournalView
    ) -> ModeNow:
        """Returns the mode of `node` at `now_s`; a switch of unmodified hltd that has ended is owed from now on."""
        before = self._now.get(node.host, ModeNow())
        box = seen.box
        course = None
        if published is None and box is not None and box.mode is None:
            course = self._course(node, box, now_s)
        elif published is not None or box is not None:
            # Our switcher's journal tells its switches, and what hltd had begun before it came has no end.
            self._courses.pop(node.host, None)
        if course is not None:
            before = ModeNow(mode=course.mode, since_s=course.since_s)
        now = mode_now(before, published, journal, box, now_s)
        if course is not None and course.mode is now.mode:
            now = replace(now, switch_id=course.switch_id(node.host))
        self._now[node.host] = now
        return now

    def owed(self) -> tuple[Switched, ...]:
        """Returns the switches that are not in the log yet, oldest first."""
        return tuple(self._owed)

    def kept(self) -> None:
        """Takes note that what was owed is in the log."""
        self._owed.clear()

    def reload(self, config: NodeConfig) -> None:
        """Takes over time-outs and interval."""
        self._config = config

    def _course(self, node: Node, box: Box, now_s: float) -> Course | None:
        course = self._courses.get(node.host)
        mode = MODE_OF_CLOUD_STATE.get(box.cloudState)
        if mode is None:
            return course
        course, ended = follow(
            course,
            mode,
            moment_s(box.fm_date, now_s),
            host=node.host,
            limits=self._config.switch,
            sharp_s=max(SHARP_S, 3 * self._config.collector.interval_s),
        )
        self._courses[node.host] = course
        for switch in ended:
            log.info("%s: switch to %s seen: %s", node.host, switch.to.value, switch.outcome)
            document = observed_document(switch, node)
            self._owed.append(Switched(document, node.host, switch.to, switch.outcome, switch.phases))
        return course


def _as_left(box: Document) -> ModeNow:
    """Returns mode and since as an earlier collector saw them last, so that a restart doesn't make a mode younger."""
    try:
        return ModeNow(mode=Mode(str(box["mode"])), since_s=unix(str(box["mode_since"])))
    except (KeyError, ValueError):
        return ModeNow()
