"""Who may call, how often, and how many lines a flood of callers makes."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from contract.callers import MOST_REMEMBERED, NOBODY, Allowed, Rates, Sparing, caller_of
from contract.networks import address_of, networks_of

ANNA, BORIS = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


@pytest.mark.parametrize(
    ("peer", "let_in"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:7f00:1", True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("::2", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
        ("127.1", False),
        ("0x7f.0.0.1", False),
    ],
)
def test_by_default_only_loopback_is_let_in(peer: str, let_in: bool) -> None:
    allowed = Allowed(["127.0.0.0/8", "::1/128"])
    assert (caller_of((peer, 1)) in allowed) is let_in
    assert NOBODY not in allowed
    assert caller_of(None) is NOBODY


def test_an_ipv4_network_written_as_mapped_ipv6_is_one() -> None:
    (network,) = networks_of(["::ffff:10.1.0.0/112"])
    assert str(network) == "10.1.0.0/16"
    assert address_of("::ffff:10.1.2.3") in network
    assert address_of("10.1.2.3") in network
    assert address_of("10.2.0.0") not in network
    assert address_of("fe80::1%eth0") in networks_of(["fe80::/10"])[0]


def test_a_network_is_one_without_host_bits() -> None:
    for bad in ("10.0.0.1/8", "10.0.0.0/33", "x", "::1/129", ""):
        with pytest.raises(ValueError):
            networks_of([bad])


def test_a_caller_has_ten_seconds_worth_and_gets_it_back_with_time() -> None:
    rates = Rates(2.0)
    assert [rates.spend(ANNA, 1.0, 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert rates.spend(BORIS, 1.0, 100.0)
    assert not rates.spend(ANNA, 1.0, 100.4)
    assert rates.spend(ANNA, 1.0, 100.5)
    assert not rates.spend(ANNA, 5.0, 102.0)
    assert rates.spend(ANNA, 5.0, 103.0)
    assert [rates.spend(ANNA, 1.0, 1e6) for _ in range(21)] == [True] * 20 + [False]


def test_no_limit_is_no_limit_and_many_callers_take_no_more_room() -> None:
    assert all(Rates(0.0).spend(ANNA, 1.0, 0.0) for _ in range(100_000))
    rates = Rates(1.0)
    for number in range(3 * MOST_REMEMBERED):
        rates.spend(ip_address(number), 1.0, 0.0)
    assert len(rates._purses) == MOST_REMEMBERED


def test_a_flood_makes_ten_lines_a_minute_and_tells_how_many_were_left_out() -> None:
    sparing = Sparing()
    assert sparing.admit("10.0.0.1", 0.0) == ""
    assert sparing.admit("10.0.0.1", 1.0) is None
    admitted = [sparing.admit(f"10.0.1.{number}", 2.0) for number in range(200)]
    assert admitted == [""] * 9 + [None] * 191
    assert sparing.admit("10.0.0.1", 60.0) == " (192 more such lines left out)"
    assert sparing.admit("10.0.0.2", 60.0) == ""
