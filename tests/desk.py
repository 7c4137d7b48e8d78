"""A desk to trade at in tests: the real engine, book and venue, and a scorer that says what the test says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from enigma_core.book import Book
from enigma_core.engine import Engine, Record
from enigma_core.market import BarsClosed, Funding, Market
from enigma_core.matching import SimulatedVenue
from enigma_core.model import Bar, Decision, Fill, Instrument, Order, Purpose, Signal, Sizing, Trade, money
from enigma_core.parts import Account, Sizer, Venue
from enigma_core.plan import Costs, LeverageRule, Plan
from enigma_core.scoring import Evaluation, Lines
from enigma_core.shells.driving import drive
from enigma_core.timeframes import milliseconds
from markets import START, plan

BTC = "BTC/USDT:USDT"
INSTRUMENT = Instrument(symbol=BTC)
"""A contract of 0.001 BTC, a tick of 0.1, lots of 1."""
FREE = Costs(taker=Decimal(0), maker=Decimal(0), slippage=Decimal(0))
NO_SLIPPAGE = Costs(slippage=Decimal(0))

Prices = tuple[float, float, float, float]
"""Open, high, low, close."""


class Contracts(Sizer, frozen=True, kw_only=True):
    """The same number of contracts each time."""

    name = "contracts"

    quantity: Decimal = Decimal(24)

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        price = Decimal(repr(signal.price))
        margin = money(instrument.notional(self.quantity, price) / signal.leverage)
        return Sizing(quantity=self.quantity, leverage=signal.leverage, margin=margin)


def leverage(most: int) -> LeverageRule:
    """The same leverage whatever the volatility."""
    return LeverageRule(max=most, steps=(), otherwise=most)


def desk_plan(**changes: object) -> Plan:
    """No gates, 24 contracts at 6x, a stop at 6 % of the margin, no slippage."""
    from enigma_plugins.exits.stop_loss import StopLoss

    settings: dict[str, object] = {
        "costs": NO_SLIPPAGE,
        "leverage": leverage(6),
        "market_gates": {},
        "sizer": Contracts(),
        "exits": {"stop_loss": StopLoss()},
    }
    return plan(**(settings | changes))


def one_row(
    symbol: str, ts: int, close: float, score: float, *, timeframe: str = "5m", confidence: float = 1.0, atr: float = 100.0
) -> Evaluation:
    """An evaluation of one bar that has scored `score`."""

    def number(value: float) -> np.ndarray:
        return np.array([value])

    return Evaluation(
        symbol=symbol,
        timeframe=timeframe,
        secondary=None,
        dead_zone=20.0,
        ts=np.array([ts]),
        close=number(close),
        names=("told",),
        points=np.array([[score]]),
        score=number(score),
        side=np.array([0 if math.isnan(score) else int(np.sign(score))]),
        confidence=number(confidence),
        agreeing=np.array([1]),
        voting=np.array([1]),
        atr=number(atr),
        scores={timeframe: number(score)},
        lines=Lines(lambda _timeframe, _name: number(math.nan)),
    )


class ToldScorer:
    """Scores each bar as it was told to; NaN unless told."""

    primary_closed = True

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.score = math.nan
        self._bar: Bar

    def push(self, bar: Bar) -> None:
        self._bar = bar

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        return one_row(self.symbol, now, self._bar.close, self.score)


class Desk:
    """One account at one venue. `records` is everything that happened."""

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        instruments: Mapping[str, Instrument] | None = None,
        funding: Mapping[str, Funding | None] | None = None,
        venue: Venue | None = None,
        start: int = START,
        timeframe: str = "5m",
    ) -> None:
        self.plan = plan or desk_plan()
        self.instruments = dict(instruments or {BTC: INSTRUMENT})
        self.book = Book(self.plan.account.equity, self.instruments)
        self.scorers = {s: ToldScorer(s) for s in self.instruments}
        self.engine = Engine(self.plan, self.book, self.instruments, self.scorers)
        self.venue = venue or SimulatedVenue(self.instruments, self.plan.costs, funding or {})
        self.now = start
        self.step = milliseconds(timeframe)
        self.records: list[Record] = []

    def bar(self, *prices: float, score: float = math.nan) -> list[Record]:
        """The next bar of the only symbol: open high low close, or one price for all four."""
        return self.bars({next(iter(self.instruments)): prices * 4 if len(prices) == 1 else prices}, score)  # type: ignore[dict-item]

    def bars(self, prices: Mapping[str, Prices], score: float | Mapping[str, float] = math.nan) -> list[Record]:
        """The next bar of each symbol named."""
        scores = score if isinstance(score, Mapping) else dict.fromkeys(prices, score)
        for symbol, scorer in self.scorers.items():
            scorer.score = scores.get(symbol, math.nan)
        begin, self.now = self.now, self.now + self.step
        return self.take(BarsClosed(self.now, {s: Bar(s, begin, self.now, *p, 1.0) for s, p in prices.items()}))

    def take(self, event: object) -> list[Record]:
        records = drive(self.engine, self.venue, event)  # type: ignore[arg-type]
        self.records += records
        return records

    def wait(self, bars: int = 1) -> None:
        """Time in which no bar closes."""
        self.now += bars * self.step

    def enter(self, price: float, side: int = 1) -> None:
        """Decide at one bar's close, fill at the open of the next; both stand still at `price`."""
        self.bar(price, score=100.0 * side)
        self.bar(price)

    def of(self, kind: type) -> list:
        return [record for record in self.records if type(record) is kind]

    @property
    def trades(self) -> list[Trade]:
        return self.of(Trade)

    @property
    def decisions(self) -> list[Decision]:
        return self.of(Decision)

    @property
    def fills(self) -> list[Fill]:
        return self.of(Fill)

    def orders(self, purpose: Purpose) -> list[Order]:
        return [order for order in self.of(Order) if order.purpose is purpose]


def around(side: int, price: float, *prices: Prices) -> list[Prices]:
    """Bars given for a long as distances from `price`, for a side: a short's are mirrored, its high being the long's low."""
    bars = []
    for o, h, low, c in prices:
        if side < 0:
            h, low = low, h
        bars.append((price + side * o, price + side * h, price + side * low, price + side * c))
    return bars
