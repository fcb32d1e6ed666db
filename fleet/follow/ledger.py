"""Which nodes are away because the follower sent them: told by the operations in the store, not by memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from contract.modes import Mode, Wanted
from fleet.operation import Operation, changed
from fleet.standing import GOOD, NodeState, Standing
from fleet.store import Store

Own = dict[str, bool]  # of each node of ours whether it was asked back already


class Effect(Enum):
    """What operations have made of one node, as far as whose it is goes."""

    GONE = "gone"  # it is not ours, whatever was before
    SENT = "sent"  # it is ours, and was not asked back
    SENT_AND_ASKED = "sent and asked back"
    ASKED = "asked back"  # if it is ours, it was asked back


Effects = dict[str, Effect]


def effects(operation: Operation, nodes: Mapping[str, NodeState], who: str) -> Effects:
    """Returns what an operation makes of `who`'s nodes. Pure.

    A node is theirs whose operation moved it last. One that came back, or that another one asked since, is not.
    """
    if operation.who != who:
        already = [host for host, node in nodes.items() if node.standing is Standing.ALREADY]
        return dict.fromkeys((*changed(nodes), *already), Effect.GONE)
    if operation.to is Wanted.CLOUD:
        return dict.fromkeys(changed(nodes), Effect.SENT)
    return {
        host: Effect.GONE if node.standing in GOOD or _of_another(node, who) else Effect.ASKED
        for host, node in nodes.items()
    }


def then(first: Effects, second: Effects) -> Effects:
    """Returns both as one. Pure."""
    both = first | second
    for host in first.keys() & second.keys():
        if second[host] is Effect.ASKED:
            both[host] = Effect.SENT_AND_ASKED if first[host] is Effect.SENT else first[host]
    return both


def booked(own: Mapping[str, bool], made: Effects) -> Own:
    """Returns whose nodes are ours after that. Pure."""
    after = dict(own)
    for host, effect in made.items():
        if effect is Effect.GONE:
            after.pop(host, None)
        elif effect is not Effect.ASKED or host in after:
            after[host] = effect is not Effect.SENT
    return after


def owed(own: Mapping[str, bool], modes: Mapping[str, Mode | None], away_from: Iterable[str]) -> list[str]:
    """Returns which of our nodes to ask back now. Pure.

    One that was never asked back is asked whatever it looked like; later ones when they are seen away. `away_from` are
    those that nobody may ask: on hold, or in another one's operation.
    """
    barred = set(away_from)
    away = (Mode.CLOUD, Mode.ACTIVATING_CLOUD)
    return [host for host, again in own.items() if host not in barred and (not again or modes.get(host) in away)]


class Chapter:
    """Operations that are over, one after the other, as if they were one."""

    def __init__(self, name: str, made: Effects) -> None:
        self.names = [name]
        self.effects = made

    def add(self, later: Chapter) -> None:
        """Adds what came afterwards."""
        self.names += later.names
        self.effects = then(self.effects, later.effects)


class Ledger:
    """The nodes of `who`, kept up with the store.

    What is over is read once, and its effect kept in one with its neighbours'; what is open is read anew each time. So
    operations that are over cost next to nothing, also those after one that nobody ever ends.
    """

    def __init__(self, store: Store, who: str) -> None:
        self._store = store
        self._who = who
        self._chapters: dict[str, Chapter] = {}

    def own(self) -> Own:
        """Returns the nodes as of now."""
        own: Own = {}
        chapter: Chapter | None = None
        told: list[Chapter] = []
        for name, over in self._store.ids():
            if not over:
                own = booked(own, self._effects(name))
                chapter = None
                continue
            known = self._chapters.get(name)
            if known is None:
                known = self._chapters[name] = Chapter(name, self._effects(name))
            elif known in told:
                continue
            own = booked(own, known.effects)
            if chapter is None:
                chapter = known
                told.append(chapter)
            else:
                chapter.add(known)
                self._chapters |= dict.fromkeys(known.names, chapter)
        return own

    def _effects(self, name: str) -> Effects:
        for operation in self._store.readable([name]):
            return effects(operation, self._store.nodes(operation), self._who)
        return {}


def _of_another(node: NodeState, who: str) -> bool:
    return node.standing is Standing.SUPERSEDED and not node.words.startswith(f"{who} ")
