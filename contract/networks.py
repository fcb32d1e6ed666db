"""Addresses and networks of callers. An IPv4 caller is one, however it is written: ::ffff:10.0.0.1 is 10.0.0.1."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def address_of(text: str) -> Address | None:
    """Returns the address that `text` is, None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def family_of(bind: str) -> socket.AddressFamily:
    """Returns the family of an address to listen at."""
    return socket.AF_INET6 if ":" in bind else socket.AF_INET


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Returns the networks that `texts` name. Raises ValueError for one that is none."""
    return tuple(_unmapped(ipaddress.ip_network(text)) for text in texts)


def _unmapped(network: Network) -> Network:
    if not isinstance(network, ipaddress.IPv6Network) or not network.subnet_of(MAPPED):
        return network
    first = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
    return ipaddress.IPv4Network((first, network.prefixlen - MAPPED.prefixlen))
