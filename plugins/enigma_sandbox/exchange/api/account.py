"""The account: balance, ledger, fees, key; and what clients ask of the spot host on their way to futures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enigma_core.model import ZERO
from enigma_sandbox.exchange import shown
from enigma_sandbox.exchange.api.route import UID, Route
from enigma_sandbox.exchange.asked import flag, number, page, span, word
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.refusals import parameter
from enigma_sandbox.exchange.words import Mount, Request


class AccountApi:
    """The account service, on both hosts. Nothing is ever held in spot: those answers are empty, and have the right shape."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def routes(self) -> Iterator[Route]:
        futures: Mount = "futures"
        spot: Mount = "spot"
        for mount, path, answer, weight, pool, permission in (
            (futures, "/api/v1/account-overview", self._overview, 5, "Futures", "General"),
            (futures, "/api/v1/transaction-history", self._ledger, 2, "Management", "General"),
            (futures, "/api/v1/trade-fees", self._fees, 3, "Futures", "General"),
            (spot, "/api/v1/user/api-key", self._key, 3, "Management", "General"),
            (spot, "/api/v2/user-info", self._user, 20, "Management", "General"),
            (spot, "/api/v1/hf/accounts/opened", self._no, 30, "Management", "Spot"),
            (spot, "/api/ua/v1/account/mode", self._unified, 30, "Management", "General"),
            (spot, "/api/v1/accounts", self._none, 5, "Management", "General"),
            (spot, "/api/v1/accounts/ledgers", self._no_rows, 2, "Management", "General"),
            (spot, "/api/v1/hf/accounts/ledgers", self._none, 2, "Spot", "General"),
            (spot, "/api/v3/margin/symbols", self._no_items, 3, "Public", ""),
            (spot, "/api/v1/isolated/symbols", self._none, 3, "Public", ""),
            (spot, "/api/v3/currencies", self._currencies, 3, "Public", ""),
            (spot, "/api/v3/margin/accounts", self._margin, 15, "Spot", "General"),
            (spot, "/api/v3/isolated/accounts", self._isolated, 15, "Spot", "General"),
        ):
            yield Route(method="GET", path=path, answer=answer, weight=weight, pool=pool, permission=permission, mount=mount)

    # futures

    def _overview(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        floor = self._floor
        account, state = floor.account, floor.state
        currency = word(request.query, "currency", default="XBT")
        if currency != floor.rules.currency or floor.faults.zero_balance > 0:
            if currency == floor.rules.currency:
                floor.faults.zero_balance -= 1
            names = (
                "accountEquity",
                "unrealisedPNL",
                "marginBalance",
                "positionMargin",
                "orderMargin",
                "frozenFunds",
                "availableBalance",
            )
            return dict.fromkeys(names, 0) | {"currency": currency, "riskRatio": 0, "maxWithdrawAmount": 0}
        unrealised = account.unrealised
        available = account.available
        number_ = shown.number
        return {
            "accountEquity": number_(state.wallet + unrealised),
            "unrealisedPNL": number_(unrealised),
            "marginBalance": number_(state.wallet),
            "positionMargin": number_(account.position_margin),
            "orderMargin": number_(account.order_margin),
            "frozenFunds": 0.0,
            "availableBalance": number_(available),
            "currency": currency,
            "riskRatio": 0.0,
            "maxWithdrawAmount": number_(max(ZERO, available)),
        }

    def _ledger(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        floor = self._floor
        first, last = span(query)
        most = number(query, "maxCount", 50, 1, 1_000)
        offset = number(query, "offset", 0, 0, 10**18)
        kind = word(query, "type", default="").lower()
        currency = word(query, "currency", default="")
        forward = flag(query, "forward") if query.get("forward") else True
        found = [r for r in floor.state.rows if first <= r.ts <= last and kind in ("", r.kind.lower())]
        if currency not in ("", floor.rules.currency):
            found = []
        if offset:
            found = [r for r in found if (r.offset < offset if forward else r.offset > offset)]
        rows = found[::-1] if forward else found
        answer = rows[:most]
        if not forward:
            answer = answer[::-1]
        return {"dataList": [shown.row(r, floor.rules.currency) for r in answer], "hasMore": len(rows) > most}

    def _fees(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        contract = self._floor.tape(word(request.query, "symbol")).contract
        return {
            "symbol": contract.symbol,
            "takerFeeRate": shown.plain(contract.taker),
            "makerFeeRate": shown.plain(contract.maker),
        }

    # spot

    def _key(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        name = request.headers.get("kc-api-key")
        keys = self._floor.rules.keys
        key = next((k for k in keys if k.key == name), keys[0] if keys else None)
        if key is None:
            raise parameter("this exchange has no key")
        return {
            "remark": "sandbox",
            "apiKey": key.key,
            "apiVersion": 3,
            "permission": ",".join(dict.fromkeys((*key.permissions, *self._floor.faults.granted))),
            "ipWhitelist": ",".join(key.addresses),
            "createdAt": 1_728_443_843_000,
            "uid": UID,
            "isMaster": True,
        }

    def _user(self, request: Request, _: tuple[str, ...]) -> dict[str, int]:
        names = ("subQuantity", "spotSubQuantity", "marginSubQuantity", "futuresSubQuantity", "optionSubQuantity")
        limits = ("maxSubQuantity", "maxDefaultSubQuantity", "maxSpotSubQuantity", "maxMarginSubQuantity")
        return dict.fromkeys(("level", *names, *limits, "maxFuturesSubQuantity", "maxOptionSubQuantity"), 0)

    def _no(self, request: Request, _: tuple[str, ...]) -> bool:
        return False

    def _none(self, request: Request, _: tuple[str, ...]) -> list[Any]:
        return []

    def _no_rows(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return page(request.query, [])

    def _no_items(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return {"timestamp": self._floor.now(), "items": []}

    def _unified(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        return {"selfAccountMode": "CLASSIC"}

    def _currencies(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        names = dict.fromkeys([self._floor.rules.currency, *(c.base for c in self._floor.contracts.values())])
        return [
            {
                "currency": name,
                "name": name,
                "fullName": name,
                "precision": 8,
                "confirms": None,
                "contractAddress": None,
                "isMarginEnabled": False,
                "isDebitEnabled": False,
                "chains": None,
            }
            for name in names
        ]

    def _margin(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return {
            "totalAssetOfQuoteCurrency": "0",
            "totalLiabilityOfQuoteCurrency": "0",
            "debtRatio": "0",
            "status": "EFFECTIVE",
            "accounts": [],
        }

    def _isolated(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        now = self._floor.now()
        return {"totalAssetOfQuoteCurrency": "0", "totalLiabilityOfQuoteCurrency": "0", "timestamp": now, "assets": []}
