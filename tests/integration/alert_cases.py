"""What each alert is tried with, and what then fires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contract.beam import BeamMode, Warned
from contract.config import Switch
from contract.metric_names import (
    BLOCKER,
    BOX_AGE,
    CLOCK,
    CLOCK_SKEW,
    DROPPED_TOTAL,
    FOLLOW_LAST_TICK,
    FOLLOW_WARNING,
    LAST_SUCCESS,
    LOG_UP,
    MODE,
    MODE_BOX_DISAGREES,
    MODE_SINCE,
    OF_BACKLOG_AGE,
    OF_BOX_AGE,
    OF_CLOCK_OFF,
    OF_SAMPLE_AGE,
    SINK_DEAD,
    SINK_DROPPED,
    SINK_OLDEST,
    SINK_UP,
)
from contract.modes import Mode, Vms
from dashboards.rules.recording import FOLLOW_JOB
from tests.integration.alert_worlds import (
    APPLIANCE,
    SILENT,
    WHERE,
    Case,
    Firing,
    Values,
    World,
    agent_limit,
    beam,
    changes_limit,
    during,
    farm,
    flat,
    gone,
    here,
    limit,
    node,
    rising,
    scraped,
    series,
    unseen,
    up,
    vms,
    whole,
)

HLT, ACTIVATING, CLOUD, DEACTIVATING = Mode


def _stuck(alert: str, mode: Mode, limit: float, other: Mode) -> list[Case]:
    """Returns the cases of a switch that begins in minute 1 and may take `limit` minutes."""

    def late(beyond: str, waits: str = Firing._field_defaults["waits"]) -> tuple[Firing, ...]:
        return (here(f"{WHERE} is stuck in {mode.value}, {beyond} beyond its limit", waits, mode=mode.value),)

    jobs = {series(BLOCKER, blocker="jobs of run 1"): flat(1.0, 40)}
    long = node((CLOUD, 1), (mode, 20), (HLT, 5)) | jobs
    due = 1 + limit
    return [
        Case(
            alert,
            "names how late and what it waits for, and ends a minute after the switch",
            long,
            {
                due + 0.25: SILENT,
                due + 0.5: late("30s", "jobs of run 1"),
                due + 2.5: late("2m 30s", "jobs of run 1"),
                21.75: late(f"{int(19.75 - limit)}m 45s", "jobs of run 1"),
                22: SILENT,
            },
        ),
        Case(alert, "as long as allowed", node((HLT, 1), (mode, limit), (CLOUD, 5)), during(1, 1 + limit + 2)),
        Case(
            alert,
            "the node's own configuration allows more",
            node((HLT, 1), (mode, 14), limits=Switch(activating_timeout_s=840, deactivating_timeout_s=840)),
            during(5, 14),
        ),
        Case(alert, "the other switch is late", node((HLT, 1), (other, 20)), during(5, 20)),
        Case(alert, "lasting modes have no limit", node((HLT, 60), (CLOUD, 60)), {59: SILENT, 119: SILENT}),
        Case(
            alert,
            "the collector was gone while the limit passed: the full age afterwards",
            unseen(long, (due - 1, due + 3)),
            {due + 2: SILENT, due + 3: SILENT, due + 3.25: late("3m 15s", "jobs of run 1")},
        ),
        Case(
            alert,
            "the collector is gone for minutes: ends once the loss is an alert, and comes back with the full age",
            unseen(long, (due + 2, due + 6)),
            {
                due + 2.75: late("1m 45s", "jobs of run 1"),
                due + 3: SILENT,
                due + 6.25: late("6m 15s", "jobs of run 1"),
            },
        ),
        Case(
            alert,
            "every second scrape fails: one page",
            unseen(long, *((due + 2 + blip / 2, due + 2.25 + blip / 2) for blip in range(20))),
            {due + 1: late("1m 0s", "jobs of run 1")},
            steady=(due + 1, due + 14),
        ),
        Case(
            alert,
            "asked to and fro within the limit",
            node(*[(HLT, 1.5), (mode, limit - 0.5)] * 10),
            during(1, 10 * (limit + 1) - 1),
        ),
    ]


def _gauge(alert: str, name: str, good: float, bad: float, hold: float, what: Firing) -> list[Case]:
    """Returns the cases of a gauge that is `bad` for a while, and of which `hold` minutes make an alert."""

    def with_fault(*parts: tuple[float, float]) -> World:
        values = [value for state, minutes in parts for value in flat(state, minutes)]
        return {name: values}

    lasting = with_fault((good, 1), (bad, 24), (good, 5))
    return [
        Case(
            alert,
            "fires and ends",
            lasting,
            {1 + hold - 0.25: SILENT, 1 + hold: (what,), 24.75: (what,), 25: SILENT},
            steady=(1 + hold, 24.75),
        ),
        Case(alert, "all well", with_fault((good, 30)), during(1, 29)),
        Case(
            alert,
            "a short fault again and again",
            with_fault(*[(good, 0.5), (bad, hold)] * int(28 / (hold + 0.5))),
            during(0.5, 25),
        ),
        Case(
            alert,
            "the collector was gone in the middle: fires again when it is back",
            unseen(lasting, (1 + hold + 1, 1 + hold + 4)),
            {1 + hold + 0.75: (what,), 1 + hold + 2: SILENT, 1 + hold + 4 + hold: (what,)},
        ),
    ]


def _vms_cases() -> Iterator[Case]:
    idle, slow = "HltmodeCloudWithoutVms", "HltmodeVmsInHlt"
    is_idle = scraped(f"{WHERE} is in cloud and no virtual machine runs", "a free slot", mode="cloud")
    blocked = {series(BLOCKER, blocker="a free slot"): flat(1.0, 60)}
    cloud, hlt = node((HLT, 1), (CLOUD, 40)), node((HLT, 41))
    without = cloud | blocked | vms((Vms.DOWN, 16), (Vms.UP, 25))
    yield Case(idle, "fires and ends", without, {10.75: SILENT, 11: (is_idle,), 15.75: (is_idle,), 16: SILENT})
    starting = cloud | blocked | vms((Vms.DOWN, 1), (Vms.STARTING, 20), (Vms.FAILED, 20))
    yield Case(idle, "starting and failed ones do not run", starting, {11: (is_idle,)}, steady=(11, 40))
    yield Case(idle, "they run just in time", cloud | vms((Vms.DOWN, 11), (Vms.UP, 30)), during(1, 40))
    yield Case(idle, "some are down now and then", cloud | vms(*[(Vms.DOWN, 9), (Vms.UP, 1)] * 4), during(1, 39))
    yield Case(idle, "no virtual machine runs in HLT", hlt | vms((Vms.DOWN, 41)), during(1, 40))
    yield Case(idle, "nothing is known of virtual machines", cloud, during(1, 40))
    lasting = cloud | blocked | vms((Vms.DOWN, 41))
    yield Case(idle, "the collector was gone", unseen(lasting, (6, 9)), {18.75: SILENT, 19: (is_idle,)})

    is_slow = scraped(f"{WHERE} is in HLT while virtual machines run", mode="HLT")
    for state in (Vms.UP, Vms.STARTING, Vms.FAILED, Vms.STOPPING):
        world = hlt | vms((Vms.DOWN, 1), (state, 9), (Vms.DOWN, 31))
        checks = {1.75: SILENT, 2: (is_slow,), 9.75: (is_slow,), 10: SILENT}
        yield Case(slow, f"fires and ends: {state.value}", world, checks)
    yield Case(slow, "they run in cloud", cloud | vms((Vms.DOWN, 1), (Vms.UP, 40)), during(1, 40))
    yield Case(
        slow, "for a moment again and again", hlt | vms(*[(Vms.DOWN, 0.5), (Vms.STOPPING, 1)] * 20), during(1, 29)
    )
    yield Case(slow, "nothing is known of virtual machines", hlt, during(1, 40))
    gap = unseen(hlt | vms((Vms.UP, 41)), (5, 8))
    yield Case(slow, "the collector was gone", gap, {4.75: (is_slow,), 6: SILENT, 8.75: SILENT, 9: (is_slow,)})


def _lost_cases() -> Iterator[Case]:
    alert = "HltmodeLostWhileSwitching"
    lost = here(f"{WHERE} was switching when it was last heard of")
    for mode in (ACTIVATING, DEACTIVATING):
        world = unseen(node((HLT, 1), (mode, 119)), (5, 110))
        checks = {4.75: SILENT, 5.75: SILENT, 6: (lost,), 36: (lost,), 109.75: (lost,), 110: SILENT}
        yield Case(alert, f"fires until the node is back: {mode.value}", world, checks, steady=(6, 109.75))
        shut = gone(node((HLT, 1), (mode, 99)), 5)
        yield Case(alert, f"taken out of the configuration: {mode.value}", shut, {6: (lost,), 34: (lost,), 35: SILENT})
    for mode in (HLT, CLOUD):
        world = unseen(node((ACTIVATING, 3), (mode, 47)), (3.25, 40))
        yield Case(alert, f"vanishes in {mode.value} after a switch", world, during(0, 50))
    blips = [(start, start + 0.75) for start in range(2, 28)]
    yield Case(alert, "vanishes for a moment again and again", unseen(node((ACTIVATING, 30)), *blips), during(0, 29))
    down = unseen(node((HLT, 1), (ACTIVATING, 9), (None, 20)), (5, 10))
    yield Case(alert, "is back and knows no mode", down, {9.75: (lost,), 10: SILENT, 20: SILENT})


def _mode_cases() -> Iterator[Case]:
    alert = "HltmodeModeUnknown"
    none, two = here(f"{WHERE} is in no known mode"), here(f"{WHERE} is in 2 modes at once")
    unknown = node((HLT, 1), (None, 9), (HLT, 20))
    yield Case(alert, "none", unknown, {1.75: SILENT, 2: (none,), 9.75: (none,), 10: SILENT})
    twice = node((HLT, 30)) | {series(MODE, mode="cloud"): flat(0.0, 1) + flat(1.0, 9) + flat(0.0, 20)}
    yield Case(alert, "two", twice, {1.75: SILENT, 2: (two,), 9.75: (two,), 10: SILENT})
    yield Case(alert, "each of the four", node(*((mode, 5) for mode in Mode)), during(0, 19))
    yield Case(alert, "unknown for a moment again and again", node(*[(HLT, 0.5), (None, 1)] * 20), during(0, 29))
    gap = unseen(node((None, 30)), (5, 8))
    yield Case(alert, "the collector was gone", gap, {4.75: (none,), 6: SILENT, 8.75: SILENT, 9: (none,)})

    alert = "HltmodeFlapping"

    def changed(times: int) -> tuple[Firing, ...]:
        return (scraped(f"{WHERE} changed its mode {times} times in 30 minutes"),)

    trip = [(HLT, 2.0), (ACTIVATING, 2.0), (CLOUD, 2.0), (DEACTIVATING, 2.0)]
    trips = node(*trip * 2, (HLT, 60))
    ends: dict[float, tuple[Firing, ...]] = {33.75: changed(7), 43.75: changed(7), 44.25: SILENT}
    yield Case(alert, "two trips", trips, {13.75: SILENT, 14: changed(7), 16: changed(8)} | ends)
    yield Case(alert, "the node's own configuration allows more", trips | changes_limit(8, 75), during(0, 75))
    yield Case(alert, "a trip and a half", node(*trip, *trip[:2], (CLOUD, 60)), during(0, 75))
    yield Case(alert, "a trip an hour", node(*[(mode, 15.0) for mode in Mode] * 3), during(0, 179))
    now_and_then = node(*[(mode, 4.5) for mode in Mode] * 6)
    yield Case(alert, "about as often as allowed: one page", now_and_then, {31.5: changed(7)}, steady=(31.5, 107))
    yield Case(alert, "the collector was gone meanwhile", unseen(trips, (6.5, 10.5)), {14: SILENT, 16: changed(7)})


def _clock_cases() -> Iterator[Case]:
    alert = "HltmodeClockSkew"

    def ahead(how_far: str) -> tuple[Firing, ...]:
        return (here(f"{WHERE}: its clock is {how_far} ahead"),)

    box, clock, since = series(CLOCK_SKEW), series(CLOCK), series(MODE_SINCE)
    by_box: World = {box: flat(0.0, 1) + flat(20.0, 9) + flat(0.0, 20)}
    for sign, word in ((1, "ahead"), (-1, "behind")):
        off = (here(f"{WHERE}: its clock is 20s {word}"),)
        checks = {2.75: SILENT, 3: off, 9.75: off, 10: SILENT}
        beside_bu: World = {box: flat(0.0, 1) + flat(20.0 * sign, 9) + flat(0.0, 20)}
        yield Case(alert, f"{word} of its BU, by its box", beside_bu, checks)
        by_scrape: World = {clock: rising(0, 1) + rising(60 + 20 * sign, 9) + rising(600, 20), box: flat(0.0, 30)}
        yield Case(alert, f"{word} of Prometheus: the collector's", by_scrape, checks)
        just: World = {box: flat(5.0 * sign, 30), clock: rising(5 * sign, 30)}
        yield Case(alert, f"as much {word} as allowed", just, during(0, 29))
        more: World = {box: flat(20.0 * sign, 30), clock: rising(20 * sign, 30)}
        told = limit(OF_CLOCK_OFF, 20, 30) | agent_limit(OF_CLOCK_OFF, 20, 30)
        yield Case(alert, f"its own configuration allows more {word}", more | told, during(0, 29))
    by_mode: World = {since: flat(0.0, 1) + flat(660.0, 29), clock: rising(0, 30), box: flat(0.0, 30)}
    yield Case(alert, "by its mode", by_mode, {3: ahead("8m 0s"), 10.75: ahead("15s"), 11: SILENT})
    yield Case(alert, "a mode that begins as late as allowed", {since: rising(5, 30)}, during(0, 29))
    short: World = {box: (flat(20.0, 2) + flat(0.0, 0.5)) * 10}
    yield Case(alert, "for a moment again and again", short, during(0, 24))
    gap = unseen(by_box, (5, 7))
    yield Case(alert, "the collector was gone", gap, {4.75: ahead("20s"), 6: SILENT, 8.75: SILENT, 9: ahead("20s")})


def _box_cases() -> Iterator[Case]:
    alert, age = "HltmodeBoxOld", series(BOX_AGE)

    def old(how: str) -> tuple[Firing, ...]:
        return (scraped(f"{WHERE}: its box file is {how} old"),)

    world: World = {age: flat(2.0, 1) + rising(15, 9) + flat(2.0, 10)}
    yield Case(
        alert, "fires and ends", world, {1.75: SILENT, 2: old("1m 15s"), 9.75: old("9m 0s"), 10: SILENT}, (2, 9.75)
    )
    yield Case(alert, "as old as allowed", {age: flat(30.0, 20)}, during(0, 19))
    yield Case(alert, "late again and again", {age: rising(2, 1) * 20}, during(0, 19))
    more: World = {age: flat(60.0, 20)} | limit(OF_BOX_AGE, 60, 20)
    yield Case(alert, "the node's own configuration allows more", more, during(0, 19))
    less: World = {age: flat(20.0, 20)} | limit(OF_BOX_AGE, 15, 20)
    yield Case(alert, "the node's own configuration allows less", less, {0.25: SILENT, 0.5: old("20s")})
    gap = unseen(world, (4, 7))
    yield Case(alert, "the collector was gone", gap, {5: SILENT, 7.25: SILENT, 7.5: old("6m 45s")})


def _exporter_cases() -> Iterator[Case]:
    alert = "HltmodeExporterDown"
    down = scraped(f"{WHERE}: its collector does not answer")
    world = node((HLT, 60))
    checks = {2.75: SILENT, 3: (down,), 29.75: (down,), 30: SILENT}
    yield Case(alert, "fires until it answers", unseen(world, (1, 30)), checks, steady=(3, 29.75))
    two = unseen(world | node((HLT, 60), host="fu-2"), (1, 30), host="fu-2")
    other = Firing(
        f"fu-2 ({APPLIANCE}): its collector does not answer",
        {"host": "fu-2", "appliance": APPLIANCE, "job": "hltmode", "instance": "fu-2:9109"},
    )
    yield Case(alert, "one of two", two, {29: (other,)})
    short = unseen(world, *((start, start + 2) for start in range(1, 55, 3)))
    yield Case(alert, "for a moment again and again", short, during(0, 59))
    foreign: World = {'up{job="other",host="fu-1",appliance="bu-1"}': flat(0.0, 60)}
    yield Case(alert, "something else does not answer", world | foreign, during(0, 59))


def _stalled_cases() -> Iterator[Case]:
    alert, last, clock = "HltmodeCollectorStalled", series(LAST_SUCCESS), {series(CLOCK): rising(0, 30)}

    def stalled(how_long: str) -> tuple[Firing, ...]:
        return (scraped(f"{WHERE}: no sample for {how_long}"),)

    world = up(flat(1.0, 30)) | clock | {last: rising(0, 2) + flat(105.0, 13) + rising(900, 15)}
    checks = {3.75: SILENT, 4: stalled("2m 15s"), 14.75: stalled("13m 0s"), 15: SILENT}
    yield Case(alert, "fires and ends", world, checks, steady=(4, 14.75))
    yield Case(alert, "as late as allowed", clock | {last: rising(-60, 30)}, during(0, 29))
    for word, off_s in (("behind", -600), ("ahead", 600)):
        skewed: World = {last: rising(off_s - 5, 30), series(CLOCK): rising(off_s, 30)}
        yield Case(alert, f"it samples, and its clock is {word}", skewed, during(0, 29))
    stands: World = {last: flat(-600.0, 30), series(CLOCK): rising(-600, 30)}
    yield Case(alert, "it stands still, and its clock is behind", stands, {2: SILENT, 2.25: stalled("2m 15s")})
    seldom = clock | {last: rising(-180, 30)} | agent_limit(OF_SAMPLE_AGE, 180, 30)
    yield Case(alert, "its own configuration has it sample seldom", seldom, during(0, 29))
    slow: World = clock | {last: [value for minute in range(15) for value in flat(minute * 120.0, 2)]}
    yield Case(alert, "late again and again", slow, during(0, 29))
    gap = unseen(world, (6, 9))
    yield Case(alert, "the collector was gone", gap, {7: SILENT, 9.75: SILENT, 10: stalled("8m 15s")})


def _sink_cases() -> Iterator[Case]:
    down = scraped(f"{WHERE}: sink main takes no documents", sink="main")
    alert, main = "HltmodeSinkDown", series(SINK_UP, sink="main")
    yield from _gauge(alert, main, 1.0, 0.0, 5, down)
    two: World = {main: flat(0.0, 30), series(SINK_UP, sink="second"): flat(1.0, 30)}
    yield Case(alert, "one of two", two, {4.75: SILENT, 5: (down,)})

    alert, oldest = "HltmodeBacklogOld", series(SINK_OLDEST, sink="main")

    def waited(how_long: str) -> tuple[Firing, ...]:
        return (scraped(f"{WHERE}: documents for main have waited for {how_long}", sink="main"),)

    world: World = {oldest: rising(0, 30) + flat(0.0, 10), series(SINK_OLDEST, sink="second"): flat(1.0, 40)}
    checks = {20: SILENT, 20.25: waited("20m 15s"), 29.75: waited("29m 45s"), 30: SILENT}
    yield Case(alert, "fires and ends", world, checks, steady=(20.25, 29.75))
    yield Case(alert, "as old as allowed", {oldest: flat(900.0, 30)}, during(0, 29))
    more = {oldest: flat(1800.0, 30)} | agent_limit(OF_BACKLOG_AGE, 1800, 30)
    yield Case(alert, "the collector's own configuration allows more", more, during(0, 29))
    yield Case(alert, "old again and again", {oldest: (flat(1000.0, 5) + flat(0.0, 0.5)) * 5}, during(0, 27))
    gap = unseen(world, (10, 18))
    yield Case(alert, "the collector was gone", gap, {20.25: SILENT, 22.75: SILENT, 23: waited("23m 0s")})


def _lost_documents_cases() -> Iterator[Case]:
    alert = "HltmodeDocumentsLost"

    def lost(number: str) -> tuple[Firing, ...]:
        return (here(f"{WHERE}: about {number} documents lost in 15 minutes"),)

    dead, dropped = series(SINK_DEAD, sink="main"), series(SINK_DROPPED, sink="main")
    unwritten = series(DROPPED_TOTAL, kind="box", reason="unwritten")
    names = (dead, dropped, unwritten)
    nothing: World = {name: flat(7.0, 60) for name in names}
    ten = flat(7.0, 20) + flat(17.0, 40)
    for name in names:
        checks = {19.75: SILENT, 20: lost("10"), 34.5: lost("10"), 35.25: SILENT}
        yield Case(alert, f"fires and ends: {name}", nothing | {name: ten}, checks, steady=(20, 34.5))
    yield Case(alert, "all of them add up", dict.fromkeys(names, ten), {21: lost("30")})
    second = series(SINK_DEAD, sink="second")
    yield Case(alert, "of two sinks", nothing | {dead: ten, second: ten}, {21: lost("20")})
    # What had been delivered is dropped with the rest when it is old or the log is full.
    for reason in ("age", "bytes"):
        done: World = {series(DROPPED_TOTAL, kind="box", reason=reason): rising(0, 60)}
        yield Case(alert, f"delivered ones make room: {reason}", nothing | done, during(0, 59))
    anew: World = {dead: flat(7.0, 20) + flat(0.0, 40)}
    yield Case(alert, "the log is begun anew", nothing | anew, during(0, 59))
    again = [7.0 + minute // 10 for minute in range(60) for _ in range(4)]
    yield Case(alert, "again and again: one page", nothing | {dead: [*again]}, {11: lost("1")}, steady=(10, 59))
    gap = unseen(nothing | {dead: ten}, (18, 22))
    yield Case(alert, "lost while the collector was gone", gap, {21: SILENT, 22.25: lost("10")})


def _appliance_cases() -> Iterator[Case]:
    alert = "HltmodeApplianceDown"
    down = whole(f"50% of {APPLIANCE} does not answer")

    def half(of: int, number: int, values: Values) -> World:
        bad = {series("up", f"fu-{each}"): values for each in range(number)}
        return bad | {series("up", f"fu-{each}"): flat(1.0, 30) for each in range(number, of)}

    lasting: Values = flat(1.0, 1) + flat(0.0, 19) + flat(1.0, 10)
    elsewhere = {series("up", f"fu-{each}", "bu-2"): flat(1.0, 30) for each in range(50, 60)}
    checks = {1.75: SILENT, 2: (down,), 20.75: (down,), 21: SILENT}
    yield Case(alert, "half of four", half(4, 2, lasting) | elsewhere, checks, steady=(2, 20.75))
    for number in (6, 10, 14, 22, 38, 40):
        yield Case(alert, f"half of {number}", half(number, number // 2, lasting), {2: (down,)})
    yield Case(alert, "all of three", half(3, 3, lasting), {2: (whole(f"100% of {APPLIANCE} does not answer"),)})
    yield Case(alert, "less than half", half(5, 2, lasting), during(0, 29))
    yield Case(alert, "the only one", half(1, 1, lasting), during(0, 29))
    of_bu = {series("up", APPLIANCE): lasting} | elsewhere
    yield Case(
        alert, "a BU's collector, which tells of all", of_bu, {2: (whole(f"100% of {APPLIANCE} does not answer"),)}
    )
    short = (flat(0.0, 1) + flat(1.0, 0.5)) * 20
    yield Case(alert, "for a moment again and again", half(4, 2, [*short]), during(0, 29))
    one = {series("up", "fu-0"): (flat(0.0, 2) + flat(1.0, 0.5)) * 12}
    yield Case(alert, "one of the half comes and goes: one page", half(4, 2, lasting) | one, {3.5: (down,)}, (3.5, 20))

    alert = "HltmodeApplianceStuck"
    stuck = whole(f"20% of {APPLIANCE} is stuck on its way")
    late, well = ((HLT, 1.0), (ACTIVATING, 19.0), (CLOUD, 10.0)), ((HLT, 30.0),)
    others = node((ACTIVATING, 30), host="fu-90", appliance="bu-2")
    world = farm((2, late), (8, well)) | others
    checks = {5.25: SILENT, 5.5: (stuck,), 20.75: (stuck,), 21: SILENT}
    yield Case(alert, "fires as soon as they do, and ends", world, checks, steady=(5.5, 20.75))
    back = ((CLOUD, 1.0), (DEACTIVATING, 29.0))
    both = farm((1, late), (1, back), (8, well))
    yield Case(alert, "one on each way", both, {6.25: (stuck,)})
    yield Case(alert, "as many as allowed", farm((2, late), (18, well)), during(0, 29))
    yield Case(alert, "one alone", farm((1, late), (3, well)), during(0, 29))
    gap = unseen(unseen(world, (7, 10)), (7, 10), host="fu-2")
    yield Case(alert, "their collectors were gone", gap, {7.5: (stuck,), 9: SILENT, 10: SILENT, 10.25: (stuck,)})
    blips = unseen(world, *((start, start + 0.5) for start in range(8, 18, 2)))
    yield Case(alert, "scrapes of one fail: one page", blips, {6.25: (stuck,)}, steady=(6.25, 20))
    brief = [(ACTIVATING, 4.5), (HLT, 0.5)] * 6
    yield Case(alert, "late for a moment again and again", farm((5, tuple(brief)), (5, well)), during(0, 29))


def _farm_cases() -> Iterator[Case]:
    def modes(*crowds: tuple[int, tuple[tuple[Mode, float], ...]]) -> World:
        return {name: values for name, values in farm(*crowds).items() if name.startswith(f"{MODE}{{")}

    away, stay = ((HLT, 1.0), (CLOUD, 54.0), (HLT, 10.0)), ((HLT, 65.0),)
    some, allowed = modes((1, away), (24, stay)), modes((3, away), (97, stay))
    to_and_fro = modes((1, ((HLT, 1.0), (CLOUD, 1.0)) * 32), (24, stay))
    dump, setup, ramp, stable = BeamMode.BEAM_DUMP, BeamMode.SETUP, BeamMode.RAMP, BeamMode.STABLE_BEAMS

    alert = "HltmodeTooManyAway"
    many = Firing("4% of the farm is not in HLT, and the beam mode has wanted it back for 30 minutes", {})
    filling = beam((dump, 5), (setup, 60))
    home = {34: SILENT, 35.25: (many,), 54.75: (many,), 56.75: (many,), 57: SILENT}
    yield Case(alert, "fires until the nodes are back", some | filling, home, steady=(35.25, 56.75))
    dumped = beam((dump, 5), (setup, 35), (stable, 5), (dump, 20))
    yield Case(alert, "fires until the beam is gone", some | dumped, {44.75: (many,), 46.75: (many,), 47: SILENT})
    yield Case(alert, "as many as allowed", allowed | filling, during(0, 64))
    yield Case(alert, "nobody tells the beam mode", some, during(0, 64))
    yield Case(alert, "no mode lasts half an hour", some | beam(*[(dump, 2), (setup, 28)] * 2), during(0, 60))
    for mode in (BeamMode.NO_BEAM, dump, BeamMode.RAMP_DOWN, BeamMode.CYCLING):
        yield Case(alert, f"the beam leaves it free: {mode.value}", some | beam((mode, 50)), during(0, 49))
    new = beam((None, 10), (setup, 55))
    yield Case(alert, "the beam mode is new here", some | new, {30: SILENT, 41: (many,)})
    gap = beam((dump, 5), (setup, 20), (None, 4), (setup, 36))
    yield Case(alert, "the beam mode was unknown for minutes: one page", some | gap, {36: (many,)}, steady=(36, 54))
    yield Case(alert, "one comes and goes: one page", to_and_fro | filling, {35.25: (many,)}, steady=(36, 63))

    alert = "HltmodeAwayInCollisions"
    now = Firing("4% of the farm is not in HLT between squeeze and stable beams", {})
    for mode in (BeamMode.SQUEEZE, BeamMode.ADJUST, stable):
        fill = beam((ramp, 5), (mode, 5), (dump, 10))
        checks = {4.75: SILENT, 5: (now,), 9.75: (now,), 11.75: (now,), 12: SILENT}
        yield Case(alert, f"fires at once until the beam is gone: {mode.value}", some | fill, checks)
    fill = beam((ramp, 5), (stable, 60))
    yield Case(alert, "fires until the nodes are back", some | fill, {54.75: (now,), 56.75: (now,), 57: SILENT})
    yield Case(alert, "as many as allowed", allowed | fill, during(0, 30))
    yield Case(alert, "nobody tells the beam mode", some, during(0, 30))
    yield Case(alert, "before the squeeze", some | beam((ramp, 15), (BeamMode.FLAT_TOP, 15)), during(0, 29))
    yield Case(alert, "one comes and goes: one page", to_and_fro | fill, {4.75: SILENT, 5: (now,)}, steady=(5, 30))
    blips = beam((ramp, 5), *[(stable, 2), (None, 1)] * 10)
    yield Case(alert, "the beam mode is unknown now and then: one page", some | blips, {5: (now,)}, steady=(5, 34))


def _follow_cases() -> Iterator[Case]:
    def told(name: str, **labels: str) -> str:
        labels = {"job": FOLLOW_JOB, "instance": "follow:9110"} | labels
        words = ",".join(f'{label}="{value}"' for label, value in labels.items())
        return f"{name}{{{words}}}"

    alert = "HltmodeFollowerDown"
    down = Firing("Nobody follows the beam: no node of the farm is asked back when it comes", {})
    up_again = flat(1.0, 5) + flat(0.0, 10) + flat(1.0, 5)
    ticks = rising(0, 5) + flat(None, 10) + rising(900, 5)
    fault = {told("up"): up_again, told(FOLLOW_LAST_TICK): ticks}
    checks = {5.75: SILENT, 6: (down,), 15.75: (down,), 16: SILENT}
    yield Case(alert, "fires and ends", fault, checks, steady=(6, 15.75))
    stalled = {told("up"): flat(1.0, 20), told(FOLLOW_LAST_TICK): rising(0, 5) + flat(285.0, 15)}
    yield Case(alert, "answers and decides nothing", stalled, {6.75: SILENT, 7: (down,), 19: (down,)})
    restarted = flat(1.0, 5) + flat(0.0, 0.5) + flat(1.0, 10)
    yield Case(
        alert, "was started again", {told("up"): restarted, told(FOLLOW_LAST_TICK): rising(0, 15.5)}, during(0, 15)
    )

    to_and_fro = flat(1.0, 5) + flat(0.0, 2) + [*flat(1.0, 0.5), *flat(0.0, 0.5)] * 8
    flaps = {told("up"): to_and_fro, told(FOLLOW_LAST_TICK): rising(0, 15)}
    yield Case(alert, "comes and goes: one page", flaps, {5.75: SILENT}, steady=(6, 14.75))

    alert = "HltmodeBeamUnknown"
    lost = Firing("The beam mode is not known, so the nodes of the farm were asked back", {})
    unknown = {told(FOLLOW_WARNING, kind=Warned.BEAM): flat(0.0, 5) + flat(1.0, 10) + flat(0.0, 5)}
    yield Case(alert, "fires and ends", unknown, {4.75: SILENT, 5: (lost,), 15.75: (lost,), 16: SILENT}, (5, 15.75))
    others = {told(FOLLOW_WARNING, kind=kind): flat(1.0, 20) for kind in (Warned.LATE, Warned.COLLISIONS)}
    yield Case(alert, "warns of something else", others, during(0, 19))
    now_and_then = flat(0.0, 5) + [*flat(1.0, 0.5), *flat(0.0, 0.5)] * 10
    flaps = {told(FOLLOW_WARNING, kind=Warned.BEAM): now_and_then}
    yield Case(alert, "unknown now and then: one page", flaps, {4.75: SILENT}, steady=(5, 14.75))
    silent = {told(FOLLOW_WARNING, kind=Warned.BEAM): flat(0.0, 5) + flat(1.0, 5) + flat(None, 5) + flat(1.0, 5)}
    checks = {9.75: (lost,), 10.75: (lost,), 11: SILENT, 14.75: SILENT, 15: (lost,)}
    yield Case(alert, "the follower was gone, of which another alert tells", silent, checks)


_DISAGREE: Final = scraped(f"{WHERE}: mode file and box file tell different modes")
_LOG: Final = scraped(f"{WHERE}: its log takes no documents")

CASES: Final = (
    *_stuck("HltmodeStuckActivating", ACTIVATING, 4, DEACTIVATING),
    *_stuck("HltmodeStuckDeactivating", DEACTIVATING, 2, ACTIVATING),
    *_vms_cases(),
    *_lost_cases(),
    *_gauge("HltmodeModeAndBoxDisagree", series(MODE_BOX_DISAGREES), 0.0, 1.0, 1, _DISAGREE),
    *_mode_cases(),
    *_clock_cases(),
    *_box_cases(),
    *_exporter_cases(),
    *_stalled_cases(),
    *_gauge("HltmodeLogDown", series(LOG_UP), 1.0, 0.0, 1, _LOG),
    *_sink_cases(),
    *_lost_documents_cases(),
    *_appliance_cases(),
    *_farm_cases(),
    *_follow_cases(),
)
