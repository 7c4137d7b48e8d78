"""How many entries are one too many."""

from __future__ import annotations

from decimal import Decimal

import pytest

from enigma_core.model import Order, Purpose, StateSet
from enigma_core.plan import Risk
from enigma_core.shells.governor import DAY, MINUTE, Governor
from markets import START


def order(n: int, ts: int, symbol: str = "A", purpose: Purpose = Purpose.ENTRY) -> Order:
    return Order(
        id=f"{n}", decision_id="d", ts=ts, symbol=symbol, side=1, quantity=Decimal(1), purpose=purpose, price=None, reason=""
    )


def test_r17_so_many_entries_of_one_symbol_within_a_minute_halt() -> None:
    governor = Governor(Risk(entries_per_minute_symbol=3))
    assert governor.see(order(1, START)) is None
    assert governor.see(order(2, START + 1)) is None
    halt = governor.see(order(3, START + MINUTE - 1))
    assert halt is not None
    assert halt.state == "HALTED"
    assert "3 entries in A within a minute" in halt.reason
    assert "enigma reset halt" in halt.reason


def test_a_minute_later_they_count_no_more() -> None:
    governor = Governor(Risk(entries_per_minute_symbol=3))
    for n in range(20):
        assert governor.see(order(n, START + n * MINUTE // 2)) is None


def test_r17_so_many_entries_of_all_symbols_within_a_minute_halt() -> None:
    governor = Governor(Risk(entries_per_minute=4))
    halts = [governor.see(order(n, START, f"S{n}")) for n in range(4)]
    assert halts[:3] == [None] * 3
    assert halts[3] is not None
    assert "4 entries within a minute" in halts[3].reason


@pytest.mark.parametrize(("span", "halted"), [(DAY - 1, True), (DAY, False)])
def test_r17_so_many_entries_within_a_day_halt(span: int, halted: bool) -> None:
    governor = Governor(Risk(entries_per_day=3))
    governor.see(order(1, START))
    governor.see(order(2, START + DAY // 2))
    assert (governor.see(order(3, START + span)) is not None) is halted


def test_what_reduces_is_never_counted() -> None:
    governor = Governor(Risk(entries_per_minute_symbol=1))
    for purpose in (Purpose.STOP, Purpose.TARGET, Purpose.CLOSE):
        assert governor.see(order(1, START, purpose=purpose)) is None


def test_who_lets_trading_go_on_begins_to_count_anew() -> None:
    governor = Governor(Risk(entries_per_day=2))
    governor.see(order(1, START))
    assert governor.see(order(2, START + MINUTE)) is not None
    governor.see(StateSet(ts=START + 2 * MINUTE, state="ACTIVE", reason="mended"))
    assert governor.see(order(3, START + 3 * MINUTE)) is None
