"""Timeframes: lengths, coarser bars, what is known when, and where a risk day ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.errors import ConfigError
from enigma_core.model import Candles
from enigma_core.timeframes import align, bucket_start, closed_index, day_end, fits, milliseconds, resample, resampled
from markets import START, random_candles

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def bars(opens: list[int], timeframe: str = "5m") -> Candles:
    """Bars at the given opens (minutes after START); bar i opens at i + 1, closes at i + 1.5 and has volume i + 1."""
    n = np.arange(len(opens), dtype=float)
    ts = START + np.array(opens, np.int64) * MINUTE
    return Candles.of("X", timeframe, ts, n + 1, n + 2, n + 0.5, n + 1.5, n + 1)


def columns(candles: Candles) -> np.ndarray:
    return np.array([candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume])


@pytest.mark.parametrize(
    ("timeframe", "length"),
    [
        ("1m", MINUTE),
        ("5m", 5 * MINUTE),
        ("30m", 30 * MINUTE),
        ("1h", HOUR),
        ("60m", HOUR),
        ("4h", 4 * HOUR),
        ("1d", DAY),
        ("3d", 3 * DAY),
    ],
)
def test_a_timeframe_has_a_length(timeframe: str, length: int) -> None:
    assert milliseconds(timeframe) == length


def test_a_week_is_seven_days_and_begins_on_monday() -> None:
    assert milliseconds("1w") == milliseconds("7d") == 7 * DAY
    start = datetime.fromtimestamp(bucket_start(START, "1w") / 1000, UTC)
    assert (start.weekday(), start.hour, start.minute) == (0, 0, 0)
    assert start.date().isoformat() == "2025-03-03"


@pytest.mark.parametrize(
    "nonsense", ["", "5", "m", "5 m", "0m", "-5m", "1.5h", "5M", "1y", "05m", "5m ", "7m", "25h", "2w", "99999m", "８m"]
)
def test_what_is_no_timeframe_is_refused_with_examples(nonsense: str) -> None:
    with pytest.raises(ConfigError, match=r"1m, 5m, 30m, 1h") as caught:
        milliseconds(nonsense)
    assert repr(nonsense) in str(caught.value)


def test_only_whole_multiples_fit() -> None:
    assert fits("5m", "30m")
    assert fits("5m", "5m")
    assert not fits("5m", "1m")
    assert not fits("3m", "5m")
    with pytest.raises(ConfigError, match="5m cannot be built from bars of 3m"):
        resample(bars([0, 3], "3m"), "5m")


def test_a_coarser_bar_has_first_open_extreme_high_and_low_last_close_and_all_volume() -> None:
    half_hours = resample(bars([0, 5, 10, 15, 20, 25, 30]), "30m")
    assert columns(half_hours).T.tolist() == [[START, 1.0, 7.0, 0.5, 6.5, 21.0]]
    assert (half_hours.symbol, half_hours.timeframe) == ("X", "30m")


def test_bars_of_the_same_timeframe_are_all_closed() -> None:
    base = bars([0, 5, 10])
    assert resample(base, "5m") is base


def test_the_newest_bar_appears_only_once_its_end_is_reached() -> None:
    assert len(resample(bars([0, 5, 10, 15, 20]), "30m")) == 0
    assert len(resample(bars([0, 5, 10, 15, 20, 25]), "30m")) == 1


def test_a_bar_with_missing_base_bars_is_built_from_what_there_is() -> None:
    candles, known = resampled(bars([10, 25]), "30m")
    assert columns(candles).T.tolist() == [[START, 1.0, 3.0, 0.5, 2.5, 3.0]]
    assert known.tolist() == [START + 30 * MINUTE]


def test_a_bar_whose_end_is_missing_is_known_when_the_next_base_bar_has_closed() -> None:
    assert len(resample(bars([0, 20]), "30m")) == 0
    candles, known = resampled(bars([0, 20, 40]), "30m")
    assert candles.ts.tolist() == [START]
    assert known.tolist() == [START + 45 * MINUTE]


def test_one_base_bar_can_make_two_bars_known() -> None:
    candles, known = resampled(bars([0, 20, 55]), "30m")
    assert candles.ts.tolist() == [START, START + 30 * MINUTE]
    assert known.tolist() == [START + HOUR, START + HOUR]


def test_no_bars_make_no_bars() -> None:
    candles, known = resampled(bars([]), "1h")
    assert len(candles) == len(known) == 0


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.2, 0.8]),
    n=st.integers(1, 300),
    cut=st.integers(0, 300),
    timeframe=st.sampled_from(["15m", "1h", "4h"]),
)
def test_later_base_bars_change_no_bar_already_known(seed: int, gaps: float, n: int, cut: int, timeframe: str) -> None:
    base = random_candles("X", n, seed, gaps=gaps)
    whole, known = resampled(base, timeframe)
    part, part_known = resampled(base[: min(cut, len(base))], timeframe)
    assert columns(part).tobytes() == np.ascontiguousarray(columns(whole)[:, : len(part)]).tobytes()
    assert part_known.tolist() == known[: len(part)].tolist()
    # and what is known at the cut is there
    if 0 < cut <= len(base):
        assert len(part) == np.count_nonzero(known <= base.ts[cut - 1] + 5 * MINUTE)


def test_a_bar_counts_from_the_moment_it_closes() -> None:
    ends = np.array([100, 200, 300])
    assert closed_index(ends, np.array([99, 100, 101, 199, 200, 1000])).tolist() == [-1, 0, 0, 0, 1, 2]
    assert closed_index(ends[:0], np.array([5])).tolist() == [-1]


@settings(max_examples=100)
@given(
    ends=st.lists(st.integers(0, 60), max_size=30).map(sorted),
    moments=st.lists(st.integers(0, 60), max_size=30, unique=True).map(sorted),
)
def test_alignment_is_the_value_of_the_newest_closed_bar(ends: list[int], moments: list[int]) -> None:
    values = np.arange(len(ends), dtype=float)
    found = align(values, np.array(ends, np.int64), np.array(moments, np.int64))
    expected = [max((i for i, end in enumerate(ends) if end <= moment), default=np.nan) for moment in moments]
    assert np.array_equal(found, np.array(expected, float), equal_nan=True)


# the risk day


def ms(zone: str, *when: int) -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp()) * 1000  # type: ignore[misc,arg-type]


def test_r01_a_utc_day_ends_at_the_next_midnight() -> None:
    assert day_end(0) == DAY
    assert day_end(DAY - 1) == DAY
    assert day_end(DAY) == 2 * DAY


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2025, 3, 29), 24),
        ("Europe/Berlin", (2025, 3, 30), 23),
        ("Europe/Berlin", (2025, 10, 26), 25),
        ("America/New_York", (2025, 3, 9), 23),
        ("America/New_York", (2025, 11, 2), 25),
        ("Australia/Lord_Howe", (2025, 4, 6), 24.5),
        ("Asia/Kolkata", (2025, 3, 30), 24),
        ("America/Havana", (2025, 11, 2), 25),  # 01:00 becomes 00:00: midnight comes twice
    ],
)
def test_r01_days_of_a_changing_clock_have_their_true_length(zone: str, day: tuple[int, int, int], hours: float) -> None:
    start = ms(zone, *day)
    assert day_end(start, zone) - start == hours * HOUR
    assert day_end(start - 1, zone) == start


def test_r01_where_the_clock_skips_midnight_the_day_ends_as_it_jumps() -> None:
    # São Paulo, 2018-11-04: 00:00 became 01:00, so the 3rd ended at 03:00 UTC
    assert day_end(ms("UTC", 2018, 11, 3, 12), "America/Sao_Paulo") == ms("UTC", 2018, 11, 4, 3)


@pytest.mark.parametrize("minutes", [-1, 1])
def test_r01_a_restart_beside_midnight_finds_the_same_day(minutes: int) -> None:
    midnight = ms("Europe/Berlin", 2025, 3, 30)
    end = day_end(midnight + minutes * MINUTE, "Europe/Berlin")
    assert end == (midnight if minutes < 0 else midnight + 23 * HOUR)


ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("posix", "right", "Etc")))


@settings(max_examples=300)
@given(zone=st.sampled_from(ZONES), minute=st.integers(0, 15 * 366 * 24 * 60), later=st.floats(0, 1))
def test_r01_in_every_zone_the_day_ends_where_the_date_changes(zone: str, minute: int, later: float) -> None:
    ts = ms("UTC", 2015, 1, 1) + minute * MINUTE
    end = day_end(ts, zone)
    assert ts < end <= ts + 26 * HOUR
    date = datetime.fromtimestamp(ts / 1000, ZoneInfo(zone)).date()
    assert datetime.fromtimestamp(end / 1000, ZoneInfo(zone)).date() > date
    assert datetime.fromtimestamp(end / 1000 - 1, ZoneInfo(zone)).date() == date
    # the same day at any other moment of it
    assert day_end(ts + int((end - 1 - ts) * later), zone) == end


def test_r01_every_change_of_a_year_in_a_zone_agrees_with_walking_the_hours() -> None:
    zone = "America/Santiago"  # changes at midnight
    ts = ms("UTC", 2024, 1, 1)
    while ts < ms("UTC", 2025, 1, 1):
        end = day_end(ts, zone)
        walked = ts
        date = datetime.fromtimestamp(ts / 1000, ZoneInfo(zone)).date()
        while datetime.fromtimestamp(walked / 1000, ZoneInfo(zone)).date() == date:
            walked += HOUR
        assert end == walked - walked % HOUR
        assert timedelta(milliseconds=end - ts) <= timedelta(hours=25)
        ts = end


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../UTC", "Europe"])
def test_an_unknown_zone_is_refused_with_examples(zone: str) -> None:
    with pytest.raises(ConfigError, match="Europe/Berlin"):
        day_end(0, zone)
