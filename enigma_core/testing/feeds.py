"""The contract of feeds: bars in order, closed, on their grid, and the stream says what the history says."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from enigma_core.errors import EnigmaError
from enigma_core.market import BarsClosed
from enigma_core.model import Bar, Candles, Instrument
from enigma_core.parts import Feed
from enigma_core.testing.finding import FAILED, Inspection, clip

MOST_EVENTS = 2_000
MOST_SYMBOLS = 2


def inspect(inspection: Inspection, feed: Feed) -> None:
    """Only a simulated feed is run; one that talks to the world is looked at and left alone."""
    for method in ("symbols", "instrument", "base_timeframe", "history", "stream"):
        if getattr(type(feed), method) is getattr(Feed, method):
            inspection.found("missing", f"{method}() is not defined; write it, as the class Feed describes")
    if not type(feed).simulated or inspection.findings:
        return
    if not inspection.configured and not _ready(feed):
        return  # its defaults name no data yet: check an instance
    symbols = inspection.call("symbols()", feed.symbols)
    timeframe = inspection.call("base_timeframe()", feed.base_timeframe)
    if symbols is FAILED or timeframe is FAILED:
        return
    if not isinstance(symbols, tuple) or not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        inspection.found("symbols", f"symbols() returned {clip(symbols)}; it must be a tuple of at least one symbol")
        return
    _unknown(inspection, feed)
    some = symbols[:MOST_SYMBOLS]
    histories: dict[str, Candles] = {}
    for symbol in some:
        instrument = inspection.call(f"instrument({symbol!r})", feed.instrument, symbol)
        if instrument is not FAILED and not (isinstance(instrument, Instrument) and instrument.symbol == symbol):
            inspection.found(
                "instrument", f"instrument({symbol!r}) returned {clip(instrument)}; it must be that symbol's Instrument"
            )
        history = inspection.call(f"history({symbol!r}, {timeframe!r})", feed.history, symbol, timeframe)
        if history is FAILED:
            return
        if _history(inspection, feed, symbol, timeframe, history):
            histories[symbol] = history
    if len(histories) == len(some):
        _stream(inspection, feed, some, timeframe, histories)


def _ready(feed: Feed) -> bool:
    try:
        feed.symbols()
    except EnigmaError:
        return False
    return True


def _unknown(inspection: Inspection, feed: Feed) -> None:
    def ask() -> str:
        try:
            feed.instrument("NO/SUCH:COIN")
        except EnigmaError:
            return "refused"
        return "answered"

    if inspection.call("instrument() of an unknown symbol", ask) == "answered":
        text = "instrument() of an unknown symbol answered; raise DataError naming the nearest known symbols"
        inspection.found("unknown symbol", text)


def _history(inspection: Inspection, feed: Feed, symbol: str, timeframe: str, history: Any) -> bool:
    where = f"history({symbol!r}, {timeframe!r})"
    if not isinstance(history, Candles):
        inspection.found("history", f"{where} returned {type(history).__name__}; it must be Candles")
        return False
    if len(history) == 0:
        inspection.found("history", f"{where} is empty; a feed offers the symbols it has bars of")
        return False
    if (history.symbol, history.timeframe) != (symbol, timeframe):
        inspection.found("history", f"{where} is labelled {history.symbol} {history.timeframe}")
    steps = np.diff(history.ts)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        inspection.found("order", f"{where}: bar {i + 1} does not come after bar {i} ({history.ts[i + 1]} after {history.ts[i]})")
        return False
    columns = np.array([history.open, history.high, history.low, history.close, history.volume])
    sound = np.isfinite(columns).all(axis=0) & (columns[:4] > 0).all(axis=0) & (columns[4] >= 0)
    sound &= (history.high >= columns[[0, 2, 3]].max(axis=0)) & (history.low <= columns[[0, 3]].min(axis=0))
    if not sound.all():
        i = int(np.argmin(sound))
        inspection.found(
            "bars", f"{where}: bar {i} is {columns[:, i].tolist()} (open high low close volume), which no market traded"
        )
    if len(history) >= 4:
        start, end = int(history.ts[1]), int(history.ts[-1])
        part = inspection.call(f"{where} from {start} to {end}", feed.history, symbol, timeframe, start, end)
        if part is not FAILED and not np.array_equal(part.ts, history.ts[1:-1]):
            inspection.found(
                "range", f"{where} with start and end must give the bars with start <= ts < end, got {len(part)} of them"
            )
    return True


def _stream(inspection: Inspection, feed: Feed, symbols: tuple[str, ...], timeframe: str, histories: dict[str, Candles]) -> None:
    async def collect() -> list[Any]:
        found: list[Any] = []
        events = feed.stream(symbols, timeframe, None)
        async for event in events:
            found.append(event)
            if len(found) >= MOST_EVENTS:
                break
        return found

    events = inspection.call("stream(symbols, timeframe, None)", lambda: asyncio.run(collect()))
    if events is FAILED:
        return
    last = None
    closed = -1
    bars: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
    for event in events:
        if last is not None and event.ts < last:
            inspection.found("order", f"stream gave an event of {event.ts} after one of {last}; events come in order of time")
            return
        last = event.ts
        if event.ts <= closed:
            text = f"stream gave {type(event).__name__} of {event.ts} after the bars of {closed}"
            inspection.found("moment", f"{text}; with the bars of a close its moment is over, they come last and together")
        if isinstance(event, BarsClosed):
            closed = event.ts
            for symbol, bar in event.bars.items():
                if bar.end != event.ts:
                    text = f"stream gave a bar of {symbol} that ends at {bar.end} in an event of {event.ts}"
                    inspection.found("closed bars", f"{text}; a bar is told at its close")
                bars.setdefault(symbol, []).append(bar)
    if not any(bars.values()):
        inspection.found("stream", f"stream gave {len(events)} events and no bar among them")
    for symbol, history in histories.items():
        known = {int(ts): i for i, ts in enumerate(history.ts)}
        for bar in bars[symbol]:
            i = known.get(bar.ts)
            if i is None:
                continue
            told = [bar.open, bar.high, bar.low, bar.close, bar.volume]
            kept = [float(getattr(history, name)[i]) for name in ("open", "high", "low", "close", "volume")]
            if told != kept:
                inspection.found("stream", f"the bar of {symbol} at {bar.ts} is {told} in the stream but {kept} in the history")
                return
