"""What the market does to orders: each rule on its own, for longs and shorts."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk import BTC, FREE, INSTRUMENT, NO_SLIPPAGE, Prices, around
from enigma_core.market import BarsClosed, Funding, MarkSeen
from enigma_core.matching import Costing, Settlements, SimulatedVenue, liquidation_price, slipped
from enigma_core.model import Bar, Fill, Funded, Instrument, Order, OrderEnded, Purpose, Side, money
from enigma_core.parts import Report
from enigma_core.plan import Costs
from markets import START

HOUR = 3_600_000
STEP = 300_000
E = 50_000.0
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


class Tape:
    """A venue and the bars it is shown, one after another."""

    def __init__(self, costs: Costs = NO_SLIPPAGE, funding: Funding | None = None, start: int = START, step: int = STEP) -> None:
        self.venue = SimulatedVenue({BTC: INSTRUMENT}, costs, {BTC: funding})
        self.now, self.step = start, step

    def show(self, *bars: Prices) -> list[Report]:
        reports = []
        for prices in bars:
            begin, self.now = self.now, self.now + self.step
            reports += self.venue.match(BarsClosed(self.now, {BTC: Bar(BTC, begin, self.now, *prices, 1.0)}))
        return reports

    def hold(self, side: Side, leverage: int = 6, quantity: int = 24, stop: float | None = None) -> None:
        """Enter at the next open, at `E`, and put a stop `stop` away from it: far beyond liquidation unless said."""
        self.venue.submit(order("in", side, Purpose.ENTRY, quantity, leverage=leverage))
        self.show((E, E, E, E))
        away = E - 10 if stop is None else stop
        self.venue.submit(order("sl", -side, Purpose.STOP, quantity, price=INSTRUMENT.price(E - side * away)))  # type: ignore[arg-type]

    @property
    def held(self) -> Decimal:
        return self.venue.held[BTC].quantity


def order(name: str, side: Side, purpose: Purpose, quantity: int = 24, **changes: object) -> Order:
    made = Order(
        id=f"d-{name}", decision_id="d", ts=START, symbol=BTC, side=side, quantity=Decimal(quantity), purpose=purpose, reason=name
    )
    return msgspec.structs.replace(made, **changes)


def rates(*settlements: tuple[int, float]) -> Funding:
    return Funding(np.array([ts for ts, _ in settlements], np.int64), np.array([rate for _, rate in settlements]))


# prices


@given(
    price=st.floats(0.01, 1e6),
    side=st.sampled_from([1, -1]),
    slippage=st.sampled_from([0.0, 0.0001, 0.0005, 0.01]),
    tick=st.sampled_from(["0.1", "0.01", "0.5", "0.00001"]),
)
def test_slippage_and_rounding_are_always_against_us(price: float, side: Side, slippage: float, tick: str) -> None:
    instrument = Instrument(symbol="X", tick=Decimal(tick))
    paid = slipped(price, side, instrument, slippage)
    assert paid % instrument.tick == 0
    worse = side * (float(paid) - price * (1 + side * slippage))
    assert -1e-6 * float(instrument.tick) - 1e-9 * price <= worse <= float(instrument.tick) * (1 + 1e-6) + 1e-9 * price


@given(ticks=st.integers(1, 10**8), side=st.sampled_from([1, -1]))
def test_a_price_on_the_grid_stays_there_without_slippage(ticks: int, side: Side) -> None:
    exact = INSTRUMENT.at(ticks)
    assert slipped(float(exact), side, INSTRUMENT, 0.0) == exact


def test_the_worked_numbers_of_liquidation() -> None:
    assert liquidation_price(E, 1, 10, INSTRUMENT) == 45_250
    assert liquidation_price(E, -1, 10, INSTRUMENT) == 54_750


def test_an_instruments_own_maintenance_margin_counts() -> None:
    strict = Instrument(symbol="X", maintenance_margin_rate=Decimal("0.02"))
    assert liquidation_price(E, 1, 10, strict) == 46_000
    assert liquidation_price(E, -1, 10, strict) == 54_000


# entries


@SIDES
def test_a_market_order_fills_at_the_next_open_against_us(side: Side) -> None:
    tape = Tape(Costs())
    tape.venue.submit(order("in", side, Purpose.ENTRY, leverage=6))
    (fill,) = tape.show((E, E + 500, E - 500, E))
    assert isinstance(fill, Fill)
    assert (fill.price, fill.ts) == (Decimal(50_000 + 5 * side), START)
    assert fill.fee == money(INSTRUMENT.notional(Decimal(24), fill.price) * Decimal("0.0006"))


def test_an_order_submitted_twice_is_one_order() -> None:
    tape = Tape()
    for _ in range(3):
        tape.venue.submit(order("in", 1, Purpose.ENTRY))
    assert len(tape.show((E, E, E, E))) == 1
    tape.venue.submit(order("in", 1, Purpose.ENTRY))
    assert tape.show((E, E, E, E)) == []
    assert tape.held == 24


def test_r20_a_cancelled_entry_reports_its_end() -> None:
    tape = Tape()
    tape.venue.submit(order("in", 1, Purpose.ENTRY))
    tape.venue.cancel("d-in")
    (ended,) = tape.venue.answers()
    assert isinstance(ended, OrderEnded)
    assert (ended.order_id, ended.state) == ("d-in", "cancelled")
    assert tape.show((E, E, E, E)) == []
    tape.venue.cancel("d-in")
    assert list(tape.venue.answers()) == []


def test_a_close_with_nothing_left_ends_without_a_fill() -> None:
    tape = Tape()
    tape.venue.submit(order("out", -1, Purpose.CLOSE))
    (ended,) = tape.show((E, E, E, E))
    assert isinstance(ended, OrderEnded)
    assert ended.reason == "nothing left to close"


@SIDES
def test_a_close_never_flips_a_position(side: Side) -> None:
    tape = Tape()
    tape.hold(side)
    tape.venue.submit(order("out", -side, Purpose.CLOSE, 1000))  # type: ignore[arg-type]
    (fill,) = tape.show((E, E, E, E))
    assert isinstance(fill, Fill)
    assert fill.quantity == 24
    assert tape.held == 0


# stops and targets


@SIDES
@pytest.mark.parametrize(
    ("bar", "met"),
    [
        ((0, 10, -499.9, 0), None),
        ((0, 10, -500, -100), -500),
        ((0, 10, -900, -100), -500),
        ((-600, 10, -900, -100), -600),
        ((-500, 10, -500, -100), -500),
    ],
    ids=["not reached", "touched", "crossed", "a gap fills at the open", "opens on it"],
)
def test_a_stop_fills_at_its_level_or_at_a_worse_open(side: Side, bar: Prices, met: float | None) -> None:
    tape = Tape()
    tape.hold(side, stop=500)
    reports = tape.show(*around(side, E, bar))
    if met is None:
        assert reports == []
        return
    (fill,) = reports
    assert isinstance(fill, Fill)
    assert (fill.price, fill.order_id, fill.reason) == (Decimal(50_000 + int(met) * side), "d-sl", "sl")
    assert tape.held == 0


@SIDES
def test_a_stop_slips_and_a_target_does_not(side: Side) -> None:
    for name, purpose, bar, price in (
        ("sl", Purpose.STOP, (0, 0, -600, 0), 50_000 - 500 * side),
        ("tp", Purpose.TARGET, (0, 700, 0, 0), 50_000 + 600 * side),
    ):
        tape = Tape(Costs())
        tape.hold(side, stop=500)
        tape.venue.submit(order("tp", -side, Purpose.TARGET, price=Decimal(50_000 + 600 * side)))  # type: ignore[arg-type]
        (fill,) = tape.show(*around(side, E, bar))
        assert isinstance(fill, Fill)
        assert fill.reason == name
        expected = slipped(price, -side, INSTRUMENT, 0.0001) if purpose is Purpose.STOP else Decimal(price)  # type: ignore[arg-type]
        assert fill.price == expected
        assert side * (fill.price - price) <= 0


@SIDES
@pytest.mark.parametrize("opened", [0, 599, 700, -600])
def test_a_bar_that_touches_stop_and_target_counts_as_the_stop(side: Side, opened: float) -> None:
    tape = Tape()
    tape.hold(side, stop=500)
    tape.venue.submit(order("tp", -side, Purpose.TARGET, price=Decimal(50_000 + 600 * side)))  # type: ignore[arg-type]
    (fill,) = tape.show(*around(side, E, (opened, 800, -700, 0)))
    assert isinstance(fill, Fill)
    assert fill.reason == "sl"
    assert fill.price == Decimal(50_000 + int(min(-500, opened)) * side)


@SIDES
def test_a_ladder_is_taken_step_by_step_and_the_stop_takes_the_rest(side: Side) -> None:
    tape = Tape()
    tape.hold(side, stop=500)
    for number, (level, part) in enumerate([(100, 7), (200, 7), (900, 10)]):
        at = Decimal(50_000 + level * side)
        tape.venue.submit(order(f"tp{number}", -side, Purpose.TARGET, part, price=at))  # type: ignore[arg-type]
    reports = tape.show(*around(side, E, (0, 150, -100, 0), (0, 250, -100, 0), (0, 50, -550, 0)))
    assert [(r.reason, r.quantity) for r in reports if isinstance(r, Fill)] == [("tp0", 7), ("tp1", 7), ("sl", 10)]
    assert tape.held == 0


@SIDES
def test_two_steps_in_one_bar_are_both_taken(side: Side) -> None:
    tape = Tape()
    tape.hold(side, stop=500)
    for number, level in enumerate([100, 200]):
        at = Decimal(50_000 + level * side)
        tape.venue.submit(order(f"tp{number}", -side, Purpose.TARGET, 12, price=at))  # type: ignore[arg-type]
    reports = tape.show(*around(side, E, (0, 300, -100, 0)))
    assert [(r.reason, r.price) for r in reports if isinstance(r, Fill)] == [
        ("tp0", 50_000 + 100 * side),
        ("tp1", 50_000 + 200 * side),
    ]


@SIDES
def test_a_stop_replaces_the_one_before(side: Side) -> None:
    tape = Tape()
    tape.hold(side, stop=500)
    tape.venue.submit(order("sl2", -side, Purpose.STOP, price=Decimal(50_000 - 100 * side)))  # type: ignore[arg-type]
    (fill,) = tape.show(*around(side, E, (0, 0, -600, 0)))
    assert isinstance(fill, Fill)
    assert (fill.reason, fill.price) == ("sl2", 50_000 - 100 * side)


# liquidation


@SIDES
@pytest.mark.parametrize(
    "bar", [(0, 0, -4750, 0), (-4000, 0, -9000, -9000), (-4800, 0, -4900, 0)], ids=["touched", "crossed", "opens beyond"]
)
def test_a_bar_at_liquidation_takes_the_position_there(side: Side, bar: Prices) -> None:
    tape = Tape(Costs())
    tape.hold(side, leverage=10)
    (fill,) = tape.show(*around(side, E, bar))
    assert isinstance(fill, Fill)
    entry = slipped(E, side, INSTRUMENT, 0.0001)
    assert fill.reason == "liquidation"
    assert fill.price == INSTRUMENT.price(liquidation_price(float(entry), side, 10, INSTRUMENT))
    assert tape.held == 0


@SIDES
def test_a_stop_before_liquidation_comes_first(side: Side) -> None:
    tape = Tape()
    tape.hold(side, leverage=10, stop=4749)
    (fill,) = tape.show(*around(side, E, (0, 0, -9000, 0)))
    assert isinstance(fill, Fill)
    assert (fill.reason, fill.price) == ("sl", 50_000 - 4749 * side)


@SIDES
def test_a_gap_beyond_liquidation_passes_over_the_stop(side: Side) -> None:
    tape = Tape()
    tape.hold(side, leverage=10, stop=500)
    (fill,) = tape.show(*around(side, E, (-4751, 0, -5000, 0)))
    assert isinstance(fill, Fill)
    assert (fill.reason, fill.price) == ("liquidation", 50_000 - 4750 * side)


@SIDES
def test_the_mark_price_liquidates_between_bars(side: Side) -> None:
    tape = Tape()
    tape.hold(side, leverage=10)
    assert list(tape.venue.match(MarkSeen(tape.now + 1, BTC, E - side * 4749.9, E))) == []
    assert list(tape.venue.match(MarkSeen(tape.now + 1, BTC, math.nan, E))) == []
    (fill,) = tape.venue.match(MarkSeen(tape.now + 2, BTC, E - side * 4750, E))  # the stop lies far beyond it
    assert isinstance(fill, Fill)
    assert (fill.reason, fill.price, fill.ts) == ("liquidation", 50_000 - 4750 * side, tape.now + 2)
    assert list(tape.venue.match(MarkSeen(tape.now + 3, BTC, E - side * 9000, E))) == []


@SIDES
def test_a_position_that_is_being_closed_can_be_liquidated_too(side: Side) -> None:
    tape = Tape()
    tape.venue.submit(order("in", side, Purpose.ENTRY, leverage=10))
    tape.show((E, E, E, E))
    tape.venue.submit(order("out", -side, Purpose.CLOSE))  # type: ignore[arg-type]
    (fill,) = tape.venue.match(MarkSeen(tape.now + 1, BTC, E - side * 5000, E))
    assert isinstance(fill, Fill)
    assert (fill.order_id, fill.reason) == ("d-out", "liquidation")
    assert tape.show((E, E, E, E)) == []


@given(leverage=st.integers(1, 100), ticks=st.integers(1000, 10**7), side=st.sampled_from([1, -1]))
def test_liquidation_costs_no_more_than_the_margin(leverage: int, ticks: int, side: Side) -> None:
    entry = float(INSTRUMENT.at(ticks))
    level = liquidation_price(entry, side, leverage, INSTRUMENT)
    assert side * (entry - level) <= entry / leverage + 0.1
    if leverage < 200:
        assert side * (entry - level) >= 0


# funding


@SIDES
def test_funding_is_paid_at_its_time_on_the_notional_of_then(side: Side) -> None:
    tape = Tape(FREE, rates((START + 2 * STEP, 0.001)))
    tape.hold(side)
    assert tape.show((E, E, E, E)) == []
    (funded,) = tape.show((51_000.0, 51_000.0, 51_000.0, 51_000.0))
    assert isinstance(funded, Funded)
    assert (funded.ts, funded.price) == (START + 2 * STEP, 51_000)
    assert funded.amount == -side * Decimal("1.224")


@SIDES
def test_a_negative_rate_pays_longs(side: Side) -> None:
    tape = Tape(FREE, rates((START + STEP, -0.001)))
    tape.hold(side)
    (funded,) = tape.show((E, E, E, E))
    assert isinstance(funded, Funded)
    assert funded.amount == side * Decimal("1.2")


def test_who_enters_in_the_moment_of_a_settlement_has_no_part_in_it() -> None:
    tape = Tape(FREE, rates((START, 0.001)))
    tape.hold(1)
    assert tape.show((E, E, E, E)) == []


def test_who_leaves_in_the_moment_of_a_settlement_still_pays() -> None:
    tape = Tape(FREE, rates((START + STEP, 0.001)))
    tape.hold(1)
    tape.venue.submit(order("out", -1, Purpose.CLOSE))
    funded, fill = tape.show((E, E, E, E))
    assert isinstance(funded, Funded)
    assert isinstance(fill, Fill)
    assert funded.ts == fill.ts == START + STEP


def test_settlements_inside_a_bar_are_charged_with_it() -> None:
    tape = Tape(FREE, rates((START + HOUR // 2, 0.001), (START + HOUR + HOUR // 2, 0.002)), step=HOUR)
    tape.venue.submit(order("in", 1, Purpose.ENTRY))
    fill, first = tape.show((E, E, E, E))
    assert isinstance(fill, Fill)
    assert isinstance(first, Funded)
    assert first.ts == START + HOUR // 2
    tape.venue.submit(order("out", -1, Purpose.CLOSE))
    (fill,) = tape.show((E, E, E, E))
    assert isinstance(fill, Fill), "it left at the open, before the second"


def test_a_position_pays_what_fell_due_in_a_gap() -> None:
    tape = Tape(FREE, rates(*((START + i * HOUR, 0.001) for i in range(10))))
    tape.hold(1)
    tape.now += 5 * HOUR
    reports = tape.show((E, E, E, E))
    assert [r.ts for r in reports if isinstance(r, Funded)] == [START + i * HOUR for i in range(1, 6)]
    assert tape.show((E, E, E, E)) == []


def test_settlements_come_before_a_liquidation_by_mark_price() -> None:
    tape = Tape(FREE, rates((START + STEP, 0.001), (START + STEP + 20, 0.001)))
    tape.hold(1, leverage=10)
    funded, fill = tape.venue.match(MarkSeen(START + STEP + 10, BTC, 45_000.0, E))
    assert isinstance(funded, Funded)
    assert isinstance(fill, Fill)
    assert (funded.ts, funded.price) == (START + STEP, 45_000)


def test_a_constant_rate_is_settled_on_the_hours_of_utc() -> None:
    settlements = Settlements(None, Costs(funding_rate=Decimal("0.0001"), funding_hours=8))
    day = 24 * HOUR
    assert [ts for ts, _ in settlements.between(START, START + day)] == [START, START + 8 * HOUR, START + 16 * HOUR]
    assert [ts for ts, _ in settlements.between(START + 1, START + 8 * HOUR)] == []
    assert not Settlements(None, Costs())


def test_an_announced_rate_is_replaced_by_a_later_word() -> None:
    settlements = Settlements(None, Costs(funding_rate=Decimal("0.5")))
    settlements.expect(START, 0.001)
    settlements.expect(START + HOUR, 0.002)
    settlements.expect(START, 0.003)
    assert settlements.between(START, START + 2 * HOUR) == [(START, Decimal("0.003")), (START + HOUR, Decimal("0.002"))]


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_r10_a_rate_that_is_no_number_is_never_charged(rate: float) -> None:
    settlements = Settlements(None, Costs())
    settlements.expect(START, rate)
    assert settlements.between(START, START + 1) == []


# laws


@st.composite
def walks(draw: st.DrawFn) -> list[Prices]:
    """Bars in whole units, as distances from the entry; each opens where it likes."""
    bars = []
    for _ in range(draw(st.integers(1, 12))):
        o, c = draw(st.integers(-900, 900)), draw(st.integers(-900, 900))
        bars.append((o, max(o, c) + draw(st.integers(0, 400)), min(o, c) - draw(st.integers(0, 400)), c))
    return bars


@settings(max_examples=200)
@given(walks(), st.integers(1, 1200), st.lists(st.integers(1, 1200), max_size=3), st.sampled_from([6, 40, 60]))
def test_a_short_in_the_mirror_is_a_long(bars: list[Prices], stop: int, targets: list[int], most: int) -> None:
    """All that happens to a short happens to a long in the mirrored market, at mirrored prices, for the same money."""
    found = []
    for side in (1, -1):
        tape = Tape(FREE)
        tape.hold(side, leverage=most, stop=stop)
        for number, target in enumerate(targets):
            at = Decimal(50_000 + side * target)
            tape.venue.submit(order(f"tp{number}", -side, Purpose.TARGET, 7, price=at))  # type: ignore[arg-type]
        fills = [r for r in tape.show(*around(side, E, *bars)) if isinstance(r, Fill)]
        found.append([(f.ts, f.order_id, f.reason, f.quantity, side * (f.price - 50_000)) for f in fills])
        assert sum((f.quantity for f in fills), Decimal(0)) + tape.held == 24
    assert found[0] == found[1]


@settings(max_examples=200)
@given(bars=walks(), stop=st.integers(1, 1200), target=st.integers(1, 1200), side=st.sampled_from([1, -1]), slip=st.booleans())
def test_no_fill_is_better_than_its_order_asked_for(bars: list[Prices], stop: int, target: int, side: Side, slip: bool) -> None:
    tape = Tape(Costs() if slip else NO_SLIPPAGE)
    tape.hold(side, stop=stop)
    tape.venue.submit(order("tp", -side, Purpose.TARGET, price=Decimal(50_000 + side * target)))  # type: ignore[arg-type]
    for report in tape.show(*around(side, E, *bars)):
        assert isinstance(report, Fill)
        wanted = {"sl": 50_000 - side * stop, "tp": 50_000 + side * target}
        assert report.reason in wanted
        assert side * (report.price - wanted[report.reason]) <= 0
        assert tape.held == 0


def test_every_fee_is_the_takers_of_its_own_fill() -> None:
    made = Costing(Costs()).fill(order("in", 1, Purpose.ENTRY), START, Decimal(24), Decimal(50_000), INSTRUMENT, "entry")
    assert made.fee == Decimal("0.72")
    part = Costing(Costs()).fill(order("in", 1, Purpose.ENTRY), START, Decimal(5), Decimal(50_000), INSTRUMENT, "entry")
    assert part.fee == Decimal("0.15")
    assert part.id != made.id
