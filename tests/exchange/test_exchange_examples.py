"""KuCoin's own examples: what it shows as a request is taken, and answers have the shape it shows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from local_exchange import Local

from enigma_core.market import FundingSeen

DATA = Path(os.environ.get("ENIGMA_TEST_DATA", "")) / "kucoin_spec" / "examples.json"
pytestmark = pytest.mark.skipif(
    not os.environ.get("ENIGMA_TEST_DATA") or not DATA.is_file(), reason="ENIGMA_TEST_DATA does not name a folder with kucoin_spec"
)

UNTAKEN = {
    # these are of spot accounts, which this exchange has none of
    "GET /api/v1/accounts/{accountId}",
    "GET /api/v3/hf/margin/account/ledgers",
    "GET /api/v1/margin/account",
    "GET /api/v1/isolated/accounts",
    "GET /api/v1/isolated/account/{symbol}",
}
SPOT = ("/accounts", "/margin/accounts", "/isolated/accounts", "/user-info", "/user/api-key", "/hf/accounts")


def examples() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DATA.read_text()) if DATA.is_file() else {}
    return found


EXAMPLES = examples()
REST = sorted(k for k in EXAMPLES if not k.startswith("WS ") and k not in UNTAKEN)
FRAMES = sorted(k for k in EXAMPLES if k.startswith("WS "))


def answer_of(example: dict[str, Any]) -> Any:
    answer = example["x-response-example"]
    if isinstance(answer, str):
        # a few are written as text within text
        answer = json.loads(answer.encode().decode("unicode_escape"), strict=False)
    return answer["data"]


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    return {int: "number", float: "number", str: "text", list: "list", dict: "object", type(None): "nothing"}[type(value)]


def differences(shown: Any, given: Any, where: str) -> list[str]:
    """How `given` is not of the shape of `shown`: keys that are missing, and values of another type."""
    if "nothing" in (kind(shown), kind(given)):
        return []
    if kind(shown) != kind(given):
        return [f"{where}: {kind(given)} in the place of {kind(shown)}"]
    if isinstance(shown, dict):
        return [
            problem
            for key, value in shown.items()
            for problem in (differences(value, given[key], f"{where}.{key}") if key in given else [f"{where}.{key} is missing"])
        ]
    if isinstance(shown, list) and shown and given:
        return differences(shown[0], given[0], f"{where}[0]")
    return []


def documented() -> dict[str, Any]:
    """What is asked without a body, by method and path, as the documents describe it."""
    found = {}
    for part in ("fundingfees", "market", "order", "positions"):
        file = DATA.parent / f"openapi-futures-{part}.json"
        paths = json.loads(file.read_text())["paths"] if file.is_file() else {}
        found |= {f"GET {path}": told["get"] for path, told in paths.items() if "get" in told}
    return found


DOCUMENTED = documented()
TYPES = {"string": "text", "integer": "number", "number": "number", "boolean": "flag", "array": "list", "object": "object"}


def lapses(schema: dict[str, Any], given: Any, where: str) -> list[str]:
    """What of `given` is not as the documents have it. Their own examples have nulls where they promise a value."""
    if given is None:
        return []
    wanted = schema.get("type")
    if wanted in TYPES and kind(given) != TYPES[wanted]:
        return [f"{where}: {kind(given)} in the place of {wanted}"]
    if wanted == "integer" and given != int(given):
        return [f"{where}: {given} is not whole"]
    if "enum" in schema and given not in schema["enum"]:
        return [f"{where}: {given!r} is none of {schema['enum']}"]
    found = []
    if isinstance(given, dict):
        found += [f"{where}.{name} is missing" for name in schema.get("required", []) if name not in given]
        for name, inner in schema.get("properties", {}).items():
            found += lapses(inner, given.get(name), f"{where}.{name}")
    if isinstance(given, list):
        for each in given:
            found += lapses(schema.get("items", {}), each, f"{where}[]")
    return found


class Busy(Local):
    """One whose account has something of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.book([(59_999.0, 900), (59_998.0, 50)], [(60_001.0, 900), (60_002.0, 50)])
        self.placed("buy", 5)
        self.placed("sell", 2, reduceOnly=True)
        self.resting = self.placed("buy", 1, price="59000")
        self.stop = self.placed("sell", 3, stop="down", stopPrice="55000", stopPriceType="MP", reduceOnly=True)
        self.placed("buy", 1, symbol="ETHUSDTM")
        self.placed("sell", 1, symbol="ETHUSDTM", reduceOnly=True)
        self.exchange.see(FundingSeen(self.now, "BTCUSDT", 0.0001, self.now + 60_000))
        self.wait(60_000)
        self.exchange.press("deposit", amount=5)
        self.book([(59_999.0, 900), (59_998.0, 50)], [(60_001.0, 900), (60_002.0, 50)])
        self.trade(60_000.0)

    def values(self, path: str) -> str:
        names = {"{symbol}": "XBTUSDTM", "{size}": "20", "{order-id}": self.resting["id"], "{clientOid}": self.resting["clientOid"]}
        names["{orderId}"] = self.resting["id"]
        for name, value in names.items():
            path = path.replace(name, value)
        return path

    def query(self, params: list[Any]) -> dict[str, Any]:
        known = {
            "symbol": "XBTUSDTM",
            "granularity": 1,
            "price": "60000",
            "leverage": 3,
            "currency": "USDT",
            "clientOid": self.resting["clientOid"],
        }
        return {
            name: known[name]
            for name, required, place in params
            if place == "query" and (required or name == "symbol") and name in known
        }


@pytest.mark.parametrize("name", [n for n in REST if n.startswith("GET ")])
def test_answers_have_the_shape_of_the_examples(name: str) -> None:
    there = Busy()
    path = name.split()[1]
    example = EXAMPLES[name]
    query = there.query(example["params"])
    if path.endswith(("index/query", "interest/query", "premium/query")):
        query["symbol"] = {"index": ".KXBTUSDT", "interest": ".XBTINT8H", "premium": ".XBTUSDTMPI"}[path.split("/")[3]]
    if path == "/api/v1/orders":
        query["status"] = "active"
    if path in ("/api/v1/kline/query", "/api/v1/contract/funding-rates"):
        query |= {"from": 0, "to": there.now}
    mount = "spot" if any(part in path for part in SPOT) else "futures"
    reply = there.ask("GET", there.values(path), query, mount=mount)
    assert reply.code == "200000", reply
    given = json.loads(reply.body())["data"]
    assert differences(answer_of(example), given, name) == []


@pytest.mark.parametrize("name", [n for n in REST if not n.startswith("GET ")])
def test_requests_of_the_examples_are_taken_and_answered_in_their_shape(name: str) -> None:
    there = Busy()
    method, path = name.split()
    example = EXAMPLES[name]
    body = example.get("x-request-example")
    changes = {
        "/api/v1/orders/multi-cancel": {"orderIdsList": [there.resting["id"], there.stop["id"]]},
        "/api/v1/position/margin/deposit-margin": {"symbol": "XBTUSDTM", "margin": 1, "bizNo": "string"},
        "/api/v2/position/changeMarginMode": {"symbol": "ETHUSDTM", "marginMode": "ISOLATED"},
    }
    if path == "/api/v1/margin/withdrawMargin":
        there.post("/api/v1/position/margin/deposit-margin", {"symbol": "XBTUSDTM", "margin": 10, "bizNo": "1"})
    body = changes.get(path, body)
    query = there.query(example["params"])
    reply = there.ask(method, there.values(path), query, body)
    assert reply.code == "200000", reply
    given = json.loads(reply.body())["data"]
    assert differences(answer_of(example), given, name) == []


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_answers_have_every_field_that_the_documents_promise_of_its_type_and_among_its_words(name: str) -> None:
    there = Busy()
    method, path = name.split()
    told = DOCUMENTED[name]
    query = there.query([[p["name"], p.get("required", False), p["in"]] for p in told.get("parameters", [])])
    if path.endswith(("index/query", "interest/query", "premium/query")):
        query["symbol"] = {"index": ".KXBTUSDT", "interest": ".XBTINT8H", "premium": ".XBTUSDTMPI"}[path.split("/")[3]]
    if name == "GET /api/v1/orders":
        query["status"] = "active"
    if path in ("/api/v1/kline/query", "/api/v1/contract/funding-rates"):
        query |= {"from": 0, "to": there.now}
    reply = there.ask(method, there.values(path), query)
    assert reply.code == "200000", reply
    schema = told["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"]
    assert lapses(schema, json.loads(reply.body())["data"], name) == []


@pytest.mark.parametrize("name", FRAMES)
def test_frames_have_the_shape_of_the_examples(name: str) -> None:
    topic = name.removeprefix("WS ").replace("{symbol}", "XBTUSDTM").replace("{type}", "1min")
    example = EXAMPLES[name]["example"]
    there = Busy()
    there.pushes.clear()
    assert there.exchange.watch(topic)
    there.book([(59_998.0, 900)], [(60_003.0, 900)])
    there.trade(60_000.0)
    there.exchange.press("fund", symbol="XBTUSDTM")
    there.placed("buy", 5, price="59500")
    there.placed("sell", 3, stop="down", stopPrice="54000", stopPriceType="MP", reduceOnly=True)
    there.post("/api/v2/position/changeMarginMode", {"symbol": "ETHUSDTM", "marginMode": "CROSS"})
    there.post("/api/v2/changeCrossUserLeverage", {"symbol": "ETHUSDTM", "leverage": "8"})
    there.mark(60_001.0)
    there.placed("sell", 1, reduceOnly=True)
    there.wait(60_000)
    heard = [p for p in there.pushes if topic in p.channels and p.subject == example["subject"]]
    assert heard, f"nothing with subject {example['subject']} was pushed"
    shapes = []
    for push in heard:
        frame = json.loads(json.dumps(push.frame(), default=float))
        expected = {k: v for k, v in example.items() if k not in ("sn", "id", "type")}
        shapes.append(differences(expected, frame, name))
    assert min(shapes, key=len) == []
