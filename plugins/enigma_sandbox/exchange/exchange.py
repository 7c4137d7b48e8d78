"""The local exchange: one object, no IO, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from enigma_core.market import Funding, MarketEvent
from enigma_core.model import Candles
from enigma_sandbox.exchange.faults import Faults
from enigma_sandbox.exchange.rules import Contract, Rules
from enigma_sandbox.exchange.words import Push, Reply, Request


class Exchange:
    """KuCoin Futures for one account.

    `clock` gives ms; `random` decides what chance decides (tokens, faults with a probability), so one seed gives one course of
    events. `history` has closed bars of one base timeframe per symbol, `funding` past settlements; both may be empty.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        rules: Rules,
        clock: Callable[[], int],
        random: Random,
        history: Mapping[str, Candles] | None = None,
        funding: Mapping[str, Funding] | None = None,
        faults: Faults | None = None,
    ) -> None:
        raise NotImplementedError

    faults: Faults
    """The buttons that change how it answers; see `faults.Faults`."""

    def request(self, request: Request) -> Reply:
        """Answer one REST request. Never raises for anything a client can send."""
        raise NotImplementedError

    def see(self, event: MarketEvent) -> None:
        """Take a market event in: prices move, stops trigger, orders fill, positions are liquidated. Symbols that are not
        listed are passed over."""
        raise NotImplementedError

    def advance(self, now: int) -> None:
        """Do what is due by `now`: funding, delayed and throttled pushes. Any number of times, `now` never going back."""
        raise NotImplementedError

    def due(self) -> int | None:
        """When `advance` has something to do next, ms; None: nothing is waiting."""
        raise NotImplementedError

    def listen(self, push: Callable[[Push], None]) -> None:
        """Have `push` called for everything sockets may hear. Called synchronously, in order."""
        raise NotImplementedError

    def watch(self, topic: str) -> bool:
        """A socket has subscribed to one (unbatched) topic: public pushes are made for watched topics only. False: no such topic."""
        raise NotImplementedError

    def unwatch(self, topic: str) -> None:
        """One subscription fewer; the topic is given up when none is left."""
        raise NotImplementedError

    def admits(self, token: str) -> str | None:
        """What a WebSocket token opens: "public", "private", or None when it is unknown or has expired."""
        raise NotImplementedError

    def press(self, button: str, **values: Any) -> Any:
        """Press a button by name (see `buttons.BUTTONS`): a fault, or something done by hand. Raises `ValueError` with a sentence."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The account's whole state as JSON, exact."""
        raise NotImplementedError

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot."""
        raise NotImplementedError
