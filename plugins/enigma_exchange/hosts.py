"""Where an exchange is reached: KuCoin's own hosts, or a local exchange with a mount for each of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from enigma_core.errors import ConfigError

FUTURES = "https://api-futures.kucoin.com"
SPOT = "https://api.kucoin.com"


class Hosts(msgspec.Struct, frozen=True):
    """Base addresses without a slash at the end, paths such as ``/api/v1/orders`` are appended. Both hosts share paths.

    The websocket's address is not among them: the answer to ``bullet-public`` or ``bullet-private`` has it.
    """

    futures: str = FUTURES
    spot: str = SPOT

    @property
    def local(self) -> bool:
        """Whether this is not KuCoin itself."""
        return self.futures != FUTURES


def hosts(url: str | None = None) -> Hosts:
    """KuCoin's, or those of an exchange at `url`: its mounts are ``/fut`` and ``/spot``. Raises `ConfigError` for no address."""
    if not url:
        return Hosts()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"url is {url!r}: {error}; give an address such as http://127.0.0.1:9000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"url is {url!r}; give an address such as http://127.0.0.1:9000, or leave it out for KuCoin itself")
    if parts.username or parts.password:
        raise ConfigError("url must hold no name and no password: an exchange is given a key by its own settings")
    if port == 0:
        raise ConfigError(f"url is {url!r}; 0 is no port that can be reached")
    base = url.rstrip("/")
    return Hosts(f"{base}/fut", f"{base}/spot")
