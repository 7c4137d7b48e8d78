"""Laws of the local exchange that hold whatever is done to it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_exchange import BTC, ETH, Local

from enigma_core.market import BarsClosed, FundingSeen
from enigma_core.model import ZERO, Bar

MULTIPLIERS = {c.symbol: c.instrument.multiplier for c in (BTC, ETH)}
TICKS = {"XBTUSDTM": Decimal("0.1"), "ETHUSDTM": Decimal("0.01")}
symbols = st.sampled_from(["XBTUSDTM", "ETHUSDTM"])
sides = st.sampled_from(["buy", "sell"])
moves = st.floats(-0.04, 0.04)

deeds = st.one_of(
    st.fixed_dictionaries(
        {
            "what": st.just("order"),
            "symbol": symbols,
            "side": sides,
            "size": st.integers(1, 60),
            "away": st.none() | moves,
            "leverage": st.sampled_from([1, 3, 10, 40]),
            "reduce": st.booleans(),
            "lasts": st.sampled_from(["GTC", "IOC"]),
            "stop": st.none() | moves,
            "close": st.sampled_from([False, False, False, True]),
            "hold": st.sampled_from([False, False, True]),
        }
    ),
    st.fixed_dictionaries({"what": st.just("trade"), "symbol": symbols, "move": moves, "size": st.floats(0.001, 0.2)}),
    st.fixed_dictionaries({"what": st.just("mark"), "symbol": symbols, "move": moves}),
    st.fixed_dictionaries({"what": st.just("bar"), "symbol": symbols, "low": st.floats(-0.05, 0), "high": st.floats(0, 0.05)}),
    st.fixed_dictionaries(
        {"what": st.just("book"), "symbol": symbols, "lots": st.lists(st.integers(1, 40), min_size=1, max_size=4), "move": moves}
    ),
    st.fixed_dictionaries({"what": st.just("fund"), "symbol": symbols, "rate": st.floats(-0.01, 0.01)}),
    st.fixed_dictionaries({"what": st.just("wait"), "ms": st.integers(1, 40_000_000)}),
    st.fixed_dictionaries({"what": st.just("cancel"), "which": st.integers(0, 10)}),
    st.fixed_dictionaries(
        {
            "what": st.just("press"),
            "button": st.sampled_from(["liquidate", "deleverage", "hand_close", "hand_flip", "hand_cancel", "pause", "resume"]),
            "symbol": symbols,
        }
    ),
    st.fixed_dictionaries({"what": st.just("partial"), "share": st.floats(0, 1)}),
    st.fixed_dictionaries({"what": st.sampled_from(["deposit", "withdraw"]), "amount": st.integers(1, 3_000)}),
    st.fixed_dictionaries(
        {"what": st.just("margin"), "symbol": symbols, "amount": st.integers(1, 500), "number": st.integers(1, 9)}
    ),
    st.just({"what": "restart"}),
)


def on_grid(price: float, symbol: str) -> str:
    tick = TICKS[symbol]
    return str((Decimal(repr(price)) / tick).quantize(Decimal(1)) * tick)


def do(there: Local, deed: dict[str, Any]) -> None:
    exchange = there.exchange
    symbol = deed.get("symbol", "")
    last = exchange.state.markets[symbol].last if symbol else 0.0
    there.wait(1_000)
    match deed["what"]:
        case "order":
            fields: dict[str, Any] = {"leverage": deed["leverage"], "symbol": symbol, "reduceOnly": deed["reduce"]}
            fields["forceHold"] = deed["hold"]
            if deed["away"] is not None:
                fields |= {"price": on_grid(last * (1 + deed["away"]), symbol), "timeInForce": deed["lasts"]}
            if deed["stop"] is not None:
                fields |= {"stop": "up" if deed["stop"] > 0 else "down", "stopPriceType": "MP"}
                fields["stopPrice"] = on_grid(last * (1 + deed["stop"]), symbol)
            there.place(deed["side"], deed["size"], closeOrder=deed["close"], **fields)
        case "trade":
            there.trade(float(on_grid(last * (1 + deed["move"]), symbol)), symbol, deed["size"])
        case "mark":
            there.mark(last * (1 + deed["move"]), symbol)
        case "bar":
            there.now += 60_000
            ends = (last, last * (1 + deed["high"]), last * (1 + deed["low"]), last)
            exchange.see(BarsClosed(there.now, {symbol: Bar(symbol, there.now - 60_000, there.now, *ends, 1.0)}))
        case "book":
            middle = last * (1 + deed["move"])
            step = float(TICKS[symbol])
            levels = enumerate(deed["lots"], 1)
            sides = [(n, lots) for n, lots in levels]
            there.book([(middle - n * step, x) for n, x in sides], [(middle + n * step, x) for n, x in sides], symbol)
        case "fund":
            exchange.see(FundingSeen(there.now, symbol, deed["rate"], there.now + 60_000))
            there.wait(60_000)
        case "wait":
            there.wait(deed["ms"])
        case "cancel":
            working = list(exchange.working())
            if working:
                there.ask("DELETE", f"/api/v1/orders/{working[deed['which'] % len(working)].id}")
        case "press":
            # there may be nothing to press it on
            with contextlib.suppress(ValueError):
                exchange.press(deed["button"], symbol=symbol)
        case "partial":
            exchange.press("partial_fill", share=deed["share"])
        case "deposit" | "withdraw":
            with contextlib.suppress(ValueError):
                exchange.press(deed["what"], amount=deed["amount"])
        case "margin":
            body = {"symbol": symbol, "margin": deed["amount"], "bizNo": f"{deed['number']}"}
            there.ask("POST", "/api/v1/position/margin/deposit-margin", body=body)
        case "restart":
            state = exchange.snapshot()
            exchange.restore(state)
            assert exchange.snapshot() == state


def check(there: Local) -> None:
    """Everything that must hold at any time."""
    state = there.exchange.state
    held: dict[str, int] = defaultdict(int)
    filled: dict[str, int] = defaultdict(int)
    cash = sum((r.amount for r in state.rows if r.kind != "RealisedPNL"), ZERO)
    for trade in state.trades:
        order = state.orders[trade.order_id]
        before = held[trade.symbol]
        held[trade.symbol] += trade.side * trade.size
        filled[trade.order_id] += trade.size
        cash -= trade.side * trade.size * MULTIPLIERS[trade.symbol] * trade.price + trade.fee
        if order.reduce_only or order.close:
            assert before * trade.side < 0, "it opened something"
            assert before * held[trade.symbol] >= 0, "it turned a position round"
    # what positions have cost is not gone: wallet = deposits + realised - fees + funding, to the last digit
    cash += sum((p.side * p.cost for p in state.positions.values()), ZERO)
    cash += sum((r.amount for r in state.funding), ZERO)
    assert state.wallet == cash
    assert state.wallet == sum((r.amount for r in state.rows), ZERO)
    assert {s: size for s, size in held.items() if size} == {s: p.size for s, p in state.positions.items()}
    for position in state.positions.values():
        assert position.margin > 0
        assert position.cost > 0
    working = {o.id for o in there.exchange.working()}
    for order in state.orders.values():
        assert order.filled == filled[order.id]
        assert 0 <= order.filled <= order.size
        assert order.hold >= 0
        assert order.active == (order.id in working)
        if not order.active:
            assert order.ended is not None
            assert order.filled + order.cancelled == order.size
            assert order.hold == 0


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(deeds, min_size=1, max_size=6) | st.lists(deeds, min_size=25, max_size=60))
def test_money_positions_and_orders_add_up_whatever_happens(course: list[dict[str, Any]]) -> None:
    there = Local()
    over: dict[str, bytes] = {}
    for deed in course:
        do(there, deed)
        check(there)
        for order in there.exchange.state.orders.values():
            if not order.active:
                # an end is an end: nothing about it changes any more
                told = repr(order).encode()
                assert over.setdefault(order.id, told) == told


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(deeds, min_size=1, max_size=25))
def test_same_course_gives_the_same_state(course: list[dict[str, Any]]) -> None:
    states = []
    for _ in range(2):
        there = Local()
        for deed in course:
            do(there, deed)
        states.append(there.exchange.snapshot())
    assert states[0] == states[1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 5_000), st.sampled_from([1, 2, 7, 10, 33]), st.floats(0.9, 1.1))
def test_closing_in_parts_is_worth_what_closing_at_once_is(size: int, part: int, leverage: int, move: float) -> None:
    part = min(part, size)
    wallets = []
    for steps in ((size,), (part, size - part)):
        there = Local()
        there.exchange.press("deposit", amount=10_000_000)
        there.exchange.press("hand_trade", symbol="XBTUSDTM", side="buy", size=size, leverage=leverage, price=60_000)
        for step in steps:
            if step:
                there.exchange.press("hand_trade", symbol="XBTUSDTM", side="sell", size=step, price=60_000 * move)
        assert not there.exchange.state.positions
        wallets.append(there.wallet)
    assert abs(wallets[0] - wallets[1]) <= Decimal("1e-11")
