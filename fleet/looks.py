"""How nodes that were looked at, and operations of the past, are printed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from rich.console import Console

from contract.modes import MODES
from contract.times import iso
from fleet.client import Look, NodeStatus, Old
from fleet.farm import Farm
from fleet.hosts import folded
from fleet.journal_lines import JournalLine
from fleet.past import Part, Past
from fleet.store import Hold
from fleet.survey import mode_of
from fleet.tables import LESS_CERTAIN, MARK, new_table, plain, put, span


class Why(NamedTuple):
    """All that is known of one node: how it answered, who holds it, its operations, and the end of its journal."""

    seen: Look
    hold: Hold | None
    parts: Sequence[Part]
    lines: Sequence[JournalLine]


def look_words(host: str, look: Look) -> dict[str, object]:
    """Returns how a node was seen, for machines; what an old node tells is less certain."""
    words: dict[str, object] = msgspec.to_builtins(look)
    kind = type(look).__name__
    return words | {"host": host, "mode": mode_of(look), "kind": kind, "certain": not isinstance(look, Old)}


def show_status(console: Console, looks: Mapping[str, Look], farm: Farm) -> None:
    """Prints how many nodes of each appliance are in which mode, who is stuck, and who is silent."""
    by_appliance: dict[str, list[str]] = defaultdict(list)
    for host, look in looks.items():
        named = look.appliance if isinstance(look, NodeStatus) else ""
        place = farm.places.get(host)
        by_appliance[named or (place.appliance if place else "")].append(host)
    numbers = [*(mode.value for mode in MODES), "no answer", f"less certain {MARK}"]
    table = new_table("appliance", *numbers, right=numbers)
    for appliance, hosts in [*sorted(by_appliance.items()), ("all", list(looks))]:
        modes = [mode_of(looks[host]) for host in hosts]
        old = sum(isinstance(looks[host], Old) for host in hosts)
        cells = [*(modes.count(mode) for mode in MODES), modes.count(None), old]
        table.add_row(appliance or "?", *(str(n or "") for n in cells))
    put(console, table)
    for host, look in looks.items():
        if isinstance(look, NodeStatus) and look.stuck:
            words = f"stuck in {look.mode_name} for {span(look.mode_age_s)}, waits for: {plain(look.blocker)}"
            console.print(f"{host}: {words}", style="bold red")
    silent = [host for host in looks if mode_of(looks[host]) is None]
    if silent:
        console.print(f"no answer: {folded(silent)}", style="red")
    if old_ones := [host for host, look in looks.items() if isinstance(look, Old)]:
        console.print(f"{MARK} {len(old_ones)} of them {LESS_CERTAIN}: {folded(old_ones)}", style="yellow")


def show_history(console: Console, found: Iterable[Past]) -> None:
    """Prints operations, the newest last."""
    table = new_table(
        "operation", "when", "to", "took", "a node took", "ended", "nodes", "who and why", right=("took",)
    )
    for each in found:
        nodes = ", ".join(f"{n} {standing}" for standing, n in each.counts.items())
        if each.less_certain:
            nodes += f" ({each.less_certain} of them less certain {MARK})"
        node = span(each.median_s) if each.median_s is not None else ""
        node += f", one in twenty over {span(each.slow_s)}" if each.slow_s is not None else ""
        ended = each.verdict.value if each.verdict else "not over"
        who = ": ".join(filter(None, (each.who, each.reason))) + (f" (after {each.of})" if each.of else "")
        took = span(each.duration_s) if each.duration_s is not None else ""
        table.add_row(each.id, _when(each.created_s), each.to.value, took, node, ended, nodes, who)
    put(console, table)


def show_holds(console: Console, holds: Iterable[Hold]) -> None:
    """Prints who is on hold, together what is so for one reason."""
    groups: dict[tuple[str, str], list[Hold]] = {}
    for each in sorted(holds, key=lambda each: each.since_s):
        groups.setdefault((each.who, each.reason), []).append(each)
    table = new_table("nodes", "which", "since", "who", "why", right=("nodes",))
    for (who, reason), held in groups.items():
        since_s = min(each.since_s for each in held)
        table.add_row(str(len(held)), folded(each.host for each in held), _when(since_s), who, reason)
    put(console, table)


def show_why(console: Console, host: str, known: Why) -> None:
    """Prints all that is known of one node."""
    seen = known.seen
    stuck = isinstance(seen, NodeStatus) and seen.stuck
    console.print(f"{host}: {plain(_stands(seen))}", style="bold red" if stuck else "bold")
    if known.hold:
        since = _when(known.hold.since_s)
        console.print(f"on hold since {since} by {known.hold.who}: {known.hold.reason}", style="yellow")
    if known.parts:
        table = new_table("operation", "when", "to", "stood", "took", "why", "who and reason", right=("took",))
        for each in known.parts:
            stood = each.standing if each.certain else f"{each.standing} {MARK}"
            who = ": ".join(filter(None, (each.who, each.reason)))
            table.add_row(
                each.id, _when(each.created_s), each.to.value, stood, span(each.took_s), plain(each.words), who
            )
        put(console, table)
    else:
        console.print("no operation of this store has had it", style="dim")
    if known.lines:
        table = new_table("journal", "when", "what", "request", "mode", "verdict or outcome", "why", right=("journal",))
        for line in known.lines:
            ended = line.outcome or line.verdict
            when = line.time[:19].replace("T", " ")
            table.add_row(str(line.seq), when, line.kind, line.id, line.mode, ended, plain(line.why))
        put(console, table)


def _stands(seen: Look) -> str:
    if isinstance(seen, NodeStatus):
        waits = f", waits for: {seen.blocker}" if seen.blocker else ""
        return f"{'stuck in ' if seen.stuck else ''}{seen.mode_name} for {span(seen.mode_age_s)}{waits}"
    if isinstance(seen, Old):
        return f"{seen.cores} cores in the cloud; {MARK} as hltd's URLs tell, there is no journal: less certain"
    return seen.words


def _when(time_s: float) -> str:
    return iso(time_s)[:19].replace("T", " ")
