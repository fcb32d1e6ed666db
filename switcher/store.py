"""What the switcher keeps on disk: the state file and the journal, written so that neither loses nor doubles a step.

The journal records of a step are in the state file too. A kill between the two writes is mended at the next start:
what the state file has and the journal lacks is appended then.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from contract.durable import replace_durably
from contract.errors import Surroundings
from contract.journal import AnyRecord, Journal
from contract.paths import NodePaths
from contract.undecodable import UNDECODABLE
from switcher.states import State
from switcher.timeline import Timeline

log = logging.getLogger(__name__)

FORMAT: Final = 1


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the state file; `records` are those of its last step."""

    format: int = FORMAT
    state: State
    timeline: Timeline
    records: list[AnyRecord]


class Store:
    """The state folder of one node."""

    def __init__(self, paths: NodePaths) -> None:
        self._path = paths.state
        try:
            self._journal = Journal(paths.journal)
        except OSError as error:
            raise Surroundings(
                f"{paths.journal}: cannot be written ({error.strerror}); give this user the state folder"
            ) from error

    @property
    def last_seq(self) -> int:
        """The number of the newest journal record on disk."""
        return self._journal.last_seq

    def load(self) -> Saved | None:
        """Returns what was saved last and completes the journal from it; None at a first start.

        A state file that can't be understood is moved aside: facts then decide, as at a first start.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Surroundings(f"{self._path}: cannot be read ({error.strerror})") from error
        try:
            saved = msgspec.json.decode(content, type=Saved)
        except UNDECODABLE as error:
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
            self._path.rename(aside)
            log.error("%s: not a state file (%s); moved to %s, starting from facts", self._path, error, aside.name)
            return None
        self._journal.complete(saved.records)
        return saved

    def save(self, state: State, timeline: Timeline, records: list[AnyRecord]) -> None:
        """Puts one step on disk. Raises OSError; calling again with the same arguments is harmless."""
        saved = Saved(state=state, timeline=timeline, records=records)
        replace_durably(self._path, msgspec.json.encode(saved))
        self._journal.append(records)

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()
