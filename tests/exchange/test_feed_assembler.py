"""KuCoin's messages to market events, whatever order they come in and whatever nonsense is among them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kucoin_messages import BAR, T0, candle, contract, depth, listing, marks, match, message

from enigma_core.market import BarsClosed, BookSeen, FundingSeen, Market, MarkSeen, TickerSeen, TradeSeen
from enigma_exchange.contracts import contracts_of
from enigma_exchange.stream import data
from enigma_exchange.stream.assembler import AGAIN, STALE_BOOK, STALE_MARK, Assembler, Depths, Marks
from enigma_exchange.stream.closing import GRACE, PATIENCE, Asked, Row
from enigma_plugins.gates.spread import Spread

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
START = T0 - BAR + 10_000


def assembler(*, now: int = START, both: bool = False, last: int = T0 - 2 * BAR, **settings: Any) -> Assembler:
    listed = {BTC: contract(now=now)}
    if both:
        listed[ETH] = contract("ETHUSDTM", "ETH", now=now)
    made = Assembler(listed, "5m", BAR, dict.fromkeys(listed, last), now, **settings)
    made.events(now, now)
    return made


def of(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if type(event) is kind]


def confirmed(one: Assembler, now: int, close: float = 100.0) -> None:
    for wanted in one.wanted(now):
        if isinstance(wanted, Asked):
            one.rows(wanted, [Row(ts, 100.0, close, 100.0, close, 5.0) for ts in range(wanted.start, wanted.end, BAR)], now)


def test_what_is_listed_is_told_first():
    one = Assembler({BTC: contract()}, "5m", BAR, {BTC: T0 - 2 * BAR}, T0 - BAR)
    events = one.events(T0 - BAR, T0 - BAR)
    assert {type(event) for event in events} == {MarkSeen, FundingSeen, TickerSeen}
    (funding,) = of(events, FundingSeen)
    assert (funding.rate, funding.hours, funding.next_ts) == (0.0001, 8.0, T0 + 3_600_000)


def test_lots_become_base_currency():
    one = assembler()
    one.see(match(100.1, 25, side="sell", ts=START), START)
    one.see(depth([["99.9", 1000]], [["100.1", 2000]]), START + 1)
    events = one.events(START + 1, START + 1)
    assert of(events, TradeSeen) == [TradeSeen(START, BTC, -1, 100.1, 0.025)]
    (book,) = of(events, BookSeen)
    assert (book.bids, book.asks) == (((99.9, 1.0),), ((100.1, 2.0),))


def test_x16_a_trade_that_comes_twice_is_told_once():
    one = assembler()
    for number in (3, 1, 3, 2, 1):
        one.see(match(100.0, number=number, ts=START + number), START + 10)
    assert len(of(one.events(START + 10, START + 10), TradeSeen)) == 3
    assert one.dropped.old == 2


@settings(max_examples=50)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_x16_books_and_marks_out_of_order_leave_the_newest(numbers, chance):
    one = assembler()
    sent = [depth([[100.0 - n / 100, n]], [[100.5, n]], sequence=n) for n in numbers]
    sent += [marks(100 + n / 100, ts=START + n) for n in numbers]
    sent += [each for each in sent if chance.random() < 0.3]
    chance.shuffle(sent)
    for each in sent:
        one.see(each, START + 100)
    events = one.events(START + 1_000, START + 1_000)
    (book,), (mark,) = of(events, BookSeen), of(events, MarkSeen)
    assert book.bids[0][0] == 100.0 - max(numbers) / 100
    assert mark.mark == 100 + max(numbers) / 100


@pytest.mark.parametrize("price", ["0", "-100", "1000", "10", "NaN", "Infinity", "1e400", "nonsense"])
def test_x19_a_trade_at_an_impossible_price_is_not_told(price):
    one = assembler()
    one.see(match(price, ts=START), START)
    assert of(one.events(START, START), TradeSeen) == []
    assert one.dropped.bad + one.dropped.nonsense == 1


@pytest.mark.parametrize(
    ("mark", "index"), [(0, 100), (-1, 100), (1000, 100), (1000, 1000), (10, 10), (100, 0), (100, -5), (100, 50)]
)
def test_x19_a_mark_that_cannot_be_moves_nothing(mark, index):
    one = assembler()
    one.see(marks(mark, index, ts=START), START)
    one.see(match(100, ts=START), START)
    events = one.events(START, START)
    assert of(events, MarkSeen) == []
    assert len(of(events, TradeSeen)) == 1


def test_x19_a_market_that_has_really_moved_is_believed_after_a_few_marks():
    one = assembler()
    for second in range(3):
        one.see(marks(150 + second, ts=START + second), START + second)
    assert [event.mark for event in of(one.events(START + 3, START + 3), MarkSeen)] == [152]
    one.see(match(151, ts=START), START + 3)
    assert len(of(one.events(START + 4, START + 4), TradeSeen)) == 1


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([["100.2", 1]], [["100.1", 1]]),
        ([["100.1", 1]], [["100.1", 1]]),
        ([["1000", 1]], [["1001", 1]]),
        ([], [["100.1", 1]]),
        ([["0", 1]], [["100.1", 1]]),
        ([["NaN", 1]], [["100.1", 1]]),
        ([["99", 0]], [["100.1", 1]]),
        ([["99"]], [["100.1", 1]]),
    ],
)
def test_x19_a_crossed_or_impossible_book_is_not_told(bids, asks):
    one = assembler()
    one.see(depth(bids, asks), START)
    assert of(one.events(START + 1, START + 1), BookSeen) == []
    assert one.dropped.bad + one.dropped.nonsense == 1


def test_x19_a_bar_far_from_the_marks_of_its_time_is_not_used():
    one = assembler(now=T0 - BAR)
    for second in range(0, BAR, 5_000):
        one.see(marks(100, ts=T0 - BAR + second), T0 - BAR + second)
    one.see(candle(T0 - BAR, 100, 5, high=1000.0), T0 - 1)
    asked = next(wanted for wanted in one.wanted(T0 + GRACE) if isinstance(wanted, Asked))
    one.rows(asked, [Row(T0 - BAR, 100, 1000, 100, 100, 5)], T0 + GRACE)
    assert of(one.events(T0 + PATIENCE, T0 + PATIENCE), BarsClosed) == []
    assert one.closing.counts.bad == 1
    one.rows(asked, [Row(T0 - BAR, 100, 101, 100, 100, 5)], T0 + PATIENCE)
    assert len(of(one.events(T0 + PATIENCE, T0 + PATIENCE), BarsClosed)) == 1


def test_with_its_bars_a_moment_is_over():
    one = assembler()
    one.see(match(100, number=1, ts=T0 - 5), T0 - 1)
    one.see(match(100, number=2, ts=T0 + 200), T0 + 200)
    one.see(match(100, number=3, ts=T0 - 2), T0 + 210)
    first = one.events(T0 + 300, T0 + 300)
    assert [event.ts for event in of(first, TradeSeen)] == [T0 - 5, T0 - 2]
    confirmed(one, T0 + GRACE)
    second = one.events(T0 + GRACE, T0 + GRACE)
    assert [type(event) for event in second if type(event) in (BarsClosed, TradeSeen)] == [BarsClosed, TradeSeen]
    assert [event.ts for event in second] == sorted(event.ts for event in second)
    assert second[-1].ts > T0


def test_no_time_lies_beyond_the_wall_and_none_goes_back():
    one = assembler()
    events = []
    for number, ts in enumerate((START + 50, START + 20, START + 5_000, START + 30)):
        one.see(match(100, number=number, ts=ts), START + 60)
        events += one.events(START + 60, START + 40)
    assert [event.ts for event in events] == sorted(event.ts for event in events)
    assert max(event.ts for event in events) <= START + 40


def test_books_are_told_only_so_often():
    one = assembler(every=250)
    told = 0
    for ms in range(0, 1_000, 10):
        one.see(depth([["99.9", 1]], [["100.1", 1]], sequence=ms + 1), START + ms)
        told += len(of(one.events(START + ms, START + ms), BookSeen))
    assert told == 4


def test_x14_marks_that_fall_silent_are_asked_for_and_subscribed_to_again():
    one = assembler()
    now = START + STALE_MARK + 2_000
    assert Marks() in one.wanted(now)
    assert one.stalled() == ["/contract/instrument:XBTUSDTM"]
    one.marks(contracts_of([listing(mark=101.0)], now).values(), now)
    assert [event.mark for event in of(one.events(now, now), MarkSeen)] == [101.0]
    assert Marks() not in one.wanted(now + 2_000)
    assert Marks() in one.wanted(now + 2 * STALE_MARK)
    assert one.stalled() == []
    one.wanted(now + AGAIN + 2_000)
    assert one.stalled() == ["/contract/instrument:XBTUSDTM"]


def test_x14_a_silent_book_is_compared_with_rest_and_one_that_moved_is_subscribed_to_again():
    one = assembler()
    one.see(depth([["99.9", 1]], [["100.1", 1]], sequence=5), START)
    one.events(START, START)
    now = START + STALE_BOOK + 2_000
    (wanted,) = [want for want in one.wanted(now) if isinstance(want, Depths)]
    one.stalled()
    one.depth(wanted, data.Depth([["99.8", 1]], [["100.0", 1]], 6), now)
    assert of(one.events(now, now), BookSeen)[0].bids[0][0] == 99.8
    assert one.stalled() == ["/contractMarket/level2Depth50:XBTUSDTM"]


def test_a_book_that_rests_is_told_again_as_being_of_now():
    one = assembler()
    one.see(depth([["99.9", 1]], [["100.1", 1]], sequence=5), START)
    one.events(START, START)
    now = START + STALE_BOOK + 2_000
    (wanted,) = [want for want in one.wanted(now) if isinstance(want, Depths)]
    one.stalled()
    one.depth(wanted, data.Depth([["99.9", 1]], [["100.1", 1]], 5), now)
    assert of(one.events(now, now), BookSeen)[0].ts == now
    assert one.stalled() == []


def test_x14_a_book_that_nobody_can_tell_of_is_emptied_so_that_no_spread_passes():
    one = assembler()
    one.see(depth([["99.9", 1]], [["100.1", 1]], sequence=5), START)
    one.events(START, START)
    told = []
    for now in range(START, START + 4 * STALE_BOOK, 1_000):
        for wanted in one.wanted(now):
            one.failed(wanted, now)
        told += of(one.events(now, now), BookSeen)
    assert [(book.bids, book.asks) for book in told] == [((), ())]
    market = Market(BTC)
    market.see(told[0])
    assert not Spread().passes(market.spread)


def change(sequence: int, price: float, side: str, size: int):
    return message(
        "/contractMarket/level2:XBTUSDTM", "level2", {"sequence": sequence, "change": f"{price},{side},{size}", "timestamp": T0}
    )


def test_x16_a_gap_in_the_sequence_has_the_book_fetched_anew():
    one = assembler(book="full")
    one.see(change(11, 99.9, "buy", 1000), START)
    (wanted,) = [want for want in one.wanted(START + 1_000) if isinstance(want, Depths)]
    assert wanted.whole
    one.depth(wanted, data.Depth([["99.0", 1000]], [["101.0", 1000]], 10), START + 1_000)
    assert of(one.events(START + 1_100, START + 1_100), BookSeen)[0].bids == ((99.9, 1.0), (99.0, 1.0))
    one.see(change(13, 99.95, "buy", 1000), START + 1_200)
    one.events(START + 1_500, START + 1_500)
    assert [want for want in one.wanted(START + 1_600) if isinstance(want, Depths)] == []
    wanted = [want for want in one.wanted(START + 3_700) if isinstance(want, Depths)]
    assert wanted == [Depths(BTC, True)]
    one.depth(wanted[0], data.Depth([["98.0", 1000]], [["101.0", 1000]], 15), START + 3_800)
    assert of(one.events(START + 4_000, START + 4_000), BookSeen)[0].bids == ((98.0, 1.0),)


def test_x15_after_an_interruption_bars_marks_and_books_are_asked_for():
    one = assembler(both=True, book="full")
    one.wanted(START + 1_000)
    one.lost([BTC, ETH], START + 1_000, everything=True)
    now = T0 + 3 * BAR + 5_000
    one.back([BTC, ETH], now)
    wanted = one.wanted(now)
    assert Marks() in wanted
    assert {want.symbol for want in wanted if isinstance(want, Depths)} == {BTC, ETH}
    assert [(want.symbol, want.end) for want in wanted if isinstance(want, Asked)] == [(BTC, T0 + 3 * BAR), (ETH, T0 + 3 * BAR)]


def test_a_settlement_has_the_next_one_read():
    one = assembler()
    one.wanted(START + 1_000)
    one.see(message("/contract/announcement", "funding.end", {"symbol": "XBTUSDTM", "fundingTime": 1}), START)
    assert Marks() in one.wanted(START + 1_100)


def test_a_rate_after_its_settlement_is_for_the_next_one():
    one = assembler()
    now = START + 3_600_000 + 60_000
    one.see(message("/contract/instrument:XBTUSDTM", "funding.rate", {"fundingRate": -0.002, "timestamp": now}), now)
    (funding,) = of(one._out.take(None, now), FundingSeen)
    assert (funding.rate, funding.next_ts) == (-0.002, round((START + 3_600_000) / 60_000) * 60_000 + 8 * 3_600_000)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(
        [
            "/contractMarket/execution:XBTUSDTM",
            "/contractMarket/limitCandle:XBTUSDTM_5min",
            "/contractMarket/level2Depth50:XBTUSDTM",
            "/contractMarket/level2:XBTUSDTM",
            "/contract/instrument:XBTUSDTM",
            "/contract/announcement",
            "/contractMarket/snapshot:XBTUSDTM",
            "/contractMarket/execution:UNHEARDOFM",
            "nonsense",
            "",
        ]
    ),
    st.sampled_from(["mark.index.price", "funding.rate", "match", ""]),
)
def test_nonsense_is_counted_and_harms_nobody(payload, topic, subject):
    one = assembler()
    one.see(message(topic, subject, payload), START)
    one.see(match(100, number=99, ts=START), START)
    events = one.events(START + 1, START + 1)
    assert TradeSeen(START, BTC, 1, 100.0, 0.01) in events
    for event in events:
        assert all(math.isfinite(value) for value in (getattr(event, name, 0.0) for name in ("price", "mark", "turnover", "rate")))
