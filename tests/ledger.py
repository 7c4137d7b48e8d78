"""Records to write in tests: one decision, its order, its fill, its trade."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

from enigma_core.model import Class, Decision, Fill, Instrument, Marked, Order, Purpose, Sizing, Trade, Verdict
from enigma_core.records import Started

SYMBOL = "BTC/USDT:USDT"
INSTRUMENT = Instrument(symbol=SYMBOL)


def started(ts: int = 0, cash: str = "10000") -> Started:
    return Started(ts=ts, cash=Decimal(cash), instruments={SYMBOL: INSTRUMENT})


def decision(n: int = 1, **changes: object) -> Decision:
    made = Decision(
        id=f"BTCUSDT-30m-{n}",
        ts=n,
        symbol=SYMBOL,
        timeframe="30m",
        source="engine",
        score=98.5,
        klass=Class.STRONG_BUY,
        confidence=0.9,
        agreeing=6,
        voting=8,
        points={"macd": 18.0, "cci": -4.25, "tradingview": None},
        scores={"30m": 98.5, "1h": None},
        verdicts=(Verdict("score", 98.5, ">= 75", True), Verdict("spread", None, "<= 0.0005", True, abstained=True)),
        sizing=Sizing(quantity=Decimal(24), leverage=6, margin=Decimal(200), bound="position_size_max"),
        order_id=f"BTCUSDT-30m-{n}-in",
        reason="entry",
    )
    return msgspec.structs.replace(made, **changes)


def entry(n: int = 1, **changes: object) -> Order:
    made = Order(
        id=f"BTCUSDT-30m-{n}-in",
        decision_id=f"BTCUSDT-30m-{n}",
        ts=n,
        symbol=SYMBOL,
        side=1,
        quantity=Decimal(24),
        purpose=Purpose.ENTRY,
        leverage=6,
        margin=Decimal(200),
        atr=123.5,
    )
    return msgspec.structs.replace(made, **changes)


def stop(n: int = 1, **changes: object) -> Order:
    price = Decimal("49500.0")
    made = entry(n, id=f"BTCUSDT-30m-{n}-sl", side=-1, purpose=Purpose.STOP, price=price, margin=Decimal(0), atr=math.nan)
    return msgspec.structs.replace(made, **changes)


def fill(n: int = 1, **changes: object) -> Fill:
    made = Fill(
        id=f"BTCUSDT-30m-{n}-in-1",
        order_id=f"BTCUSDT-30m-{n}-in",
        ts=n + 1,
        symbol=SYMBOL,
        side=1,
        quantity=Decimal(24),
        price=Decimal("50000.0"),
        fee=Decimal("0.72"),
    )
    return msgspec.structs.replace(made, **changes)


def stopped_out(n: int = 1) -> Fill:
    changes = {"id": f"BTCUSDT-30m-{n}-sl-1", "order_id": f"BTCUSDT-30m-{n}-sl", "ts": n + 2, "side": -1}
    return fill(n, price=Decimal("49500.0"), reason="stop_loss", **changes)


def trade(n: int = 1) -> Trade:
    return Trade(
        symbol=SYMBOL,
        side="long",
        entry_ts=n + 1,
        entry_price=Decimal("50000.0"),
        exit_ts=n + 2,
        exit_price=Decimal("49500.0"),
        quantity=Decimal(24),
        leverage=6,
        gross=Decimal("-12.00"),
        fees=Decimal("1.4328"),
        funding=Decimal(0),
        net=Decimal("-13.4328"),
        exit_reason="stop_loss",
        decision_id=f"BTCUSDT-30m-{n}",
    )


def marked(ts: int, equity: str = "10000", price: str = "50000.0") -> Marked:
    return Marked(ts=ts, equity=Decimal(equity), prices={SYMBOL: Decimal(price)})
