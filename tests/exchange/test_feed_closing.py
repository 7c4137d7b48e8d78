"""Bars by the clock: each once, in order, those of a moment together, holes left open."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kucoin_messages import BAR, T0

from enigma_core.market import BarsClosed
from enigma_exchange.stream.closing import CATCHING_UP, GAP, GRACE, PATIENCE, PROBE, Asked, Closing, Row
from enigma_plugins.feeds.csv import Csv

A, B = "A/USDT:USDT", "B/USDT:USDT"


def row(ts: int, close: float = 100.0, volume: float = 5.0) -> Row:
    return Row(ts, 100.0, max(100.0, close), min(100.0, close), close, volume)


def closing(*symbols: str, last: int = T0 - 2 * BAR, now: int = T0 - BAR // 2) -> Closing:
    """Whose bars up to that of T0 - BAR are known; the next close is T0."""
    names = symbols or (A,)
    return Closing(BAR, dict.fromkeys(names, last), dict.fromkeys(names, 0.001), now)


def answer(bars: Closing, now: int, rows: dict[str, list[Row]] | None = None, *, skip: tuple[str, ...] = ()) -> None:
    """REST answers what it is asked, with a plain bar for every moment unless `rows` says otherwise."""
    for asked in bars.wanted(now):
        if asked.symbol in skip:
            bars.failed(asked, now)
        elif rows is not None and asked.symbol in rows:
            bars.answered(asked, rows[asked.symbol], now)
        else:
            bars.answered(asked, [row(ts) for ts in range(asked.start, asked.end, BAR)], now)


def told(events: list[BarsClosed]) -> list[tuple[int, tuple[str, ...]]]:
    return [(event.ts, tuple(event.bars)) for event in events]


def test_a_bar_is_asked_for_once_it_has_closed_and_given_once_it_is_confirmed():
    bars = closing()
    assert bars.wanted(T0 + GRACE - 1) == []
    asked = bars.wanted(T0 + GRACE)
    assert [(one.symbol, one.end) for one in asked] == [(A, T0)]
    assert bars.closed(T0 + GRACE) == []
    bars.answered(asked[0], [row(T0 - BAR, 101.0, 7.0)], T0 + GRACE + 100)
    (event,) = bars.closed(T0 + GRACE + 100)
    bar = event.bars[A]
    assert (event.ts, bar.ts, bar.end, bar.close, bar.volume) == (T0, T0 - BAR, T0, 101.0, 0.007)
    assert bars.closed(T0 + PATIENCE) == []


def test_all_symbols_of_a_moment_come_together():
    bars = closing(A, B)
    first, second = bars.wanted(T0 + GRACE)
    bars.answered(first, [row(T0 - BAR)], T0 + 800)
    assert bars.closed(T0 + 800) == []
    bars.answered(second, [row(T0 - BAR)], T0 + 900)
    assert told(bars.closed(T0 + 900)) == [(T0, (A, B))]


def test_one_that_is_late_is_waited_for_only_so_long_and_comes_after_its_moment():
    bars = closing(A, B)
    answer(bars, T0 + GRACE, skip=(B,))
    assert bars.closed(T0 + PATIENCE - 1) == []
    assert told(bars.closed(T0 + PATIENCE)) == [(T0, (A,))]
    answer(bars, T0 + PATIENCE + 1_000)
    assert told(bars.closed(T0 + PATIENCE + 1_000)) == [(T0, (B,))]
    assert bars.counts.late == 1


def test_what_the_stream_had_stands_in_when_rest_is_silent_and_is_compared_later():
    bars = closing()
    bars.forming(A, row(T0 - BAR, 101.0, 9.0))
    answer(bars, T0 + GRACE, skip=(A,))
    (event,) = bars.closed(T0 + PATIENCE)
    assert event.bars[A].close == 101.0
    assert bars.counts.unconfirmed == 1
    answer(bars, T0 + PATIENCE + 2_000, {A: [row(T0 - BAR, 102.0, 9.0)]})
    assert bars.counts.corrected == 1
    assert bars.closed(T0 + PATIENCE + 2_000) == []


def test_an_answer_that_has_less_volume_than_the_stream_has_seen_is_too_old():
    bars = closing()
    bars.forming(A, row(T0 - BAR, 101.0, 9.0))
    answer(bars, T0 + GRACE, {A: [row(T0 - BAR, 100.5, 8.0)]})
    assert bars.closed(T0 + GRACE + 1) == []
    answer(bars, T0 + GRACE + 1_000, {A: [row(T0 - BAR, 101.0, 9.0)]})
    assert bars.closed(T0 + GRACE + 1_000)[0].bars[A].volume == pytest.approx(0.009)


def test_x17_a_bar_that_the_exchange_does_not_list_is_a_hole_that_nothing_fills():
    bars = closing(A, B)
    now = T0 + GRACE
    while now < T0 + GAP + 20_000:
        answer(bars, now, {A: []})
        now += 500
        bars.closed(now)
    assert bars.counts.gaps == 1
    answer(bars, T0 + BAR + GRACE, {A: [row(T0)]})
    (event,) = bars.closed(T0 + BAR + GRACE)
    assert told([event]) == [(T0 + BAR, (A, B))]
    assert event.bars[A].ts == T0


def without_an_answer(bars: Closing) -> int:
    """REST lists nothing until a bar that it does not list is taken for one that does not exist."""
    now = T0 + GRACE
    while now < T0 + GAP + 20_000:
        answer(bars, now, {A: []})
        bars.closed(now)
        now += 500
    return now


def test_a_bar_that_is_listed_after_all_by_the_next_close_is_given_late_and_once():
    bars = closing()
    without_an_answer(bars)
    assert bars.counts.gaps == 1
    answer(bars, T0 + BAR + GRACE)
    events = bars.closed(T0 + BAR + GRACE)
    assert told(events) == [(T0, (A,)), (T0 + BAR, (A,))]
    assert (bars.counts.gaps, bars.counts.late) == (0, 1)
    answer(bars, T0 + 2 * BAR + GRACE)
    assert told(bars.closed(T0 + 2 * BAR + GRACE)) == [(T0 + 2 * BAR, (A,))]


def test_a_bar_that_was_refused_is_not_taken_when_it_is_listed_again():
    bars = closing()
    first = bars.wanted(T0 + GAP + GRACE)[0]
    bars.answered(first, [row(T0 - BAR, 1e9)], T0 + GAP + GRACE, sane=[])
    assert (bars.closed(T0 + GAP + GRACE), bars.counts.gaps) == ([], 1)
    answer(bars, T0 + BAR + GRACE)
    assert told(bars.closed(T0 + BAR + GRACE)) == [(T0 + BAR, (A,))]


def test_a_bar_that_the_stream_has_shown_and_rest_never_lists_is_no_hole():
    bars = closing()
    bars.forming(A, row(T0, 103.0, 4.0))
    # of the bar before nothing was heard, so this one has to wait
    answer(bars, T0 + BAR + GRACE, skip=(A,))
    assert bars.closed(T0 + BAR + PATIENCE) == []
    answer(bars, T0 + BAR + GAP + 1_000, {A: []})
    (event,) = bars.closed(T0 + BAR + GAP + 1_000)
    assert (event.ts, event.bars[A].close) == (T0 + BAR, 103.0)
    assert (bars.counts.gaps, bars.counts.unconfirmed) == (1, 1)


def test_a_forming_bar_that_pushes_may_be_missing_of_does_not_stand_in_until_it_is_pushed_again():
    bars = closing(A, B)
    for symbol in (A, B):
        bars.forming(symbol, row(T0 - BAR, 101.0, 3.0))
    bars.lost([A, B])
    bars.forming(B, row(T0 - BAR, 102.0, 8.0))
    answer(bars, T0 + GRACE, skip=(A, B))
    (event,) = bars.closed(T0 + PATIENCE)
    assert {symbol: bar.close for symbol, bar in event.bars.items()} == {B: 102.0}
    answer(bars, T0 + PATIENCE + 1_000)
    assert told(bars.closed(T0 + PATIENCE + 1_000)) == [(T0, (A,))]


def test_a_stream_that_counts_volume_otherwise_than_rest_is_believed_no_longer():
    bars = closing()
    bars.forming(A, row(T0 - BAR, 101.0, 5_000.0))
    answer(bars, T0 + GRACE, skip=(A,))
    (event,) = bars.closed(T0 + PATIENCE)
    assert event.bars[A].volume == 5.0
    answer(bars, T0 + PATIENCE + 1_000)
    assert bars.counts.corrected == 1
    for number in (1, 2):
        end = T0 + number * BAR
        bars.forming(A, row(end - BAR, 101.0, 5_000.0))
        answer(bars, end + GRACE)
        (event,) = bars.closed(end + GRACE)
        assert event.bars[A].volume == 0.005
    bars.forming(A, row(end, 101.0, 3.0))
    answer(bars, end + BAR + GRACE)
    bars.closed(end + BAR + GRACE)
    # it counts alike again: an answer that has less is too old
    bars.forming(A, row(end + BAR, 101.0, 9.0))
    answer(bars, end + 2 * BAR + GRACE)
    assert bars.closed(end + 2 * BAR + GRACE) == []


def test_x17_holes_between_bars_are_seen_at_once():
    bars = closing()
    asked = bars.wanted(T0 + 3 * BAR + GRACE)[0]
    bars.answered(asked, [row(T0 - BAR), row(T0 + 2 * BAR)], T0 + 3 * BAR + GRACE)
    assert told(bars.closed(T0 + 3 * BAR + GRACE)) == [(T0, (A,)), (T0 + 3 * BAR, (A,))]
    assert bars.counts.gaps == 2


def test_x17_a_recorded_series_keeps_its_holes(market_data):
    recorded = Csv(data=str(market_data / "candles" / "gaps" / "ADABTC-5m.csv.gz"))
    (symbol,) = recorded.symbols()
    candles = recorded.history(symbol, "5m")
    rows = [Row(*(float(c[i]) if n else int(c[i]) for n, c in enumerate(columns(candles)))) for i in range(len(candles))]
    first, last = int(candles.ts[0]), int(candles.ts[-1])
    bars = Closing(BAR, {symbol: first - BAR}, {symbol: 1.0}, first)
    now = last + BAR + GRACE
    while wanted := bars.wanted(now):
        for asked in wanted:
            bars.answered(asked, [each for each in rows if asked.start <= each.ts < asked.end], now)
    given = [bar for event in bars.closed(now) for bar in event.bars.values()]
    assert [bar.ts for bar in given] == candles.ts.tolist()
    assert [bar.close for bar in given] == candles.close.tolist()
    assert bars.counts.gaps == (last - first) // BAR + 1 - len(candles) > 0


def columns(candles):
    return candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume


def test_a_symbol_that_had_no_bar_the_last_time_holds_nobody_up():
    bars = closing(A, B)
    answer(bars, T0 + GRACE, {A: []})
    bars.closed(T0 + PATIENCE)
    now = T0 + BAR + GRACE
    answer(bars, now, {A: []})
    assert told(bars.closed(now)) == [(T0 + BAR, (B,))]


def test_x15_after_an_interruption_everything_that_was_missed_is_given_in_order():
    bars = closing(A, B)
    bars.down()
    now = T0 + 40 * BAR + 1_000
    assert bars.closed(now) == []
    bars.resume(now)
    answer(bars, now)
    events = bars.closed(now)
    assert told(events) == [(T0 + i * BAR, (A, B)) for i in range(41)]


def test_x15_more_than_a_page_is_fetched_page_by_page():
    bars = closing(last=T0 - 1_201 * BAR)
    now = T0 + GRACE
    pages = 0
    while asked := bars.wanted(now):
        pages += len(asked)
        for one in asked:
            assert (one.end - one.start) // BAR <= 500
            bars.answered(one, [row(ts) for ts in range(one.start, one.end, BAR)], now)
    assert pages == 3
    assert len(bars.closed(now)) == 1_200


def test_after_an_interruption_one_that_stays_silent_holds_the_others_up_for_a_while_only():
    bars = closing(A, B)
    bars.down()
    now = T0 + 2 * BAR + 1_000
    bars.resume(now)
    answer(bars, now, skip=(B,))
    assert bars.closed(now + CATCHING_UP - 1) == []
    assert [ts for ts, _ in told(bars.closed(now + CATCHING_UP))] == [T0, T0 + BAR, T0 + 2 * BAR]


def test_one_that_cannot_be_had_by_rest_holds_nobody_up_though_the_stream_is_gone():
    bars = closing(A, B)
    bars.down()
    now = T0 + GRACE
    answer(bars, now, skip=(B,))
    assert bars.closed(now + CATCHING_UP - 1) == []
    assert told(bars.closed(now + CATCHING_UP)) == [(T0, (A,))]


def test_failures_are_not_asked_again_at_once():
    bars = closing()
    now, times = T0 + GRACE, []
    while now < T0 + 20_000:
        for asked in bars.wanted(now):
            times.append(now)
            bars.failed(asked, now)
        now += 100
    assert len(times) <= 8
    assert all(500 <= b - a <= PROBE for a, b in pairwise(times))


def test_the_first_answer_after_a_time_without_any_has_everything_asked_for_again():
    bars = closing(A, B)
    bars.down()
    now = T0 + GRACE
    while now < T0 + 25_000:
        answer(bars, now, skip=(A, B))
        now += 100
    asked: list[Asked] = []
    while not asked:
        now += 100
        asked = bars.wanted(now)
    assert len(asked) == 1
    assert now < T0 + 25_000 + PROBE + 200
    bars.answered(asked[0], [row(T0 - BAR)], now)
    answer(bars, now)
    assert told(bars.closed(now)) == [(T0, (A, B))]


def test_bars_that_cannot_be_are_not_used():
    bars = closing()
    nan = float("nan")
    for bad in (
        Row(T0 - BAR, 1, 2, 3, 1, 1),
        Row(T0 - BAR, 0, 2, 0, 1, 1),
        Row(T0 - BAR, nan, 1, 1, 1, 1),
        Row(T0 - BAR, 1, 1, 1, 1, -1),
    ):
        bars.forming(A, bad)
        answer(bars, T0 + GRACE, {A: [bad]})
        bars.resume(T0)
    assert bars.counts.bad == 8
    assert bars.closed(T0 + GRACE) == []


@st.composite
def disorder(draw):
    """Pushes of forming bars and answers of REST over some bars and symbols: in any order, twice, or not at all."""
    symbols = (A, B)[: draw(st.integers(1, 2))]
    steps = []
    for number in range(draw(st.integers(1, 6))):
        ts = T0 - BAR + number * BAR
        for symbol in symbols:
            for volume in draw(st.lists(st.integers(1, 9), max_size=4)):
                at = draw(st.integers(ts, ts + 2 * BAR))
                steps.append((at, symbol, row(ts, 100.0 + volume, float(volume))))
    fails = draw(st.lists(st.booleans(), min_size=1, max_size=30))
    return symbols, sorted(steps, key=lambda step: step[0]), fails


@given(disorder())
def test_x18_whatever_order_they_come_in_each_bar_is_given_once_in_order_and_closed(case):
    symbols, steps, fails = case
    bars = closing(*symbols)
    seen: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    moments, asked_for, end = [], 0, T0 + 8 * BAR
    for now in range(T0 - BAR // 2, end, 2_500):
        while steps and steps[0][0] <= now:
            _, symbol, pushed = steps.pop(0)
            bars.forming(symbol, pushed)
            bars.forming(symbol, pushed)
        for asked in bars.wanted(now):
            asked_for += 1
            if fails[asked_for % len(fails)] and now < end - 2 * BAR:
                bars.failed(asked, now)
                continue
            rows = [row(ts, 109.0, 9.0) for ts in range(asked.start, asked.end, BAR)]
            bars.answered(asked, [*reversed(rows), *rows], now)
        for event in bars.closed(now):
            assert event.ts <= now
            moments.append(event.ts)
            for symbol, bar in event.bars.items():
                assert bar.end == event.ts
                seen[symbol].append(bar.ts)
    for symbol in symbols:
        assert seen[symbol] == [T0 - BAR + i * BAR for i in range(len(seen[symbol]))]
        assert seen[symbol][-1] >= T0 + 6 * BAR


@given(st.permutations([row(T0 - BAR, 100.0 + v, float(v)) for v in range(1, 7)]))
def test_x18_the_newest_push_of_a_bar_counts_in_whatever_order_they_come(pushes):
    bars = closing()
    for pushed in pushes:
        bars.forming(A, pushed)
    answer(bars, T0 + GRACE, skip=(A,))
    assert bars.closed(T0 + PATIENCE)[0].bars[A].close == 106.0


def test_bars_of_the_time_before_and_off_the_grid_are_no_news():
    bars = closing()
    bars.forming(A, row(T0 - 2 * BAR))
    bars.forming(A, row(T0 - BAR + 1))
    bars.answered(Asked(A, T0 - 3 * BAR, T0), [row(T0 - 2 * BAR), row(T0 - BAR + 7), row(T0 - BAR)], T0 + GRACE)
    (event,) = bars.closed(T0 + GRACE)
    assert told([event]) == [(T0, (A,))]
