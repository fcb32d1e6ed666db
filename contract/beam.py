"""The LHC's beam modes, and which of them leave the farm free for the cloud.

Names are those that the LHC publishes on its page 1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class BeamMode(StrEnum):
    """What the LHC does now; as far as RAMP DOWN in the order of a fill."""

    NO_BEAM = "NO BEAM"
    SETUP = "SETUP"
    INJECTION_PROBE_BEAM = "INJECTION PROBE BEAM"
    INJECTION_SETUP_BEAM = "INJECTION SETUP BEAM"
    INJECTION_PHYSICS_BEAM = "INJECTION PHYSICS BEAM"
    PREPARE_RAMP = "PREPARE RAMP"
    RAMP = "RAMP"
    FLAT_TOP = "FLAT TOP"
    SQUEEZE = "SQUEEZE"
    ADJUST = "ADJUST"
    STABLE_BEAMS = "STABLE BEAMS"
    UNSTABLE_BEAMS = "UNSTABLE BEAMS"
    BEAM_DUMP_WARNING = "BEAM DUMP WARNING"
    BEAM_DUMP = "BEAM DUMP"
    RAMP_DOWN = "RAMP DOWN"
    CYCLING = "CYCLING"
    RECOVERY = "RECOVERY"
    INJECT_AND_DUMP = "INJECT AND DUMP"
    CIRCULATE_AND_DUMP = "CIRCULATE AND DUMP"
    ABORT = "ABORT"


# Between a dump and the next set-up: no collisions can come for a while.
FREE_FOR_CLOUD: Final = frozenset({BeamMode.NO_BEAM, BeamMode.BEAM_DUMP, BeamMode.RAMP_DOWN, BeamMode.CYCLING})

# Collisions are minutes away, or there: each missing node costs data.
WHOLE_FARM_WANTED: Final = frozenset({BeamMode.SQUEEZE, BeamMode.ADJUST, BeamMode.STABLE_BEAMS})


class Warned(StrEnum):
    """Of what the fleet tool's follower warns."""

    COLLISIONS = "away in collisions"
    LATE = "too many away"
    BEAM = "beam mode unknown"


# What run coordination puts up with while the farm is wanted, and for how long after it became so.
TOLERATED_SHARE: Final = 0.03
TOLERATED_S: Final = 1800.0


def beam_mode(text: str) -> BeamMode | None:
    """Returns the mode of that name, whatever its case and whatever lies between its words; None if there is none."""
    try:
        return BeamMode(" ".join(text.replace("_", " ").replace("-", " ").upper().split()))
    except ValueError:
        return None
