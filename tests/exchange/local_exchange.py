"""An exchange in memory for tests: two contracts, a clock that is set by hand, requests by one call."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from enigma_core.market import BookSeen, MarkSeen, TradeSeen
from enigma_core.model import Instrument
from enigma_sandbox.exchange import Contract, Exchange, Key, Push, Reply, Request, Rules

START = 1_760_000_000_000
KEY = Key(key="key", secret="secret", passphrase="phrase")
BTC = Contract(symbol="XBTUSDTM", base="XBT", instrument=Instrument(symbol="BTCUSDT", max_quantity=Decimal(1_000_000)))
ETH = Contract(
    symbol="ETHUSDTM",
    base="ETH",
    instrument=Instrument(symbol="ETHUSDT", tick=Decimal("0.01"), multiplier=Decimal("0.01"), max_leverage=50),
)
PRICES = {"XBTUSDTM": 60_000.0, "ETHUSDTM": 3_000.0}


class Local:
    """The exchange, its clock and what it has pushed."""

    def __init__(self, rules: Rules | None = None, seed: int = 1, now: int = START, **given: Any) -> None:
        self.now = now
        self.exchange = Exchange((BTC, ETH), rules or Rules(keys=(KEY,), quota=10**9), self.clock, random.Random(seed), **given)
        self.pushes: list[Push] = []
        self.exchange.listen(self.pushes.append)
        if "history" not in given:
            for symbol, price in PRICES.items():
                self.trade(price, symbol)
        self.pushes.clear()
        self.orders = 0

    def clock(self) -> int:
        return self.now

    def wait(self, ms: int) -> None:
        self.now += ms
        self.exchange.advance(self.now)

    # the market

    def trade(self, price: float, symbol: str = "XBTUSDTM", size: float = 1.0, side: int = 1) -> None:
        self.exchange.see(TradeSeen(self.now, symbol, 1 if side > 0 else -1, price, size))

    def mark(self, price: float, symbol: str = "XBTUSDTM") -> None:
        self.exchange.see(MarkSeen(self.now, symbol, price, price))

    def book(self, bids: list[tuple[float, int]], asks: list[tuple[float, int]], symbol: str = "XBTUSDTM") -> None:
        """Sizes in lots."""
        contract = BTC if symbol == "XBTUSDTM" else ETH
        multiplier = float(contract.instrument.multiplier)
        sides = [tuple((price, lots * multiplier) for price, lots in side) for side in (bids, asks)]
        self.exchange.see(BookSeen(self.now, symbol, *sides))

    # requests

    def ask(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None, mount: Any = "futures") -> Reply:
        asked = {name: str(value) for name, value in (query or {}).items()}
        return self.exchange.request(Request(method=method, path=path, query=asked, body=body, mount=mount))

    def get(self, path: str, mount: Any = "futures", **query: Any) -> Any:
        """The data of an answer that is no refusal."""
        reply = self.ask("GET", path, query, mount=mount)
        assert reply.code == "200000", reply
        return reply.data

    def post(self, path: str, body: Any) -> Any:
        reply = self.ask("POST", path, body=body)
        assert reply.code == "200000", reply
        return reply.data

    def body(self, side: str, size: int, **fields: Any) -> dict[str, Any]:
        self.orders += 1
        body: dict[str, Any] = {"clientOid": f"order-{self.orders}", "symbol": "XBTUSDTM", "side": side, "size": size}
        body |= {"type": "limit" if "price" in fields else "market", "leverage": 5, "marginMode": "ISOLATED"}
        return body | fields

    def place(self, side: str, size: int, **fields: Any) -> Reply:
        return self.ask("POST", "/api/v1/orders", body=self.body(side, size, **fields))

    def placed(self, side: str, size: int, **fields: Any) -> dict[str, Any]:
        """An order that was taken, as it stands now."""
        reply = self.place(side, size, **fields)
        assert reply.code == "200000", reply
        return self.order(reply.data["orderId"])

    def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/orders/{order_id}")
        return found

    def held(self, symbol: str = "XBTUSDTM") -> int:
        return int(self.get("/api/v1/position", symbol=symbol)["currentQty"])

    @property
    def wallet(self) -> Decimal:
        return self.exchange.state.wallet
