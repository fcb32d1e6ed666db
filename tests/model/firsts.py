"""How a node may be when its daemon starts for the first time."""

from __future__ import annotations

from switcher.states import State
from tests.model.heart import Heart
from tests.model.world import FORGETFUL, FRESH, GOES_ON, NOT_YET, TOKENS, World


def every_first(heart: Heart) -> list[World]:
    """Returns all of them: tokens here or there, VMs or none, a run that goes on or none."""
    blank = World(heart=heart.number(State()), life=FORGETFUL)
    quiet = [
        blank._replace(in_cloud=count, vms=vms, hand=count > 0) for count in range(TOKENS + 1) for vms in (False, True)
    ]
    return [*quiet, *(world._replace(bu=(GOES_ON, NOT_YET), dirs=(FRESH, 0)) for world in quiet)]
