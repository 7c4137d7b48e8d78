"""Prices of a few contracts, step by step: a random walk with gaps, the books round it, and the bars it makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from enigma_core.market import BarsClosed, BookSeen, MarketEvent, MarkSeen, TradeSeen
from enigma_core.model import Bar, Candles, Instrument
from enigma_sandbox.exchange import Contract

MINUTE = 60_000
TIMEFRAME = "1m"
HISTORY = 120
"""Bars there are before the first moment."""

STEP = 2_000
"""Between two moments of the market, ms."""

LEVELS = 4


def _contract(code: str, base: str, tick: str, multiplier: str, leverage: int) -> Contract:
    instrument = Instrument(
        symbol=f"{'BTC' if base == 'XBT' else base}/USDT:USDT",
        tick=Decimal(tick),
        lot=Decimal(1),
        multiplier=Decimal(multiplier),
        min_quantity=Decimal(1),
        max_leverage=leverage,
        maintenance_margin_rate=Decimal("0.005"),
        max_quantity=Decimal(1_000_000),
    )
    return Contract(symbol=code, base=base, instrument=instrument)


CONTRACTS = (
    _contract("XBTUSDTM", "XBT", "0.1", "0.001", 100),
    _contract("ETHUSDTM", "ETH", "0.01", "0.01", 75),
    _contract("SOLUSDTM", "SOL", "0.001", "0.1", 50),
)
BEGINNINGS = {"BTC/USDT:USDT": 60_000.0, "ETH/USDT:USDT": 3_000.0, "SOL/USDT:USDT": 150.0}


class Line:
    """One contract's price and the bar that is forming."""

    __slots__ = ("bar", "depth", "price", "rows", "spread", "symbol", "wild")

    def __init__(self, symbol: str, price: float, wild: float) -> None:
        self.symbol = symbol
        self.price = price
        self.wild = wild
        """Standard deviation of the log return of one step."""
        self.depth = 20_000.0
        """Quote currency on each level of the book."""
        self.spread = 1
        """Ticks from the price to the best level."""
        self.rows: list[tuple[int, float, float, float, float, float]] = []
        self.bar: list[float] = []


class Prices:
    """The market of `contracts` from `start` (ms, on a full minute) on."""

    def __init__(self, contracts: Sequence[Contract], random: Random, start: int) -> None:
        self.random = random
        self.instruments: dict[str, Instrument] = {c.instrument.symbol: c.instrument for c in contracts}
        self.lines = {
            symbol: Line(symbol, BEGINNINGS[symbol], random.choice((0.0002, 0.0004, 0.0007))) for symbol in self.instruments
        }
        self.now = start
        self._serial = 0
        for line in self.lines.values():
            self._remember(line, start)

    def _remember(self, line: Line, start: int) -> None:
        sigma = line.wild * math.sqrt(MINUTE / STEP)
        for i in range(HISTORY):
            first = line.price
            path = [first]
            for _ in range(3):
                self._walk(line, sigma / 1.7)
                path.append(line.price)
            ts = start - (HISTORY - i) * MINUTE
            line.rows.append((ts, first, max(path), min(path), path[-1], 10.0 + 5 * self.random.random()))

    def _walk(self, line: Line, sigma: float) -> None:
        moved = line.price * math.exp(self.random.gauss(0.0, sigma))
        line.price = float(self.instruments[line.symbol].price(moved))

    def gap(self, symbol: str, share: float) -> None:
        """Have the price of `symbol` jump by `share` at the next moment."""
        line = self.lines[symbol]
        line.price = float(self.instruments[symbol].price(line.price * (1 + share)))

    def candles(self, symbol: str, start: int | None = None, end: int | None = None) -> Candles:
        """Closed bars with ``start <= ts < end``."""
        rows = [r for r in self.lines[symbol].rows if (start is None or r[0] >= start) and (end is None or r[0] < end)]
        columns = zip(*rows, strict=True) if rows else [[] for _ in range(6)]
        return Candles.of(symbol, TIMEFRAME, *map(list, columns))

    def bars(self, since: int) -> list[BarsClosed]:
        """Moments after `since` (ms) at which bars have closed."""
        moments: dict[int, dict[str, Bar]] = {}
        for line in self.lines.values():
            for ts, o, h, low, c, v in line.rows[-400:]:
                if ts + MINUTE > since:
                    moments.setdefault(ts + MINUTE, {})[line.symbol] = Bar(line.symbol, ts, ts + MINUTE, o, h, low, c, v)
        return [BarsClosed(ts, bars) for ts, bars in sorted(moments.items())]

    def step(self) -> list[MarketEvent]:
        """The next moment: ticks of every symbol, and the bars that close with it."""
        self.now += STEP
        now, events = self.now, list[MarketEvent]()
        for line in self.lines.values():
            self._walk(line, line.wild)
            price = line.price
            if not line.bar:
                line.bar = [price, price, price, price, 0.0]
            bar = line.bar
            size = 0.2 + self.random.random()
            bar[1], bar[2], bar[3], bar[4] = max(bar[1], price), min(bar[2], price), price, bar[4] + size
            tick = float(self.instruments[line.symbol].tick)
            away, width = line.spread * tick, max(tick, price * 0.0002)
            depth = line.depth / price
            events.append(MarkSeen(now, line.symbol, price, price))
            bids = tuple((self._grid(line, price - away - i * width), depth) for i in range(LEVELS))
            asks = tuple((self._grid(line, price + away + i * width), depth) for i in range(LEVELS))
            events.append(BookSeen(now, line.symbol, bids, asks))
            events.append(TradeSeen(now, line.symbol, 1 if self.random.random() < 0.5 else -1, price, size))
        if now % MINUTE == 0:
            closed = {}
            for line in self.lines.values():
                o, h, low, c, v = line.bar
                line.bar = []
                line.rows.append((now - MINUTE, o, h, low, c, v))
                closed[line.symbol] = Bar(line.symbol, now - MINUTE, now, o, h, low, c, v)
            events.append(BarsClosed(now, closed))
        return events

    def _grid(self, line: Line, price: float) -> float:
        return float(self.instruments[line.symbol].price(max(price, 1e-9)))
