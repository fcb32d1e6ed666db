"""Which names a set of nodes means, as ClusterShell writes sets, in bounded work whoever wrote it. Pure but for groups.

ClusterShell reads each operand by itself. Operands are put together here: its own union of names with several numbers
takes minutes for a few thousand that lie scattered, and ours takes as long as writing them down.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ClusterShell.NodeSet import NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolverError, GroupSourceError
from ClusterShell.RangeSet import RangeSetException

from contract.errors import HltmodeError

MOST: Final = 10_000
MOST_MEANT: Final = 100_000  # of all operands together, before anything is taken away or found to be double
LONGEST_NUMBER: Final = 18  # digits; no farm counts further
SHOWN: Final = 60

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
SET: Final = re.compile(r"[A-Za-z0-9._\-\[\],/!&^@:* ]*")
GROUP: Final = re.compile(r"@[A-Za-z0-9._:\-]+(?![A-Za-z0-9._:\-\[*])")  # by its name, not by a pattern
BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
RANGE: Final = re.compile(r"(\d+)-(\d+)(?:/0*([1-9]\d*))?")
OPERAND: Final = re.compile(r"((?:\[[^\[\]]*\]|[^\[\],!&^])*)([,!&^]|$)")
NUMBERS: Final = re.compile(r"(\d+)")
RAISED: Final = (  # by ClusterShell's parser; the last three besides its own errors
    NodeSetException, RangeSetException, GroupResolverError, GroupSourceError, AssertionError, IndexError, ValueError,
)  # fmt: skip
Names = set[str]
OPERATIONS: Final[dict[str, Callable[[Names, Names], Names]]] = {
    ",": operator.ior, "!": operator.isub, "&": operator.iand, "^": operator.ixor,
}  # fmt: skip


class BadHosts(HltmodeError):
    """A set of nodes that can't be understood, or names nobody; the message says which."""

    exit_code = 2


def expand_names(texts: Iterable[str]) -> list[str]:
    """Returns the names that sets of them mean, each once, numbers in order. Raises BadHosts.

    What all of them may mean at most is reckoned before the first name is made.
    """
    texts = list(texts)
    meant = 0
    for text in texts:
        # ClusterShell may give a group's name to a shell (groups.conf): none with a letter that means something to it.
        if not SET.fullmatch(text) or "/" in BRACKETS.sub("", text):
            raise BadHosts(f"{text[:SHOWN]!r}: not a set of nodes; write such as 'fu-c2f[01-40]-[01-08]' or @GROUP")
        if (most := most_meant(text)) > MOST:
            raise BadHosts(f"{text[:SHOWN]}: means more than {MOST} nodes; name fewer")
        meant += most
        if meant > MOST_MEANT:
            raise BadHosts(f"{text[:SHOWN]}: that makes more than {MOST_MEANT} names to look at; name fewer")
    found: Names = set()
    for text in texts:
        found |= _evaluated(text)
        if len(found) > MOST:
            raise BadHosts(f"{text[:SHOWN]}: that makes more than {MOST} nodes; name fewer")
    if bad := next((host for host in found if not NAME.fullmatch(host)), None):
        raise BadHosts(f"{bad[:SHOWN]}: no host name: letters, digits, dots and dashes")
    return sorted(found, key=_in_order)


def most_meant(text: str) -> int:
    """Returns how many names `text` may mean at most, without making them: `a[1-99999999]` would fill the memory."""
    return sum(_size(operand) for operand, _ in _operands(text))


def _evaluated(text: str) -> Names:
    """Returns what a set means: operators have no rank, each takes what stands to its left as a whole."""
    found: Names = set()
    operation = ","
    for operand, following in _operands(text):
        found = OPERATIONS[operation](found, _named(operand))
        operation = following
    return found


def _operands(text: str) -> Iterator[tuple[str, str]]:
    """Yields each operand with the operator that follows it, empty for the last. Raises BadHosts."""
    place = 0
    while text.strip():
        found = OPERAND.match(text, place)
        if found is None or not found[1].strip():
            raise BadHosts(f"{text[:SHOWN]}: not a set of nodes (a bracket or a name is missing)")
        yield found[1].strip(), found[2]
        place = found.end()
        if not found[2]:
            break


def _named(operand: str) -> Names:
    if NAME.fullmatch(operand):
        return {operand}
    try:
        for name in GROUP.findall(operand):
            if not NodeSet(name):
                raise BadHosts(f"{name[:SHOWN]}: no such group, or nobody is in it")
        return {str(host) for host in NodeSet(operand)}
    except RAISED as error:
        raise BadHosts(f"{operand[:SHOWN]}: not a set of nodes ({error})") from error


def _size(operand: str) -> int:
    return math.prod(sum(map(_length, ranges.split(","))) for ranges in BRACKETS.findall(operand))


def _length(part: str) -> int:
    limits = RANGE.fullmatch(part.strip())
    if limits is None:
        return 1
    if max(map(len, limits.groups(""))) > LONGEST_NUMBER:
        return MOST_MEANT + 1
    return max(1, (int(limits[2]) - int(limits[1])) // int(limits[3] or 1) + 1)


def _in_order(name: str) -> tuple[list[str | int], str]:
    """Returns by what names are sorted: `fu-2` comes before `fu-10`."""
    parts: list[str | int] = list(NUMBERS.split(name))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, name
