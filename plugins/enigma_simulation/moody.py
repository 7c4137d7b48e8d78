"""Parts of a simulated plan that fail: they raise, answer nonsense or hang, for as long as the world says so."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.market import Market
from enigma_core.model import Candles, Instrument, Signal, Sizing
from enigma_core.parts import Account, Advice, Bools, Holding, Note, Notifier, Path, Slice, Target, Work
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.exits.trailing_stop import TrailingStop
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.score import Score
from enigma_plugins.indicators.rsi import Rsi
from enigma_plugins.sizers.fixed_fraction import FixedFraction

if TYPE_CHECKING:
    from enigma_simulation.world import World

Mood = Literal["raises", "exits", "nonsense", "hangs"]
MOODS: tuple[Mood, ...] = ("raises", "exits", "nonsense", "hangs")
PARTS = ("indicator", "gate", "account gate", "sizer", "exit", "trailing exit", "target", "algorithm", "notifier")

OFTEN, SELDOM = 0.7, 0.05
"""Of a part's answers, how many are wrong; of its calls, how many hang."""


class Moods:
    """Which parts of a world are out of order, and how. `world` stands still while one hangs."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._now: dict[str, Mood] = {}

    def set(self, part: str, mood: Mood | None) -> None:
        """`part` misbehaves in this way from here on; None: no longer."""
        if mood is None:
            self._now.pop(part, None)
        else:
            self._now[part] = mood

    def clear(self) -> None:
        self._now.clear()

    def of(self, part: str) -> Mood | None:
        """How `part` misbehaves this time."""
        mood = self._now.get(part)
        if mood is None or self._random.random() >= (SELDOM if mood == "hangs" else OFTEN):
            return None
        return mood

    def nonsense(self, part: str) -> bool:
        """Whether `part` is to answer nonsense. It raises or hangs here, if that is what it does."""
        mood = self.of(part)
        if mood == "raises":
            raise RuntimeError(f"the {part} has failed")
        if mood == "exits":
            raise SystemExit(f"the {part} wants to leave")
        if mood == "hangs":
            self._world.freeze(self._random.choice((0.5, 3.0, 8.0)))
        return mood == "nonsense"

    def one_of(self, *answers: Any) -> Any:
        return self._random.choice(answers)


class MoodyRsi(Rsi, frozen=True, kw_only=True):
    moods: Any

    def points(self, candles: Candles) -> Floats:
        found = super().points(candles)
        if not self.moods.nonsense("indicator"):
            return found
        unknown, endless = np.full_like(found, math.nan), np.full_like(found, math.inf)
        answer: Floats = self.moods.one_of(unknown, endless, found + 1e6, found[:-1], "bullish", None)
        return answer


class MoodyScore(Score, frozen=True, kw_only=True):
    moods: Any

    def measure(self, evaluation: Evaluation) -> Floats:
        found = super().measure(evaluation)
        if not self.moods.nonsense("gate"):
            return found
        answer: Floats = self.moods.one_of(found * math.nan, found[:0], found.astype(np.float32), 100.0, "enough")
        return answer

    def passes(self, value: Any) -> Any:
        return self.moods.one_of("yes", None, 1) if self.moods.nonsense("gate") else super().passes(value)


class MoodyCooldown(Cooldown, frozen=True, kw_only=True):
    moods: Any

    def measure(self, signal: Signal, account: Account) -> float:
        found = super().measure(signal, account)
        if not self.moods.nonsense("account gate"):
            return found
        answer: float = self.moods.one_of(math.nan, math.inf, "long enough", None, [found])
        return answer

    def passes(self, value: Any) -> Any:
        return self.moods.one_of("yes", None, 1) if self.moods.nonsense("account gate") else super().passes(value)


class MoodySizer(FixedFraction, frozen=True, kw_only=True):
    moods: Any

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        found = super().size(signal, instrument, account)
        if not self.moods.nonsense("sizer"):
            return found
        answer: Sizing = self.moods.one_of(
            msgspec.structs.replace(found, quantity=Decimal("nan")),
            msgspec.structs.replace(found, quantity=Decimal("inf")),
            msgspec.structs.replace(found, quantity=-found.quantity - 1),
            msgspec.structs.replace(found, quantity=found.quantity + Decimal("0.5")),
            msgspec.structs.replace(found, quantity=found.quantity * 1000),
            msgspec.structs.replace(found, margin=Decimal("nan")),
            msgspec.structs.replace(found, leverage=1000),
            None,
            3.5,
        )
        return answer


class MoodyStop(StopLoss, frozen=True, kw_only=True):
    moods: Any

    def first_stop(self, position: Holding) -> Any:
        found = super().first_stop(position)
        if not self.moods.nonsense("exit"):
            return found
        beyond = position.entry * (1 + position.side * 0.05)
        return self.moods.one_of(math.nan, math.inf, -1.0, beyond, "there", None, [1.0, 2.0], [found])


class MoodyTrail(TrailingStop, frozen=True, kw_only=True):
    moods: Any

    def stops(self, position: Holding, path: Path) -> Floats | None:
        found = super().stops(position, path)
        if found is None or not self.moods.nonsense("trailing exit"):
            return found
        far = path.close * (1 + position.side * 0.5)
        answer: Floats = self.moods.one_of(found * math.nan, found[..., :-1], far * math.inf, -far, "up", 0.0)
        return answer

    def closes(self, position: Holding, path: Path) -> Bools | None:
        if not self.moods.nonsense("trailing exit"):
            return super().closes(position, path)
        answer: Bools = self.moods.one_of(path.close, "now", np.ones(0, np.bool_), True)
        return answer


class MoodyTarget(TakeProfit, frozen=True, kw_only=True):
    moods: Any

    def targets(self, position: Holding) -> Any:
        found = super().targets(position)
        if not self.moods.nonsense("target"):
            return found
        level = float(position.entry) * (1 - position.side * 0.01)
        levels = (level, [level], math.nan, math.inf, "high")
        return self.moods.one_of(*((Target(one),) for one in levels), (Target(level, 7.0),), None, ("up",))


class MoodyTwap(Twap, frozen=True, kw_only=True):
    moods: Any

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        found = super().advise(work, market, now)
        if not self.moods.nonsense("algorithm"):
            return found
        answer: Advice = self.moods.one_of(
            None,
            "buy",
            Advice(send=(Slice(quantity=work.order.quantity * 3),)),
            Advice(send=(Slice(quantity=Decimal("nan")),)),
            Advice(cancel=("nobody",)),
            Advice(again=now - 1),
            Advice(),
        )
        return answer


class MoodyNotifier(Notifier, frozen=True, kw_only=True):
    """Tells nobody of anything, and takes its time for it."""

    name: ClassVar[str] = "moody"
    moods: Any

    async def send(self, note: Note) -> None:
        mood = self.moods.of("notifier")
        if mood == "hangs":
            await asyncio.Event().wait()
        if mood == "nonsense":
            await asyncio.sleep(20.0)
        if mood is not None:
            raise (SystemExit if mood == "exits" else RuntimeError)(f"nobody is there for {note.title}")
        await asyncio.sleep(0.05)


def moody(plan: Plan, moods: Moods) -> Plan:
    """`plan` with parts in its place that misbehave when `moods` say so."""
    score, cooldown, sizer = plan.market_gates["score"], plan.account_gates["cooldown"], plan.sizer
    stop, trail, target = plan.exits["stop_loss"], plan.exits["trailing_stop"], plan.exits["take_profit"]
    return msgspec.structs.replace(
        plan,
        indicators=plan.indicators | {"rsi": _as(MoodyRsi, plan.indicators["rsi"], moods)},
        market_gates=plan.market_gates | {"score": _as(MoodyScore, score, moods)},
        account_gates=plan.account_gates | {"cooldown": _as(MoodyCooldown, cooldown, moods)},
        sizer=_as(MoodySizer, sizer, moods),
        exits={
            "stop_loss": _as(MoodyStop, stop, moods),
            "trailing_stop": _as(MoodyTrail, trail, moods),
            "take_profit": _as(MoodyTarget, target, moods),
        },
        algorithm=_as(MoodyTwap, plan.algorithm, moods) if isinstance(plan.algorithm, Twap) else plan.algorithm,
        notifiers={"moody": MoodyNotifier(moods=moods)},
    )


def _as(kind: Any, part: Any, moods: Moods) -> Any:
    """A part of `kind` with the settings of `part`."""
    return kind(**{name: getattr(part, name) for name in part.__struct_fields__}, moods=moods)
