"""A run's settings once resolved: parts made, numbers checked. `config` builds it, everything else reads it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.model import Instrument
from enigma_core.parts import (
    AccountGate,
    Algorithm,
    Executor,
    Exit,
    Feed,
    Indicator,
    LiveIndicator,
    MarketGate,
    Notifier,
    Rehearsal,
    Service,
    Sizer,
    Universe,
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the configuration that belongs to the core itself."""


class Timeframes(Settings, frozen=True, kw_only=True):
    """Which timeframes are scored."""

    primary: Annotated[str, Meta(description="the timeframe that signals come from")] = "30m"
    secondary: Annotated[str | None, Meta(description="the timeframe the trend gate reads")] = "1h"
    available: Annotated[tuple[str, ...], Meta(description="timeframes to build; those finer than the data are left out")] = (
        "5m",
        "15m",
        "30m",
        "1h",
        "2h",
        "4h",
    )
    dead_zone: Annotated[float, Meta(ge=0, description="a timeframe's score counts as aligned beyond this")] = 20.0


class Thresholds(Settings, frozen=True, kw_only=True):
    """Where the score is clamped and what its classes are called."""

    weak: Annotated[float, Meta(ge=0)] = 40.0
    plain: Annotated[float, Meta(ge=0)] = 65.0
    strong: Annotated[float, Meta(ge=0)] = 95.0
    extreme: Annotated[float, Meta(ge=0)] = 130.0
    max_score: Annotated[float, Meta(gt=0, description="clamp without live microstructure")] = 160.0
    max_score_live: Annotated[float, Meta(gt=0, description="clamp with live microstructure")] = 220.0


class ConfidenceRule(Settings, frozen=True, kw_only=True):
    """What is taken off a confidence of 1."""

    weak_score: Annotated[float, Meta(ge=0)] = 60.0
    weak_penalty: Annotated[float, Meta(ge=0, le=1)] = 0.10
    wild_atr: Annotated[float, Meta(ge=0, description="ATR/close")] = 0.06
    wild_penalty: Annotated[float, Meta(ge=0, le=1)] = 0.06
    lively_atr: Annotated[float, Meta(ge=0, description="ATR/close")] = 0.04
    lively_penalty: Annotated[float, Meta(ge=0, le=1)] = 0.03
    minority_penalty: Annotated[float, Meta(ge=0, le=1, description="for each indicator on the minority side")] = 0.02
    low_share: Annotated[float, Meta(ge=0, le=1)] = 0.6
    low_share_penalty: Annotated[float, Meta(ge=0, le=1)] = 0.05
    quiet_window: Annotated[int, Meta(ge=4, le=10_000, description="bars")] = 500
    quiet_quarter: Annotated[float, Meta(ge=0, le=1, description="share of the window that counts as its quiet part")] = 0.25
    quiet_score: Annotated[float, Meta(ge=0, description="from this score on quiet does not matter")] = 80.0
    quiet_penalty: Annotated[float, Meta(ge=0, le=1)] = 0.05


class LeverageStep(Settings, frozen=True, kw_only=True):
    """Below `atr` (ATR/close on the primary timeframe) use `leverage`."""

    atr: Annotated[float, Meta(gt=0)]
    leverage: Annotated[int, Meta(ge=1, le=100)]


class LeverageRule(Settings, frozen=True, kw_only=True):
    """Leverage from volatility, never above `max` or the instrument's own limit."""

    max: Annotated[int, Meta(ge=1, le=100)] = 10
    steps: tuple[LeverageStep, ...] = (
        LeverageStep(atr=0.005, leverage=8),
        LeverageStep(atr=0.015, leverage=6),
        LeverageStep(atr=0.03, leverage=4),
    )
    otherwise: Annotated[int, Meta(ge=1, le=100)] = 2


class Costs(Settings, frozen=True, kw_only=True):
    """What trading costs where fills are simulated."""

    taker: Annotated[Decimal, Meta(description="fee of a market order, of its notional")] = Decimal("0.0006")
    maker: Annotated[Decimal, Meta(description="fee of a resting order, of its notional")] = Decimal("0.0002")
    slippage: Annotated[Decimal, Meta(description="against you on market and stop fills, of the price")] = Decimal("0.0001")
    funding_rate: Annotated[Decimal, Meta(description="rate at each settlement where the feed has none")] = Decimal(0)
    funding_hours: Annotated[int, Meta(ge=1, le=24, description="hours between those settlements, from 00:00 UTC")] = 8


class AccountSettings(Settings, frozen=True, kw_only=True):
    """The paper account."""

    equity: Annotated[Decimal, Meta(description="what it starts with, in the quote currency")] = Decimal(10_000)


class Risk(Settings, frozen=True, kw_only=True):
    """The risk day, and how many entries stop a run that has gone wild."""

    zone: Annotated[str, Meta(description="IANA time zone whose midnight starts the risk day")] = "UTC"
    entries_per_minute_symbol: Annotated[int, Meta(ge=1, description="entries in one symbol within a minute that halt trading")] = 6
    entries_per_minute: Annotated[int, Meta(ge=1, description="entries within a minute that halt trading")] = 30
    entries_per_day: Annotated[int, Meta(ge=1, description="entries within 24 hours that halt trading")] = 500


class Plan(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Everything a shell needs. Order of gates and indicators is the order of the configuration."""

    mode: Literal["paper", "live"] = "paper"
    sandbox: bool = False
    """Live trading is rehearsed on a local exchange: the whole path, and no real money."""
    strategy: str = "default"
    symbols: tuple[str, ...] = ()
    universe: Universe | None = None
    """What finds the symbols of a run when it starts; None where they are named."""
    timeframes: Timeframes = Timeframes()
    thresholds: Thresholds = Thresholds()
    confidence: ConfidenceRule = ConfidenceRule()
    leverage: LeverageRule = LeverageRule()
    costs: Costs = Costs()
    account: AccountSettings = AccountSettings()
    risk: Risk = Risk()
    indicators: dict[str, Indicator] = {}
    microstructure: dict[str, LiveIndicator] = {}
    market_gates: dict[str, MarketGate] = {}
    account_gates: dict[str, AccountGate] = {}
    sizer: Sizer | None = None
    exits: dict[str, Exit] = {}
    feed: Feed | None = None
    executor: Executor | None = None
    algorithm: Algorithm | None = None
    """How entries are worked; None sends them whole to the market."""
    rehearsal: Rehearsal | None = None
    notifiers: dict[str, Notifier] = {}
    services: dict[str, Service] = {}
    instruments: dict[str, dict[str, str]] = {}

    @property
    def account_mode(self) -> str:
        """What kind of account is traded: paper, sandbox or live. Each has a journal of its own."""
        return "sandbox" if self.mode == "live" and self.sandbox else self.mode

    def instrument(self, symbol: str) -> Instrument:
        """The feed's instrument, with what the section ``instruments`` says of it laid over.

        Raises `DataError` for a symbol the feed does not have, `ConfigError` for what makes no instrument.
        """
        if self.feed is None:
            raise ConfigError("feed is not set: name one, such as {'use': 'synthetic'}")
        listed = self.feed.instrument(symbol)
        over = self.instruments.get(symbol)
        if not over:
            return listed
        try:
            return msgspec.convert(msgspec.to_builtins(listed) | over, Instrument, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"instruments.{symbol}: {error}") from error
