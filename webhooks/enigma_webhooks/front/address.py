"""Where a request comes from, and whether that may be believed."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence

from enigma_core.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TRADINGVIEW = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
"""The addresses TradingView says its alerts come from."""

MOST_HOPS = 5


class Untraceable(Exception):
    """What a trusted proxy says of the way a request took is no list of addresses."""


def networks(given: Iterable[str], where: str) -> tuple[Network, ...]:
    """Addresses and CIDR ranges. Raises `ConfigError` naming the setting `where` for anything else."""
    found = []
    for text in given:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise ConfigError(f"{where} has {text!r}; it must be an address or a range such as 10.0.0.0/8") from None
    return tuple(found)


def trusted_networks(given: Iterable[str], where: str) -> tuple[Network, ...]:
    """As `networks`, but never everybody: whoever is trusted here may claim any address."""
    given = tuple(given)
    if any(text.strip() == "*" for text in given):
        raise ConfigError(f'{where} has "*": everybody could claim any address; name the addresses of your own proxies')
    found = networks(given, where)
    if everybody := next((net for net in found if net.prefixlen == 0), None):
        raise ConfigError(f"{where} has {everybody}: everybody could claim any address; name the addresses of your own proxies")
    return found


@functools.lru_cache(4096)
def address(text: str) -> Address:
    """An IP address; one of IPv4 dressed up as IPv6 is of IPv4. Raises `ValueError`."""
    found = ipaddress.ip_address(text)
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or ipaddress.IPv6Address(int(found))
    return found


def within(given: Address, ranges: Sequence[Network]) -> bool:
    return any(given in each for each in ranges if each.version == given.version)


def loopback(host: str) -> bool:
    """True where `host` is this machine only."""
    try:
        return address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def client(peer: str, forwarded: Sequence[bytes], trusted: Sequence[Network]) -> Address | None:
    """Who sent a request: `peer`, unless that is a trusted proxy; then the last in X-Forwarded-For that is none.

    None where there is no peer with an address. Nothing but a trusted proxy's own X-Forwarded-For is believed. Raises
    `Untraceable` where it holds what is no address, or more than `MOST_HOPS`.
    """
    try:
        here = address(peer)
    except ValueError:
        return None
    if not trusted or not forwarded or not within(here, trusted):
        return here
    hops = b",".join(forwarded).decode("latin-1").split(",")
    if len(hops) > MOST_HOPS:
        raise Untraceable(f"X-Forwarded-For names {len(hops)} hops; {MOST_HOPS} is the most")
    for hop in reversed(hops):
        try:
            here = address(_bare(hop.strip()))
        except ValueError:
            raise Untraceable("X-Forwarded-For holds what is no address") from None
        if not within(here, trusted):
            break
    return here


def _bare(hop: str) -> str:
    """An address without the port some proxies add."""
    if hop.startswith("["):
        inner, bracket, port = hop[1:].partition("]")
        return inner if bracket and (not port or (port[0] == ":" and port[1:].isdecimal())) else hop
    host, colon, port = hop.partition(":")
    return host if colon and "." in host and port.isdecimal() else hop
