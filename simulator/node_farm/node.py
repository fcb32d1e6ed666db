"""One node of a simulated farm: the real machine in a shell that keeps everything in memory.

The shell does what `switcher.node` does, in the same order, with timers in place of processes and files: the machine is
asked, the step goes into the journal, then its effects are carried out.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import msgspec

from contract.config import NodeConfig
from contract.journal import AnyRecord, SwitchRecord
from contract.modes import Mode, Vms, Wanted
from contract.request import Answer, Request, Verdict
from simulator.node_farm.clock import Alarm, Clock
from simulator.node_farm.cloud import SimulatedCloudTool
from simulator.node_farm.faults import SLOWNESS, Fault
from simulator.node_farm.work import CORES, FarmRun, SimulatedWork
from switcher import machine, timeline
from switcher.alarms import delay_s
from switcher.events import (
    Ask,
    CheckRun,
    Effect,
    Event,
    Ignite,
    MoveTokens,
    Reply,
    Requested,
    RunChecked,
    Started,
    StartWork,
    TellJobs,
    Timer,
    TokensMoved,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.states import Position, Run, State, mode
from switcher.timeline import Timeline
from switcher.tokens import Tokens
from switcher.view import Identity, Snapshot, Status, build_status

CONFIG: Final = NodeConfig()
BOOT: Final = "simulated"
CORE_NAMES: Final = tuple(f"core{number}" for number in range(CORES))
MOVE_TOKENS_S: Final = 0.05
CHECK_RUN_S: Final = 0.01
FORGETS_AFTER_S: Final = 10.0  # of having accepted; a drain takes longer


class Got(msgspec.Struct, kw_only=True):
    """What became of one request: its first verdict (None while it is under check), and its outcome once it has one.

    `times` counts how often it came in. Moments are Unix seconds of those outside: when it came in first, when it got
    its outcome, and when the node became stuck with it.
    """

    to: Wanted
    first_s: float
    times: int = 0
    verdict: Verdict | None = None
    reason: str = ""
    outcome: str | None = None
    outcome_s: float | None = None
    stuck_s: float | None = None


class Truth(msgspec.Struct, kw_only=True):
    """What really happened to a node, for tests to hold against what a tool says."""

    appliance: str
    fault: Fault
    mode: Mode
    position: Position
    vms: Vms
    vms_up: bool
    stuck: bool
    requests: dict[str, Got]


class FarmNode:
    """A node that works on `run`. Entrances call `submit`, `command`, `status`, `journal`, `cloud_cores`."""

    def __init__(self, who: Identity, fault: Fault, run: FarmRun, clock: Clock, seed: int = 1) -> None:
        self.who = who
        self.fault = fault
        self._clock = clock
        self._dice = random.Random(f"{seed} {who.host}")
        self._slowness = SLOWNESS if fault is Fault.SLOW else 1.0
        self._run = run
        self._life = 0
        self._numbers = count(1)
        self._got: dict[str, Got] = {}
        self._install()

    def _install(self) -> None:
        """Makes it a node without a past; what the one before it had under way comes to nothing."""
        self._life += 1
        hangs = self.fault is Fault.HANGS
        gone = self._in_this_life(self._work_gone)
        self._tool = SimulatedCloudTool(self._clock, self.fault, self._dice)
        self._work = SimulatedWork(self._clock, self._run, gone, self._dice, slowness=self._slowness, hangs=hangs)
        self._state = State()
        self._timeline = Timeline(mode_since=self._clock.now(), boot_id=BOOT)
        self._journal: list[bytes] = []
        self._in_cloud = False
        self._alarms: dict[Timer, Alarm] = {}
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._replies: dict[str, list[Callable[[Answer], None]]] = {}

    def start(self) -> None:
        """Begins as a switcher that finds its jobs at work."""
        self._work.begin(self._run.ref)
        facts = Started(in_cloud=0, outside=CORES, working=(Run(self._run.ref),), known=False)
        self._timeline, records = timeline.begin(self._timeline, self._state, facts, self._clock.now())
        self._write(records)
        self._post(facts)

    def _install_anew(self) -> None:
        self._install()
        self.start()

    def _in_this_life(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        """Returns `call` as it is until the node is installed anew."""
        life = self._life
        return lambda argument: call(argument) if self._life == life else None

    # What the entrances call

    def submit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        """Has `answered` called with the answer to `request`."""
        self._replies.setdefault(request.id, []).append(answered)
        self._receive(request)

    def command(self, to: Wanted, who: str, reason: str, request_id: str = "") -> None:
        """Takes a request as it comes from a command file, whose writer waits for no answer."""
        name = request_id or f"file-{next(self._numbers)}"
        self._receive(Request(id=name, to=to, who=who, reason=reason))

    def status(self) -> Status:
        """Returns what `GET /status` tells at this moment."""
        shot = Snapshot(
            state=self._state,
            timeline=self._timeline,
            tokens=self._tokens(),
            runs=self._work.views(),
            calling=self._tool.now,
        )
        return build_status(shot, self.who, self._clock.now())

    def journal(self, after: int, most: int) -> list[bytes]:
        """Returns at most `most` records numbered above `after`, each as JSON."""
        return self._journal[after : after + most]

    def cloud_cores(self) -> int:
        """Returns how many core tokens are in the cloud folder."""
        return CORES if self._in_cloud else 0

    def truth(self) -> Truth:
        """Returns what really happened to this node."""
        return Truth(
            appliance=self.who.appliance,
            fault=self.fault,
            mode=mode(self._state),
            position=self._state.position,
            vms=self._state.vms,
            vms_up=self._tool.up,
            stuck=self._state.stuck,
            requests=self._got,
        )

    # The mailbox

    def _receive(self, request: Request) -> None:
        got = self._got.setdefault(request.id, Got(to=request.to, first_s=self._clock.outside_s()))
        got.times += 1
        self._post(Requested(request))

    def _post(self, event: Event) -> None:
        """Has the machine decide about `event` and everything that follows from it, one after the other."""
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                self._follow(self._waiting.popleft())
        finally:
            self._busy = False

    def _follow(self, event: Event) -> None:
        before = self._state
        self._state, effects = machine.step(before, event)
        now = self._clock.now()
        self._timeline, records = timeline.advance(self._timeline, before, self._state, effects, now)
        self._write(records)
        switch = self._state.switch
        if self._state.stuck and not before.stuck and switch is not None and (got := self._got.get(switch.id)):
            got.stuck_s = self._clock.outside_s()
        for effect in effects:
            self._carry_out(effect)

    def _write(self, records: list[AnyRecord]) -> None:
        for record in records:
            self._journal.append(msgspec.json.encode(record))
            if isinstance(record, SwitchRecord) and (got := self._got.get(record.id)):
                got.outcome, got.outcome_s = record.outcome, self._clock.outside_s()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Reply(answer):
                self._reply(answer)
            case Ask(to, who, reason):
                self._post(Requested(Request(id=f"{who}-{next(self._numbers)}", to=to, who=who, reason=reason)))
            case Ignite(verb):
                self._tool.ask(verb, self._in_this_life(self._post))
            case MoveTokens(to):
                moved = self._in_this_life(self._tokens_moved)
                self._clock.later(MOVE_TOKENS_S * self._slowness, moved, to)
            case CheckRun(ref):
                checked = RunChecked(ref, ref.number == self._run.ref.number)
                self._clock.later(CHECK_RUN_S * self._slowness, self._in_this_life(self._post), checked)
            case StartWork(ref):
                self._work.begin(ref)
            case TellJobs(number, told):
                self._work.tell(number, told)
            case Wake():
                self._wake(effect)

    def _reply(self, answer: Answer) -> None:
        got = self._got.get(answer.id)
        if got is not None and got.verdict is None:
            got.verdict, got.reason = answer.verdict, answer.reason
        for answered in self._replies.pop(answer.id, []):
            answered(answer)
        if self.fault is Fault.FORGETS and self._life == 1 and answer.verdict is Verdict.ACCEPTED:
            self._clock.later(FORGETS_AFTER_S, self._in_this_life(lambda _: self._install_anew()), None)

    def _tokens_moved(self, to: Wanted) -> None:
        self._in_cloud = to is Wanted.CLOUD
        self._post(TokensMoved(to))

    def _work_gone(self, number: int) -> None:
        self._post(WorkEnded(number))

    def _wake(self, wake: Wake) -> None:
        if wake.timer in self._alarms:
            self._alarms[wake.timer].cancel()
        if wake.after_s is not None:
            wait_s = wake.after_s
        elif wake.timer is Timer.STUCK:  # set when the mode begins; the daemon's own reckoning reads the true clock
            wait_s = CONFIG.switch.timeout_s(mode(self._state))
        else:
            wait_s = delay_s(wake, CONFIG, self._state, self._timeline)
        self._alarms[wake.timer] = self._clock.later(wait_s, self._in_this_life(self._post), Woke(wake.timer))

    def _tokens(self) -> Tokens:
        if self._in_cloud:
            return Tokens(cloud=CORE_NAMES)
        used = self._work.cores
        return Tokens(idle=CORE_NAMES[used:], online=CORE_NAMES[:used])
