"""All that an account and its market hold, as plain mutable records: what a snapshot writes and a restart reads back."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from enigma_core.model import ZERO, Side


class Order(msgspec.Struct, kw_only=True):
    """An order. Sizes are lots. One with `stop` waits until it is `triggered`; `active` ends once and for all."""

    id: str
    symbol: str
    side: Side
    kind: str
    size: int
    created: int
    client_id: str = ""
    price: Decimal = ZERO
    filled: int = 0
    value: Decimal = ZERO
    """Of what has filled."""
    leverage: Decimal = Decimal(1)
    stop: str = ""
    stop_price: Decimal | None = None
    stop_type: str = ""
    triggered: bool = False
    lasts: str = "GTC"
    post_only: bool = False
    hidden: bool = False
    iceberg: bool = False
    visible: int = 0
    reduce_only: bool = False
    close: bool = False
    force_hold: bool = False
    stp: str = ""
    remark: str | None = None
    mode: str = "ISOLATED"
    hold: Decimal = ZERO
    """Margin and fees that are kept for what has not filled yet."""
    updated: int = 0
    ended: int | None = None
    active: bool = True
    cancelled: int = 0
    """Lots that were called off."""
    seen_from: int = 0
    """From when on it can be looked up, ms."""
    cap: int | None = None
    """No more lots than these ever fill."""
    pair: str = ""
    """The other of a pair of which one trigger calls the other off."""
    trade_type: str = "trade"

    @property
    def left(self) -> int:
        return self.size - self.filled - self.cancelled

    @property
    def waits(self) -> bool:
        """Its trigger has not come yet."""
        return self.active and self.stop != "" and not self.triggered


class Trade(msgspec.Struct, kw_only=True, frozen=True):
    """One fill. `seen_from` is when REST begins to tell of it, ms."""

    id: str
    order_id: str
    symbol: str
    side: Side
    size: int
    price: Decimal
    value: Decimal
    fee: Decimal
    open_fee: Decimal
    rate: Decimal
    liquidity: str
    order_kind: str
    stop: str
    trade_type: str
    mode: str
    ts: int
    seen_from: int = 0


class Position(msgspec.Struct, kw_only=True):
    """What is held of one symbol: `size` signed lots, `cost` what was paid for them (not signed), `margin` what backs them."""

    symbol: str
    size: int = 0
    cost: Decimal = ZERO
    margin: Decimal = ZERO
    initial: Decimal = ZERO
    leverage: Decimal = Decimal(1)
    mode: str = "ISOLATED"
    opened: int = 0
    opening: Decimal = ZERO
    """Average price at which it was opened, for the record of it."""
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    """Without fees and funding."""
    funding: Decimal = ZERO
    liquidation: Decimal = ZERO
    auto_deposit: bool = False

    @property
    def side(self) -> Side:
        return 1 if self.size > 0 else -1


class Row(msgspec.Struct, kw_only=True, frozen=True):
    """One movement of the wallet: all amounts together are the wallet."""

    offset: int
    ts: int
    kind: str
    amount: Decimal
    fee: Decimal
    equity: Decimal
    remark: str


class FundingRow(msgspec.Struct, kw_only=True, frozen=True):
    """Funding of one position."""

    id: int
    symbol: str
    ts: int
    rate: Decimal
    mark: Decimal
    size: int
    cost: Decimal
    amount: Decimal
    mode: str


class Closed(msgspec.Struct, kw_only=True, frozen=True):
    """A position that is over."""

    id: str
    symbol: str
    side: Side
    leverage: Decimal
    mode: str
    realised: Decimal
    fees: Decimal
    funding: Decimal
    opened: int
    ended: int
    entry: Decimal
    exit: Decimal
    how: str


class MarketState(msgspec.Struct, kw_only=True):
    """What outlives a restart of one contract's market. `status`: Open, Paused, Closed."""

    status: str = "Open"
    last: float = 0.0
    mark: float = 0.0
    index: float = 0.0
    rate: float = 0.0
    next_funding: int = 0
    hours: float = 8.0
    turnover: float | None = None
    sequence: int = 1_697_895_963_339
    prints: int = 1_794_100_537_695
    """The number of the newest public trade."""
    tick: Decimal | None = None
    lot: int | None = None
    multiplier: Decimal | None = None
    settled: list[tuple[int, float]] = []
    """The newest funding settlements: when, and at which rate."""
    seen: int = 0
    """The time of the newest market event, ms: what happened since then was missed."""


class State(msgspec.Struct, kw_only=True):
    """Everything. `version` says how it is written."""

    version: int = 1
    wallet: Decimal = ZERO
    orders: dict[str, Order] = {}
    trades: list[Trade] = []
    rows: list[Row] = []
    funding: list[FundingRow] = []
    closed: list[Closed] = []
    deposits: list[str] = []
    """Numbers of the margin deposits that were made."""
    positions: dict[str, Position] = {}
    modes: dict[str, str] = {}
    cross_leverage: dict[str, Decimal] = {}
    levels: dict[str, int] = {}
    markets: dict[str, MarketState] = {}
    next_order: int = 234_125_150_956_625_920
    next_trade: int = 1_784_277_229_880
    next_row: int = 51_352_430
    next_funding: int = 1_472_387_374_042_586
    next_closed: int = 500_000_000_036_305_465
    wallet_version: int = 1
