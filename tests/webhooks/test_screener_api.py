"""`/api/v1/screener/scan`, and whatever else plugins add to the API."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from apis import Api, TradedDesk, bearer, running
from desk import BTC, INSTRUMENT, one_row
from enigma_core.parts import Desk, Listing
from enigma_core.plugins import Catalogue
from enigma_screener.looking import Look
from enigma_screener.ranking import ranked
from enigma_screener.service import Screener

SCREENER = Catalogue.built_in().routes()


def desk(home: Path, service: Screener | None) -> TradedDesk:
    made = TradedDesk(home)
    made.added = dict(SCREENER)
    if service is not None:
        made.plan = msgspec.structs.replace(made.plan, services={"screener": service})
    return made


def scan_of(made: Desk) -> Any:
    look = Look(made.plan, {BTC: INSTRUMENT})
    found = look(
        one_row(BTC, made.now(), 49_000.0, 98.0), Listing(symbol=BTC, turnover=6e6, spread=float("nan")), made.account, made.now()
    )
    assert found is not None
    other = msgspec.structs.replace(found, symbol="ETH/USDT:USDT", rank=1.0, held=False)
    return ranked([other, found], made.now(), 5)


def test_the_newest_scan_is_answered_the_best_first(tmp_path: Path) -> None:
    service = Screener(top=1)
    made = desk(tmp_path, service)
    with running(Api(made), "read") as client:
        before = client.get("/api/v1/screener/scan").json()
        assert (before["ts"], before["opportunities"], before["trouble"]) == (None, [], "")
        service.board.scan = scan_of(made)
        told = client.get("/api/v1/screener/scan").json()
        assert (told["ts"], told["age"], told["universe"], told["unscored"]) == (made.now(), 0, 5, 3)
        assert [one["symbol"] for one in told["opportunities"]] == [BTC]
        best = told["opportunities"][0]
        assert (best["held"], best["spread"], best["turnover"], best["class"]) == (True, None, 6e6, "STRONG_BUY")
        assert len(client.get("/api/v1/screener/scan", params={"top": 5}).json()["opportunities"]) == 2
        assert client.get("/api/v1/screener/scan", params={"top": 0}).status_code == 400
        service.board.trouble = "the exchange does not answer"
        assert client.get("/api/v1/screener/scan").json()["trouble"] == "the exchange does not answer"


def test_a_run_without_a_screener_says_how_to_have_one(tmp_path: Path) -> None:
    with running(Api(desk(tmp_path, None)), "read") as client:
        answer = client.get("/api/v1/screener/scan")
        assert answer.status_code == 404
        assert "--service screener" in answer.json()["detail"]


def test_a_route_of_a_plugin_needs_a_token_and_is_described(tmp_path: Path) -> None:
    with running(Api(desk(tmp_path, Screener()))) as client:
        assert client.get("/api/v1/screener/scan", headers={"Authorization": "Bearer nothing"}).status_code == 401
        described = client.get("/api/v1/schema/openapi.json").json()["paths"]["/api/v1/screener/scan"]["get"]
        assert {"200", "401", "403", "429"} <= set(described["responses"])
        assert "best opportunities" in described["description"]


def test_a_route_that_names_no_scope_is_for_admins(tmp_path: Path) -> None:
    @get("/mine")
    async def mine(desk: NamedDependency[SkipValidation[Desk]]) -> dict[str, int]:
        return {"now": desk.now()}

    made = desk(tmp_path, None)
    made.added = {"mine (someone 1.0)": (mine,)}
    with running(Api(made)) as client:
        assert client.get("/api/v1/mine").json() == {"now": made.now()}
        assert client.get("/api/v1/mine", headers=bearer("read")).status_code == 403


@get("/portfolio/mine")
async def taken() -> str:
    return ""


@get("/{name:str}")
async def nameless(name: str) -> str:
    return name


@get("/wrong")
async def wrong(socket: Any) -> str:
    return ""


@pytest.mark.parametrize(
    ("handlers", "reason"),
    [
        ((taken,), "/portfolio is taken"),
        ((nameless,), "must begin with a name"),
        ((5,), "5 is no HTTP route handler"),
        ((wrong,), "ImproperlyConfiguredException"),
    ],
)
def test_a_route_that_does_not_fit_costs_its_plugin_and_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, handlers: tuple[Any, ...], reason: str
) -> None:
    made = desk(tmp_path, Screener())
    made.added = {"bad (someone 1.0)": handlers, **SCREENER}
    with caplog.at_level(logging.ERROR, "enigma.plugins"), running(Api(made)) as client:
        assert client.get("/api/v1/screener/scan").status_code == 200
        assert client.get("/api/v1/portfolio").status_code == 200
    assert any("plugin bad (someone 1.0) adds nothing to the API" in text and reason in text for text in caplog.messages)
