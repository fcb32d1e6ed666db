"""When too much of the farm is away for what the beam does: what run coordination puts up with, see contract. Pure."""

from __future__ import annotations

import msgspec

from contract.beam import FREE_FOR_CLOUD, TOLERATED_S, TOLERATED_SHARE, WHOLE_FARM_WANTED, Warned
from fleet.follow.beam import Beam, lasted_s
from fleet.follow.policy import span


class Away(msgspec.Struct, frozen=True):
    """Of so many nodes that answer so many are not in HLT."""

    nodes: int
    away: int

    @property
    def too_many(self) -> bool:
        """Whether it is more than run coordination puts up with."""
        return self.away > TOLERATED_SHARE * self.nodes


def warnings(beam: Beam, farm: Away | None, patience_s: float, now_s: float) -> dict[Warned, str]:
    """Returns of what to warn now, and in which words; `farm` is None before the nodes were looked at."""
    found = {}
    if (quiet_s := now_s - beam.heard_s) > patience_s:
        trouble = f": {beam.trouble}" if beam.trouble else ""
        found[Warned.BEAM] = f"no beam mode for {span(quiet_s)}, so HLT is wanted{trouble}"
    if farm is None or not farm.too_many:
        return found
    many = f"{farm.away} of {farm.nodes} nodes ({farm.away / farm.nodes:.1%}) are not in HLT"
    busy_s = lasted_s(beam, lambda mode: mode not in FREE_FOR_CLOUD, now_s)
    if beam.mode in WHOLE_FARM_WANTED:
        found[Warned.COLLISIONS] = f"{many} in {beam.mode}: the trigger loses data now"
    elif busy_s is not None and busy_s >= TOLERATED_S:
        found[Warned.LATE] = f"{many}, and the beam has wanted them back for {span(busy_s)}"
    return found
