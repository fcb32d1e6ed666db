"""What is asked over HTTP and what is answered, as types; the description is made from them.

Times are Unix seconds, durations seconds. In answers fields at their default are left out.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from contract.modes import Mode, Wanted
from contract.request import LONGEST_DEADLINE_S, LONGEST_REASON, LONGEST_WHO, REQUEST_ID
from fleet.rollout import Doing, Verdict
from fleet.standing import NodeState, Standing

MOST_NAMES: Final = 10_000
LONGEST_SET: Final = 65_536

Who = Annotated[str, Meta(max_length=LONGEST_WHO, description="Who asks; every node's journal keeps it.")]
Reason = Annotated[str, Meta(max_length=LONGEST_REASON, description="Why; every node's journal keeps it.")]
NodeSet = Annotated[
    str, Meta(max_length=LONGEST_SET, description="Nodes as ClusterShell writes them, such as fu-c2f[01-02]-01-[1-8].")
]
RAMP: Final = "Stages: counts or shares. Where it is left out 1,5%,100% to the cloud, 100% back to HLT."
STOP_SHARE: Final = "Where it is left out 0.1 to the cloud, 1 (never) back to HLT."
Names = Annotated[tuple[str, ...], Meta(max_length=MOST_NAMES)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer or a part of one."""


# What is asked


class OrderForm(Form, frozen=True, kw_only=True):
    """An order: where nodes are to go (`to`, with `hosts` or `appliances` or both), or an operation to undo or retry.

    `undo` takes the nodes that the operation moved, `retry` those that it could not bring where they were wanted.
    """

    to: Wanted | None = None
    hosts: NodeSet | Names = ""
    appliances: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    undo: str = ""
    retry: str = ""
    id: Annotated[str, Meta(pattern=f"^({REQUEST_ID.pattern})?$")] = ""
    who: Who = ""
    reason: Reason = ""
    count: Annotated[int, Meta(ge=1)] | None = None
    percent: Annotated[float, Meta(gt=0.0, le=100.0)] | None = None
    keep: Annotated[int, Meta(ge=0, description="So many of the nodes named stay in HLT in each appliance.")] = 0
    keep_total: Annotated[int, Meta(ge=0, description="So many of the nodes named stay in HLT in all.")] = 0
    prefer_idle: bool = False
    ramp: Annotated[str, Meta(max_length=200, description=RAMP, examples=["1,5%,100%"])] = ""
    pause_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 0.0
    in_flight: Annotated[int, Meta(ge=1)] = 1500
    per_second: Annotated[float, Meta(ge=0.1)] = 1000.0
    stop_share: Annotated[Share, Meta(description=STOP_SHARE)] | None = None
    limit_s: Annotated[float, Meta(ge=1.0, le=LONGEST_DEADLINE_S)] | None = None
    hurry: bool = False
    deadline_s: Annotated[float, Meta(ge=1.0, le=LONGEST_DEADLINE_S)] | None = None


class BeginForm(Form, frozen=True, kw_only=True):
    """Begins a plan; `who` and `reason` are put in place of those of the plan where they are given."""

    who: Who = ""
    reason: Reason = ""


class HoldForm(Form, frozen=True, kw_only=True):
    """Nodes that no operation may take."""

    hosts: NodeSet | Names
    reason: Annotated[Reason, Meta(min_length=1)]
    who: Who = ""


class ReleaseForm(Form, frozen=True, kw_only=True):
    """Nodes that operations may take again."""

    hosts: NodeSet | Names


# What is answered


class ModeView(Shown, frozen=True, kw_only=True):
    """A mode, its colour and what it means."""

    name: Mode
    colour: str
    meaning: str


class NodeView(Shown, frozen=True, kw_only=True):
    """A node as it was seen last. `mode` is null when it does not answer, or not as it should; `silent` says why.

    `jobs` is how many must end before it can leave, `cores` how many it has, `vms` how its virtual machines are, `old`
    a node that has hltd's URLs only, `held` who holds it and why, `operation` the one that has it now.
    """

    host: str
    appliance: str
    mode: Mode | None
    since_s: float | None = None
    blocker: str = ""
    stuck: bool = False
    jobs: int | None = None
    cores: int | None = None
    vms: str = ""
    old: bool = False
    silent: str = ""
    held: str = ""
    operation: str = ""


class Switchover(Shown, frozen=True, kw_only=True):
    """A node that has come to rest in another mode; `took_s` is left out when its beginning was not seen."""

    host: str
    appliance: str
    to: Mode
    at_s: float
    took_s: float | None = None


class Slow(Shown, frozen=True, kw_only=True):
    """A node that an operation waits for, and what that node waits for."""

    host: str
    asked_s: float
    mode: Mode | None = None
    waits: str = ""
    stuck: bool = False


class OperationView(Shown, frozen=True, kw_only=True):
    """An operation. `run_by` is `server`, `other` (a command line, say) or `nobody`; `counts` is nodes by standing.

    `left_s` is how long it may still take, guessed from its own pace; `median_s` and `slow_s` are of its nodes.
    """

    id: str
    to: Wanted
    who: str
    reason: str
    created_s: float
    nodes: int
    ended: int
    counts: dict[Standing, int]
    doing: Doing
    stage: int
    stages: int
    run_by: str
    of: str = ""
    called_off: bool = False
    verdict: Verdict | None = None
    left_s: float | None = None
    median_s: float | None = None
    slow_s: float | None = None
    ended_s: float | None = None
    slowest: tuple[Slow, ...] = ()
    trouble: str = ""


class OperationDetail(Shown, frozen=True, kw_only=True):
    """An operation with every node's standing."""

    operation: OperationView
    nodes: tuple[NodeState, ...]


class FarmView(Shown, frozen=True, kw_only=True):
    """The farm at the moment of `event`, after which `/events` goes on. `counts` is nodes by mode or `no answer`."""

    event: str
    time_s: float
    every_s: float
    may_act: bool
    modes: tuple[ModeView, ...]
    counts: dict[str, int]
    stuck: int
    nodes: tuple[NodeView, ...]
    operations: tuple[OperationView, ...]
    switchovers: tuple[Switchover, ...]


class StageView(Shown, frozen=True, kw_only=True):
    """One stage of a plan. `hlt_after` and `cores_after` are of the whole farm; `expected_s` is left out when unknown.

    Of the nodes `already` are where they are wanted, or on the way, and `silent` do not answer.
    """

    nodes: int
    hosts: str
    jobs: int
    jobs_unknown: int
    hlt_after: int
    cores_after: int
    already: int = 0
    silent: int = 0
    expected_s: float | None = None


class LeftOut(Shown, frozen=True, kw_only=True):
    """Nodes that a plan does not ask, and why."""

    why: str
    nodes: int
    hosts: str


class PlanView(Shown, frozen=True, kw_only=True):
    """What an order would mean. It can be begun by its `id` until `valid_until_s`. HLT and cores are of the whole farm.

    `expected_s` is left out when no earlier operation tells how long nodes take; then only `limit_s` is known.
    `others` says which nodes carry out requests that this store knows nothing of, and whose.
    """

    id: str
    to: Wanted
    who: str
    reason: str
    nodes: int
    hosts: str
    stages: tuple[StageView, ...]
    left_out: tuple[LeftOut, ...]
    farm_nodes: int
    hlt_before: int
    cores_before: int
    limit_s: float
    valid_until_s: float
    others: tuple[str, ...] = ()
    median_s: float | None = None
    slow_s: float | None = None
    expected_s: float | None = None


class HostsView(Shown, frozen=True, kw_only=True):
    """The nodes of a set, and the set in its short form."""

    hosts: tuple[str, ...]
    folded: str


class HoldView(Shown, frozen=True, kw_only=True):
    """A node that no operation may take."""

    host: str
    who: str
    reason: str
    since_s: float


class Done(Shown, frozen=True, kw_only=True):
    """How many nodes an action took."""

    nodes: int


class Access(Shown, frozen=True, kw_only=True):
    """Whether the bearer of this token may act."""

    may_act: bool


class Holder(Shown, frozen=True, kw_only=True):
    """Who has nodes that were wanted."""

    operation: str
    who: str
    nodes: int


class Refusal(Shown, frozen=True, kw_only=True):
    """Why not, in one line. With status 409 `holders` are those that have the nodes."""

    error: str
    holders: tuple[Holder, ...] = ()
