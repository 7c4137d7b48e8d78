"""An indicator that fails in a run: it abstains, is switched off for all symbols, is told of once, and the rest trades on."""

from __future__ import annotations

from pathlib import Path

from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator, Note
from markets import Momentum, Range, instrument, plan, random_candles
from runs import Given, on, ran

SYMBOLS = ("AAA/USDT:USDT", "BBB/USDT:USDT")


class Broken(Indicator, frozen=True, kw_only=True):
    """Divides by zero."""

    name = "broken"
    max_points: float = 10.0

    @property
    def warmup(self) -> int:
        return 1

    def points(self, candles: Candles) -> Floats:
        raise ZeroDivisionError("float division by zero")


def test_p06_a_raising_indicator_is_switched_off_told_of_once_and_the_others_trade_on(tmp_path: Path) -> None:
    candles = {s: random_candles(s, 300, seed) for seed, s in enumerate(SYMBOLS)}
    feed = Given(candles=candles, instruments={s: instrument(s) for s in SYMBOLS})
    sound = {"a": Momentum(), "b": Momentum(period=7), "c": Momentum(period=1), "atr": Range()}
    faulty = ran(on(plan(indicators={"broken": Broken(), **sound}), feed), tmp_path / "faulty")
    (note,) = faulty.of(Note)
    assert "broken" in note.text
    assert "ZeroDivisionError" in note.text
    assert any("ZeroDivisionError" in fault for fault in faulty.decisions[0].faults)
    assert "switched off" in faulty.decisions[-1].faults[0]
    assert faulty.trades == ran(on(plan(indicators=sound), feed), tmp_path / "sound").trades != []
