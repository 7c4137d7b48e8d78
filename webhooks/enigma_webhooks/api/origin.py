"""Which site a browser's request comes from."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

PORTS = {"http": 80, "https": 443}
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

Connection = ASGIConnection[Any, Any, Any, Any]


def same_site(connection: Connection) -> bool:
    """False where a page of another site asks. Without an Origin header no browser's page does."""
    given = connection.headers.getall("origin", [])
    if not given:
        return True
    host = connection.headers.get("host", "")
    if len(given) > 1 or not host:
        return False
    try:
        origin = urlsplit(given[0])
        if origin.scheme not in PORTS or origin.path or origin.query or origin.fragment or origin.username is not None:
            return False
        ours = urlsplit(f"//{host}")
        port = PORTS[origin.scheme]
        return (origin.hostname, origin.port or port) == (ours.hostname, ours.port or port)
    except ValueError:
        return False


def local(connection: Connection) -> bool:
    """True where somebody on this very machine asks, and no proxy does so for somebody else."""
    peer = connection.client.host if connection.client is not None else ""
    return peer in LOOPBACK and not any(name in connection.headers for name in FORWARDED)
