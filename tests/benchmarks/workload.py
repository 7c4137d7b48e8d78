"""What is measured: seeded markets, and the default strategy opened up so that it trades some 5,000 times in W1."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from enigma_core import config
from enigma_core.model import Candles, Instrument
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "strategy_config.json"

START = 1_609_459_200_000
"""2021-01-01 00:00 UTC."""

BAR = 300_000
"""ms; all bars are of 5 minutes."""

W1_BARS = 105_120
"""A year of 5 minutes."""
W2_BARS = 1_000_000
W3_SYMBOLS = 20

QUICK = 20
"""The quick variant has this many times fewer bars."""

OPEN = (
    "timeframes.primary=5m",
    "timeframes.secondary=null",
    'timeframes.available=["5m"]',
    "gates.score.min=43",
    "gates.confluence.min=0",
    "gates.confidence.min=0",
    "gates.alignment.min=0",
    'gates.alignment.timeframes=["5m"]',
    "gates.drawdown.max=1",
    "gates.circuit_breaker.max=1000000",
    "gates.cooldown.min=0",
    "gates.max_positions.max=100",
    "gates.exposure.max=1",
    # small positions of a large account: 100,000 trades at a loss must not eat it up
    "account.equity=1000000000",
    "sizer.position_size_max=0.002",
)
"""Settings of the default strategy that make it trade often, on one timeframe: the same in process and on the command line."""


def market(symbol: str, n: int, seed: int) -> Candles:
    """`n` bars of 5 m around 50,000 on a tick of 0.1: fat-tailed moves with a daily swell of volatility, drawn back slowly."""
    rng = np.random.default_rng(seed)
    volatility = 0.0012 * np.exp(0.5 * np.sin(np.arange(n) * (2 * np.pi / 288)))
    level, levels = 0.0, []
    for move in (rng.standard_t(4, n) * volatility / np.sqrt(2)).tolist():
        level = level * (1 - 1 / 20_000) + move
        levels.append(level)
    close = np.round(50_000 * np.exp(np.array(levels)), 1)
    open_ = np.concatenate([[50_000.0], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 2)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 2)))
    high, low = np.maximum(np.round(high, 1), close), np.minimum(np.round(low, 1), close)
    high, low = np.maximum(high, open_), np.minimum(low, open_)
    ts = START + np.arange(n, dtype=np.int64) * BAR
    return Candles.of(symbol, "5m", ts, open_, high, low, close, np.round(rng.lognormal(3, 0.7, n), 3))


def markets(count: int, n: int) -> dict[str, Candles]:
    """`count` symbols of `n` bars each, every one its own seed."""
    return {symbol: market(symbol, n, seed) for seed, symbol in enumerate(map(symbol_name, range(count)), 1)}


def symbol_name(number: int) -> str:
    """The symbol of market `number`."""
    return f"{'BTC' if number == 0 else f'C{number:03d}'}/USDT:USDT"


def instruments(symbols: Mapping[str, Any]) -> dict[str, Instrument]:
    """A contract of one coin on a tick of 0.1 for each symbol: what the csv feed infers from such prices."""
    lot = Decimal("0.00001")
    return {s: Instrument(symbol=s, tick=Decimal("0.1"), lot=lot, multiplier=Decimal(1), min_quantity=lot) for s in symbols}


def plan(*sets: str) -> Plan:
    """The default strategy with `sets` laid over it, as ``--set`` does."""
    tree = config.load(CONFIG, config.NO_STRATEGY, sets, env={})
    return config.resolve(tree, Catalogue.load(tree.plugin_folders))


def write_csv(path: Path, candles: Candles) -> Path:
    """The bars as a csv file with a header."""
    columns = (candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    with path.open("w", encoding="ascii") as file:
        file.write("ts,open,high,low,close,volume\n")
        file.writelines(f"{t},{o!r},{h!r},{low!r},{c!r},{v!r}\n" for t, o, h, low, c, v in rows)
    return path


def arguments(data: Path) -> list[str]:
    """``enigma`` with these arguments backtests the file `data` on the opened strategy."""
    sets = [word for each in OPEN for word in ("--set", each)]
    return ["backtest", "-c", str(CONFIG), "--data", str(data), *sets, "--json"]
