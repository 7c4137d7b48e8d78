"""The nouns. Once made they do not change; what changes is in `book.Book`, and there only.

Times are UTC epoch milliseconds and mean when a thing became knowable: a bar at its close, a fill when it happened.
Analytic numbers are float64; money and quantities are `Decimal`. The one crossing between them is `Instrument`.
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from enigma_core.errors import ConfigError, DataError
from enigma_core.lines import VECTOR, Floats, Tape, Vector

Side = Literal[1, -1]
"""+1 long or buy, -1 short or sell."""

Lasting = Literal["GTC", "IOC"]
"""How long a resting order lasts."""

CENT = Decimal("0.000000000001")
"""What money is rounded to (1e-12 of the quote currency): sums below 1e15 are then exact."""

ZERO = Decimal(0)

ASKED = "alert"
"""What an order, a stop, a target or a size is called that an alert asked for."""

NOISE = 1e-6
"""Of a tick: a price this near to the grid is on it."""

_DOWN = Context(prec=28, rounding=ROUND_DOWN)


def money(amount: Decimal) -> Decimal:
    """`amount` rounded half to even to `CENT`. Only amounts that went through here enter the book."""
    return amount.quantize(CENT)


@cache
def _grid(tick: Decimal) -> tuple[int, float]:
    exponent = min(0, int(tick.normalize().as_tuple().exponent))
    return int(tick.scaleb(-exponent)), float(10**-exponent)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A linear perpetual as the venue lists it, and the one crossing from floats to exact numbers.

    Quantities are contracts; a contract is `multiplier` units of the base currency.
    """

    symbol: str
    tick: Decimal = Decimal("0.1")
    lot: Decimal = Decimal(1)
    multiplier: Decimal = Decimal("0.001")
    min_quantity: Decimal = Decimal(1)
    max_leverage: Annotated[int, Meta(ge=1)] = 100
    maintenance_margin_rate: Decimal = Decimal("0.005")
    max_quantity: Decimal | None = None
    """The most contracts of one order; None where the venue names no limit."""

    def __post_init__(self) -> None:
        for name in ("tick", "lot", "multiplier", "min_quantity"):
            value = getattr(self, name)
            if not (value.is_finite() and value > 0):
                raise ConfigError(f"instrument {self.symbol}: {name} is {value}; it must be a number above 0")
        most = self.max_quantity
        if most is not None and not (most.is_finite() and most > 0):
            raise ConfigError(f"instrument {self.symbol}: max_quantity is {most}; it must be a number above 0")

    @property
    def grid(self) -> tuple[int, float]:
        """(a, b) such that prices are whole multiples of a/b: one correctly rounded division gives the float of a tick."""
        return _grid(self.tick)

    def ticks(self, price: float) -> int:
        """The number of whole ticks nearest to `price`."""
        steps, scale = self.grid
        return round(price * scale / steps)

    def at(self, ticks: int) -> Decimal:
        """The exact price of so many ticks."""
        return self.tick * ticks

    def price(self, price: float) -> Decimal:
        """`price` on the grid of ticks, exact. Raises `DataError` for NaN and infinity."""
        if not math.isfinite(price):
            raise DataError(f"{self.symbol}: {price} is no price")
        return self.at(self.ticks(price))

    def snap(self, prices: Floats) -> Floats:
        """`prices` on the grid of ticks: each value is the float nearest to the exact price, NaN stays NaN."""
        steps, scale = self.grid
        return np.rint(prices * scale / steps) * steps / scale

    def stop(self, level: float, side: Side) -> float:
        """A stop's level times the side, on the grid of ticks: rounded towards less loss."""
        if not math.isfinite(level):
            return level * side
        steps, scale = self.grid
        return math.ceil(level * side * scale / steps - NOISE) * steps / scale

    def stops(self, levels: Floats, side: Any) -> Floats:
        """`stop` over arrays."""
        steps, scale = self.grid
        found: Floats = np.ceil(levels * side * scale / steps - NOISE) * steps / scale
        return found

    def contracts(self, base: float | Decimal) -> Decimal:
        """An amount of base currency as contracts, rounded down to the lot; zero when below the minimum."""
        exact = base if isinstance(base, Decimal) else Decimal(repr(float(base)))
        if not exact.is_finite():
            return ZERO
        lots = _DOWN.divide(_DOWN.divide(exact, self.multiplier), self.lot).to_integral_value(rounding=ROUND_DOWN)
        quantity = lots * self.lot
        return quantity if quantity >= self.min_quantity else ZERO

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """The worth of `quantity` contracts at `price`, in quote currency, exact."""
        return quantity * self.multiplier * price


class Candles(msgspec.Struct, frozen=True, eq=False):
    """Closed bars of one symbol and timeframe, oldest first: arrays of shape (n,), contiguous and read-only.

    `ts` int64, the bar's open; `open high low close volume` float64, volume in base currency. `ta` gives TA-Lib's lines.
    """

    symbol: str
    timeframe: str
    ts: np.ndarray
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    ta: Vector | Tape = VECTOR

    @classmethod
    def of(cls, symbol: str, timeframe: str, *columns: Any) -> Candles:
        """Candles from six columns (ts open high low close volume) of any sequence type; copies only where it must."""
        ts, *values = columns
        arrays: list[Any] = [np.ascontiguousarray(ts, np.int64), *(np.ascontiguousarray(v, np.float64) for v in values)]
        if len(arrays) != 6 or len({a.shape for a in arrays}) != 1 or arrays[0].ndim != 1:
            raise DataError(f"{symbol} {timeframe}: candles need six columns of one length, got {[a.shape for a in arrays]}")
        for i, a in enumerate(arrays):
            if a.flags.writeable:
                arrays[i] = a = a.view()
                a.flags.writeable = False
        return cls(symbol, timeframe, *arrays)

    def __len__(self) -> int:
        return len(self.ts)

    def __getitem__(self, part: slice) -> Candles:
        """Bars `part` as views, not copies."""
        return Candles(
            self.symbol,
            self.timeframe,
            self.ts[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
            self.ta,
        )


class Bar(msgspec.Struct, frozen=True):
    """One closed bar. `ts` is its open, `end` its close in ms, the moment it became knowable."""

    symbol: str
    ts: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Class(StrEnum):
    """What a score is called."""

    EXTREME_BUY = "EXTREME_BUY"
    STRONG_BUY = "STRONG_BUY"
    BUY = "BUY"
    BUY_WEAK = "BUY_WEAK"
    NEUTRAL = "NEUTRAL"
    SELL_WEAK = "SELL_WEAK"
    SELL = "SELL"
    STRONG_SELL = "STRONG_SELL"
    EXTREME_SELL = "EXTREME_SELL"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to enter, with what the account gates and the sizer need to know of it.

    `price` is the last close, the estimate of the entry; `stop` the tightest initial stop at that entry; `atr` in price.
    `leverage` is already capped. `margin` is what the sizer proposes to use (zero while it is still being sized).
    """

    ts: int
    symbol: str
    side: Side
    price: float
    score: float
    klass: Class
    confidence: float
    atr: float
    leverage: int
    stop: float
    source: str = "engine"
    margin: Decimal = ZERO
    maintenance_margin_rate: Decimal = Decimal("0.005")
    requested_quantity: Decimal | None = None


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """How much: contracts, leverage, margin used, and which cap bound ("none", or the cap's name)."""

    quantity: Decimal
    leverage: int
    margin: Decimal
    bound: str = "none"


class Verdict(msgspec.Struct, frozen=True):
    """What one gate measured, against which limit, and whether it let the signal through.

    `abstained`: the gate had nothing to measure here (a backtest without books, say) and let it through. `error`: the gate
    failed, which blocks. `until`: when a refusal ends by itself, ms; None where it does not.
    """

    gate: str
    value: float | None
    limit: str
    passed: bool
    abstained: bool = False
    error: str | None = None
    until: int | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was done or not done at one close (or for one alert): the whole chain from points to order."""

    id: str
    ts: int
    symbol: str
    timeframe: str
    source: str
    score: float
    klass: Class
    confidence: float
    agreeing: int
    voting: int
    points: dict[str, float | None]
    scores: dict[str, float | None]
    verdicts: tuple[Verdict, ...]
    sizing: Sizing | None
    order_id: str | None
    reason: str
    faults: tuple[str, ...] = ()
    side: int = 0
    """What it was about: 1 long, -1 short, 0 neither. The score's own sign, but for an alert that is itself the signal."""


class Purpose(StrEnum):
    """What an order is for. Everything but ENTRY may only reduce."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    CLOSE = "close"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An intent to trade. `id` is the client order id: it derives from the decision, so submitting again is harmless.

    `price` is the stop or target level; None means market. A stop replaces the symbol's earlier one. `margin` is what an
    entry reserves until it has filled; `atr` and `leverage` of an entry stay with the position. A `resting` order waits at its
    price as a limit order and pays the maker's fee.
    """

    id: str
    decision_id: str
    ts: int
    symbol: str
    side: Side
    quantity: Decimal
    purpose: Purpose
    price: Decimal | None = None
    leverage: int = 1
    margin: Decimal = ZERO
    atr: float = math.nan
    resting: bool = False
    reason: str = ""
    stop: Decimal | None = None
    """Of an entry: a stop that was asked for; it holds where it is tighter than the exits' own."""
    target: Decimal | None = None
    """Of an entry: a target that was asked for, in the place of the exits' own."""
    lasts: Lasting = "GTC"
    """Of a resting order: until it is cancelled (GTC), or only for what it meets at once (IOC)."""
    post_only: bool = False
    """Of a resting order: it is rejected rather than trade at once and pay the taker's fee."""
    parent: str = ""
    """Of a slice: the order whose work it does. The book knows the parent only."""
    risk: Decimal = ZERO
    """Of an entry: what it loses from the price it was decided at to its first stop, without fees; zero where nobody knows."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that a working order end."""

    ts: int
    order_id: str
    symbol: str


class DayOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A risk day has begun with this equity and lasts until `end`. `streak_cleared`: a tripped breaker is closed again."""

    ts: int
    equity: Decimal
    end: int
    streak_cleared: bool = False


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """The last prices of the symbols held, and the equity they give."""

    ts: int
    equity: Decimal
    prices: dict[str, Decimal]


class StateSet(msgspec.Struct, frozen=True, kw_only=True):
    """The trading state was changed, by whom and why it was. `flatten`: what is held is closed too, and whatever still fills."""

    ts: int
    state: Literal["ACTIVE", "REDUCE_ONLY", "HALTED"]
    reason: str
    flatten: bool = False


class CloseWanted(msgspec.Struct, frozen=True, kw_only=True):
    """An operator wants the position of `symbol` closed, and what still works of its entry cancelled."""

    ts: int
    symbol: str
    reason: str


class ConfigSet(msgspec.Struct, frozen=True, kw_only=True):
    """Settings were changed while a run was on: `changes` by path, secrets never. `restart` has those that wait for the next."""

    ts: int
    by: str
    changes: dict[str, str]
    restart: tuple[str, ...] = ()


class StreakReset(msgspec.Struct, frozen=True, kw_only=True):
    """An operator closed the circuit breaker by hand."""

    ts: int
    reason: str


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """Something traded. `reason` is what an exit was ("stop_loss", "liquidation", "end"...); the fee is positive when paid."""

    id: str
    order_id: str
    ts: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    reason: str = ""
    slice: str = ""
    """Of an entry that is worked in slices: the slice that filled."""


class Funded(msgspec.Struct, frozen=True, kw_only=True):
    """A funding settlement of one position; `amount` is positive when received. `id` is the venue's, where it has one."""

    ts: int
    symbol: str
    rate: Decimal
    price: Decimal
    amount: Decimal
    id: str = ""


class OrderEnded(msgspec.Struct, frozen=True, kw_only=True):
    """An order is over without (more) fills: cancelled, rejected or expired."""

    ts: int
    order_id: str
    symbol: str
    state: Literal["cancelled", "rejected", "expired"]
    reason: str = ""


OrderState = Literal["sent", "working", "unknown", "not_placed", "triggered"]


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How an order of ours stands at the venue, as far as anybody knows. It changes no money and frees nothing.

    sent: its request is about to leave. working: the venue has it, under `venue_id`. unknown: the answer was unclear, and only
    looking it up resolves that. not_placed: proven to be absent. triggered: a stop has become a market order.
    """

    ts: int
    order_id: str
    symbol: str
    state: OrderState
    venue_id: str = ""
    reason: str = ""


FOREIGN = ("by hand", "liquidation", "adl", "venue_closed")
"""Who acts on a position of ours, where it is not we: reasons of an `OrderFound`."""


class OrderFound(msgspec.Struct, frozen=True, kw_only=True):
    """An order that the book did not have acts on a position of ours: by hand, a liquidation, the venue. Its fills follow.

    The `reason` of `order` is in `FOREIGN` where it is not ours. One of our own has that of the order, such as an entry given up
    that filled after all, or "unprotected": it sells what an entry may have bought and no fill shows.
    """

    ts: int
    order: Order


class ExternalSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What is held at the venue beside our own position in `symbol`: counted, and left alone. Quantity 0: nothing any more."""

    ts: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    margin: Decimal


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """Money came into the account (or left it, below 0) that no trade earned: a deposit, a withdrawal, a venue's own booking.

    It is no profit: the day's opening equity moves with it.
    """

    ts: int
    id: str
    amount: Decimal
    reason: str


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """No entries in `symbol` ("" for all) for `reason`, until the same is said with an empty one. Exits are never blocked.

    It is known anew after each start, so a journal keeps it for people only. Several may block at once; each, by its name `by`,
    takes back only what it said itself.
    """

    ts: int
    symbol: str
    reason: str
    by: str = "venue"


class StopMissing(msgspec.Struct, frozen=True, kw_only=True):
    """The venue holds no stop for a position of ours, and has not for too long: it is to be left at once."""

    ts: int
    symbol: str
    reason: str


class Sliced(msgspec.Struct, frozen=True, kw_only=True):
    """An algorithm works a part of its parent order by `order`, whose fills count as the parent's."""

    ts: int
    order: Order


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A position from its first fill to its last. `net = gross - fees + funding`."""

    symbol: str
    side: Literal["long", "short"]
    entry_ts: int
    entry_price: Decimal
    exit_ts: int
    exit_price: Decimal
    quantity: Decimal
    leverage: int
    gross: Decimal
    fees: Decimal
    funding: Decimal
    net: Decimal
    exit_reason: str
    decision_id: str
