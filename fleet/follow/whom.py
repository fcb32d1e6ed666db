"""Which nodes a turn takes, and how it is ordered. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from contract.modes import Mode
from contract.request import LONGEST_REASON
from fleet.follow.policy_file import PolicyFile
from fleet.order import Order


class Sent(NamedTuple):
    """Of whom those are chosen who leave; how many of them stay, in all and in each appliance; how many can leave."""

    hosts: tuple[str, ...]
    keep_total: int
    keep_each: int
    most: int


def whom(
    modes: Mapping[str, Mode | None],
    appliances: Mapping[str, str],
    keep: int,
    held: Collection[str],
    taken: Collection[str],
) -> Sent:
    """Returns which nodes may leave so that `keep` nodes stay in HLT, spread over the appliances.

    Those that are `held` or `taken` by another one's operation stay, and count among those that do.
    """
    in_hlt = [host for host, mode in modes.items() if mode is Mode.HLT]
    hosts = tuple(host for host in in_hlt if host not in taken)
    keep_total = max(0, keep - (len(in_hlt) - len(hosts)))
    groups = len({appliances.get(host, "") for host in hosts}) or 1
    free = sum(host not in held for host in hosts)
    return Sent(hosts, keep_total, keep_total // groups, min(free, len(hosts) - keep_total))


def order_to_cloud(file: PolicyFile, reason: str, sent: Sent) -> Order:
    """Returns the order of an exclusion."""
    how = file.to_cloud
    return Order(
        who=file.who, reason=_reason(reason), most=None, percent=None, keep=sent.keep_each, keep_total=sent.keep_total,
        prefer_idle=how.prefer_idle, ramp=how.spreads, limit_s=how.limit_s, hurry=how.hurry, deadline_s=how.deadline_s,
    )  # fmt: skip


def order_to_hlt(file: PolicyFile, reason: str) -> Order:
    """Returns the order by which nodes are asked back."""
    how = file.to_hlt
    return Order(
        who=file.who, reason=_reason(reason), most=None, percent=None, keep=0, keep_total=0,
        prefer_idle=False, ramp=how.spreads, limit_s=how.limit_s, hurry=False, deadline_s=None,
    )  # fmt: skip


def whose(away: Collection[str], own: Collection[str], held: Collection[str], taken: Mapping[str, str]) -> str:
    """Returns for people why the nodes that are away are; `taken` says in whose operation a node is."""
    reasons: Counter[str] = Counter()
    for host in away:
        if host in held:
            reasons["on hold"] += 1
        elif host in taken:
            reasons[f"in {taken[host]}"] += 1
        else:
            reasons["sent by the policy" if host in own else "not sent by the policy"] += 1
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4))


def _reason(reason: str) -> str:
    return f"policy: {reason}"[:LONGEST_REASON]
