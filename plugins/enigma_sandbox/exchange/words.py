"""What goes in and out of the local exchange: requests, replies, pushes. Plain data, no IO: a server or a simulation carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Mount = Literal["futures", "spot"]
"""KuCoin has two hosts whose paths overlap: which of them was asked."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode(payload: Any) -> bytes:
    """A payload as JSON; exact decimals become numbers, what KuCoin writes as text is text already."""
    return _ENCODER.encode(payload)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived. `path` begins with /api, without the mount; `headers` have lower-case names.

    `text` is what its signature must cover: the target with its query, exactly as sent, and then the body ("/api/v1/x?a=b{...}").
    None: the caller sits in the same process and is trusted, so neither key nor signature is asked for (a revoked key still is
    refused, and quotas count).
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    """Decoded JSON, None where there is none."""
    headers: Mapping[str, str] = {}
    mount: Mount = "futures"
    text: str | None = None
    address: str = "127.0.0.1"
    """Of the client: the public quota is counted by it, and a key may be bound to some."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered, and how. `payload` is the envelope ({"code", "data"}); where `raw` is given, that is the body instead.

    `delay`: ms the answer takes on its way. `lost`: it never arrives, though whatever was asked may have been done.
    """

    status: int = 200
    payload: dict[str, Any] = {}
    headers: Mapping[str, str] = {}
    delay: int = 0
    lost: bool = False
    raw: bytes | None = None

    def body(self) -> bytes:
        """The body as it goes over the wire."""
        return self.raw if self.raw is not None else encode(self.payload)

    @property
    def code(self) -> str:
        """KuCoin's code; "" where the body is not an envelope."""
        return str(self.payload.get("code", "")) if self.raw is None else ""

    @property
    def data(self) -> Any:
        return self.payload.get("data")


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Something for sockets. `channels` are the subscriptions that hear it: the exact topics a client subscribed to.

    `kind`: message, an ordinary frame. error: an error frame of `data` {"code", "data"} for every socket of its kind. close: every
    socket is to be dropped. `private`: only sockets opened with a private token.
    """

    topic: str = ""
    subject: str = ""
    data: Any = None
    channels: tuple[str, ...] = ()
    private: bool = False
    kind: Literal["message", "error", "close"] = "message"
    sn: int | None = None
    user: str = ""

    def frame(self) -> dict[str, Any]:
        """The frame as KuCoin writes it."""
        if self.kind == "error":
            return {"id": self.topic, "type": "error", **self.data}
        frame: dict[str, Any] = {"topic": self.topic, "type": "message", "subject": self.subject}
        if self.sn is not None:
            frame["sn"] = self.sn
        if self.private:
            frame["userId"] = self.user
            frame["channelType"] = "private"
        frame["data"] = self.data
        return frame
