"""Public endpoints: contracts, prices, books, trades, klines, funding, status, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from enigma_sandbox.exchange.api.route import Route
from enigma_sandbox.exchange.asked import span, whole, word
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.refusals import parameter
from enigma_sandbox.exchange.shown import NANOS, plain
from enigma_sandbox.exchange.tape import GRANULARITIES, MINUTE, Level, Tape
from enigma_sandbox.exchange.words import Mount, Request

KLINES = 500
"""Rows of one answer."""
FUNDINGS = 100
_SPOT_SYMBOL = ".K{}USDT"


def tidy(number: float) -> float | int:
    """Whole numbers without a point, as KuCoin writes most of them."""
    return int(number) if number == int(number) else number


class MarketApi:
    """What anybody may ask."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def routes(self) -> Iterator[Route]:
        for path, answer, weight in (
            ("/api/v1/contracts/active", self._active, 3),
            ("/api/v1/contracts/{symbol}", self._contract, 3),
            ("/api/v1/ticker", self._ticker, 2),
            ("/api/v1/allTickers", self._tickers, 5),
            ("/api/v1/level2/snapshot", self._book, 3),
            ("/api/v1/level2/depth20", self._depth20, 5),
            ("/api/v1/level2/depth100", self._depth100, 5),
            ("/api/v1/trade/history", self._trades, 5),
            ("/api/v1/kline/query", self._klines, 3),
            ("/api/v1/mark-price/{symbol}/current", self._mark, 3),
            ("/api/v1/index/query", self._index, 2),
            ("/api/v1/interest/query", self._interest, 5),
            ("/api/v1/premium/query", self._premium, 3),
            ("/api/v1/trade-statistics", self._statistics, 3),
            ("/api/v1/timestamp", self._time, 2),
            ("/api/v1/status", self._status, 4),
            ("/api/v1/funding-rate/{symbol}/current", self._funding, 2),
            ("/api/v1/contract/funding-rates", self._fundings, 5),
        ):
            yield Route(method="GET", path=path, answer=answer, weight=weight, pool="Public")
        yield Route(method="POST", path="/api/v1/bullet-public", answer=self._public_token, weight=10, pool="Public")
        # ccxt's watch_position asks the spot host for its token
        mounts: tuple[tuple[Mount, str], ...] = (("futures", "Futures"), ("spot", "Spot"))
        for mount, pool in mounts:
            yield Route(
                method="POST",
                path="/api/v1/bullet-private",
                answer=self._private_token,
                weight=10,
                pool=pool,
                permission="General",
                mount=mount,
            )
        yield Route(method="GET", path="/api/v1/timestamp", answer=self._time, weight=3, pool="Public", mount="spot")
        yield Route(method="GET", path="/api/v1/status", answer=self._status, weight=3, pool="Public", mount="spot")

    def _asked(self, request: Request) -> Tape:
        return self._floor.tape(word(request.query, "symbol"))

    # contracts

    def _active(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        return [self.listed(t) for t in self._floor.tapes.values() if t.state.status != "Closed"]

    def _contract(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        return self.listed(self._floor.tape(values[0]))

    def listed(self, tape: Tape) -> dict[str, Any]:
        """A contract with its prices as they stand."""
        floor = self._floor
        now = floor.now()
        contract, instrument, state = tape.contract, tape.instrument, tape.state
        first, high, low, turnover, volume = tape.day(now)
        last = state.last
        _, level = floor.account.level(contract.symbol)
        ladder = floor.account.ladder(contract.symbol)
        buy, sell = floor.limits(tape)
        base = contract.base
        change = last - first
        hours = f"{state.hours:g}H"
        return {
            "symbol": contract.symbol,
            "rootSymbol": contract.quote,
            "type": "FFWCSX",
            "firstOpenDate": contract.listed,
            "expireDate": None,
            "settleDate": None,
            "baseCurrency": base,
            "quoteCurrency": contract.quote,
            "settleCurrency": contract.quote,
            "maxOrderQty": int(instrument.max_quantity) if instrument.max_quantity is not None else 1_000_000,
            "maxPrice": 1_000_000,
            "lotSize": int(instrument.lot),
            "tickSize": instrument.tick,
            "indexPriceTickSize": instrument.tick / 10,
            "multiplier": instrument.multiplier,
            "initialMargin": round(Decimal(1) / ladder[0].leverage, 4),
            "maintainMargin": level.maintenance,
            "maxRiskLimit": int(ladder[0].most),
            "minRiskLimit": int(ladder[0].most),
            "riskStep": int(ladder[0].most / 2),
            "makerFeeRate": contract.maker,
            "takerFeeRate": contract.taker,
            "takerFixFee": 0.0,
            "makerFixFee": 0.0,
            "settlementFee": None,
            "isDeleverage": True,
            "isQuanto": True,
            "isInverse": False,
            "markMethod": "FairPrice",
            "fairMethod": "FundingRate",
            "fundingBaseSymbol": f".{base}INT{hours}",
            "fundingQuoteSymbol": f".{contract.quote}INT{hours}",
            "fundingRateSymbol": f".{contract.symbol}FPI{hours}",
            "indexSymbol": f".K{base}{contract.quote}",
            "settlementSymbol": "",
            "status": state.status,
            "fundingFeeRate": state.rate,
            "predictedFundingFeeRate": state.rate,
            "fundingRateGranularity": round(state.hours * 3_600_000),
            "openInterest": str(round(volume / float(instrument.multiplier))),
            "turnoverOf24h": turnover,
            "volumeOf24h": volume,
            "markPrice": tape.exact(state.mark),
            "indexPrice": tape.exact(state.index),
            "lastTradePrice": tape.exact(last),
            "nextFundingRateTime": max(0, state.next_funding - now),
            "maxLeverage": ladder[0].leverage,
            "sourceExchanges": ["kucoin"],
            "premiumsSymbol1M": f".{contract.symbol}PI",
            "premiumsSymbol8H": f".{contract.symbol}PI{hours}",
            "fundingBaseSymbol1M": f".{base}INT",
            "fundingQuoteSymbol1M": f".{contract.quote}INT",
            "lowPrice": low,
            "highPrice": high,
            "priceChgPct": round(change / first, 4) if first else 0.0,
            "priceChg": round(change, 8),
            "k": 490.0,
            "m": 300.0,
            "f": 1.3,
            "mmrLimit": 0.3,
            "mmrLevConstant": float(ladder[0].leverage),
            "supportCross": True,
            "buyLimit": buy,
            "sellLimit": sell,
        }

    # prices

    def _ticker(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self.ticker(self._asked(request))

    def _tickers(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        return [self.ticker(t) for t in self._floor.tapes.values() if t.state.status != "Closed"]

    def ticker(self, tape: Tape) -> dict[str, Any]:
        """The last trade and the best of the book."""
        now = self._floor.now()
        bid, ask = tape.best(now, self._floor.rules.book_max_age)
        trade = tape.trades[-1] if tape.trades else None
        return {
            "sequence": tape.state.sequence,
            "symbol": tape.contract.symbol,
            "side": "sell" if trade is not None and trade.side < 0 else "buy",
            "size": tape.lots(trade.size) if trade is not None else 0,
            "tradeId": str(tape.state.prints),
            "price": plain(tape.exact(trade.price if trade is not None else tape.last)),
            "bestBidPrice": plain(tape.exact(bid[0] if bid else 0.0)),
            "bestBidSize": int(bid[1]) if bid else 0,
            "bestAskPrice": plain(tape.exact(ask[0] if ask else 0.0)),
            "bestAskSize": int(ask[1]) if ask else 0,
            "ts": (trade.ts if trade is not None else now) * NANOS,
        }

    def _book(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._levels(self._asked(request), 10_000)

    def _depth20(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._levels(self._asked(request), 20)

    def _depth100(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._levels(self._asked(request), 100)

    def _levels(self, tape: Tape, most: int) -> dict[str, Any]:
        now = self._floor.now()
        age = self._floor.rules.book_max_age

        def shown(levels: list[Level]) -> list[list[float]]:
            return [[tidy(price), int(lots)] for price, lots in levels[:most]]

        return {
            "sequence": tape.state.sequence,
            "symbol": tape.contract.symbol,
            "bids": shown(tape.told(-1, now, age)),
            "asks": shown(tape.told(1, now, age)),
            "ts": now * NANOS,
        }

    def _trades(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        tape = self._asked(request)
        first = tape.state.prints - len(tape.trades)
        rows = [
            {
                "sequence": first + n,
                "contractId": 1,
                "tradeId": str(first + n),
                "makerOrderId": str(first + n),
                "takerOrderId": str(first + n),
                "ts": trade.ts * NANOS,
                "size": tape.lots(trade.size),
                "price": plain(tape.exact(trade.price)),
                "side": "buy" if trade.side > 0 else "sell",
            }
            for n, trade in enumerate(tape.trades, 1)
        ]
        return rows[::-1]

    def _klines(self, request: Request, _: tuple[str, ...]) -> list[list[float]]:
        tape = self._asked(request)
        minutes = whole(request.query.get("granularity"), "granularity")
        if minutes not in GRANULARITIES:
            raise parameter(f"granularity must be one of {', '.join(map(str, GRANULARITIES))}")
        start = whole(request.query.get("from"), "from")
        end = whole(request.query.get("to"), "to")
        rows = tape.bars(minutes, start, end, KLINES).tolist()
        return [[int(ts), tidy(o), tidy(h), tidy(low), tidy(c), int(v)] for ts, o, h, low, c, v in rows]

    def _mark(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        tape = self._floor.tape(values[0])
        return {
            "symbol": tape.contract.symbol,
            "granularity": 1000,
            "timePoint": self._floor.now() // 1000 * 1000,
            "value": tape.exact(tape.mark),
            "indexPrice": tape.exact(tape.index),
        }

    def _named(self, request: Request, prefix: str) -> Tape | None:
        name = word(request.query, "symbol")
        return next(
            (t for t in self._floor.tapes.values() if prefix.format(t.contract.base) in name or t.contract.symbol in name), None
        )

    def _index(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        tape = self._named(request, _SPOT_SYMBOL)
        row = {
            "symbol": word(request.query, "symbol"),
            "granularity": 1000,
            "timePoint": self._floor.now() // 1000 * 1000,
            "value": tape.exact(tape.index) if tape is not None else 0,
            "decomposionList": [{"exchange": "kucoin", "price": tape.exact(tape.index) if tape is not None else 0, "weight": 1}],
        }
        return {"hasMore": False, "dataList": [row] if tape is not None else []}

    def _interest(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._single(word(request.query, "symbol"), 0.0003)

    def _premium(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        tape = self._named(request, _SPOT_SYMBOL)
        premium = tape.mark / tape.index - 1 if tape is not None and tape.index else 0.0
        return self._single(word(request.query, "symbol"), round(premium, 6))

    def _single(self, symbol: str, value: float) -> dict[str, Any]:
        row = {"symbol": symbol, "granularity": MINUTE, "timePoint": self._floor.now() // MINUTE * MINUTE, "value": value}
        return {"hasMore": False, "dataList": [row]}

    def _statistics(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        now = self._floor.now()
        return {"turnoverOf24h": sum(t.day(now)[3] for t in self._floor.tapes.values())}

    def _time(self, request: Request, _: tuple[str, ...]) -> int:
        return self._floor.now()

    def _status(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        if self._floor.faults.maintenance:
            return {"msg": "upgrade match engine", "status": "close"}
        return {"msg": "", "status": "open"}

    # funding

    def _funding(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        tape = self._floor.tape(values[0])
        state = tape.state
        step = round(state.hours * 3_600_000)
        return {
            "symbol": f".{tape.contract.symbol}FPI{state.hours:g}H",
            "granularity": step,
            "timePoint": max(0, state.next_funding - step),
            "value": state.rate,
            "predictedValue": state.rate,
            "fundingRateCap": 0.003,
            "fundingRateFloor": -0.003,
            "period": 0,
            "fundingTime": state.next_funding,
        }

    def _fundings(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        tape = self._asked(request)
        first, last = span(request.query, "from", "to")
        rows = [
            {"symbol": tape.contract.symbol, "fundingRate": rate, "timepoint": ts}
            for ts, rate in zip(tape.settled_ts, tape.settled, strict=True)
            if first <= ts <= last
        ]
        return rows[::-1][:FUNDINGS]

    # tokens

    def _public_token(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._token("public")

    def _private_token(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._token("private")

    def _token(self, kind: str) -> dict[str, Any]:
        floor = self._floor
        now = floor.now()
        for old in [t for t, (_, until) in floor.tokens.items() if until < now]:
            del floor.tokens[old]
        token = f"{floor.random.getrandbits(256):064x}"
        floor.tokens[token] = (kind, now + floor.rules.token_life)
        server = {
            "endpoint": floor.endpoint,
            "encrypt": floor.endpoint.startswith("wss:"),
            "protocol": "websocket",
            "pingInterval": floor.rules.ping_interval,
            "pingTimeout": floor.rules.ping_timeout,
        }
        return {"token": token, "instanceServers": [server]}
