"""What goes over a KuCoin socket: messages as they are read, subscriptions as they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

A_FRAME = 90
"""Topics in one subscription; KuCoin takes 100."""

A_SOCKET = 280
"""Topics on one connection; KuCoin takes 300."""

FRAMES = 90
"""Frames a client may send within `FRAMES_WINDOW`; KuCoin takes 100."""

FRAMES_WINDOW = 10.0
"""Seconds."""


class Message(msgspec.Struct):
    """One message of the server. `data` is still JSON: most of it is never looked at."""

    type: str = ""
    id: Any = ""
    topic: str = ""
    subject: str = ""
    code: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")

    @property
    def tag(self) -> str:
        """Its id, or the code of an error, as text."""
        return str(self.id)


class Token(msgspec.Struct, frozen=True):
    """Where to connect to, and how often to say something there, seconds."""

    url: str
    ping: float = 18.0
    timeout: float = 10.0


read = msgspec.json.Decoder(Message).decode
"""A frame to a `Message`. Raises `msgspec.MsgspecError`."""


def token_of(data: Mapping[str, Any], connect_id: str) -> Token:
    """The answer of ``bullet-public`` or ``bullet-private``. Raises `LookupError`, `TypeError` or `ValueError` for another."""
    server = data["instanceServers"][0]
    endpoint = str(server["endpoint"])
    mark = "&" if "?" in endpoint else "?"
    url = f"{endpoint}{mark}token={data['token']}&connectId={connect_id}"
    return Token(url, float(server["pingInterval"]) / 1000, float(server["pingTimeout"]) / 1000)


def frames(topics: Iterable[str], most: int = A_FRAME) -> Iterator[tuple[str, ...]]:
    """Topics in batches that one frame subscribes to: those of a kind (the part before the colon) together."""
    kinds: dict[str, list[str]] = {}
    for topic in topics:
        kinds.setdefault(topic.partition(":")[0], []).append(topic)
    for members in kinds.values():
        for start in range(0, len(members), most):
            yield tuple(members[start : start + most])


def joined(batch: Sequence[str]) -> str:
    """A batch as the ``topic`` of its frame: ``/contractMarket/execution:A,B``."""
    kind, colon, _ = batch[0].partition(":")
    return kind + colon + ",".join(topic.partition(":")[2] for topic in batch)


def shards(topics: Mapping[str, Sequence[str]], most: int = A_SOCKET) -> Iterator[list[str]]:
    """Topics by symbol on as few connections as hold them, those of a symbol on the same one."""
    shard: list[str] = []
    for members in topics.values():
        if shard and len(shard) + len(members) > most:
            yield shard
            shard = []
        shard += members
    if shard:
        yield shard


def subscription(number: str, batch: Sequence[str], *, private: bool = False, leave: bool = False) -> bytes:
    """The frame that subscribes to a batch, or leaves it."""
    kind = "unsubscribe" if leave else "subscribe"
    return msgspec.json.encode({"id": number, "type": kind, "topic": joined(batch), "privateChannel": private, "response": True})


def ping(number: str) -> bytes:
    return msgspec.json.encode({"id": number, "type": "ping"})
