"""Tasks beside the engine: what they may tell it, and what becomes of a run when one fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from enigma_core.errors import PluginError
from enigma_core.model import Decision, Order, Purpose, StateSet
from enigma_core.parts import Inbox, Ports, Service
from enigma_core.plan import Plan
from enigma_plugins.gates.trading_state import TradingState
from markets import instrument, plan, random_candles
from runs import Ending, Given, account, on, ran

SYMBOL = "BTC/USDT:USDT"


class Halting(Service, frozen=True, kw_only=True):
    """Halts trading at once."""

    name = "halting"

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        assert ports.account is not None
        await inbox.put(StateSet(ts=0, state="HALTED", reason="asked to"))


class Failing(Service, frozen=True, kw_only=True):
    """Dies after a while."""

    name = "failing"

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the port is taken")


def with_service(service: Service, **changes: Any) -> Plan:
    candles = {SYMBOL: random_candles(SYMBOL, 1500, 1)}
    feed = Given(candles=candles, instruments={SYMBOL: instrument(SYMBOL)})
    return msgspec.structs.replace(on(plan(**changes), feed), services={service.name: service})


def test_a_service_can_halt_trading_and_the_gate_says_so(tmp_path: Path) -> None:
    found = ran(with_service(Halting(), account_gates={"trading_state": TradingState()}), tmp_path)
    states = [type(r) for r in found.records].index(StateSet)
    after = found.records[states:]
    entries = [r for r in after if type(r) is Order and r.purpose is Purpose.ENTRY]
    refused = [r for r in after if type(r) is Decision and r.reason == "refused by trading_state"]
    assert not entries
    assert refused
    assert account(tmp_path)["state"] == "HALTED"


def test_halted_stays_halted_over_a_restart(tmp_path: Path) -> None:
    ran(with_service(Halting(), account_gates={"trading_state": TradingState()}), tmp_path)
    again = ran(with_service(Halting(), account_gates={"trading_state": TradingState()}), tmp_path)
    assert not [r for r in again.records if type(r) is Order and r.purpose is Purpose.ENTRY]
    assert account(tmp_path)["state"] == "HALTED"


def test_a_failing_service_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"service failing failed .*the port is taken.*leave it out"):
        ran(with_service(Failing()), tmp_path)


def test_a_service_that_is_done_does_not_end_the_run(tmp_path: Path) -> None:
    assert ran(with_service(Halting()), tmp_path).summary.reason == "the feed has ended"


def test_a_command_before_the_first_bar_does_not_move_the_beginning(tmp_path: Path) -> None:
    service = with_service(Halting(), account_gates={"trading_state": TradingState()})
    ran(service, tmp_path / "cut", clock=Ending(0))
    again = ran(service, tmp_path / "cut")
    whole = ran(service, tmp_path / "whole")
    assert [d.id for d in again.decisions] == [d.id for d in whole.decisions]
