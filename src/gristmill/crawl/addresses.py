"""Which IP addresses are strangers on the public internet, and which are somebody's inside.

The table is Gristmill's own, from the IANA IPv4 and IPv6 Special-Purpose Address Registries
(https://www.iana.org/assignments/iana-ipv4-special-registry/ and .../iana-ipv6-special-registry/) plus
multicast, class E and the cloud providers' fixed service addresses. ``ipaddress.is_global`` will not do:
before CPython 3.11.10 it is True for 6to4, Teredo, NAT64 and multicast addresses, among others.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

__all__ = ["is_public"]

_INSIDE_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; connects to loopback on Linux
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's platform service, reachable from its machines only
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is a metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")  # all that is handed out; loopback, ULA, fec0::, mapped are outside
_INSIDE_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # how an IPv6-only network reaches IPv4: judged by what is inside


def _ranges(blocks: tuple[IPv4Network, ...] | tuple[IPv6Network, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((int(b.network_address), int(b.broadcast_address)) for b in blocks)


_V4 = _ranges(_INSIDE_V4)
_V6 = _ranges(_INSIDE_V6)
_UNICAST = _ranges((_UNICAST_V6,))[0]
_NAT64_RANGE = _ranges((_NAT64,))[0]


def _public_v4(number: int) -> bool:
    return not any(first <= number <= last for first, last in _V4)


@lru_cache(maxsize=8192)
def is_public(address: str) -> bool:
    """Say whether a literal address may be connected to.

    Args:
        address: IPv4 in four decimal numbers, or IPv6. Whatever else (names, zone ids) is not public.
    """
    try:
        return _public_v4(int.from_bytes(socket.inet_pton(socket.AF_INET, address)))
    except (OSError, ValueError):
        pass
    try:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, address))
    except (OSError, ValueError):
        return False
    if _NAT64_RANGE[0] <= number <= _NAT64_RANGE[1]:
        return _public_v4(number & 0xFFFFFFFF)
    if not _UNICAST[0] <= number <= _UNICAST[1]:
        return False
    return not any(first <= number <= last for first, last in _V6)
