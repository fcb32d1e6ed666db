"""Who calls, whether they may, and how often: pure bookkeeping, the time comes in as an argument."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from contract.networks import Address, address_of, networks_of

MOST_REMEMBERED: Final = 4096
BURST_S: Final = 10.0
LEAST_PURSE: Final = 10.0  # so that whatever the rate, everything can be asked now and then
NOBODY: Final = ipaddress.IPv6Address(0)


class Allowed:
    """The networks whose callers are let in."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = networks_of(networks)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class Rates:
    """What each caller may spend: `per_s` units a second, and ten seconds' worth at once. 0 is no limit.

    Of more callers than MOST_REMEMBERED the one that was silent longest is forgotten, whose purse is fullest.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._purses: dict[Address, tuple[float, float]] = {}

    def spend(self, caller: Address, units: float, now_s: float) -> bool:
        """Returns whether `caller` still had `units`, and takes them."""
        if not self._per_s:
            return True
        most = max(self._per_s * BURST_S, LEAST_PURSE)
        left, at_s = self._purses.pop(caller, (most, now_s))
        left = min(most, left + (now_s - at_s) * self._per_s)
        enough = left >= units
        self._purses[caller] = (left - units if enough else left, now_s)
        if len(self._purses) > MOST_REMEMBERED:
            del self._purses[next(iter(self._purses))]
        return enough


class Sparing:
    """Decides which of many like lines are logged: one a caller and minute, and no more than ten in all."""

    MOST: Final = 10
    WINDOW_S: Final = 60.0

    def __init__(self) -> None:
        self._began_s = float("-inf")
        self._named: set[str] = set()
        self._left_out = 0

    def admit(self, who: str, now_s: float) -> str | None:
        """Returns what to add to the line about `who`, in most cases nothing; None when it must not be logged."""
        if now_s - self._began_s >= self.WINDOW_S:
            added = f" ({self._left_out} more such lines left out)" if self._left_out else ""
            self._began_s, self._named, self._left_out = now_s, {who}, 0
            return added
        if who in self._named or len(self._named) >= self.MOST:
            self._left_out += 1
            return None
        self._named.add(who)
        return ""


def caller_of(peer: object) -> Address:
    """Returns the address in a socket's `peer`, NOBODY where there is none."""
    text = peer[0] if isinstance(peer, tuple) and peer else ""
    return address_of(text) or NOBODY
