"""Timeframes: lengths, coarser bars from finer ones, what had closed by when, and where a risk day ends.

Bars stand on UTC boundaries, weeks on Mondays. A coarser bar counts from the moment it is known to be over: the close of
the base bar that reaches its end or, where base bars are missing there, the close of the next one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from enigma_core.errors import ConfigError
from enigma_core.model import Candles

Moments = npt.NDArray[np.int64]
M = TypeVar("M", int, Moments)

UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY = UNITS["d"]
WEEK = UNITS["w"]
MONDAY = 4 * DAY
"""The first Monday of the epoch, 1970-01-05."""

_WRITTEN = re.compile(r"([1-9][0-9]{0,3})([mhdw])")


@cache
def milliseconds(timeframe: str) -> int:
    """The length of `timeframe` in ms. Raises `ConfigError` unless it divides a day, is some days, or is a week.

    >>> milliseconds("30m")
    1800000
    """
    match = _WRITTEN.fullmatch(timeframe)
    if match is None:
        raise ConfigError(
            f"{timeframe!r} is no timeframe: write a whole number and m, h, d or w, such as 1m, 5m, 30m, 1h, 4h, 1d or 1w"
        )
    length = int(match[1]) * UNITS[match[2]]
    if length > WEEK or (length != WEEK and DAY % length and length % DAY):
        raise ConfigError(
            f"timeframe {timeframe!r} has no fixed UTC boundaries: use one that divides a day (1m, 5m, 30m, 1h, 4h), whole days "
            "up to six (1d, 3d) or 1w"
        )
    return length


def bucket_start(ts: M, timeframe: str) -> M:
    """The open of the `timeframe` bar that each moment (ms) lies in: a number, or an array of the same shape."""
    length = milliseconds(timeframe)
    origin = MONDAY if length == WEEK else 0
    return (ts - origin) // length * length + origin


def fits(base: str, timeframe: str) -> bool:
    """True when bars of `timeframe` can be built from bars of `base`: it is the same or a whole multiple."""
    return milliseconds(timeframe) % milliseconds(base) == 0


class Buckets:
    """Where the bars of one timeframe begin in base bars, and when each is known to be over.

    `starts` (m,) index of each closed bar's first base bar, `opens` (m,) its open in ms, `known` (m,) when it became
    knowable in ms. `rest` is the index of the first base bar that belongs to no closed bar yet.
    """

    __slots__ = ("known", "opens", "rest", "starts")

    def __init__(self, ts: Moments, base: str, timeframe: str) -> None:
        n = len(ts)
        buckets = bucket_start(ts, timeframe)
        starts = np.flatnonzero(np.diff(buckets, prepend=buckets[:1] - 1)) if n else np.empty(0, np.int64)
        opens = buckets[starts]
        length, step = milliseconds(timeframe), milliseconds(base)
        lasts = np.append(starts[1:], n) - 1
        whole = ts[lasts] + step >= opens + length if n else np.empty(0, np.bool_)
        # a bucket whose end no base bar reaches is over once the first bar behind it has closed; the newest stays open
        known = np.where(whole, ts[lasts], ts[np.minimum(lasts + 1, n - 1)]) + step if n else opens
        closed = len(starts) if n == 0 or whole[-1] else len(starts) - 1
        self.rest = n if closed == len(starts) else int(starts[-1])
        self.starts, self.opens, self.known = starts[:closed], opens[:closed], known[:closed]


def gather(base: Candles, timeframe: str, starts: Moments, opens: Moments, stop: int) -> Candles:
    """Bars of `timeframe`, one for each of `starts`, from base bars up to index `stop` (exclusive)."""
    if not len(starts):
        nothing = np.empty(0)
        return Candles.of(base.symbol, timeframe, np.empty(0, np.int64), nothing, nothing, nothing, nothing, nothing)
    lasts = np.append(starts[1:], stop) - 1
    return Candles.of(
        base.symbol,
        timeframe,
        opens,
        base.open[starts],
        np.maximum.reduceat(base.high[:stop], starts),
        np.minimum.reduceat(base.low[:stop], starts),
        base.close[lasts],
        np.add.reduceat(base.volume[:stop], starts),
    )


def _require(base: str, timeframe: str) -> None:
    if not fits(base, timeframe):
        raise ConfigError(
            f"timeframe {timeframe} cannot be built from bars of {base}: use {base} or a whole multiple of it, or finer data"
        )


def resample(candles: Candles, timeframe: str) -> Candles:
    """The closed bars of `timeframe`, built from what base bars there are; the newest only once it is over.

    Raises `ConfigError` when `timeframe` is no whole multiple of the candles' own.
    """
    return resampled(candles, timeframe)[0]


def resampled(candles: Candles, timeframe: str) -> tuple[Candles, Moments]:
    """As `resample`, and when each bar became knowable: (m,) int64 ms, the close of a base bar."""
    _require(candles.timeframe, timeframe)
    if timeframe == candles.timeframe:
        return candles, candles.ts + milliseconds(timeframe)
    buckets = Buckets(candles.ts, candles.timeframe, timeframe)
    return gather(candles, timeframe, buckets.starts, buckets.opens, buckets.rest), buckets.known


def closed_index(ends: Moments, moments: Moments) -> npt.NDArray[np.intp]:
    """The newest bar over at or before each moment: (n,) index into `ends` (ascending), -1 where there is none."""
    return np.searchsorted(ends, moments, side="right") - 1


def align(values: npt.NDArray[np.float64], ends: Moments, moments: Moments) -> npt.NDArray[np.float64]:
    """What was known of a coarser (or finer) timeframe at each moment: (n,), NaN before its first bar is over.

    `values` and `ends` are (m,), one for each of its bars; both `ends` and `moments` ascend.
    """
    padded = np.concatenate(([np.nan], values))
    if len(ends) > len(moments):
        result: npt.NDArray[np.float64] = padded[closed_index(ends, moments) + 1]
        return result
    # few bars, many moments: find where each bar takes over and repeat it until the next does
    turns = np.searchsorted(moments, ends, side="left")
    return np.repeat(padded, np.diff(turns, prepend=0, append=len(moments)))


def day_end(ts: int, zone: str = "UTC") -> int:
    """The next midnight after `ts` in an IANA time zone, ms: where the risk day that holds `ts` ends.

    Days of 23 and 25 hours come out as such. Where the clock skips midnight, the day ends as it jumps. Raises `ConfigError`
    for an unknown zone.

    >>> day_end(0)
    86400000
    """
    if zone == "UTC":
        return (ts // DAY + 1) * DAY
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"{zone!r} is no time zone this system knows: use an IANA name such as UTC, Europe/Berlin or America/New_York"
        ) from error
    today = (datetime.fromtimestamp(ts // 1000, UTC).astimezone(place)).date()
    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), place)
    end = round(midnight.timestamp()) * 1000
    # clocks set back over midnight meet it twice; between the two the first has passed
    return end if end > ts else round(midnight.replace(fold=1).timestamp()) * 1000
