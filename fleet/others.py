"""Requests of others that nodes are carrying out: of tools with another store, of scripts, of people. Pure.

Tools that share a store see each other there. Of all others a node's own answer tells: the request of its switch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from contract.modes import Wanted
from contract.request import printable
from fleet.client import Look, NodeStatus, Switching
from fleet.hosts import folded

LONGEST: Final = 60


def others_words(
    looks: Mapping[str, Look], hosts: Iterable[str], ours: Collection[str], to: Wanted
) -> tuple[tuple[str, ...], str]:
    """Returns what to say of those requests under way at `hosts` that are not `ours`, and why not to begin.

    Whoever wants nodes in the cloud waits for those who are bringing them back; HLT wins, so the way back waits for
    nobody. A node that is stuck has waited enough.
    """
    groups: dict[str, list[str]] = {}
    switches: dict[str, Switching] = {}
    in_the_way: dict[str, None] = {}
    for host in hosts:
        look = looks[host]
        if not isinstance(look, NodeStatus) or look.switch is None or look.switch.id in ours:
            continue
        name = look.switch.id
        groups.setdefault(name, []).append(host)
        switches.setdefault(name, look.switch)
        if to is Wanted.CLOUD and look.switch.to == Wanted.HLT.value and not look.stuck:
            in_the_way[name] = None
    words = {name: _words(switches[name], held) for name, held in groups.items()}
    refused = [words[name] for name in in_the_way]
    why = f"{'; '.join(refused[:3])}; wait until they are there, or agree with them" if refused else ""
    return tuple(words.values()), why


def _words(switch: Switching, hosts: Sequence[str]) -> str:
    who = printable(switch.who, LONGEST) or "somebody"
    since = f" since {switch.started[:19].replace('T', ' ')}" if switch.started else ""
    where = "back to HLT" if switch.to == Wanted.HLT.value else "to the cloud"
    return f"{folded(hosts)}: on the way {where}{since} by {who} ({printable(switch.id, LONGEST)}), not of this store"
