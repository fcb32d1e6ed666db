"""Past switches and summaries as tables for people, JSON lines and CSV for machines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec

from collector.history.past import NodeNow, Switchover
from collector.history.questions import Summary
from collector.tables import Print, Row
from contract.journal import PHASES

AT_ONCE = 1000  # lines
PLAIN_COLUMNS = ("started", "node", "to", "outcome", "total s", *PHASES, "who", "reason")
TERMINAL_COLUMNS = ("started", "node", "to", "outcome", "total s", "phases s", "who and why")
SUMMARY_COLUMNS = ("to", "phase", "switches", "p50 s", "p95 s", "max s")
STUCK_COLUMNS = ("node", "appliance", "mode", "since", "for s", "waits for", "seen")
STUCK_CSV_COLUMNS = ("host", "appliance", "mode", "mode_since", "mode_age_s", "switch_id", "stuck", "blocker", "vms",
                     "box_old", "@timestamp")  # fmt: skip
CSV_COLUMNS = (
    "started", "ended", "host", "appliance", "switch_id", "from_mode", "to", "outcome", "why",
    "who", "reason", "was_stuck", "observed", "duration_s", *(f"{phase}_s" for phase in PHASES),
)  # fmt: skip


def plain_rows(found: Iterable[Switchover]) -> list[Row]:
    """Returns one row for each switch, with a column for each phase: a dash where it was not gone through."""
    return [
        (
            *_head(switch),
            *(f"{switch.phases[phase]:.3f}" if phase in switch.phases else "-" for phase in PHASES),
            switch.who or "-",
            _why(switch) or "-",
        )
        for switch in found
    ]


def terminal_rows(found: Iterable[Switchover]) -> list[Row]:
    """Returns one row for each switch, narrow enough for a terminal: all phases in one column."""
    return [
        (
            *_head(switch),
            " ".join(f"{name}={switch.phases[name]:.3f}" for name in PHASES if name in switch.phases),
            ": ".join(text for text in (switch.who, _why(switch)) if text),
        )
        for switch in found
    ]


def _head(switch: Switchover) -> Row:
    outcome = f"{switch.outcome} (stuck)" if switch.was_stuck else switch.outcome
    duration = "-" if switch.duration_s is None else f"{switch.duration_s:.3f}"
    return _second(switch.started), switch.host, switch.to.value, outcome, duration


def _second(time: str | None) -> str:
    return time[:19].replace("T", " ") if time else "-"


def _why(switch: Switchover) -> str:
    return "; ".join(text for text in (switch.reason, switch.why) if text)


def summary_rows(found: Iterable[Summary]) -> list[Row]:
    """Returns one row for each phase of each direction."""
    return [
        (summary.to.value, name, str(spread.n), f"{spread.p50_s:.3f}", f"{spread.p95_s:.3f}", f"{spread.max_s:.3f}")
        for summary in found
        for name, spread in summary.durations.items()
    ]


def stuck_rows(found: Iterable[NodeNow]) -> list[Row]:
    """Returns one row for each node: its mode, since when and for how long, and what it waits for."""
    return [
        (
            node.host,
            node.appliance or "-",
            node.mode.value if node.mode else "-",
            _second(node.mode_since),
            "-" if node.mode_age_s is None else f"{node.mode_age_s:.0f}",
            node.blocker or "-",
            _second(node.seen),
        )
        for node in found
    ]


def outcome_lines(found: Iterable[Summary]) -> list[str]:
    """Returns one line for each direction: how its switches ended."""
    return [
        f"to {summary.to.value}: "
        + ", ".join(f"{n} {outcome}" for outcome, n in summary.outcomes.items())
        + (f"; {summary.stuck} stuck on the way" if summary.stuck else "")
        for summary in found
    ]


def json_lines(found: Iterable[Switchover | Summary | NodeNow], put: Print) -> None:
    """Prints one JSON object a line."""
    every = iter(found)
    while some := list(islice(every, AT_ONCE)):  # a hundred thousand calls of `put` take a second
        put(b"\n".join(map(msgspec.json.encode, some)).decode())


def csv_lines(found: Iterable[Switchover], put: Print) -> None:
    """Prints a header and one line for each switch; a phase it did not go through is empty."""
    rows = []
    for switch in found:
        fields = msgspec.to_builtins(switch)
        words = {name: _yes_no(fields[name]) for name in ("was_stuck", "observed")}
        rows.append(fields | words | {f"{phase}_s": seconds for phase, seconds in switch.phases.items()})
    _csv(CSV_COLUMNS, rows, put)


def stuck_csv_lines(found: Iterable[NodeNow], put: Print) -> None:
    """Prints a header and one line for each node; what is not known is empty."""
    rows = []
    for node in found:
        fields = msgspec.to_builtins(node)
        rows.append(fields | {name: _yes_no(fields[name]) for name in ("stuck", "box_old")})
    _csv(STUCK_CSV_COLUMNS, rows, put)


def _yes_no(value: bool | None) -> str:
    return {None: "", True: "yes", False: "no"}[value]


def _csv(columns: Row, rows: Iterable[Mapping[str, object]], put: Print) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    put(text.getvalue().rstrip("\n"))
