"""The four modes of a node: the one table of name, number, colour and meaning.

Colours are from the Okabe-Ito palette, which people with any colour vision tell apart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Mode(StrEnum):
    """What is published about a node; the values are the words of the mode file and the index."""

    HLT = "HLT"
    ACTIVATING_CLOUD = "activatingCloud"
    CLOUD = "cloud"
    DEACTIVATING_CLOUD = "deactivatingCloud"


class Wanted(StrEnum):
    """What the last accepted request asked for."""

    HLT = "HLT"
    CLOUD = "cloud"


class Vms(StrEnum):
    """What is known about the virtual machines of this node."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    FAILED = "failed"
    STOPPING = "stopping"


class ModeFacts(NamedTuple):
    """One row of the table: `cloud_state` is hltd's word for the mode in its box file."""

    code: int
    colour: str
    cloud_state: str
    meaning: str


MODES: Final[dict[Mode, ModeFacts]] = {
    Mode.HLT: ModeFacts(0, "#0072B2", "off", "takes runs and works for the trigger"),
    Mode.ACTIVATING_CLOUD: ModeFacts(1, "#F0E442", "starting", "masked; jobs end, then the cores go to the cloud"),
    Mode.CLOUD: ModeFacts(2, "#009E73", "on", "every core belongs to the cloud"),
    Mode.DEACTIVATING_CLOUD: ModeFacts(3, "#E69F00", "stopping", "virtual machines stop, then the cores come back"),
}

MODE_OF_CLOUD_STATE: Final[dict[str, Mode]] = {facts.cloud_state: mode for mode, facts in MODES.items()} | {
    # hltd's word for an abandoned switch: the node is in HLT, masked until the next run.
    "resourcesMasked": Mode.HLT
}
