"""The farm as it was seen last, and what has changed since somebody asked. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from contract.modes import MODES, Mode
from fleet.client import Look, Old
from fleet.hosts import Place
from fleet.serving.forms import ModeView, NodeView, Switchover
from fleet.standing import Denied, NoAnswer, NodeState
from fleet.store import Hold

NO_ANSWER: Final = "no answer"
SAME_MODE_S: Final = 2.0  # two reckonings of when a mode began that differ by less are one
KEPT_SWITCHOVERS: Final = 100
AT_REST: Final = frozenset({Mode.HLT, Mode.CLOUD})
MODE_VIEWS: Final = tuple(
    ModeView(name=mode, colour=facts.colour, meaning=facts.meaning) for mode, facts in MODES.items()
)


class Board:
    """All nodes of `places`. `changed` and `arrived` give what is new since they were called last."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places: Mapping[str, Place] = {}
        self._nodes: dict[str, NodeView] = {}
        self._changed: dict[str, None] = {}
        self.renew(places)
        self._arrived: list[Switchover] = []
        self.switchovers: deque[Switchover] = deque(maxlen=KEPT_SWITCHOVERS)

    @property
    def nodes(self) -> tuple[NodeView, ...]:
        """All nodes, in the order of the file."""
        return tuple(self._nodes.values())

    def knows(self, host: str) -> bool:
        """Returns whether the node was seen in a mode."""
        return host in self._nodes and self._nodes[host].mode is not None

    def renew(self, places: Mapping[str, Place]) -> None:
        """Has these nodes from now on. One that stands elsewhere is another one."""
        self._nodes = {
            host: self._nodes[host]
            if self._places.get(host) == place
            else NodeView(host=host, appliance=place.appliance, mode=None, silent="not asked yet")
            for host, place in places.items()
        }
        self._places = places
        self._changed = {host: None for host in self._changed if host in places}

    def recall(self, earlier: Iterable[Switchover]) -> None:
        """Takes in switchovers from before this server's time."""
        self.switchovers.extend(sorted(earlier, key=lambda each: -each.at_s)[:KEPT_SWITCHOVERS])

    def look(self, host: str, look: Look, now_s: float) -> None:
        """Takes in how a node answered at `now_s` (Unix seconds)."""
        before = self._nodes[host]
        self._put(_seen(before, look, now_s), now_s)

    def in_operation(self, node: NodeState, now_s: float) -> None:
        """Takes in how an operation saw one of its nodes; what it does not know stays as it was."""
        before = self._nodes.get(node.host)
        if before is None or node.mode is None:
            return
        since_s = _began_s(before, node.mode, now_s)
        self._put(
            replace(before, mode=node.mode, since_s=since_s, blocker=node.blocker, stuck=node.stuck, silent=""), now_s
        )

    def taken(self, holders: Mapping[str, str]) -> None:
        """Takes in which operation has which node; all others are free."""
        for host, before in self._nodes.items():
            if (name := holders.get(host, "")) != before.operation:
                self._nodes[host] = replace(before, operation=name)
                self._changed[host] = None

    def held(self, holds: Mapping[str, Hold]) -> None:
        """Takes in which nodes no operation may take."""
        for host, before in self._nodes.items():
            words = holds[host].words if host in holds else ""
            if words != before.held:
                self._nodes[host] = replace(before, held=words)
                self._changed[host] = None

    def changed(self) -> tuple[NodeView, ...]:
        """Returns the nodes that have changed."""
        hosts, self._changed = self._changed, {}
        return tuple(self._nodes[host] for host in hosts)

    def arrived(self) -> tuple[Switchover, ...]:
        """Returns the nodes that have come to rest in another mode."""
        found, self._arrived = self._arrived, []
        return tuple(found)

    def counts(self) -> dict[str, int]:
        """Returns how many nodes are in each mode, and how many do not answer."""
        found = Counter(node.mode for node in self._nodes.values())
        return {mode.value: found[mode] for mode in MODES} | {NO_ANSWER: found[None]}

    def in_hlt(self) -> tuple[int, int]:
        """Returns how many nodes are in HLT, and how many cores they are known to have."""
        found = [node.cores or 0 for node in self._nodes.values() if node.mode is Mode.HLT]
        return len(found), sum(found)

    def _put(self, after: NodeView, now_s: float) -> None:
        before = self._nodes[after.host]
        if after == before:
            return
        self._nodes[after.host] = after
        self._changed[after.host] = None
        if after.mode in AT_REST and before.mode not in (None, after.mode):
            began_s = before.since_s if before.mode not in AT_REST else None
            found = Switchover(
                host=after.host,
                appliance=after.appliance,
                to=after.mode,
                at_s=after.since_s or now_s,
                took_s=(after.since_s or now_s) - began_s if began_s is not None else None,
            )
            self._arrived.append(found)
            self.switchovers.appendleft(found)


def _seen(before: NodeView, look: Look, now_s: float) -> NodeView:
    """Returns the node as it is after a look."""
    unknown = replace(
        before, mode=None, since_s=None, blocker="", stuck=False, jobs=None, cores=None, vms="", old=False, silent=""
    )
    if isinstance(look, NoAnswer | Denied):
        return replace(unknown, silent=look.words or NO_ANSWER)
    if isinstance(look, Old):
        mode = Mode.CLOUD if look.cores else Mode.HLT
        return replace(unknown, mode=mode, old=True, since_s=_began_s(before, mode, now_s))
    if look.mode is None:
        return replace(unknown, silent=f"in a mode that is not known here: {look.mode_name[:40]}")
    return replace(
        unknown,
        mode=look.mode,
        since_s=_since_s(before, look.mode, now_s - look.mode_age_s),
        blocker=look.blocker,
        stuck=look.stuck,
        jobs=look.jobs,
        cores=look.cores,
        vms=look.vms,
    )


def _began_s(before: NodeView, mode: Mode, now_s: float) -> float | None:
    """Returns since when a node is in its mode, of which only this moment is seen."""
    if before.mode is mode:
        return before.since_s
    return now_s if before.mode is not None else None


def _since_s(before: NodeView, mode: Mode, since_s: float) -> float:
    """Returns when a mode began; a node's clock and ours make small differences that are none."""
    same = before.mode is mode and before.since_s is not None and abs(before.since_s - since_s) < SAME_MODE_S
    return before.since_s if same and before.since_s is not None else since_s
