"""The account's money and positions: every amount exact, and the wallet the sum of its rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from enigma_core.model import ZERO, Side, money
from enigma_sandbox.exchange import outlet as topics
from enigma_sandbox.exchange import shown
from enigma_sandbox.exchange.outlet import Outlet
from enigma_sandbox.exchange.rules import RiskLevel, Rules
from enigma_sandbox.exchange.state import Closed, Order, Position, Row, State, Trade
from enigma_sandbox.exchange.tape import Tape

_LADDER = (
    (500_000, 125),
    (1_000_000, 75),
    (2_000_000, 50),
    (3_000_000, 30),
    (5_000_000, 20),
    (8_000_000, 10),
    (12_000_000, 5),
    (20_000_000, 4),
    (30_000_000, 3),
    (40_000_000, 2),
    (50_000_000, 1),
)
"""What a position may be worth, and its leverage, where a contract says nothing itself."""


class Account:
    """Wallet, positions and margin. `live` has the orders at work by symbol and id, stops among them."""

    def __init__(self, state: State, tapes: dict[str, Tape], rules: Rules, outlet: Outlet) -> None:
        self.state = state
        self.tapes = tapes
        self.rules = rules
        self.outlet = outlet
        self.live: dict[str, dict[str, Order]] = {}
        self._ladders: dict[str, tuple[RiskLevel, ...]] = {}
        for order in state.orders.values():
            if order.active:
                self.live.setdefault(order.symbol, {})[order.id] = order

    # what there is

    @property
    def position_margin(self) -> Decimal:
        return sum((p.margin for p in self.state.positions.values()), ZERO)

    @property
    def order_margin(self) -> Decimal:
        held = ZERO
        for orders in self.live.values():
            for order in orders.values():
                if order.hold:
                    held += order.hold
        return held

    @property
    def available(self) -> Decimal:
        return self.state.wallet - self.position_margin - self.order_margin

    def gain(self, position: Position) -> Decimal:
        """Unrealised profit at the mark price."""
        if not position.size:
            return ZERO
        tape = self.tapes[position.symbol]
        marked = tape.exact(tape.mark) * abs(position.size) * tape.instrument.multiplier
        return position.side * (marked - position.cost)

    @property
    def unrealised(self) -> Decimal:
        return sum((self.gain(p) for p in self.state.positions.values()), ZERO)

    def held(self, symbol: str) -> Position:
        """The position of a symbol, empty where nothing is held."""
        found = self.state.positions.get(symbol)
        return found if found is not None else Position(symbol=symbol, mode=self.mode(symbol))

    def mode(self, symbol: str) -> str:
        return self.state.modes.get(symbol, "ISOLATED")

    # risk limits

    def ladder(self, symbol: str) -> tuple[RiskLevel, ...]:
        """The risk limits of a contract, ascending."""
        found = self._ladders.get(symbol)
        if found is None:
            contract = self.tapes[symbol].contract
            found = contract.levels
            if not found:
                most, rate = contract.instrument.max_leverage, contract.instrument.maintenance_margin_rate
                found = tuple(
                    RiskLevel(
                        most=Decimal(limit),
                        leverage=min(most, leverage),
                        maintenance=max(rate, round(Decimal(1) / (2 * leverage), 6)) if leverage < most else rate,
                    )
                    for limit, leverage in _LADDER
                )
            self._ladders[symbol] = found
        return found

    def level(self, symbol: str) -> tuple[int, RiskLevel]:
        """The level in force, from 1, and what it says."""
        ladder = self.ladder(symbol)
        number = min(self.state.levels.get(symbol, 1), len(ladder))
        return number, ladder[number - 1]

    def liquidation(self, position: Position) -> Decimal:
        """e (1 - s (M / V - mmr)) on the grid of ticks, where M is the margin and V the position's value at its entry."""
        if not position.size or not position.cost:
            return ZERO
        instrument = self.tapes[position.symbol].instrument
        entry = position.cost / (abs(position.size) * instrument.multiplier)
        rate = self.level(position.symbol)[1].maintenance
        exact = entry * (1 - position.side * (position.margin / position.cost - rate))
        return instrument.price(float(exact)) if exact > 0 else ZERO

    # movements

    def move(self, ts: int, kind: str, amount: Decimal, fee: Decimal, remark: str) -> None:
        """Money comes or goes: the one way in which the wallet changes."""
        state = self.state
        state.wallet += amount
        state.next_row += 1
        equity = state.wallet
        state.rows.append(Row(offset=state.next_row, ts=ts, kind=kind, amount=amount, fee=fee, equity=equity, remark=remark))

    def fill(
        self, order: Order, ts: int, size: int, price: Decimal, *, maker: bool, trade_type: str = "trade", visible: int = 0
    ) -> Trade:
        """So many lots of `order` trade at `price`: position, fee, wallet."""
        state = self.state
        tape = self.tapes[order.symbol]
        contract, multiplier = tape.contract, tape.instrument.multiplier
        value = size * multiplier * price
        rate = contract.maker if maker else contract.taker
        fee = money(value * rate)
        position = state.positions.get(order.symbol)
        if position is None:
            position = state.positions[order.symbol] = Position(symbol=order.symbol, mode=order.mode)
        before = position.size
        closing = min(size, abs(before)) if before * order.side < 0 else 0
        close_fee = money(fee * closing / size) if closing else ZERO
        realised = self._reduce(position, closing, price, multiplier) if closing else ZERO
        position.fees += close_fee
        if closing and not position.size:
            self._over(position, ts, 1 if before > 0 else -1, price, trade_type)
        opened = size - closing
        if opened:
            self._enlarge(position, order, ts, opened, price, multiplier)
            position.fees += fee - close_fee
        self.move(ts, "RealisedPNL", realised - fee, fee, order.symbol)
        if position.size:
            position.liquidation = self.liquidation(position)
        else:
            del state.positions[order.symbol]
        left = order.left
        if order.hold:
            order.hold = money(order.hold * (left - size) / left) if left > size else ZERO
        order.filled += size
        order.value += value
        order.updated = ts
        state.next_trade += 1
        trade = Trade(
            id=str(state.next_trade),
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            size=size,
            price=price,
            value=value,
            fee=fee,
            open_fee=fee - close_fee,
            rate=rate,
            liquidity="maker" if maker else "taker",
            order_kind=order.kind,
            stop=order.stop,
            trade_type=trade_type,
            mode=order.mode,
            ts=ts,
            seen_from=ts + visible,
        )
        state.trades.append(trade)
        return trade

    @staticmethod
    def _reduce(position: Position, closing: int, price: Decimal, multiplier: Decimal) -> Decimal:
        side, held = position.side, abs(position.size)
        if closing == held:
            cost, position.cost = position.cost, ZERO
            position.margin = position.initial = ZERO
        else:
            cost = money(position.cost * closing / held)
            position.cost -= cost
            position.margin -= money(position.margin * closing / held)
            position.initial -= money(position.initial * closing / held)
        realised = side * (closing * multiplier * price - cost)
        position.size -= side * closing
        position.realised += realised
        return realised

    def _over(self, position: Position, ts: int, side: Side, price: Decimal, trade_type: str) -> None:
        """A position has come to its end; what follows in the same order begins a new one."""
        state = self.state
        state.next_closed += 1
        how = {"liquid": "LIQUID_", "adl": "ADL_", "settlement": "SETTLEMENT_"}.get(trade_type, "CLOSE_")
        state.closed.append(
            Closed(
                id=str(state.next_closed),
                symbol=position.symbol,
                side=side,
                leverage=position.leverage,
                mode=position.mode,
                realised=position.realised,
                fees=position.fees,
                funding=position.funding,
                opened=position.opened,
                ended=ts,
                entry=round(position.opening, 10),
                exit=price,
                how=how + ("LONG" if side > 0 else "SHORT"),
            )
        )
        position.fees = position.realised = position.funding = position.liquidation = ZERO

    @staticmethod
    def _enlarge(position: Position, order: Order, ts: int, size: int, price: Decimal, multiplier: Decimal) -> None:
        if not position.size:
            position.opened = ts
            position.mode = order.mode
        value = size * multiplier * price
        margin = money(value / order.leverage)
        position.size += order.side * size
        position.cost += value
        position.margin += margin
        position.initial += margin
        position.leverage = order.leverage
        position.opening = position.cost / (abs(position.size) * multiplier)

    # what is told

    def show(self, position: Position, now: int) -> dict[str, Any]:
        number, level = self.level(position.symbol)
        return shown.position(position, self.tapes[position.symbol], now, level.most, number, level.maintenance)

    def tell_position(self, symbol: str, now: int, reason: str = "positionChange") -> None:
        if not self.outlet.heard:
            return
        data = self.show(self.held(symbol), now)
        data["changeReason"] = reason
        topic = f"{topics.POSITION}:{symbol}"
        self.outlet.private(now, topic, "position.change", data, topic, topics.POSITIONS)

    def tell_wallet(self, now: int) -> None:
        if not self.outlet.heard:
            return
        state = self.state
        state.wallet_version += 1
        unrealised = self.unrealised
        plain = shown.plain
        data = {
            "crossPosMargin": "0",
            "isolatedOrderMargin": plain(self.order_margin),
            "holdBalance": "0",
            "equity": plain(state.wallet + unrealised),
            "version": str(state.wallet_version),
            "availableBalance": plain(self.available),
            "isolatedPosMargin": plain(self.position_margin),
            "walletBalance": plain(state.wallet),
            "isolatedFundingFeeMargin": "0",
            "crossUnPnl": "0",
            "totalCrossMargin": plain(self.available),
            "currency": self.rules.currency,
            "isolatedUnPnl": plain(unrealised),
            "crossOrderMargin": "0",
            "timestamp": str(now),
        }
        self.outlet.private(now, topics.WALLET, "walletBalance.change", data)
