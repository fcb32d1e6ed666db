"""Which nodes are away because the follower sent them: told by the operations in the store, not by memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contract.modes import Mode, Wanted
from fleet.operation import Operation, changed
from fleet.standing import GOOD, NodeState, Standing
from fleet.store import Store

Own = dict[str, bool]  # of each node of ours whether it was asked back already


def booked(own: Mapping[str, bool], operation: Operation, nodes: Mapping[str, NodeState], who: str) -> Own:
    """Returns whose nodes are `who`'s after one more operation. Pure.

    A node is theirs whose operation moved it last. One that came back, or that another one asked since, is not.
    """
    after = dict(own)
    if operation.who != who:
        already = [host for host, node in nodes.items() if node.standing is Standing.ALREADY]
        for host in (*changed(nodes), *already):
            after.pop(host, None)
        return after
    if operation.to is Wanted.CLOUD:
        return after | dict.fromkeys(changed(nodes), False)
    for host in after.keys() & nodes.keys():
        if nodes[host].standing in GOOD or _of_another(nodes[host], who):
            del after[host]
        else:
            after[host] = True
    return after


def owed(own: Mapping[str, bool], modes: Mapping[str, Mode | None], away_from: Iterable[str]) -> list[str]:
    """Returns which of our nodes to ask back now. Pure.

    One that was never asked back is asked whatever it looked like; later ones when they are seen away. `away_from` are
    those that nobody may ask: on hold, or in another one's operation.
    """
    barred = set(away_from)
    away = (Mode.CLOUD, Mode.ACTIVATING_CLOUD)
    return [host for host, again in own.items() if host not in barred and (not again or modes.get(host) in away)]


class Ledger:
    """The nodes of `who`, kept up with the store: what is over is read once."""

    def __init__(self, store: Store, who: str) -> None:
        self._store = store
        self._who = who
        self._settled: Own = {}
        self._read: set[str] = set()

    def own(self) -> Own:
        """Returns the nodes as of now."""
        firm = True
        own = dict(self._settled)
        for name, over in self._store.ids():
            if name in self._read:
                continue
            operation = self._store.operation(name)
            own = booked(own, operation, self._store.nodes(operation), self._who)
            firm = firm and over
            if firm:
                self._settled = dict(own)
                self._read.add(name)
        return own


def _of_another(node: NodeState, who: str) -> bool:
    return node.standing is Standing.SUPERSEDED and not node.words.startswith(f"{who} ")
