"""The live table of an operation: how far it is, in which modes its nodes are, and who holds it up. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.modes import MODES, Mode
from fleet.forecast import left_s
from fleet.hosts import folded
from fleet.operation import Operation, counts
from fleet.rollout import Doing, stage_sizes
from fleet.standing import BAD, ENDED, UNDER_WAY, NodeState, Standing
from fleet.tables import BAD_COLOUR, LESS_CERTAIN, MARK, colour_of, direction, plain, span

SLOWEST: Final = 8
WORST: Final = 5
# Each mode has a shade besides its colour, for terminals and eyes without.
SHADES: Final = {
    Mode.HLT: "█",
    Mode.ACTIVATING_CLOUD: "▓",
    Mode.CLOUD: "▒",
    Mode.DEACTIVATING_CLOUD: "▓",
}
NO_SHADE: Final = "░"
WIDEST_BAR: Final = 100
OTHER_COLUMNS: Final = 38  # of the table of the slowest: mode, time, a mark of being stuck, and what lies between
PIDS: Final = re.compile(r", pid [\d, ]*\d(?: and \d+ more)?")
UNKNOWN: Final = "unknown"
UNKNOWN_COLOUR: Final = "grey50"


class Moment(NamedTuple):
    """An operation as it stands at `now_s` (Unix seconds); `earlier_s` is how long nodes took in earlier ones."""

    operation: Operation
    nodes: Mapping[str, NodeState]
    doing: Doing
    stage: int
    earlier_s: Sequence[float]
    now_s: float

    @property
    def stages(self) -> int:
        """How many stages it has."""
        return len(stage_sizes(self.operation.ramp, len(self.operation.order)))

    @property
    def ended(self) -> int:
        """How many nodes have ended."""
        return sum(node.standing in ENDED for node in self.nodes.values())

    @property
    def left_s(self) -> float | None:
        """How long it still takes, None when nothing tells."""
        order = self.operation
        return left_s(order.order, self.nodes, order.ramp, self.earlier_s, order.limit_s, self.now_s)


def modes(nodes: Iterable[NodeState]) -> dict[str, int]:
    """Returns how many nodes were seen in which mode last; those that nobody has seen are `unknown`."""
    found = Counter(node.mode for node in nodes)
    known = {mode.value: found[mode] for mode in Mode}
    return known | ({UNKNOWN: found[None]} if found[None] else {})


def picture(moment: Moment, width: int) -> Group:
    """Returns what fits a terminal of so many columns."""
    nodes = list(moment.nodes.values())
    parts: list[RenderableType] = [*_head(moment), _bar(nodes, min(width, WIDEST_BAR)), _modes(nodes), _numbers(nodes)]
    if any(node.standing in UNDER_WAY for node in nodes):
        parts += ["", slowest(nodes, moment.now_s, width)]
    parts += _bad(nodes)
    if uncertain := sum(not node.certain for node in nodes):
        parts.append(_line(f"{MARK} {uncertain} of them {LESS_CERTAIN}", "yellow"))
    return Group(*parts)


def left_words(moment: Moment) -> str:
    """Returns how long it still takes, in words; empty when nothing is left to wait for."""
    if moment.ended == len(moment.nodes):
        return ""
    left = moment.left_s
    if left is None:
        return f"no earlier times; each node has {span(moment.operation.limit_s)}"
    return f"about {span(left)} left, as {'earlier ones took' if moment.earlier_s else 'it went so far'}"


def slowest(nodes: Iterable[NodeState], now_s: float, width: int, most: int = SLOWEST) -> Table:
    """Returns those under way that were asked first, and what they wait for, for so many columns."""
    under_way = [node for node in nodes if node.standing in UNDER_WAY]
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    table.add_column("slowest nodes", no_wrap=True, min_width=14)
    table.add_column("mode", no_wrap=True)
    table.add_column("for", no_wrap=True, justify="right", min_width=4)
    table.add_column("waits for", no_wrap=True, overflow="ellipsis", ratio=1)
    shown = sorted(under_way, key=lambda each: each.asked_s or now_s)[:most]
    taken = max((len(node.host) + len(MARK) + 1 for node in shown), default=0) + OTHER_COLUMNS
    for node in shown:
        name = node.host if node.certain else f"{node.host} {MARK}"
        waits = shortened(plain(node.blocker or node.words), width - taken)
        style = BAD_COLOUR if node.stuck else ""
        mode = Text(node.mode or "", style=style or _colour(node.mode))
        row_s = span(now_s - (node.asked_s or now_s))
        table.add_row(name, mode, row_s, ("stuck: " if node.stuck else "") + waits, style=style)
    return table


def shortened(waits: str, room: int) -> str:
    """Returns what a node waits for without pids where all of it has no room: lumisections tell how long it takes."""
    return waits if len(waits) <= room else PIDS.sub("", waits)


def _head(moment: Moment) -> list[Text]:
    operation = moment.operation
    what = Text(f"{len(moment.nodes)} nodes {direction(operation.to)}", style="bold", no_wrap=True, overflow="ellipsis")
    what.append(f"  {operation.id}", style="dim")
    if who := ": ".join(filter(None, (operation.who, operation.reason))):
        what.append(f"  {who}", style="dim")
    share = moment.ended / max(1, len(moment.nodes))
    far = _line(f"{moment.ended} ended, {share:.0%}", "")
    if words := left_words(moment):
        far.append(f"  {words}", style="bold" if words.startswith("about") else "dim")
    far.append(f"  stage {moment.stage + 1} of {moment.stages}, {moment.doing.value}", style="dim")
    far.append(f"  {span(moment.now_s - operation.created_s)} gone", style="dim")
    return [what, far]


def _bar(nodes: Sequence[NodeState], width: int) -> Text:
    """Returns a bar with a piece for each mode, in proportion."""
    bar = Text(no_wrap=True)
    done = shown = 0
    for word, n in modes(nodes).items():
        done += n
        upto = round(width * done / max(1, len(nodes)))
        bar.append(_shade(word) * (upto - shown), style=_colour(word))
        shown = upto
    return bar


def _modes(nodes: Sequence[NodeState]) -> Columns:
    pieces = []
    for word, n in modes(nodes).items():
        pieces.append(Text.assemble((f"{_shade(word)} {word} ", _colour(word)), (str(n), "bold" if n else "dim")))
    return Columns(pieces, padding=(0, 3))


def _numbers(nodes: Sequence[NodeState]) -> Columns:
    pieces = [Text(f"{n} {standing.value}", style=colour_of(standing)) for standing, n in counts(nodes).items()]
    if stuck := sum(node.stuck and node.standing in UNDER_WAY for node in nodes):
        pieces.append(Text(f"{stuck} under way stuck", style=BAD_COLOUR))
    return Columns(pieces, padding=(0, 3))


def _bad(nodes: Sequence[NodeState]) -> list[Text]:
    """Returns the classes of those that ended badly, with their reasons, the most frequent first."""
    groups: dict[tuple[Standing, str], list[str]] = {}
    for node in nodes:
        if node.standing in BAD:
            groups.setdefault((node.standing, node.words), []).append(node.host)
    worst = sorted(groups.items(), key=lambda each: -len(each[1]))
    lines = []
    for (standing, words), hosts in worst[:WORST]:
        text = f"{len(hosts)} {standing.value}: {folded(hosts)}"
        lines.append(_line(text + (f": {plain(words)}" if words else ""), BAD_COLOUR))
    if len(worst) > WORST:
        lines.append(_line(f"and {len(worst) - WORST} more reasons", BAD_COLOUR))
    return lines


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _shade(word: str) -> str:
    return SHADES[Mode(word)] if word in set(Mode) else NO_SHADE


def _colour(word: str | None) -> str:
    return MODES[Mode(word)].colour if word in set(Mode) else UNKNOWN_COLOUR
