"""What happens in the demo, step by step, and what must have been seen at its end. Pure but for what steps do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from contract.journal import AnyRecord, MoveRecord, RunRecord, SwitchRecord
from contract.modes import Mode, Vms
from simulator.farm import Farm
from switcher.view import Status

CORES: Final = 8
FIRST_RUN: Final = 100
SECOND_RUN: Final = 101

LEAVING: Final = (0, 1)
CROSSING: Final = 2
STAYING: Final = 3

Seen = Sequence[Status | None]

THERE_AND_BACK: Final = (Mode.HLT, Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD, Mode.HLT)
TURNED_ROUND: Final = (Mode.HLT, Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD, Mode.HLT)


class Step(NamedTuple):
    """One step: what it is called, what is done, when it is over, and how long it is then left to be looked at."""

    title: str
    act: Callable[[Farm], None]
    over: Callable[[Seen], bool]
    within_s: float = 30.0
    hold_s: float = 1.5


class Check(NamedTuple):
    """One thing that had to be seen, and whether it was."""

    title: str
    met: bool


def story(hosts: Sequence[str]) -> tuple[Step, ...]:
    """Returns the steps for a farm of these four hosts."""
    first, second, crossing = hosts[LEAVING[0]], hosts[LEAVING[1]], hosts[CROSSING]
    return (
        Step(
            f"The BU begins run {FIRST_RUN}; all four nodes work on it",
            lambda farm: farm.start_run(FIRST_RUN),
            lambda seen: all(_works_on(node, FIRST_RUN) for node in seen),
        ),
        Step(
            f"{first} and {second} are asked to leave, over CGI, and are masked at once",
            lambda farm: _ask(farm, "exclude", LEAVING),
            lambda seen: all(_mode(seen[at]) in (Mode.ACTIVATING_CLOUD, Mode.CLOUD) for at in LEAVING),
        ),
        Step(
            "Their jobs end within two lumisections, the cores are handed over, VMs start",
            _nothing,
            lambda seen: all(_gave_cores(seen[at]) for at in LEAVING),
        ),
        Step(
            f"Run {FIRST_RUN} ends, run {SECOND_RUN} begins; nodes in cloud refuse it and remember it",
            _next_run,
            lambda seen: (
                all(_remembers(seen[at], SECOND_RUN) for at in LEAVING)
                and all(_works_on(seen[at], SECOND_RUN) for at in (CROSSING, STAYING))
            ),
        ),
        Step(
            f"{crossing} is asked to leave too; its jobs are told their last lumisection",
            lambda farm: _ask(farm, "exclude", (CROSSING,)),
            lambda seen: _drains(seen[CROSSING]),
            hold_s=0,
        ),
        Step(
            f"An include crosses that exclude: the later request wins and {crossing} rejoins run {SECOND_RUN}",
            lambda farm: _ask(farm, "include", (CROSSING,)),
            lambda seen: _works_on(seen[CROSSING], SECOND_RUN),
        ),
        Step(
            f"{first} and {second} are asked back: VMs stop, cores return, they join run {SECOND_RUN}",
            lambda farm: _ask(farm, "include", LEAVING),
            lambda seen: all(_works_on(seen[at], SECOND_RUN) for at in LEAVING),
        ),
        Step(
            f"Run {SECOND_RUN} ends; every job and merge script ends with it",
            lambda farm: farm.stop_run(SECOND_RUN),
            lambda seen: all(_at_rest(node) for node in seen),
        ),
    )


def checks(
    journals: Sequence[Sequence[AnyRecord]], seen: Seen, vms: int, summary: Mapping[str, object], stored: int
) -> list[Check]:
    """Returns what had to be seen: in the journals, in the last look, at the BU, and in the embedded store.

    `vms` is the number of VM processes left; `stored` how many switches the collectors' stores hold.
    """
    leaving = [journals[at] for at in LEAVING]
    switches = [record for journal in journals for record in journal if isinstance(record, SwitchRecord)]
    return [
        Check(
            "two nodes went HLT, activatingCloud, cloud, deactivatingCloud, HLT, once each",
            all(_modes(journal) == THERE_AND_BACK for journal in leaving),
        ),
        Check(
            "the crossed one never reached cloud: activatingCloud, deactivatingCloud, HLT",
            _modes(journals[CROSSING]) == TURNED_ROUND and _outcomes(journals[CROSSING]) == ["superseded", "done"],
        ),
        Check("the fourth never left HLT", _modes(journals[STAYING]) == (Mode.HLT,)),
        Check(
            f"run {SECOND_RUN} was refused in cloud and joined once on return",
            all(_runs(journal, SECOND_RUN) == ["refused", "joined", "ended", "finished"] for journal in leaving),
        ),
        Check(
            "every core token is idle, no job and no VM is left",
            vms == 0 and all(node is not None and node.tokens["idle"] == CORES and not node.runs for node in seen),
        ),
        Check(
            "the BU counts the cores of all four again",
            summary.get("active_resources") == CORES * len(journals) and summary.get("cloud") == 0,
        ),
        Check(f"the stores hold all {len(switches)} switches of the journals", stored == len(switches) > 0),
    ]


def _nothing(_farm: Farm) -> None:
    return


def _ask(farm: Farm, command: str, which: Sequence[int]) -> None:
    for at in which:
        farm.units[at].cgi(command, "?who=demo")


def _next_run(farm: Farm) -> None:
    farm.stop_run(FIRST_RUN)
    farm.start_run(SECOND_RUN)


def _mode(node: Status | None) -> Mode | None:
    return node.mode if node else None


def _works_on(node: Status | None, number: int) -> bool:
    working = {run.number for run in node.runs if run.jobs} if node else set()
    return working == {number} and _mode(node) is Mode.HLT and node is not None and node.tokens["online"] == CORES


def _drains(node: Status | None) -> bool:
    told = {run.told for run in node.runs} if node else set()
    return _mode(node) is Mode.ACTIVATING_CLOUD and "last_lumisection" in told


def _gave_cores(node: Status | None) -> bool:
    return node is not None and node.mode is Mode.CLOUD and node.vms is Vms.UP and node.tokens["cloud"] == CORES


def _remembers(node: Status | None, number: int) -> bool:
    return node is not None and node.mode is Mode.CLOUD and node.waiting_run == number


def _at_rest(node: Status | None) -> bool:
    return node is not None and node.mode is Mode.HLT and not node.runs and node.tokens["idle"] == CORES


def _modes(journal: Sequence[AnyRecord]) -> tuple[Mode, ...]:
    moves = [record for record in journal if isinstance(record, MoveRecord)]
    return (Mode.HLT, *(move.mode for move in moves if move.mode is not move.from_mode))


def _outcomes(journal: Sequence[AnyRecord]) -> list[str]:
    return [record.outcome for record in journal if isinstance(record, SwitchRecord)]


def _runs(journal: Sequence[AnyRecord], number: int) -> list[str]:
    return [record.what for record in journal if isinstance(record, RunRecord) and record.run == number]
