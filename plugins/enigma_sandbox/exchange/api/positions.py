"""Positions: what is held, margin modes, leverage, margin, risk limits, funding paid."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from enigma_core.model import ZERO, money
from enigma_sandbox.exchange import outlet as topics
from enigma_sandbox.exchange import shown
from enigma_sandbox.exchange.api.route import UID, Route
from enigma_sandbox.exchange.asked import decimal, fields, flag, number, page, span, whole, word
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.refusals import Refusal, parameter
from enigma_sandbox.exchange.state import Position
from enigma_sandbox.exchange.tape import Tape
from enigma_sandbox.exchange.words import Request

BIZ_NO = 36
MARGIN = Decimal(10_000)
"""What cross limits are worked out for where no margin is named."""

_BUSY = ("50002", "exist.order.or.position")


class PositionApi:
    """The position service."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def routes(self) -> Iterator[Route]:
        for method, path, answer, weight in (
            ("GET", "/api/v1/positions", self._all, 2),
            ("GET", "/api/v1/position", self._one, 2),
            ("GET", "/api/v1/history-positions", self._history, 2),
            ("GET", "/api/v2/position/getMarginMode", self._mode, 2),
            ("POST", "/api/v2/position/changeMarginMode", self._change_mode, 2),
            ("POST", "/api/v2/position/batchChangeMarginMode", self._change_modes, 2),
            ("GET", "/api/v2/position/getPositionMode", self._position_mode, 2),
            ("POST", "/api/v2/position/switchPositionMode", self._switch_position_mode, 2),
            ("GET", "/api/v2/getMaxOpenSize", self._max_open, 2),
            ("GET", "/api/v1/margin/maxWithdrawMargin", self._max_withdraw, 10),
            ("POST", "/api/v1/position/margin/deposit-margin", self._deposit, 4),
            ("POST", "/api/v1/margin/withdrawMargin", self._withdraw, 10),
            ("POST", "/api/v1/position/margin/auto-deposit-status", self._auto_deposit, 4),
            ("GET", "/api/v2/getCrossUserLeverage", self._cross_leverage, 2),
            ("POST", "/api/v2/changeCrossUserLeverage", self._change_cross_leverage, 2),
            ("GET", "/api/v2/batchGetCrossOrderLimit", self._cross_limit, 2),
            ("POST", "/api/v1/position/risk-limit-level/change", self._change_level, 5),
            ("GET", "/api/v1/funding-history", self._funding, 5),
        ):
            yield Route(method=method, path=path, answer=answer, weight=weight, pool="Futures", permission="Futures")
        yield Route(
            method="GET",
            path="/api/v1/contracts/risk-limit/{symbol}",
            answer=self._ladder,
            weight=5,
            pool="Public",
            permission="General",
        )

    def _tape(self, given: Any) -> Tape:
        return self._floor.tape(word(given, "symbol"))

    # what is held

    def _all(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        floor = self._floor
        if floor.faults.empty_positions > 0:
            floor.faults.empty_positions -= 1
            return []
        now = floor.now()
        currency = word(request.query, "currency", default="")
        held = [p for p in floor.state.positions.values() if currency in ("", floor.tapes[p.symbol].contract.quote)]
        return [floor.account.show(p, now) for p in held]

    def _one(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        floor = self._floor
        symbol = self._tape(request.query).contract.symbol
        if floor.faults.empty_positions > 0:
            floor.faults.empty_positions -= 1
            return floor.account.show(Position(symbol=symbol), floor.now())
        return floor.account.show(floor.account.held(symbol), floor.now())

    def _history(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        symbol = word(query, "symbol", default="")
        first, last = span(query, "from", "to")
        found = [c for c in self._floor.state.closed if first <= c.ended <= last and symbol in ("", c.symbol)][::-1]
        asked = {"currentPage": query.get("pageId", ""), "pageSize": query.get("limit", "")}
        answer = page(asked, found, 10, 200)
        rules = self._floor.rules
        answer["items"] = [shown.closed(c, rules.user, rules.currency) for c in answer["items"]]
        return answer

    # margin modes and leverage

    def _mode(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        symbol = self._tape(request.query).contract.symbol
        return {"symbol": symbol, "marginMode": self._floor.account.mode(symbol)}

    def _busy(self, symbol: str) -> bool:
        return symbol in self._floor.state.positions or any(self._floor.account.live.get(symbol, {}))

    def set_mode(self, symbol: str, mode: str) -> None:
        """Change a symbol's margin mode and tell of it."""
        floor = self._floor
        if floor.account.mode(symbol) == mode:
            return
        floor.state.modes[symbol] = mode
        floor.outlet.private(floor.now(), topics.MARGIN_MODE, "user.config", {symbol: mode})

    def _change_mode(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        body = fields(request.body)
        symbol = self._tape(body).contract.symbol
        mode = word(body, "marginMode", "ISOLATED", "CROSS")
        if self._floor.account.mode(symbol) != mode and self._busy(symbol):
            raise Refusal(*_BUSY)
        self.set_mode(symbol, mode)
        return {"symbol": symbol, "marginMode": mode}

    def _change_modes(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        body = fields(request.body)
        mode = word(body, "marginMode", "ISOLATED", "CROSS")
        symbols = body.get("symbols")
        if not isinstance(symbols, list) or not symbols:
            raise parameter("symbols must be a list of contracts")
        modes, errors = {}, []
        for each in symbols:
            symbol = self._floor.tape(str(each)).contract.symbol
            if self._floor.account.mode(symbol) != mode and self._busy(symbol):
                errors.append({"code": _BUSY[0], "msg": _BUSY[1], "symbol": symbol})
            else:
                self.set_mode(symbol, mode)
            modes[symbol] = self._floor.account.mode(symbol)
        return {"marginMode": modes, "errors": errors}

    def _position_mode(self, request: Request, _: tuple[str, ...]) -> dict[str, int]:
        return {"positionMode": 0}

    def _switch_position_mode(self, request: Request, _: tuple[str, ...]) -> dict[str, int]:
        if whole(fields(request.body).get("positionMode"), "positionMode") != 0:
            raise Refusal("400100", "this exchange has one-way positions only", 400)
        return {"positionMode": 0}

    def _cross_leverage(self, request: Request, _: tuple[str, ...]) -> dict[str, str]:
        symbol = self._tape(request.query).contract.symbol
        return {"symbol": symbol, "leverage": shown.plain(self._floor.state.cross_leverage.get(symbol, Decimal(1)))}

    def _change_cross_leverage(self, request: Request, _: tuple[str, ...]) -> bool:
        floor = self._floor
        body = fields(request.body)
        symbol = self._tape(body).contract.symbol
        leverage = decimal(body.get("leverage"), "leverage")
        most = floor.account.ladder(symbol)[0].leverage
        if leverage is None or not 1 <= leverage <= most:
            raise Refusal("300016", f"The leverage cannot be greater than {most}.")
        floor.state.cross_leverage[symbol] = leverage
        data = {symbol: {"leverage": shown.plain(leverage)}}
        floor.outlet.private(floor.now(), topics.CROSS_LEVERAGE, "user.config", data)
        return True

    # limits

    def _max_open(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        tape = self._tape(query)
        price, leverage = decimal(query.get("price"), "price"), decimal(query.get("leverage"), "leverage")
        if not price or not leverage or price < 0 or leverage < 1:
            raise parameter("price and leverage are required and must be above 0")
        floor = self._floor
        symbol = tape.contract.symbol
        level = floor.account.level(symbol)[1]
        per_lot = tape.instrument.multiplier * price
        cost = per_lot * (1 / leverage + 2 * tape.contract.taker)
        affordable = max(ZERO, floor.account.available) / cost
        held = floor.account.held(symbol)

        def most(side: int) -> int:
            kept = held.cost if held.size * side > 0 else ZERO
            against = abs(held.size) if held.size * side < 0 else 0
            return max(0, int(min(affordable, (level.most - kept) / per_lot))) + against

        return {"symbol": symbol, "maxBuyOpenSize": most(1), "maxSellOpenSize": most(-1)}

    def _cross_limit(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        query = request.query
        floor = self._floor
        margin = decimal(query.get("totalMargin"), "totalMargin") or MARGIN
        rows = []
        for symbol in word(query, "symbol").split(","):
            tape = floor.tape(symbol)
            asked = number(query, "leverage", 0, 0, 1_000)
            level = floor.account.ladder(symbol)[0]
            leverage = Decimal(asked or level.leverage)
            price = tape.exact(tape.last)
            value = min(level.most, margin * leverage)
            rows.append(
                {
                    "symbol": symbol,
                    "maxOpenSize": int(value / (price * tape.instrument.multiplier)) if price else 0,
                    "maxOpenValue": f"{value:.10f}",
                    "totalMargin": shown.plain(margin),
                    "price": shown.plain(price),
                    "leverage": f"{leverage:.2f}",
                    "mmr": shown.plain(level.maintenance),
                    "imr": shown.plain(round(1 / leverage, 6)),
                    "currency": tape.contract.quote,
                }
            )
        return rows

    def _ladder(self, request: Request, values: tuple[str, ...]) -> list[dict[str, Any]]:
        symbol = self._floor.tape(values[0]).contract.symbol
        rows: list[dict[str, Any]] = []
        below = 0
        for n, level in enumerate(self._floor.account.ladder(symbol), 1):
            row = {
                "symbol": symbol,
                "level": n,
                "maxRiskLimit": int(level.most),
                "minRiskLimit": below,
                "maxLeverage": level.leverage,
                "initialMargin": round(Decimal(1) / level.leverage, 3),
                "maintainMargin": level.maintenance,
            }
            rows.append(row)
            below = int(level.most)
        return rows

    def _change_level(self, request: Request, _: tuple[str, ...]) -> bool:
        floor = self._floor
        body = fields(request.body)
        symbol = self._tape(body).contract.symbol
        level = whole(body.get("level"), "level")
        ladder = floor.account.ladder(symbol)
        if level is None or not 1 <= level <= len(ladder):
            raise parameter(f"level must be between 1 and {len(ladder)}")
        position = floor.account.held(symbol)
        step = ladder[level - 1]
        if position.size and (position.cost > step.most or position.leverage > step.leverage):
            raise Refusal("300005", f"{symbol} risk limit exceeded: the position does not fit level {level}.")
        floor.state.levels[symbol] = level
        if position.size:
            position.liquidation = floor.account.liquidation(position)
        if floor.outlet.heard:
            topic = f"{topics.POSITION}:{symbol}"
            data = {"symbol": symbol, "success": True, "riskLimitLevel": level, "msg": ""}
            floor.outlet.private(floor.now(), topic, "position.adjustRiskLimit", data, topic, topics.POSITIONS)
        # orders at work are called off by a change, as at KuCoin
        for order in list(floor.account.live.get(symbol, {}).values()):
            if not order.waits:
                floor.trading.cancel(order, floor.now())
        return True

    # margin

    def _held(self, given: Any) -> Position:
        symbol = self._tape(given).contract.symbol
        position = self._floor.state.positions.get(symbol)
        if position is None:
            raise Refusal("300009", "No open positions to close.")
        return position

    def _spare(self, position: Position) -> Decimal:
        """Margin that may be taken out: what is above the initial margin, and never with the loss of the moment."""
        return max(ZERO, position.margin - position.initial + min(ZERO, self._floor.account.gain(position)))

    def _max_withdraw(self, request: Request, _: tuple[str, ...]) -> str:
        symbol = self._tape(request.query).contract.symbol
        position = self._floor.state.positions.get(symbol)
        return shown.plain(self._spare(position)) if position is not None else "0"

    def _deposit(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        body = fields(request.body)
        position = self._held(body)
        amount = decimal(body.get("margin"), "margin")
        number = word(body, "bizNo")
        if len(number) > BIZ_NO:
            raise parameter(f"bizNo must have at most {BIZ_NO} characters")
        if amount is None or amount <= 0:
            raise parameter("margin must be above 0")
        done = self._floor.state.deposits
        if number in done:
            # the number is there so that a request that is made again does nothing more
            return self._floor.account.show(position, self._floor.now()) | {"userId": UID}
        if amount > self._floor.account.available:
            raise Refusal("300003", "Balance insufficient.")
        done.append(number)
        del done[: -self._floor.rules.kept]
        return self._margin(position, amount) | {"userId": UID}

    def _withdraw(self, request: Request, _: tuple[str, ...]) -> str:
        body = fields(request.body)
        position = self._held(body)
        amount = decimal(body.get("withdrawAmount"), "withdrawAmount")
        if amount is None or amount <= 0:
            raise parameter("withdrawAmount must be above 0")
        if amount > self._spare(position):
            raise Refusal("300003", "The margin that can be taken out is less.")
        self._margin(position, -amount)
        return shown.plain(amount)

    def _margin(self, position: Position, amount: Decimal) -> dict[str, Any]:
        floor = self._floor
        now = floor.now()
        position.margin += money(amount)
        position.liquidation = floor.account.liquidation(position)
        floor.account.tell_position(position.symbol, now, "marginChange")
        floor.account.tell_wallet(now)
        return floor.account.show(position, now)

    def _auto_deposit(self, request: Request, _: tuple[str, ...]) -> bool:
        body = fields(request.body)
        self._held(body).auto_deposit = flag(body, "status")
        return True

    # funding

    def _funding(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        symbol = self._tape(query).contract.symbol
        first, last = span(query)
        most = number(query, "maxCount", 10, 1, 100)
        offset = number(query, "offset", 0, 0, 10**18)
        found = [r for r in self._floor.state.funding if r.symbol == symbol and first <= r.ts <= last]
        forward = flag(query, "forward") or flag(query, "reverse")
        if offset:
            found = [r for r in found if (r.id > offset if flag(query, "forward") else r.id < offset)]
        rows = found if forward and offset else found[::-1]
        return {
            "dataList": [shown.funding(r, self._floor.rules.currency) for r in rows[:most]],
            "hasMore": len(rows) > most,
        }
