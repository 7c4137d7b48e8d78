"""Settings that are changed while a run is on: all or none, nothing wrong in force, kept for the runs that follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import Sending, sent
from enigma_core.config import load
from enigma_core.config.kept import FILE, Settings, kept
from enigma_core.config.resolve import resolve
from enigma_core.config.tree import Tree
from enigma_core.errors import ConfigError, HomeError
from enigma_core.home import Home
from enigma_core.model import ConfigSet
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue
from enigma_core.shells.changing import changed_plan
from enigma_core.shells.stream import Session, run
from markets import START, instrument, random_candles
from runs import Given, on

BAR = 300_000
A = "AAA/USDT:USDT"


def loaded(values: Mapping[str, Any]) -> Tree:
    """All layers of a run on made-up prices."""
    return load(sets=["feed.use=synthetic", "timeframes.primary=5m"], env={}, folders=(), changed=values)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def seen(plan: Plan) -> Any:
    """What of a plan can be compared."""
    fields = ("market_gates", "account_gates", "sizer", "exits", "leverage", "indicators", "timeframes", "risk", "account", "costs")
    return {name: msgspec.to_builtins(getattr(plan, name), enc_hook=str) for name in fields}


def test_what_is_safe_is_in_force_at_once_and_what_is_not_waits(tmp_path: Path, catalogue: Catalogue) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    old = resolve(loaded({}), catalogue)
    changes = {"gates.score.min": 91.0, "risk.entries_per_day": 7, "exits.stop_loss.roi": 0.05, "indicators.rsi.period": 20}
    new, tree, values = changeable.changed(changes)
    found, applied = changed_plan(old, new, changes)
    assert applied.now == ("gates.score.min", "exits.stop_loss.roi")
    assert applied.restart == ("risk.entries_per_day", "indicators.rsi.period")
    assert found.market_gates["score"].min == 91.0  # type: ignore[attr-defined]
    assert found.exits["stop_loss"].roi == 0.05  # type: ignore[attr-defined]
    assert found.risk == old.risk
    assert found.indicators is old.indicators
    changeable.keep(tree, values)
    assert resolve(loaded(kept(tmp_path)), catalogue).risk.entries_per_day == 7


def test_none_takes_a_change_back(tmp_path: Path, catalogue: Catalogue) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    before = resolve(loaded({}), catalogue)
    _, tree, values = changeable.changed({"gates.score.min": 91.0, "gates.cooldown.min": 60})
    changeable.keep(tree, values)
    plan, tree, values = changeable.changed({"gates.score.min": None, "gates.cooldown.min": None})
    changeable.keep(tree, values)
    assert seen(plan) == seen(before)
    assert changeable.shown()["gates"]["score"]["min"] == before.market_gates["score"].min  # type: ignore[attr-defined]


def test_a_setting_that_something_stronger_sets_is_refused_with_its_name(tmp_path: Path, catalogue: Catalogue) -> None:
    def stronger(values: Mapping[str, Any]) -> Tree:
        return load(sets=["feed.use=synthetic"], env={"MIN_SCORE": "80"}, folders=(), changed=values)

    with pytest.raises(ConfigError, match=r"gates.score.min is set by what is stronger \(MIN_SCORE\): change it there"):
        Settings(stronger, catalogue, tmp_path).changed({"gates.score.min": 60})
    with pytest.raises(ConfigError, match=r"gates.score.min is set by what is stronger \(MIN_SCORE\): change it there"):
        Settings(stronger, catalogue, tmp_path).changed({"gates": {"score": {"min": 60}}})


@pytest.mark.parametrize(
    "changes", [{"exits.take_profit": False}, {"exits": {"take_profit": False}}, {"exits.take_profit.enabled": False}]
)
def test_a_part_may_be_switched_off_and_on_again(tmp_path: Path, catalogue: Catalogue, changes: dict[str, Any]) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    plan, tree, values = changeable.changed(changes)
    assert "take_profit" not in plan.exits
    changeable.keep(tree, values)
    plan, _, _ = changeable.changed({"exits.take_profit": True})
    assert "take_profit" in plan.exits


@pytest.mark.parametrize(
    "changes",
    [
        {"gates.score.min": "much"},
        {"gates.score.min": float("nan")},
        {"gates.score.min": float("inf")},
        {"gates.scroe.min": 5},
        {"gates.score": 5},
        {"gates": []},
        {"leverage.max": 0},
        {"leverage.max": 1000},
        {"": 5},
        {"gates..min": 5},
        {"gates.score.min.more": 5},
        {"exits.stop_loss.roi": -1},
        {"sizer.use": "nobody"},
        {"nothing": 1},
        {"services.tradingview.secret": "plain text"},
        {5: 5},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_and_nothing_of_it_is_kept(tmp_path: Path, catalogue: Catalogue, changes: Any) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    before = changeable.shown()
    with pytest.raises(ConfigError) as refused:
        # the first of them would be right
        changeable.changed({"gates.confluence.min": 3} | changes)
    assert str(refused.value)
    assert changeable.shown() == before
    assert not (tmp_path / FILE).exists()


PATHS = [
    "gates.score.min",
    "gates.score",
    "gates.confluence.min",
    "gates.cooldown.min",
    "gates.max_positions.max",
    "gates",
    "gates.veto",
    "exits.stop_loss.roi",
    "exits.take_profit.roi",
    "exits.take_profit.ladder",
    "exits",
    "sizer.use",
    "sizer.risk_per_trade",
    "leverage.max",
    "leverage",
    "indicators.rsi.period",
    "timeframes.primary",
    "risk.entries_per_day",
    "account.equity",
    "symbols",
    "feed.use",
    "mode",
    "strategy",
    "nothing.at.all",
    "gates.score.min.x",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.floats(allow_nan=True),
    st.sampled_from(["", "5m", "synthetic", "atr_risk", "x", "long"]),
    st.just({}),
    st.just([]),
    st.just({"min": 50}),
    st.just({"use": "fixed_fraction"}),
    st.just([[0.1, 0.5], [0.2, 0.5]]),
    st.just({"enabled": False}),
)


def test_two_hundred_changes_of_any_kind_leave_a_run_that_a_later_one_can_load(tmp_path: Path, catalogue: Catalogue) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    running = resolve(loaded({}), catalogue)
    counted = {"kept": 0, "refused": 0}

    @settings(max_examples=200, database=None)
    @given(changes=st.dictionaries(st.sampled_from(PATHS), VALUES, min_size=1, max_size=3))
    def change(changes: dict[str, Any]) -> None:
        nonlocal running
        before, text = changeable._tree, (tmp_path / FILE).read_bytes() if (tmp_path / FILE).exists() else None
        try:
            new, tree, values = changeable.changed(changes)
        except ConfigError:
            counted["refused"] += 1
            assert changeable._tree is before
            assert ((tmp_path / FILE).read_bytes() if text is not None else None) == text
            return
        old = running
        found, applied = changed_plan(old, new, changes)
        assert sorted((*applied.now, *applied.restart)) == sorted(changes)
        changeable.keep(tree, values)
        counted["kept"] += 1
        running = found
        assert not (tmp_path / "settings.new").exists()
        # a later run begins with just that
        later = resolve(loaded(kept(tmp_path)), catalogue)
        assert seen(later) == seen(new)
        assert loaded(kept(tmp_path)).values == changeable._tree.values
        # of what is in force at once, all of it is as the later run has it
        for section in {path.split(".")[0] for path in applied.now} & {"leverage", "exits"}:
            assert seen(running)[section] == seen(later)[section]
        for name in ("indicators", "timeframes", "risk", "account", "costs"):
            assert getattr(old, name) is getattr(found, name)

    change()
    assert counted["kept"] > 10
    assert counted["refused"] > 50


def test_the_kept_file_is_replaced_at_once_or_not_at_all(tmp_path: Path, catalogue: Catalogue, monkeypatch: Any) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    _, tree, values = changeable.changed({"gates.score.min": 91.0})
    changeable.keep(tree, values)
    text = (tmp_path / FILE).read_bytes()
    assert json.loads(text) == {"gates": {"score": {"min": 91.0}}}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    _, tree, values = changeable.changed({"gates.score.min": 92.0})
    with pytest.raises(HomeError, match=r"No space left on device\): the settings stay as they were"):
        changeable.keep(tree, values)
    assert (tmp_path / FILE).read_bytes() == text
    assert changeable.shown()["gates"]["score"]["min"] == 91.0


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"gates": 5}', "\x00\x01"])
def test_a_kept_file_that_is_spoilt_is_named(tmp_path: Path, catalogue: Catalogue, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.json|gates"):
        resolve(loaded(kept(tmp_path)), catalogue)


# in a run


def served(tmp_path: Path, catalogue: Catalogue) -> Plan:
    feed = Given(candles={A: random_candles(A, 40, 1)}, instruments={A: instrument(A)})
    return msgspec.structs.replace(on(resolve(loaded({}), catalogue), feed), services={})


def test_a_change_is_in_force_at_the_next_decision_and_written_down(tmp_path: Path, catalogue: Catalogue) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    told: list[Any] = []

    async def change(clock: Sending) -> None:
        assert clock.desk is not None
        told.append(await clock.desk.configure({"gates.score.min": 91.0, "risk.entries_per_day": 9}, by="a test"))
        told.append(clock.desk.plan.market_gates["score"].min)  # type: ignore[attr-defined]
        with pytest.raises(ConfigError):
            await clock.desk.configure({"gates.score.min": 92.0, "gates.scroe.min": 5}, by="a test")
        told.append(clock.desk.plan.market_gates["score"].min)  # type: ignore[attr-defined]
        told.append(clock.desk.settings()["gates"]["score"]["min"])

    clock = Sending([(START + 20 * BAR, change)])
    records: list[Any] = []

    async def done() -> None:
        from alerts import Listening

        plan = msgspec.structs.replace(served(tmp_path, catalogue), services={"listening": Listening(place=clock)})
        with Home.open(tmp_path) as held:
            await run(plan, held, observer=records.append, clock=clock, wall=clock.wall, settings=changeable)

    asyncio.run(done())
    assert told[0].now == ("gates.score.min",)
    assert told[0].restart == ("risk.entries_per_day",)
    assert told[1:] == [91.0, 91.0, 91.0]
    (said,) = (r for r in records if type(r) is ConfigSet)
    assert said.changes == {"gates.score.min": "91.0", "risk.entries_per_day": "9"}
    limits = [v.limit for r in records if type(r).__name__ == "Decision" for v in r.verdicts if v.gate == "score"]
    assert len(set(limits)) == 2
    assert limits[-1].endswith("91")


def test_settings_that_cannot_be_kept_are_not_in_force(tmp_path: Path, catalogue: Catalogue, monkeypatch: Any) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    chosen = served(tmp_path, catalogue)
    assert chosen.feed is not None
    session = Session(chosen, chosen.feed, (A,), {A: chosen.instrument(A)}, lambda _: None, None, changeable)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HomeError, match="the settings stay as they were"):
        session.reconfigure({"gates.score.min": 91.0}, by="a test")
    assert session.plan is chosen
    assert session.engine.plan is chosen


def test_r19_a_run_with_real_money_lets_nobody_lift_its_limits_beyond_what_it_was_allowed_to_start_with(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    changeable = Settings(loaded, catalogue, tmp_path)
    chosen = msgspec.structs.replace(served(tmp_path, catalogue), mode="live")
    assert chosen.feed is not None
    session = Session(chosen, chosen.feed, (A,), {A: chosen.instrument(A)}, lambda _: None, None, changeable)
    for changes, said in (
        ({"gates.drawdown.max": 0.5}, "gates.drawdown.max is 0.5"),
        ({"gates.day_risk": False}, "gates.day_risk is switched off"),
        ({"leverage.max": 25}, "leverage.max is 25"),
    ):
        with pytest.raises(ConfigError, match=said):
            session.reconfigure(changes, by="a test")
    assert session.engine.plan is chosen


def test_a_run_without_settings_says_how_to_get_them(tmp_path: Path, catalogue: Catalogue) -> None:
    told: list[str] = []

    async def change(clock: Sending) -> None:
        assert clock.desk is not None
        with pytest.raises(ConfigError, match="start it with `enigma run`") as refused:
            await clock.desk.configure({"gates.score.min": 91.0}, by="a test")
        told.append(str(refused.value))

    sent(served(tmp_path, catalogue), tmp_path, [(START + 20 * BAR, change)])
    assert told


@pytest.mark.parametrize(
    "changes",
    [
        {"gates.score.min": {"env": "CANARY"}},
        {"gates.alignment.timeframes": [{"file": "/etc/passwd"}]},
        {"risk": {"zone": {"env": "CANARY"}}},
        {"notifiers.apprise.group": {"env": "CANARY"}},
        {"services.tradingview.host": "0.0.0.0"},
        {"notifiers.apprise": {"urls": ["jsons://user:CANARY@example.com"]}},
        {"symbols": ["NOSUCH/USDT:USDT"]},
    ],
)
def test_nothing_can_be_asked_out_of_the_environment_and_what_shapes_a_run_stays(
    tmp_path: Path, catalogue: Catalogue, changes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "Zq8vN3x-canary")
    with pytest.raises(ConfigError) as caught:
        Settings(loaded, catalogue, tmp_path).changed(changes)
    assert "canary" not in str(caught.value)
