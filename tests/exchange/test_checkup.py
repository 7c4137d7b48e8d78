"""What `enigma doctor` says of an exchange and of an account, with each thing that can be wrong with them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from enigma_core.errors import ConfigError
from enigma_core.parts import Check
from enigma_exchange import checkup
from enigma_exchange.checkup import Answer, Unanswered, account, reach
from enigma_exchange.hosts import Hosts, hosts
from enigma_exchange.port import Absent, Balance, Denied, ExchangeError, Held, KeyRights, OrderState, Unclear
from enigma_plugins.executors.ccxt import Ccxt

NOW = 1_741_257_000.0
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
QUOTA = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "1990"}


class Exchange:
    """The public answers of an exchange: `skew` ms behind our clock, `seconds` away."""

    def __init__(self, skew: float = 0.0, seconds: float = 0.02, **answers: Any) -> None:
        self.skew, self.seconds, self.answers = skew, seconds, answers
        self.asked: list[str] = []

    def __call__(self, method: str, address: str) -> Answer:
        self.asked.append(f"{method} {address}")
        name = address.rpartition("/")[2].replace("-", "_")
        if "api.kucoin.com" in address and f"spot_{name}" in self.answers:
            name = f"spot_{name}"
        found = self.answers[name] if name in self.answers else self.default(name)
        if isinstance(found, Exception):
            raise found
        return Answer(found, self.answers.get("headers", QUOTA), self.seconds)

    def default(self, name: str) -> Any:
        return {
            "timestamp": (NOW - self.seconds / 2) * 1000 - self.skew,
            "status": {"status": "open", "msg": ""},
            "bullet_public": {"token": "t", "instanceServers": [{"endpoint": "wss://stream/?token=abc"}]},
        }[name]


def test_an_exchange_that_is_well_has_nothing_to_look_at() -> None:
    checks = list(reach(Hosts(), ask=Exchange(), wall=lambda: NOW))
    assert [check.level for check in checks] == ["ok"] * len(checks)
    texts = " | ".join(check.text for check in checks)
    for fact in ("api-futures.kucoin.com answers within 20 ms", "0 ms ahead", "1,990 of 2,000", "it is open", "wss://stream/"):
        assert fact in texts
    assert "abc" not in texts


@pytest.mark.parametrize(("skew", "level"), [(0, "ok"), (900, "ok"), (-900, "ok"), (1_100, "fail"), (-60_000, "fail")])
def test_x30_the_clock_is_compared_with_the_exchanges_less_half_the_way(skew: float, level: str) -> None:
    (clock,) = [c for c in reach(Hosts(), ask=Exchange(skew, seconds=0.9), wall=lambda: NOW) if c.check == "clock"]
    assert clock.level == level
    assert ("ahead" if skew >= 0 else "behind") in clock.text


@pytest.mark.parametrize(
    ("exchange", "check", "said"),
    [
        (Exchange(timestamp=Unanswered("Connection refused")), ("exchange", "fail"), "cannot be reached (Connection refused)"),
        (Exchange(timestamp="soon"), ("exchange", "fail"), "it does not say what time it is"),
        (Exchange(spot_timestamp=Unanswered("timed out")), ("exchange", "warn"), "https://api.kucoin.com cannot be reached"),
        (Exchange(seconds=1.6), ("exchange", "warn"), "1,600 ms: orders would come late"),
        (
            Exchange(status={"status": "cancelonly", "msg": "upgrade"}),
            ("exchange", "warn"),
            "orders can only be cancelled now: upgrade",
        ),
        (Exchange(status={"status": "close", "msg": "maintenance"}), ("exchange", "warn"), "it is closed: maintenance"),
        (Exchange(status=[]), ("exchange", "warn"), "it does not say whether it is open"),
        (Exchange(bullet_public={"token": "t"}), ("exchange", "fail"), "names no server of its stream"),
        (Exchange(bullet_public=Unanswered("it says 'no' (400)")), ("exchange", "fail"), "gives no token for its stream"),
        (
            Exchange(headers={"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "100"}),
            ("quota", "warn"),
            "100 of 2,000 are left for public requests: another program",
        ),
        (Exchange(headers={}), ("quota", "ok"), "does not say how much of the quota"),
    ],
)
def test_what_is_wrong_with_an_exchange_is_a_line_with_a_remedy(exchange: Exchange, check: tuple[str, str], said: str) -> None:
    texts = [c.text for c in reach(Hosts(), ask=exchange, wall=lambda: NOW) if (c.check, c.level) == check]
    assert any(said in text for text in texts), texts


def test_an_exchange_that_cannot_be_reached_is_asked_no_further() -> None:
    exchange = Exchange(timestamp=Unanswered("no route to host"))
    assert len(list(reach(Hosts(), ask=exchange))) == 1
    assert len(exchange.asked) == 1


BODIES = {
    "/fut/api/v1/timestamp": b'{"code":"200000","data":1741257000000}',
    "/fut/html": b"<html>502</html>",
    "/fut/list": b"[1, 2]",
    "/fut/half": b'{"code":"2000',
    "/fut/no": b'{"code":"400100","msg":"Parameter error"}',
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = BODIES.get(self.path, b"{}")
            self.send_response(503 if self.path == "/fut/html" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("gw-ratelimit-remaining", "1990")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def test_an_answer_comes_over_the_network_past_any_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    answer = checkup.asked("GET", f"{server}/fut/api/v1/timestamp")
    assert answer.data == 1741257000000
    assert answer.headers["gw-ratelimit-remaining"] == "1990"
    assert 0 < answer.seconds < 5


@pytest.mark.parametrize("path", ["/fut/html", "/fut/list", "/fut/half", "/fut/no", "/fut/other"])
def test_an_answer_that_makes_no_sense_is_none(server: str, path: str) -> None:
    with pytest.raises(Unanswered):
        checkup.asked("GET", f"{server}{path}")


def test_a_closed_port_is_a_sentence() -> None:
    checks = list(reach(hosts("http://127.0.0.1:9")))
    assert [(c.check, c.level) for c in checks] == [("exchange", "fail")]
    assert "http://127.0.0.1:9/fut cannot be reached (nothing listens there)" in checks[0].text


class Api:
    """An account at an exchange, as its port: what is wrong with it is given."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.asked: list[str] = []

    def answer(self, name: str, default: Any) -> Any:
        self.asked.append(name)
        found = self.given.get(name, default)
        if isinstance(found, Exception):
            raise found
        return found

    async def time(self) -> int:
        return int(self.answer("time", NOW * 1000))

    async def rights(self) -> KeyRights:
        right = KeyRights(trade=True, withdraw=False, transfer=False, addresses=("192.0.2.1",))
        return self.answer("rights", right)  # type: ignore[no-any-return]

    async def balance(self) -> Balance:
        balance = Balance(wallet=Decimal(1000), equity=Decimal("1000.5"), available=Decimal(900))
        return self.answer("balance", balance)  # type: ignore[no-any-return]

    async def isolated(self, symbol: str) -> bool:
        return symbol not in self.answer("crossed", ())

    async def held(self) -> Sequence[Held]:
        return self.answer("held", ())  # type: ignore[no-any-return]

    async def working(self) -> Sequence[OrderState]:
        return self.answer("working", ())  # type: ignore[no-any-return]

    async def close(self) -> None:
        pass


def examined(api: Api, sandbox: bool = False) -> list[Check]:
    return asyncio.run(account(api, (BTC, ETH), sandbox=sandbox, wall=lambda: NOW))  # type: ignore[arg-type]


def test_an_account_that_is_well_has_nothing_to_look_at() -> None:
    checks = examined(Api())
    assert {check.level for check in checks} == {"ok"}
    texts = " | ".join(check.text for check in checks)
    for fact in (
        "it may trade futures and neither withdraw nor transfer, and only from 192.0.2.1",
        "equity 1,000.50, of which 900.00 can be used",
        "isolated, one way: BTC/USDT:USDT, ETH/USDT:USDT",
        "0 positions and 0 orders are open",
    ):
        assert fact in texts


@pytest.mark.parametrize(("withdraw", "transfer"), [(True, False), (False, True), (True, True)])
def test_a10_a_key_that_can_move_money_fails_and_is_a_warning_at_a_local_exchange(withdraw: bool, transfer: bool) -> None:
    api = Api(rights=KeyRights(trade=True, withdraw=withdraw, transfer=transfer))
    failed = [check.text for check in examined(api) if check.level == "fail"]
    assert len(failed) == withdraw + transfer
    assert all("make one that may only trade futures" in text for text in failed)
    assert any("bind it to this machine's address" in check.text for check in examined(api) if check.level == "warn")
    assert [check.text for check in examined(api, sandbox=True) if check.level != "ok"] == failed
    assert not [check for check in examined(api, sandbox=True) if check.level == "fail"]


def test_a_key_that_cannot_trade_fails_everywhere() -> None:
    api = Api(rights=KeyRights(trade=False, withdraw=False, transfer=False))
    for sandbox in (False, True):
        assert [check.text[:34] for check in examined(api, sandbox) if check.level == "fail"] == [
            "the API key may not trade futures:"
        ]


def test_x31_a_key_that_is_refused_is_not_tried_again_and_again() -> None:
    api = Api(rights=Denied("Invalid KC-API-PASSPHRASE", "400004"))
    checks = examined(api)
    assert api.asked == ["time"] * 3 + ["rights"]
    (failed,) = [check for check in checks if check.level == "fail"]
    assert failed.check == "key"
    assert failed.text.startswith(
        "the exchange refuses the key (400004): Invalid KC-API-PASSPHRASE; check key, secret and passphrase"
    )


@pytest.mark.parametrize("error", [Unclear("timeout"), Absent("none"), ExchangeError("odd", "999")])
def test_what_cannot_be_read_is_a_line_and_the_rest_goes_on(error: ExchangeError) -> None:
    checks = examined(Api(balance=error))
    assert [check.level for check in checks].count("fail") == 1
    assert any("orders are open" in check.text for check in checks)


def test_x30_the_clock_of_the_account_is_looked_at() -> None:
    assert [c.level for c in examined(Api(time=NOW * 1000 - 1_500)) if c.check == "clock"] == ["fail"]
    assert [c.level for c in examined(Api(time=NOW * 1000 + 900)) if c.check == "clock"] == ["ok"]


def test_an_empty_account_cross_margin_and_a_bare_position_are_worth_a_word() -> None:
    figures = {"quantity": Decimal(5), "price": Decimal(90_000), "leverage": Decimal(5), "margin": Decimal(9)}
    long = Held(symbol=BTC, side=1, isolated=True, **figures)
    api = Api(balance=Balance(wallet=Decimal(0), equity=Decimal(0), available=Decimal(0)), crossed=(ETH,), held=(long,))
    warned = " | ".join(check.text for check in examined(api) if check.level == "warn")
    assert "nothing can be traded before money is transferred" in warned
    assert "not isolated, one way: ETH/USDT:USDT" in warned
    assert "no stop protects the position in BTC/USDT:USDT" in warned
    stop = OrderState(
        side=-1, quantity=Decimal(5), filled=Decimal(0), open=True, stop=True, ts=1, venue_id="1", client_id="", symbol=BTC
    )
    covered = Api(held=(long,), working=(stop,))
    assert "1 position and 1 order are open" in " | ".join(check.text for check in examined(covered))
    assert {check.level for check in examined(covered)} == {"ok"}


def test_it_can_be_asked_for_without_a_loop() -> None:
    assert next(iter(checkup.examined(lambda: account(Api(), wall=lambda: NOW)))).check == "clock"  # type: ignore[arg-type]


# before a run


def prepared(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Sequence[str]:
    """What the executor says before a run at the exchange itself, whose answers are `given`."""
    for variable in ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE"):
        monkeypatch.setenv(variable, "0123456789abcdef")
    api = Api(**{"time": time.time() * 1000, **given})
    monkeypatch.setattr(Ccxt, "_api", lambda _: api)
    return Ccxt().prepare(Path(), "live")


def test_a_key_that_may_only_trade_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(monkeypatch) == []
    (told,) = prepared(monkeypatch, rights=KeyRights(trade=True, withdraw=False, transfer=False))
    assert "may be used from anywhere" in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"rights": KeyRights(trade=True, withdraw=True, transfer=False, addresses=("192.0.2.1",))},
            "the API key may withdraw money",
        ),
        ({"rights": KeyRights(trade=True, withdraw=False, transfer=True)}, "the API key may transfer money"),
        ({"rights": KeyRights(trade=False, withdraw=False, transfer=False)}, "the API key may not trade futures"),
    ],
)
def test_a10_a_run_is_refused_with_a_key_that_can_move_money(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        prepared(monkeypatch, **given)


@pytest.mark.parametrize("skew", [-2_000, 2_000, 3_600_000])
def test_x30_a_run_is_refused_with_a_clock_that_is_off(monkeypatch: pytest.MonkeyPatch, skew: int) -> None:
    with pytest.raises(ConfigError, match=f"{abs(skew) / 1000:,.1f} s {'behind' if skew > 0 else 'ahead of'} the exchange's"):
        prepared(monkeypatch, time=time.time() * 1000 + skew)


def test_x31_a_run_is_refused_with_a_key_that_is_none_and_waits_for_an_exchange_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="the exchange refuses the key: Invalid KC-API-SIGN"):
        prepared(monkeypatch, rights=Denied("Invalid KC-API-SIGN", "400005"))
    (told,) = prepared(monkeypatch, rights=Unclear("timeout"))
    assert "could not be asked yet (timeout)" in told
