"""Where a notification may be sent: encrypted and to public addresses only, unless its user says otherwise."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

LOCAL = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa")
"""Ends of names that are of one's own network."""

NO_HOST = frozenset({"NotifyWeChat"})
"""Services in whose addresses something else stands in the place of a host."""

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def refusal(service: Any, named: Iterable[str]) -> str | None:
    """Why the apprise service must not be used, as far as its address itself tells; None if nothing speaks against it.

    `named`: the hosts in its address.
    """
    for host in named:
        if _named_locally(host, single=bool(service.protocol)) or any(map(private, _numeric(host))):
            return f"it leads to {host}, which is no public address"
    if hosts(service) and service.protocol and service.secure_protocol and not service.secure:
        secure = service.secure_protocol if isinstance(service.secure_protocol, str) else service.secure_protocol[0]
        return f"it is not encrypted: write {secure}://"
    return None


def resolved_refusal(named: Iterable[str]) -> str | None:
    """The same of the hosts in an address, looked up: to be asked each time, right before sending. Blocks."""
    for host in named:
        for address in _looked_up(host):
            if private(address):
                return f"{host} leads to {address}, which is no public address"
    return None


def private(address: Address) -> bool:
    """True unless `address`, and every IPv4 address it carries in it, is one of the public internet."""
    carried: list[Address | None] = []
    if isinstance(address, ipaddress.IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _NAT64):
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        elif int(address) >> 32 == 0:
            return True
        if address.ipv4_mapped is not None:
            return private(address.ipv4_mapped)
    if any(inner is not None and private(inner) for inner in carried):
        return True
    return not address.is_global or address.is_multicast or address.is_reserved


def hosts(service: Any) -> tuple[str, ...]:
    """The hosts that the user has named: of most services there is none, they have their own."""
    if getattr(service, "mode", None) == "cloud" or type(service).__name__ in NO_HOST:
        return ()
    named = service.host if any("{host}" in template for template in service.templates) else None
    # a token may stand where others have a host: then it is masked, and must be looked up nowhere
    if named and str(named).lower() not in unquote(service.url(privacy=True)).lower():
        named = None
    return tuple(_plain(host) for host in (named, getattr(service, "smtp_host", None)) if host)


def inner_hosts(query: str) -> tuple[str, ...]:
    """The hosts of addresses that stand within `query`, the part of an address behind its question mark."""
    return tuple(_plain(host) for host in re.findall(r"://(?:[^/?#&\s@]*@)?(\[[^\]]*\]|[^/?#&:\s]+)", query))


def _plain(host: Any) -> str:
    text = unicodedata.normalize("NFKC", str(host or "")).strip().strip("[]").lower()
    # other dots that host names know
    return text.replace("\u3002", ".").partition("%")[0].rstrip(".")


def _named_locally(host: str, *, single: bool) -> bool:
    if any(host == end or host.endswith(f".{end}") for end in LOCAL):
        return True
    # a bare name is one of the own network, where it is a name at all
    return single and "." not in host and ":" not in host


def _numeric(host: str) -> tuple[Address, ...]:
    """`host` as an address, in any of the spellings that the system's own functions take: 127.1, 0x7f000001, 2130706433."""
    return _addresses(host, socket.AI_NUMERICHOST)


def _looked_up(host: str) -> tuple[Address, ...]:
    return _addresses(host, 0)


def _addresses(host: str, flags: int) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        # what cannot be found cannot be reached either
        return ()
    return tuple({ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found})
