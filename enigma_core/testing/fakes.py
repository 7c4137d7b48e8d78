"""Stand-ins for tests: a clock that is told the time, an account with any figures, an evaluation without an engine."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import ZERO, Candles, Class, Instrument, Side, Signal
from enigma_core.parts import Holding, Path
from enigma_core.scoring import Evaluation
from enigma_core.testing.generators import DAWN, MINUTE

DAY = 24 * 60 * MINUTE


class FakeClock:
    """A clock that stands still until it is told to move: `until` jumps to the moment asked for and returns at once."""

    def __init__(self, now: int = DAWN) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    async def until(self, ts: int) -> None:
        self._now = max(self._now, ts)

    def advance(self, ms: int) -> None:
        """Let `ms` pass."""
        self._now += ms


class FakeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account with the figures it was given (`parts.Account`)."""

    equity: Decimal = Decimal(10_000)
    cash: Decimal = Decimal(10_000)
    margin: Decimal = ZERO
    slots: int = 0
    day_equity: Decimal = Decimal(10_000)
    day_end: int = DAWN + DAY
    losses_in_row: int = 0
    trading_state: str = "ACTIVE"
    held: frozenset[str] = frozenset()
    risk: Decimal = ZERO
    exits: dict[str, int] = {}

    def holds(self, symbol: str) -> bool:
        return symbol in self.held

    def open_risk(self, fee: Decimal) -> Decimal:
        return self.risk

    def blocked(self, symbol: str) -> str:
        return ""

    def last_exit(self, symbol: str) -> int | None:
        return self.exits.get(symbol)


def make_account(equity: Decimal | int | str = 10_000, **figures: Any) -> FakeAccount:
    """A healthy account of `equity`; `figures` are fields of `FakeAccount` that should differ."""
    exact = Decimal(equity)
    return FakeAccount(**({"equity": exact, "cash": exact, "day_equity": exact} | figures))


def make_instrument(**fields: Any) -> Instrument:
    """A perpetual with a tick of 0.1 and contracts of 0.001 base; `fields` are those of `Instrument` that should differ."""
    return Instrument(**({"symbol": "BTC/USDT:USDT"} | fields))


def make_signal(side: Literal[1, -1] = 1, price: float = 50_000.0, **fields: Any) -> Signal:
    """A sound wish to enter at `price`, its stop 1 % away; `fields` are those of `Signal` that should differ."""
    given: dict[str, Any] = {
        "ts": DAWN,
        "symbol": "BTC/USDT:USDT",
        "side": side,
        "price": price,
        "score": 100.0 * side,
        "klass": Class.STRONG_BUY if side > 0 else Class.STRONG_SELL,
        "confidence": 0.95,
        "atr": price * 0.01,
        "leverage": 6,
        "stop": price * (1 - 0.01 * side),
    }
    return Signal(**(given | fields))


def make_holding(side: Side = 1, entry: Any = 50_000.0, leverage: Any = 6, atr: Any = 500.0, **fees: float) -> Holding:
    """A position as exits see it, with the default taker fee both ways."""
    return Holding(side, entry, leverage, atr, fees.get("fee_in", 0.0006), fees.get("fee_out", 0.0006))


def make_path(bars: Candles, score: Floats | None = None) -> Path:
    """The bars since an entry, the first of them the entry's; no primary bar closes unless `score` says so."""
    unknown = np.full(len(bars), np.nan)
    return Path(bars.open, bars.high, bars.low, bars.close, unknown if score is None else score)


class AnyLine(dict[tuple[str, str], Floats]):
    """Lines by (timeframe, name) that never run out: an unknown one is made up, the same each time it is asked for."""

    def __init__(self, n: int, length: int, seed: int) -> None:
        super().__init__()
        self._made = (n, length, seed)

    def __missing__(self, key: tuple[str, str]) -> Floats:
        n, length, seed = self._made
        values = np.random.default_rng([seed, zlib.crc32(repr(key).encode())]).uniform(0.0, 60.0, n)[:length]
        self[key] = values
        return values

    def first(self, length: int) -> AnyLine:
        """The same lines, known only so far."""
        n, _, seed = self._made
        return AnyLine(n, length, seed)


def make_evaluation(seed: int = 1, n: int = 200, **fields: Any) -> Evaluation:
    """`n` scored bars with random points of six indicators; `fields` are those of `Evaluation` that should differ.

    Every line exists: `Evaluation.line` makes up those nobody gave.
    """
    random = np.random.default_rng(seed)
    names = tuple(f"indicator_{i}" for i in range(6))
    points = np.round(random.uniform(-40, 40, (len(names), n)), 3)
    points[random.random(points.shape) < 0.1] = np.nan
    score = np.nansum(points, axis=0)
    bulls, bears = (points > 0).sum(axis=0), (points < 0).sum(axis=0)
    close = 50_000.0 * np.exp(np.cumsum(random.normal(0, 0.004, n)))
    given: dict[str, Any] = {
        "symbol": "BTC/USDT:USDT",
        "timeframe": "30m",
        "secondary": "1h",
        "dead_zone": 20.0,
        "ts": DAWN + 30 * MINUTE * np.arange(1, n + 1, dtype=np.int64),
        "close": close,
        "names": names,
        "points": points,
        "score": score,
        "side": np.sign(score).astype(np.int64),
        "confidence": random.uniform(0.5, 1.0, n),
        "agreeing": np.maximum(bulls, bears),
        "voting": bulls + bears,
        "atr": close * random.uniform(0.001, 0.07, n),
        "scores": {tf: score + random.normal(0, 50, n) for tf in ("5m", "15m", "30m", "1h", "2h", "4h")},
        "lines": AnyLine(n, n, seed),
    }
    return Evaluation(**(given | fields))


def first_bars(evaluation: Evaluation, k: int) -> Evaluation:
    """The evaluation as it was when only its first `k` bars were known."""
    lines = evaluation.lines
    cut: dict[str, Any] = {
        name: getattr(evaluation, name)[..., :k]
        for name in evaluation.__struct_fields__
        if isinstance(getattr(evaluation, name), np.ndarray)
    }
    cut["scores"] = {timeframe: values[:k] for timeframe, values in evaluation.scores.items()}
    cut["lines"] = lines.first(k) if isinstance(lines, AnyLine) else {key: values[:k] for key, values in lines.items()}
    return msgspec.structs.replace(evaluation, **cut)
