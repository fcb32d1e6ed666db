"""What a policy means, for people: of each beam mode what it wants, after how long, and what else there is to know."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contract.beam import FREE_FOR_CLOUD, TOLERATED_S, TOLERATED_SHARE, WHOLE_FARM_WANTED, BeamMode
from fleet.follow.policy import Policy, Want, span
from fleet.follow.policy_file import Read


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Of one beam mode: what the policy wants, after how many seconds, how many nodes stay in HLT, by which rule."""

    mode: BeamMode
    want: Want
    after_s: float
    keep: int
    rule: str
    remark: str = ""


def lines(policy: Policy) -> Iterator[Line]:
    """Yields a line for each beam mode, in the order of a fill."""
    for mode in BeamMode:
        rule = policy.rule(mode)
        if rule is None:
            yield Line(mode=mode, want=Want.HLT, after_s=0.0, keep=0, rule="none, so HLT")
            continue
        yield Line(
            mode=mode, want=rule.want, after_s=rule.after_s, keep=rule.keep, rule=rule.name,
            remark=_remark(mode, rule.want),
        )  # fmt: skip


def words(read: Read) -> Iterator[str]:
    """Yields what holds in every mode, a sentence each."""
    policy, source = read.policy, read.file.beam
    if all(rule.want is not Want.CLOUD for rule in policy.rules):
        yield "No rule wants cloud: this policy sends nobody."
    where = source.file or source.url or source.prometheus
    yield f"The beam mode comes from {where}, every {source.every_s:g} s."
    yield f"Without a known mode for {span(policy.patience_s)}, HLT is wanted at once."
    yield f"Between two turns towards the cloud lie {span(policy.between_s)}; the way back to HLT never waits."
    yield "When HLT is wanted, an exclusion under way is called off and its nodes are asked back."
    yield f"Only nodes that {read.file.who} has sent are asked back; nodes on hold and in others' operations are left."
    yield (
        f"More than {TOLERATED_SHARE:.0%} of the nodes away are warned of {span(TOLERATED_S)} after the beam left "
        f"{', '.join(sorted(FREE_FOR_CLOUD))}, and at once in {', '.join(sorted(WHOLE_FARM_WANTED))}."
    )


def _remark(mode: BeamMode, want: Want) -> str:
    if want is Want.CLOUD and mode not in FREE_FOR_CLOUD:
        return f"alerts after {span(TOLERATED_S)}: not a mode that leaves the farm free"
    return ""
