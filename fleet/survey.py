"""How nodes stand right now, and what follows for whom to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from contract.modes import Mode
from fleet.client import Client, Look, NodeStatus, Old
from fleet.hosts import Place, place_of
from fleet.selection import Candidate
from fleet.store import Hold


async def survey(
    client: Client, hosts: Iterable[str], known: Mapping[str, Place], tell: Callable[[int], None]
) -> dict[str, Look]:
    """Returns how each host stands; `tell` hears of how many are known so far."""
    found: dict[str, Look] = {}

    async def look(host: str) -> None:
        found[host] = await client.look(place_of(host, known), host)
        tell(len(found))

    wanted = list(hosts)
    await asyncio.gather(*map(look, wanted))
    return {host: found[host] for host in wanted}


def mode_of(look: Look) -> Mode | None:
    """Returns the mode that a node was seen in; None when it did not answer."""
    if isinstance(look, NodeStatus):
        return look.mode
    if isinstance(look, Old):
        return Mode.CLOUD if look.cores else Mode.HLT
    return None


def candidates(looks: Mapping[str, Look], known: Mapping[str, Place], holds: Mapping[str, Hold]) -> list[Candidate]:
    """Returns the nodes as the selection sees them."""
    return [
        Candidate(
            host=host,
            appliance=(look.appliance if isinstance(look, NodeStatus) else "") or place_of(host, known).appliance,
            mode=mode_of(look),
            jobs=look.jobs if isinstance(look, NodeStatus) else None,
            working=look.working if isinstance(look, NodeStatus) else {},
            cores=look.cores if isinstance(look, NodeStatus) else None,
            held=holds[host].words if host in holds else "",
            certain=not isinstance(look, Old),
        )
        for host, look in looks.items()
    ]


def cursors(looks: Mapping[str, Look]) -> dict[str, int]:
    """Returns up to which record each journal can say nothing of a request that is yet to be made."""
    return {host: look.journal_seq for host, look in looks.items() if isinstance(look, NodeStatus)}
