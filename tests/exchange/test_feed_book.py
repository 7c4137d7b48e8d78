"""A book out of a snapshot and changes, whatever happens to them on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_exchange.stream.book import LATE, WAITING, Level2

PRICES = st.integers(1, 40)


@st.composite
def changes(draw, least=1, most=60):
    """Changes that never cross the book: bids below 100, asks above."""
    found = []
    for number in range(draw(st.integers(least, most))):
        side = draw(st.sampled_from(["buy", "sell"]))
        price = float(99 - draw(PRICES) if side == "buy" else 101 + draw(PRICES))
        found.append((11 + number, price, side, float(draw(st.integers(0, 5)))))
    return found


def book_of(stream) -> Level2:
    book = Level2()
    book.begin(10, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0), (102.0, 2.0)], 0)
    for change in stream:
        book.change(*change, 0)
    return book


@settings(max_examples=50)
@given(changes(), st.randoms(use_true_random=False))
def test_x16_changes_that_come_twice_and_in_any_order_give_the_same_book(stream, chance):
    expected = book_of(stream)
    shuffled = stream + [change for change in stream if chance.random() < 0.5]
    chance.shuffle(shuffled)
    book = book_of(shuffled)
    assert not book.broken
    assert book.sides == expected.sides
    assert book.sequence == expected.sequence == 10 + len(stream)
    assert book.levels(5) == expected.levels(5)


@settings(max_examples=50)
@given(changes(3, 40), st.data())
def test_x16_a_lost_change_is_noticed_and_a_new_snapshot_mends_it(stream, data):
    lost = data.draw(st.integers(0, len(stream) - 2))
    book = book_of(stream[:lost] + stream[lost + 1 :])
    book.look(LATE + 1)
    assert book.broken
    assert book.resyncs == 1
    whole = book_of(stream)
    bids, asks = whole.sides
    book.begin(whole.sequence, bids.items(), asks.items(), LATE + 2)
    assert not book.broken
    assert book.sides == whole.sides


@settings(max_examples=50)
@given(changes(2, 40), st.data())
def test_changes_that_came_before_the_snapshot_go_on_top_of_it_or_are_in_it(stream, data):
    expected = book_of(stream)
    at = data.draw(st.integers(0, len(stream)))
    part = book_of(stream[:at])
    bids, asks = ({**side} for side in part.sides)
    book = Level2()
    for change in stream:
        book.change(*change, 0)
    assert book.broken
    book.begin(part.sequence, bids.items(), asks.items(), 0)
    assert book.sides == expected.sides


def test_x16_a_crossed_book_is_not_believed():
    book = book_of([(11, 101.0, "buy", 1.0)])
    assert book.broken
    assert book.resyncs == 1


def test_one_that_takes_the_best_away_and_then_passes_it_does_not_cross():
    book = book_of([(11, 101.0, "sell", 0.0), (12, 101.0, "buy", 1.0)])
    assert not book.broken
    assert book.levels(1) == (((101.0, 1.0),), ((102.0, 2.0),))


def test_the_best_is_found_again_when_it_goes():
    book = book_of([(11, 99.0, "buy", 0.0), (12, 99.5, "buy", 1.0), (13, 99.5, "buy", 0.0), (14, 98.5, "sell", 1.0)])
    assert book.levels(1) == (((98.0, 2.0),), ((98.5, 1.0),))
    assert not book.broken


def test_an_older_snapshot_changes_nothing():
    book = book_of([(11, 98.5, "buy", 3.0)])
    book.begin(10, [(50.0, 1.0)], [(200.0, 1.0)], 0)
    assert book.levels(1)[0] == ((99.0, 1.0),)


def test_what_waits_is_bounded():
    book = Level2()
    for number in range(10 * WAITING):
        book.change(number, 50.0, "buy", 1.0, 0)
    assert len(book._ahead) <= WAITING


def test_a_sequence_without_a_price_only_counts():
    book = book_of([(11, 0.0, "buy", 0.0), (12, 98.5, "buy", 1.0)])
    assert book.sequence == 12
    assert not book.broken
