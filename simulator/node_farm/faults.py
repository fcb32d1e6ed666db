"""What may be wrong with a node of a simulated farm, and who has which fault. Pure."""

from __future__ import annotations

import difflib
import random
from enum import StrEnum
from typing import Final

from contract.errors import HltmodeError

SLOWNESS: Final = 3.0


class Fault(StrEnum):
    """What is wrong with a node; the values are the words of `--faults`."""

    NONE = "none"
    SLOW = "slow"  # every phase takes SLOWNESS times as long
    REFUSES = "refuses"  # the cloud tool has no VM stack: 412 with the reason
    REFUSES_LATE = "refuses-late"  # the same, but only after the caller was told that it is accepted
    HANGS = "hangs"  # one job ends for nothing but SIGKILL, so a switch gets stuck
    DEAD = "dead"  # nobody listens: connections are refused
    SILENT = "silent"  # takes connections and never answers
    LOSES = "loses"  # does what it is asked, but the connection closes before the answer
    LIES = "lies"  # accepts and publishes cloud, but no VM comes up: outcome vms_failed
    DIES = "dies"  # does what it is asked, and answers nothing from the moment it has said so
    FORGETS = "forgets"  # is installed anew after it has accepted: state and journal are gone
    MISTAKEN = "mistaken"  # another node answers at its address
    OLD = "old"  # unmodified hltd: its CGI URLs, 404 for everything else
    OLD_BROKEN = "old-broken"  # the same, but the pages of exclude and include are a traceback, with status 200


class BadMix(HltmodeError):
    """A mix of faults that can't be understood or doesn't fit; the message says which word."""

    exit_code = 2


def deal(text: str, nodes: int, seed: int) -> list[Fault]:
    """Returns the fault of each of `nodes` nodes, by seed, for a mix such as `slow=5%,dead=2`.

    A share is rounded to whole nodes, but never down to none. Raises BadMix.
    """
    dealt: list[Fault] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = word.partition("=")
        dealt += [_fault(name.strip())] * _count(word, amount.strip(), nodes)
    if len(dealt) > nodes:
        raise BadMix(f"--faults: {len(dealt)} faults for {nodes} nodes; a node has one at most")
    dealt += [Fault.NONE] * (nodes - len(dealt))
    random.Random(seed).shuffle(dealt)
    return dealt


def _fault(name: str) -> Fault:
    known = [fault.value for fault in Fault if fault is not Fault.NONE]
    if name in known:
        return Fault(name)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    raise BadMix(f"--faults: no fault {name!r}; {hint}")


def _count(word: str, amount: str, nodes: int) -> int:
    """Returns how many nodes `5%` or `3` are."""
    try:
        share = float(amount.removesuffix("%"))
    except ValueError:
        share = -1.0
    if amount.endswith("%") and 0 <= share <= 100:
        return max(1, round(nodes * share / 100)) if share else 0
    if amount.isascii() and amount.isdigit():
        return int(amount)
    raise BadMix(f"--faults: {word!r}: write it as NAME=SHARE% or NAME=NODES")
