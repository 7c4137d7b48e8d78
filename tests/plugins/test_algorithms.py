"""How entries are worked: when each algorithm sends what, and when it stops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, INSTRUMENT
from enigma_core.errors import ConfigError
from enigma_core.market import DAY, PROFILE_DAYS, SLOT, BookSeen, Market, Profile
from enigma_core.model import Instrument, Order, Purpose, Side
from enigma_core.parts import Advice, Algorithm, Piece, Slice, Work
from enigma_core.testing import candles, check
from enigma_plugins.algorithms._quotes import fresh, own_side, slippage
from enigma_plugins.algorithms._schedule import moments
from enigma_plugins.algorithms.iceberg import Iceberg
from enigma_plugins.algorithms.limit_chase import LimitChase
from enigma_plugins.algorithms.market import ToMarket
from enigma_plugins.algorithms.router import Router
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.algorithms.vwap import Vwap
from markets import START

SECOND = 1_000
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def entry(quantity: Any = 24, side: Side = 1, name: str = "d-in") -> Order:
    return Order(id=name, decision_id="d", ts=START, symbol=BTC, side=side, quantity=Decimal(quantity), purpose=Purpose.ENTRY)


def work(*pieces: Piece, quantity: Any = 24, side: Side = 1, instrument: Instrument = INSTRUMENT, name: str = "d-in") -> Work:
    return Work(order=entry(quantity, side, name), instrument=instrument, pieces=pieces)


def piece(
    quantity: Any,
    filled: Any = 0,
    *,
    price: str | None = None,
    ts: int = START,
    working: bool = True,
    side: Side = 1,
    number: int = 1,
    of: Any = 24,
) -> Piece:
    order = msgspec.structs.replace(
        entry(of, side),
        id=f"d-in-s{number}",
        parent="d-in",
        ts=ts,
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        resting=price is not None,
    )
    return Piece(order=order, filled=Decimal(filled), working=working)


def showing(bid: float, ask: float, ts: int = START, size: float = 9.0) -> Market:
    return Market(BTC, book=BookSeen(ts, BTC, ((bid, size), (bid - 1, size)), ((ask, size), (ask + 1, size))))


def quantities(advice: Advice) -> list[int]:
    return [int(wanted.quantity) for wanted in advice.send]


# market


def test_market_sends_everything_once() -> None:
    assert ToMarket().advise(work(), Market(BTC), START) == Advice(send=(Slice(quantity=Decimal(24)),), over=True)
    assert ToMarket().advise(work(piece(24, 3, working=False)), Market(BTC), START) == Advice(over=True)


# limit_chase and iceberg


@SIDES
def test_a_chase_waits_at_the_best_price_of_its_own_side(side: Side) -> None:
    (wanted,) = LimitChase().advise(work(side=side), showing(100.0, 100.4), START).send
    assert wanted == Slice(quantity=Decimal(24), price=Decimal("100.0") if side > 0 else Decimal("100.4"), post_only=True)


@SIDES
def test_a_chase_moves_once_it_is_outbid_and_has_stayed_long_enough(side: Side) -> None:
    chase = LimitChase(every=2.0)
    at = work(piece(24, price="100", side=side), side=side)
    near = showing(100.1, 100.2) if side > 0 else showing(99.8, 99.9)
    stale = showing(99.9, 100.2) if side > 0 else showing(99.8, 100.1)
    assert chase.advise(at, near, START + 1_999) == Advice(again=START + 2_000)
    assert chase.advise(at, near, START + 2_000).cancel == ("d-in-s1",)
    assert chase.advise(at, stale, START + 9_000 - 5_000).cancel == (), "nobody is before it"
    gone = work(piece(24, 4, price="100", side=side, working=False), side=side)
    (wanted,) = chase.advise(gone, near, START + 2_000).send
    assert (wanted.quantity, wanted.price) == (20, Decimal("100.1") if side > 0 else Decimal("99.9"))


def test_a_chase_whose_order_was_ended_waits_as_long_as_one_that_is_outbid() -> None:
    chase, market = LimitChase(every=2.0), showing(100.0, 100.1)
    refused = work(piece(24, price="100", working=False))
    assert chase.advise(refused, market, START + 500) == Advice(again=START + 2_000)
    assert quantities(chase.advise(refused, market, START + 2_000)) == [24]
    assert quantities(chase.advise(work(piece(6, 6, price="100", working=False)), market, START + 500)) == [18]


def test_a_chase_crosses_with_what_is_left_when_its_patience_is_over() -> None:
    chase = LimitChase(patience=30.0)
    late, market = START + 30_000, showing(100.0, 100.1, START + 30_000)
    assert chase.advise(work(piece(24, 4, price="100")), market, late) == Advice(cancel=("d-in-s1",))
    assert chase.advise(work(piece(24, 4, price="100", working=False)), market, late) == Advice(
        send=(Slice(quantity=Decimal(20)),), over=True
    )


def test_a_chase_that_must_not_cross_gives_up_what_is_left() -> None:
    chase = LimitChase(patience=30.0, cross=False)
    assert chase.advise(work(piece(24, 4, price="100", working=False)), showing(1, 2), START + 30_000) == Advice(over=True)


def test_nothing_crosses_long_after_its_time() -> None:
    advice = LimitChase(patience=30.0).advise(work(piece(24, 4, price="100", working=False)), showing(1, 2), START + 3_600_000)
    assert advice == Advice(over=True)


@SIDES
def test_a_chase_lets_a_market_run_away(side: Side) -> None:
    chase = LimitChase(runaway=0.01)
    at = work(piece(24, price="100", side=side), side=side)
    near, away = (100.9, 101.2) if side > 0 else (99.1, 98.8)
    assert not chase.advise(at, showing(near - 0.05, near + 0.05), START).over
    assert chase.advise(at, showing(away - 0.01, away + 0.01), START) == Advice(cancel=("d-in-s1",), over=True)


def test_without_any_book_a_chase_goes_to_the_market_but_not_when_it_has_seen_one() -> None:
    assert LimitChase().advise(work(), Market(BTC), START).send == (Slice(quantity=Decimal(24)),)
    assert LimitChase().advise(work(piece(24, price="100")), Market(BTC), START) == Advice(again=START + 2_000)


@pytest.mark.parametrize("part", [LimitChase(), Iceberg(), Router()])
def test_the_first_book_of_a_live_market_is_waited_for(part: Algorithm) -> None:
    """A run that has just begun has seen nothing yet: nothing goes to the market whole for want of a moment."""
    streaming = Market(BTC, live=True)
    waits = part.advise(work(), streaming, START)
    assert not waits.send
    assert not waits.over
    assert waits.again is not None
    assert START < waits.again <= START + 5_000
    assert not part.advise(work(), streaming, START + 4_999).send
    seen = showing(100.0, 100.2, START + 3_000)
    (first,) = part.advise(work(), seen, START + 3_000).send
    assert first.price == 100
    # where there are no books at all it goes to the market in the end
    assert part.advise(work(), streaming, START + 5_000).send == (Slice(quantity=Decimal(24)),)


@pytest.mark.parametrize(
    "market",
    [
        showing(100.0, 100.1, START - 6_000),
        showing(100.1, 100.1),
        showing(100.0, 100.1, size=math.nan),
        showing(math.nan, math.nan),
        Market(BTC, book=BookSeen(START, BTC, (), ((1.0, 1.0),))),
    ],
)
def test_no_price_is_taken_from_a_book_that_is_old_crossed_or_empty(market: Market) -> None:
    assert fresh(market, START, 5.0) is None
    assert LimitChase().advise(work(), market, START) == Advice(again=START + 2_000)


@given(st.floats(0.06, 1e6), st.sampled_from(["0.1", "0.5", "0.00001", "25"]), st.sampled_from([1, -1]))
def test_a_price_to_wait_at_is_on_the_grid_and_not_nearer_to_the_other_side(price: float, tick: str, side: Side) -> None:
    instrument = Instrument(symbol=BTC, tick=Decimal(tick))
    book = BookSeen(START, BTC, ((price, 1.0),), ((price, 1.0),))
    found = own_side(book, side, instrument)
    if found is None:
        assert price < float(tick)
        return
    assert found % instrument.tick == 0
    assert side * (float(found) - price) <= float(tick) * 1e-5
    assert abs(float(found) - price) <= float(tick) * (1 + 1e-5)


def test_an_iceberg_shows_a_part_at_a_time() -> None:
    iceberg = Iceberg(visible=0.25)
    market = showing(100.0, 100.1)
    assert quantities(iceberg.advise(work(), market, START)) == [6]
    assert iceberg.advise(work(piece(6, 2, price="100")), market, START).send == ()
    done = [piece(6, 6, price="100", working=False, number=n) for n in range(1, 4)]
    assert quantities(iceberg.advise(work(*done), market, START)) == [6]


@pytest.mark.parametrize(("quantity", "least", "lot", "sent"), [(24, 5, 1, 5), (9, 5, 1, 9), (24, 1, 1, 2), (42, 21, 7, 21)])
def test_an_iceberg_leaves_no_rest_below_the_venues_minimum(quantity: int, least: int, lot: int, sent: int) -> None:
    instrument = Instrument(symbol=BTC, lot=Decimal(lot), min_quantity=Decimal(least))
    advice = Iceberg(visible=0.1).advise(work(quantity=quantity, instrument=instrument), showing(100.0, 100.1), START)
    assert quantities(advice) == [sent]


# twap and vwap


def schedule(
    algorithm: Algorithm, quantity: Any = 24, market: Market | None = None, instrument: Instrument = INSTRUMENT
) -> list[Any]:
    """(ms after the start, contracts) of each slice, where every one fills at once."""
    sent: list[tuple[int, Decimal]] = []
    now: int | None = START
    while now is not None:
        pieces = [piece(q, q, ts=t, working=False, number=n, of=quantity) for n, (t, q) in enumerate(sent, 1)]
        at = work(*pieces, quantity=quantity, instrument=instrument)
        advice = algorithm.advise(at, market or Market(BTC), now)
        assert sum((s.quantity for s in advice.send), Decimal(0)) <= at.left
        sent += [(now, wanted.quantity) for wanted in advice.send]
        assert advice.over == (advice.again is None)
        now = advice.again
    return [(ts - START, quantity) for ts, quantity in sent]


def test_twap_sends_equal_parts_at_equal_distances() -> None:
    assert schedule(Twap(slices=4, seconds=400, jitter=0)) == [(0, 6), (100_000, 6), (200_000, 6), (300_000, 6)]


def test_twap_cuts_on_the_lot_and_sends_together_what_is_below_the_minimum() -> None:
    assert [q for _, q in schedule(Twap(slices=5, jitter=0), 24)] == [4, 5, 5, 5, 5]
    few = Instrument(symbol=BTC, min_quantity=Decimal(10))
    assert [q for _, q in schedule(Twap(slices=5, jitter=0), 24, instrument=few)] == [14, 10]
    assert schedule(Twap(slices=50, jitter=0), 1) == [(294_000, 1)]


def test_jitter_comes_from_the_orders_id_and_keeps_the_turns() -> None:
    first, again, other = (moments(work(name=name), 10, 100.0, 0.9) for name in ("a", "a", "b"))
    assert first == again != other
    assert first[0] == START
    assert all(START + k * 10_000 <= ts < START + (k + 0.9) * 10_000 for k, ts in enumerate(first))


def test_twap_makes_up_for_what_was_missed_but_not_long_after_its_end() -> None:
    twap = Twap(slices=4, seconds=400, jitter=0)
    assert quantities(twap.advise(work(piece(6, 6, working=False)), Market(BTC), START + 250_000)) == [12]
    assert twap.advise(work(piece(6, 6, working=False)), Market(BTC), START + 400_000).over
    assert quantities(twap.advise(work(piece(6, 6, working=False)), Market(BTC), START + 400_000)) == [18]
    assert twap.advise(work(piece(6, 6, working=False)), Market(BTC), START + 3_600_000) == Advice(over=True)


def test_what_is_at_work_is_not_sent_again() -> None:
    twap = Twap(slices=4, seconds=400, jitter=0)
    assert twap.advise(work(piece(6)), Market(BTC), START + 50_000) == Advice(again=START + 100_000)
    assert quantities(twap.advise(work(piece(6)), Market(BTC), START + 100_000)) == [6]
    assert quantities(twap.advise(work(piece(6, 2, working=False)), Market(BTC), START + 50_000)) == [4], "its rest has ended"


def test_vwap_follows_the_usual_volume_of_the_hour() -> None:
    profile = Profile()
    for day in range(3):
        for slot in range(DAY // SLOT):
            profile.add(START - (day + 1) * DAY + slot * SLOT, 30.0 if slot == 1 else 10.0)
    market = Market(BTC, profile=profile)
    assert schedule(Vwap(slices=4, seconds=7200, jitter=0), 24, market) == [(0, 4), (1_800_000, 12), (3_600_000, 4), (5_400_000, 4)]


@pytest.mark.parametrize("market", [Market(BTC), Market(BTC, profile=Profile())])
def test_vwap_without_history_is_even(market: Market) -> None:
    assert [q for _, q in schedule(Vwap(slices=4, jitter=0), 24, market)] == [6, 6, 6, 6]


@given(
    st.integers(1, 5_000),
    st.integers(1, 60),
    st.floats(0, 0.99),
    st.integers(1, 40),
    st.lists(st.floats(0, 1e6), min_size=48, max_size=48),
)
def test_a_schedule_sends_all_of_it_whatever_the_profile(
    quantity: int, slices: int, jitter: float, least: int, volumes: Sequence[float]
) -> None:
    profile = Profile()
    for slot, volume in enumerate(volumes):
        profile.add(START + slot * SLOT, volume)
    instrument = Instrument(symbol=BTC, min_quantity=Decimal(least))
    whole = max(quantity, least)
    sent = schedule(Vwap(slices=slices, seconds=86_400, jitter=jitter), whole, Market(BTC, profile=profile), instrument)
    assert sum(q for _, q in sent) == whole
    assert all(q >= least for _, q in sent)
    assert [ts for ts, _ in sent] == sorted({ts for ts, _ in sent})


def test_a_profile_holds_the_last_days_and_hears_no_nonsense() -> None:
    profile = Profile()
    for day in range(PROFILE_DAYS + 5):
        profile.add(START + day * DAY, 1.0)
    for volume in (math.nan, math.inf, -1.0):
        profile.add(START, volume)
    assert len(profile.days) == PROFILE_DAYS
    assert min(profile.days) == (START + 5 * DAY) // DAY
    assert profile.shares(START, START + 2 * SLOT, 2) == [1.0, 0.0]
    assert sum(profile.shares(START + 1234, START + 40 * SLOT, 7)) == pytest.approx(1)


def test_a_profile_of_a_history_is_the_one_that_its_bars_lead_to() -> None:
    bars = candles(3, 3_000, "gaps")
    whole, grown = Profile.of(bars), Profile()
    for ts, volume in zip(bars.ts.tolist(), bars.volume.tolist(), strict=True):
        grown.add(ts, volume)
    assert whole == grown
    assert Profile.of(bars[:0]) == Profile()


# router


def test_what_a_size_would_pay_is_measured_from_the_middle_of_the_book() -> None:
    book = BookSeen(START, BTC, ((99.0, 0.01),), ((101.0, 0.01), (103.0, 0.01)))
    assert slippage(book, 1, Decimal(10), INSTRUMENT) == pytest.approx(0.01)
    assert slippage(book, 1, Decimal(20), INSTRUMENT) == pytest.approx(0.02)
    assert slippage(book, -1, Decimal(10), INSTRUMENT) == pytest.approx(0.01)
    assert slippage(book, 1, Decimal(21), INSTRUMENT) == math.inf


@pytest.mark.parametrize("beyond", ["twap", "vwap", "iceberg"])
def test_the_router_picks_by_expected_slippage_and_stays_with_what_it_began(beyond: Any) -> None:
    router = Router(at_market=0.001, at_rest=0.005, beyond=beyond)
    others = {"twap": router.twap, "vwap": router.vwap, "iceberg": router.iceberg}
    deep, thin, empty = (showing(100.0, 100.1, size=9.0), showing(100.0, 100.9, size=9.0), showing(100.0, 100.1, size=0.001))
    assert router.advise(work(), deep, START) == ToMarket().advise(work(), deep, START)
    assert router.advise(work(), thin, START) == router.limit_chase.advise(work(), thin, START)
    assert router.advise(work(), empty, START) == others[beyond].advise(work(), empty, START)
    for market, chosen in ((thin, router.limit_chase), (empty, others[beyond])):
        (first,) = chosen.advise(work(), market, START).send
        begun = work(piece(first.quantity, price=None if first.price is None else str(first.price)))
        for other, later in itertools.product((deep, thin, empty, Market(BTC)), (0, 10_000, 40_000, 400_000)):
            assert router.advise(begun, other, START + later) == chosen.advise(begun, other, START + later)


def test_the_router_has_nothing_to_choose_by_without_books() -> None:
    assert Router().advise(work(), Market(BTC), START).send == (Slice(quantity=Decimal(24)),)


@pytest.mark.parametrize("market", [showing(100.0, 100.1, START - 60_000), showing(100.1, 100.0)], ids=["late", "crossed"])
def test_the_router_sends_no_whole_order_to_a_book_that_it_cannot_see(market: Market) -> None:
    router = Router()
    assert router.advise(work(), market, START) == router.twap.advise(work(), market, START)


def test_a_router_whose_limits_are_crossed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at_market is 0\.01 and at_rest 0\.001"):
        Router(at_market=0.01, at_rest=0.001)


# the contract kit finds what is wrong


class Greedy(Algorithm, frozen=True, kw_only=True):
    """Sends more than there is."""

    name = "greedy"

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return Advice(send=(Slice(quantity=work.order.quantity),), over=True)


class Endless(Algorithm, frozen=True, kw_only=True):
    """Waits for ever."""

    name = "endless"

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return Advice(again=now + 3_600_000)


class Moody(Algorithm, frozen=True, kw_only=True):
    """Answers by how often it was asked."""

    name = "moody"

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return Advice(over=True, again=now + next(COUNTER))


class Careless(Algorithm, frozen=True, kw_only=True):
    """Takes the first price there is."""

    name = "careless"

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return Advice(send=(Slice(quantity=work.left, price=Decimal(market.book.bids[0][0])),) if work.left else (), over=True)  # type: ignore[union-attr]


class Meddling(Algorithm, frozen=True, kw_only=True):
    """Writes into the market."""

    name = "meddling"

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        market.turnover = float(now)
        return Advice(over=True)


COUNTER = itertools.count(1)


@pytest.mark.parametrize(
    ("part", "rule"),
    [(Greedy, "advice"), (Endless, "ends"), (Moody, "determinism"), (Careless, "raises"), (Meddling, "mutates")],
)
def test_the_contract_finds_what_is_wrong_with_an_algorithm(part: type[Algorithm], rule: str) -> None:
    assert rule in [finding.rule for finding in check(part)]
