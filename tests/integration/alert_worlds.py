"""Worlds of series for the tests of alerts: one value every 15 seconds from Unix time 0, as promtool reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from contract.beam import BeamMode
from contract.config import Switch
from contract.metric_names import (
    AGENT_LIMIT,
    BEAM_MODE,
    BLOCKER,
    BOX_AGE,
    CHANGES_LIMIT,
    CLOCK,
    CLOCK_SKEW,
    DROPPED_TOTAL,
    LAST_SUCCESS,
    LIMIT,
    LOG_UP,
    MODE,
    MODE_BOX_DISAGREES,
    MODE_SINCE,
    MODE_TIMEOUT,
    SINK_DEAD,
    SINK_DROPPED,
    SINK_OLDEST,
    SINK_UP,
    VMS,
)
from contract.modes import Mode, Vms

EVERY_S: Final = 15
HOST: Final = "fu-1"
APPLIANCE: Final = "bu-1"

# None: nobody says it.
Values = list[float | None]
World = dict[str, Values]
Labels = dict[str, str]


class Firing(NamedTuple):
    """One alert that fires, with all its labels but name, severity and team, and what its node waits for."""

    summary: str
    labels: Labels
    waits: str = "nothing it names"


class Case(NamedTuple):
    """One alert in one world: what fires at which minute; it fires without a break while it is `steady`."""

    alert: str
    says: str
    world: World
    at: dict[float, tuple[Firing, ...]]
    steady: tuple[float, float] | None = None

    @property
    def fires(self) -> bool:
        return any(self.at.values())

    @property
    def resolves(self) -> bool:
        fired = [minute for minute, firing in self.at.items() if firing]
        return any(not firing and fired and minute > min(fired) for minute, firing in self.at.items())


def here(summary: str, waits: str = Firing._field_defaults["waits"], **more: str) -> Firing:
    """Returns what fires for a node, by the labels that its rule leaves."""
    return Firing(summary, {"host": HOST, "appliance": APPLIANCE} | more, waits)


def scraped(summary: str, waits: str = Firing._field_defaults["waits"], **more: str) -> Firing:
    """Returns what fires for a node, with all labels of a scraped series."""
    return here(summary, waits, job="hltmode", instance=f"{HOST}:9109", **more)


def whole(summary: str) -> Firing:
    """Returns what fires for an appliance."""
    return Firing(summary, {"appliance": APPLIANCE})


def steps(minutes: float) -> int:
    """Returns how many values there are in `minutes`."""
    return round(minutes * 60 / EVERY_S)


def flat(value: float | None, minutes: float) -> Values:
    return [value] * steps(minutes)


def rising(first: float, minutes: float, by: float = EVERY_S) -> Values:
    return [first + by * step for step in range(steps(minutes))]


def series(name: str, host: str = HOST, appliance: str = APPLIANCE, **labels: str) -> str:
    """Returns a series as Prometheus has it after a scrape of the collector of `host`."""
    told = {"job": "hltmode", "instance": f"{host}:9109", "host": host, "appliance": appliance} | labels
    words = ",".join(f'{label}="{value}"' for label, value in told.items())
    return f"{name}{{{words}}}"


def up(values: Values, host: str = HOST, appliance: str = APPLIANCE) -> World:
    return {series("up", host, appliance): values}


def states(
    name: str, label: str, every: Iterable[str], stays: Iterable[tuple[str | None, float]], **node: str
) -> World:
    """Returns one series of 0 and 1 for each of `every`; `stays` are states and minutes, None is in none of them."""
    path = [state for state, minutes in stays for _ in range(steps(minutes))]
    return {series(name, **node, **{label: each}): [float(each == state) for state in path] for each in every}


def node(
    *stays: tuple[Mode | None, float],
    host: str = HOST,
    appliance: str = APPLIANCE,
    limits: Switch = Switch(),  # noqa: B008 - frozen
) -> World:
    """Returns what is told of a node's mode when it stays in modes for minutes; None is no known mode."""
    names = {"host": host, "appliance": appliance}
    since: Values = []
    for mode, minutes in stays:
        since += flat(None if mode is None else float(len(since) * EVERY_S), minutes)
    timeouts = {mode.value: limits.timeout_s(mode) for mode in Mode if limits.timeout_s(mode)}
    return (
        states(MODE, "mode", Mode, stays, **names)
        | {series(MODE_SINCE, **names): since}
        | {series(MODE_TIMEOUT, **names, mode=mode): [limit] * len(since) for mode, limit in timeouts.items()}
        | up([1.0] * len(since), **names)
    )


def limit(of: str, seconds: float, minutes: float) -> World:
    """Returns the limit that a node's own configuration sets."""
    return {series(LIMIT, of=of): flat(seconds, minutes)}


def agent_limit(of: str, seconds: float, minutes: float) -> World:
    """Returns the limit that a collector's own configuration sets."""
    return {series(AGENT_LIMIT, of=of): flat(seconds, minutes)}


def changes_limit(times: int, minutes: float) -> World:
    """Returns how many changes of mode are too many as the node's own configuration says."""
    return {series(CHANGES_LIMIT): flat(float(times), minutes)}


def vms(*stays: tuple[Vms, float]) -> World:
    return states(VMS, "state", Vms, stays)


def beam(*stays: tuple[BeamMode | None, float]) -> World:
    path = [state for state, minutes in stays for _ in range(steps(minutes))]
    return {
        f'{BEAM_MODE}{{job="beam",mode="{each.value}"}}': [None if now is None else float(now is each) for now in path]
        for each in BeamMode
    }


def farm(*crowds: tuple[int, tuple[tuple[Mode, float], ...]], appliance: str = APPLIANCE) -> World:
    """Returns the nodes of crowds: how many do what."""
    path = [stays for number, stays in crowds for _ in range(number)]
    worlds = (node(*stays, host=f"fu-{number}", appliance=appliance) for number, stays in enumerate(path, start=1))
    return {name: values for world in worlds for name, values in world.items()}


def unseen(world: Mapping[str, Values], *gaps: tuple[float, float], host: str = HOST) -> World:
    """Returns `world` with the collector of `host` not answering from minute to minute."""
    lost = {step for start, end in gaps for step in range(steps(start), steps(end))}

    def masked(name: str, values: Values) -> Values:
        if f'host="{host}"' not in name:
            return values
        nothing = 0.0 if name.startswith("up{") else None
        return [nothing if step in lost else value for step, value in enumerate(values)]

    return {name: masked(name, values) for name, values in world.items()}


def gone(world: Mapping[str, Values], minute: float) -> World:
    """Returns `world` without anything from `minute` on, as when the node is taken out of the configuration."""
    kept = steps(minute)
    return {name: values[:kept] + [None] * (len(values) - kept) for name, values in world.items()}


def during(start: float, end: float) -> dict[float, tuple[Firing, ...]]:
    """Returns silence at every value from minute to minute."""
    return {start + step * EVERY_S / 60: () for step in range(steps(end - start) + 1)}


def notation(values: Values) -> str:
    """Returns `values` as promtool writes them; the first one that is missing is the mark of a failed scrape."""
    runs = [(value, len(list(run))) for value, run in groupby(values)]
    words = [
        ("stale" + f" _x{number - 1}" * (number > 1)) if value is None else f"{value:.15g}+0x{number - 1}"
        for value, number in runs
    ]
    return " ".join(words)


def healthy() -> World:
    """Returns an hour in which a node goes to the cloud and comes back, slowly but within its limits."""
    mode = node(
        (Mode.HLT, 10), (Mode.ACTIVATING_CLOUD, 4), (Mode.CLOUD, 24), (Mode.DEACTIVATING_CLOUD, 2), (Mode.HLT, 20)
    )
    machines = vms((Vms.DOWN, 14), (Vms.STARTING, 5), (Vms.UP, 19), (Vms.STOPPING, 2), (Vms.DOWN, 20))
    waits: Values = flat(None, 10) + flat(1.0, 4) + flat(None, 46)
    constant = {BOX_AGE: 2.0, CLOCK_SKEW: 0.0, MODE_BOX_DISAGREES: 0.0, LOG_UP: 1.0}
    sink = {SINK_UP: 1.0, SINK_OLDEST: 5.0, SINK_DEAD: 3.0, SINK_DROPPED: 4.0}
    return (
        mode
        | machines
        | {series(BLOCKER, blocker="jobs of run 1"): waits}
        | {series(name): flat(value, 60) for name, value in constant.items()}
        | {series(name, sink="main"): flat(value, 60) for name, value in sink.items()}
        | {series(DROPPED_TOTAL, kind="box", reason="age"): rising(0, 60)}
        | {series(LAST_SUCCESS): rising(-5, 60), series(CLOCK): rising(0, 60)}
        | beam((BeamMode.BEAM_DUMP, 5), (BeamMode.NO_BEAM, 35), (BeamMode.SETUP, 5), (BeamMode.STABLE_BEAMS, 15))
    )


WHERE: Final = f"{HOST} ({APPLIANCE})"
SILENT: Final = ()
HEALTHY: Final = healthy()
