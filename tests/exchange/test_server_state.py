"""The local exchange goes on: its state on disk, what the market did while it was away, and its key."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from served import KEY, SYMBOL, XBT, local

from enigma_core.errors import ConfigError, HomeError
from enigma_core.market import MarketEvent
from enigma_core.parts import Feed
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_sandbox import credentials, keeping, markets
from enigma_sandbox.markets import Mirrored, Setup
from enigma_sandbox.server import Sandbox, kucoin, wall

ONE = Setup(count=1, days=1)
ORDER = {"symbol": XBT, "type": "market", "leverage": 3, "size": 5, "marginMode": "ISOLATED"}


def test_an_account_is_there_again_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "exchange.json"
    with local(ONE, state=state) as first:
        assert first.signed("POST", "/api/v1/orders", {**ORDER, "clientOid": "k1", "side": "buy"})[1]["code"] == "200000"
        stop = {"stop": "down", "stopPrice": "1000", "stopPriceType": "MP", "reduceOnly": True}
        first.signed("POST", "/api/v1/orders", {**ORDER, **stop, "clientOid": "k2", "side": "sell"})
        before = first.signed("GET", "/api/v1/account-overview?currency=USDT")[1]["data"]
        account = first.sandbox.account
        shift = first.sandbox.market.shift
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    with local(ONE, state=state) as second:
        assert second.sandbox.account == account
        assert second.sandbox.market.shift == shift
        held = second.signed("GET", f"/api/v1/position?symbol={XBT}")[1]["data"]
        assert held["currentQty"] == 5
        (waiting,) = second.signed("GET", f"/api/v1/stopOrders?symbol={XBT}")[1]["data"]["items"]
        assert waiting["clientOid"] == "k2"
        after = second.signed("GET", "/api/v1/account-overview?currency=USDT")[1]["data"]
        wallet = [float(each["accountEquity"]) - float(each["unrealisedPNL"]) for each in (before, after)]
        assert wallet[0] == pytest.approx(wallet[1])
        again = second.signed("POST", "/api/v1/orders", {**ORDER, "clientOid": "k1", "side": "buy"})[1]
        assert again["code"] != "200000"
        assert "goes on with the account" in second.sandbox.told[0]


def test_what_the_market_did_meanwhile_was_done_to_the_account(tmp_path: Path) -> None:
    state = tmp_path / "exchange.json"
    clock = [wall()]
    with local(ONE, state=state, clock=lambda: clock[0]) as first:
        last = float(first.raw("GET", f"/fut/api/v1/ticker?symbol={XBT}")[1]["data"]["price"])
        for side, stop in (("buy", "up"), ("sell", "down")):
            body = {**ORDER, "clientOid": f"far-{side}", "side": side, "stop": stop, "stopPriceType": "TP"}
            body["stopPrice"] = str(round(last * (1.004 if stop == "up" else 0.996), 1))
            first.do(lambda body=body: _place(first.sandbox, body))
    clock[0] += 12 * 3_600_000
    with local(ONE, state=state, clock=lambda: clock[0]) as second:
        now = clock[0]
        rows = second.raw("GET", f"/fut/api/v1/kline/query?symbol={XBT}&granularity=1&from={now - 3_600_000}")[1]["data"]
        assert len(rows) >= 60
        fills = second.do(lambda: _asked(second.sandbox, "GET", "/api/v1/fills"))["items"]
        assert {fill["orderType"] for fill in fills} == {"market"}
        assert all(fill["tradeTime"] // 1_000_000 < now for fill in fills)


def _place(sandbox: Sandbox, body: dict[str, Any]) -> Any:
    from enigma_sandbox.exchange import Request

    reply = sandbox.exchange.request(Request(method="POST", path="/api/v1/orders", body=body))
    assert reply.code == "200000", reply.payload
    sandbox.touched()
    return reply.data


def _asked(sandbox: Sandbox, method: str, path: str) -> Any:
    from enigma_sandbox.exchange import Request

    return sandbox.exchange.request(Request(method=method, path=path)).data


def test_the_state_is_written_while_it_runs(tmp_path: Path) -> None:
    state = tmp_path / "exchange.json"
    with local(ONE, state=state) as running:
        running.signed("POST", "/api/v1/orders", {**ORDER, "clientOid": "w1", "side": "buy"})
        deadline = time.monotonic() + 10
        while not state.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert b"w1" in state.read_bytes()


def test_a_state_of_another_market_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "exchange.json"
    with local(ONE, state=state):
        pass
    with (
        pytest.raises(ConfigError, match=r"account of another market .*seed=1.*start it as it was"),
        local(Setup(count=1, days=1, seed=2), state=state),
    ):
        pass


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b'{"format":99,"market":"","shift":0,"symbols":[],"saved":0,"account":"","exchange":{}}']
)
def test_a_state_that_is_none_is_refused_and_left_as_it_is(tmp_path: Path, rubbish: bytes) -> None:
    state = tmp_path / "exchange.json"
    state.write_bytes(rubbish)
    with pytest.raises(HomeError, match=r"exchange\.json"), local(ONE, state=state):
        pass
    assert state.read_bytes() == rubbish


def test_a_state_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be written"):
        keeping.write(
            tmp_path / "file" / "x.json",
            keeping.Kept(market="", shift=0, symbols=(), saved=0, account="", exchange=keeping.msgspec.Raw(b"{}")),
        )


def test_keys_come_from_the_environment_from_files_or_are_made(tmp_path: Path) -> None:
    assert credentials.given({}) is None
    whole = {"KUCOIN_API_KEY": "k", "KUCOIN_API_SECRET": "s3cr3t", "KUCOIN_PASSPHRASE": "phrase"}
    assert credentials.given(whole) == credentials.Credentials(
        key="k", secret="s3cr3t", passphrase="phrase", origin="those of KUCOIN_API_KEY"
    )
    (tmp_path / "secret").write_text("s3cr3t\n")
    by_file = {**whole, "KUCOIN_API_SECRET": "", "KUCOIN_API_SECRET_FILE": str(tmp_path / "secret")}
    assert credentials.given(by_file) == credentials.given(whole)
    with pytest.raises(ConfigError, match="set KUCOIN_API_SECRET and KUCOIN_PASSPHRASE too"):
        credentials.given({"KUCOIN_API_KEY": "k"})
    with pytest.raises(ConfigError, match=r"KUCOIN_API_SECRET_FILE: .* cannot be read"):
        credentials.given({**by_file, "KUCOIN_API_SECRET_FILE": str(tmp_path / "nowhere")})
    file = tmp_path / "sub" / "credentials.json"
    made = credentials.kept(file)
    assert credentials.kept(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.secret not in repr(made)
    file.write_text("{}")
    with pytest.raises(HomeError, match="no key of a local exchange"):
        credentials.kept(file)


def test_another_feeds_stream_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    # a live feed as far as the exchange can tell: its time is the wall's
    class Lively(Synthetic, frozen=True, kw_only=True, dict=True):
        name = "lively"
        simulated = False

        async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
            count = 0
            async for event in super().stream(symbols, timeframe, since):
                yield event
                count += 1
                if count == 500:
                    await asyncio.Event().wait()

    start = 1_750_000_000_000
    feed: Feed = Lively(timeframe="1m", count=1)
    monkeypatch.setattr(markets, "feed_named", lambda name, **_: feed)
    with local(Setup(feed="lively", days=1), clock=lambda: start) as mirror:
        assert isinstance(mirror.sandbox.market, Mirrored)
        deadline = time.monotonic() + 20
        while mirror.raw("GET", f"/fut/api/v1/level2/snapshot?symbol={XBT}")[1]["data"]["bids"] == []:
            assert time.monotonic() < deadline
        rows = mirror.raw("GET", f"/fut/api/v1/kline/query?symbol={XBT}&granularity=1")[1]["data"]
        known = feed.history(SYMBOL, "1m", start - 3_600_000, start)
        assert rows[0][0] >= start - 86_400_000
        assert {row[0]: row[4] for row in rows}[int(known.ts[-5])] == known.close[-5]


def test_contracts_are_called_as_kucoin_calls_them() -> None:
    assert [kucoin(s) for s in ("BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDC:USDC")] == ["XBTUSDTM", "ETHUSDTM", "DOGEUSDCM"]


def test_nothing_secret_is_in_the_state(tmp_path: Path) -> None:
    state = tmp_path / "exchange.json"
    with local(ONE, state=state):
        pass
    assert KEY.secret.encode() not in state.read_bytes()
    assert json.loads(state.read_bytes())["market"].startswith("synthetic:seed=1")
