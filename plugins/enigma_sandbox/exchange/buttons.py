"""The buttons: what goes wrong, and what people and the venue itself do. Each takes values by name, as JSON gives them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_type_hints

import msgspec

from enigma_core.model import ZERO, Side
from enigma_sandbox.exchange.asked import decimal
from enigma_sandbox.exchange.faults import Spell
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.refusals import Refusal
from enigma_sandbox.exchange.state import Order
from enigma_sandbox.exchange.tape import Tape
from enigma_sandbox.exchange.words import Push

_SIDES: dict[str, Side] = {"buy": 1, "sell": -1}


class Buttons:
    """Presses. Every method is a button; what it answers is told to who pressed it. Raises `ValueError` with a sentence."""

    def __init__(self, floor: Floor, settle: Callable[[Tape, int, float], None]) -> None:
        self._floor = floor
        self._settle = settle

    def press(self, name: str, values: dict[str, Any]) -> Any:
        """Press one by its name."""
        if name not in BUTTONS:
            raise ValueError(f"there is no button {name!r}; there are {', '.join(BUTTONS)}")
        button: Callable[..., Any] = getattr(self, name)
        try:
            inspect.signature(button).bind(**values)
        except TypeError as wrong:
            raise ValueError(f"button {name}: {wrong}; it takes {inspect.signature(button)}") from None
        kinds = get_type_hints(button)
        for key, value in values.items():
            try:
                # a form has nothing but text
                found = msgspec.convert(value, kinds.get(key, Any), strict=False)
                if isinstance(found, float) and not math.isfinite(found):
                    raise msgspec.ValidationError("it must be finite")
                values = {**values, key: found}
            except msgspec.ValidationError as wrong:
                raise ValueError(f"button {name}: {key} is {value!r}, and does not fit: {wrong}") from None
        try:
            return button(**values)
        except Refusal as no:
            raise ValueError(f"button {name}: {no.text}") from None

    def _amount(self, value: Any, name: str) -> Decimal:
        found = decimal(value, name)
        if found is None or found <= 0:
            raise ValueError(f"{name} is {value}; it must be a number above 0")
        return found

    def _position(self, symbol: str) -> tuple[str, int]:
        held = self._floor.account.held(self._floor.tape(symbol).contract.symbol)
        if not held.size:
            raise ValueError(f"nothing is held of {symbol}")
        return held.symbol, held.size

    # spells

    def spell(self, what: str, lasts: int | None = None, **values: Any) -> int:
        """Any spell: what (latency timeout drop arrives error error_after html half throttle reject late partial), lasts ms, and
        the fields method path mount symbol stops reducing times chance ms status code text done share."""
        until = self._floor.now() + lasts if lasts is not None else None
        try:
            made = msgspec.convert({"what": what, "until": until, **values}, Spell)
        except msgspec.ValidationError as wrong:
            raise ValueError(f"this is no spell: {wrong}") from None
        if unknown := [name for name in values if name not in Spell.__struct_fields__]:
            raise ValueError(f"a spell has no {', '.join(unknown)}; it has {', '.join(Spell.__struct_fields__)}")
        self._floor.faults.add(made)
        return len(self._floor.faults.spells)

    def latency(self, ms: int, lasts: int | None = None, path: str = "") -> int:
        """Answers take ms longer, for lasts ms or until clear; path: only where it begins so."""
        return self.spell("latency", lasts, ms=ms, path=path)

    def accept_then_timeout(
        self, times: int = 1, method: str = "POST", path: str = "/api/v1/orders", lasts: int | None = None
    ) -> int:
        """The next requests are done, and nobody hears of it."""
        return self.spell("timeout", lasts, times=times, method=method, path=path)

    def drop_before(self, times: int = 1, method: str = "POST", path: str = "/api/v1/orders", lasts: int | None = None) -> int:
        """The next requests are neither done nor answered."""
        return self.spell("drop", lasts, times=times, method=method, path=path)

    def arrive_late(self, ms: int, times: int = 1, path: str = "/api/v1/orders", lasts: int | None = None) -> int:
        """The next requests get there only after ms; nobody hears of it."""
        return self.spell("arrives", lasts, times=times, ms=ms, method="POST", path=path)

    def late_visibility(self, ms: int, times: int | None = None, lasts: int | None = None) -> int:
        """New orders are not found for ms by anybody who looks for them."""
        return self.spell("late", lasts, ms=ms, times=times)

    def server_error(
        self, status: int = 500, times: int | None = None, lasts: int | None = None, path: str = "", done: bool = False
    ) -> int:
        """A spell of 5xx; done: what was asked is done all the same."""
        code = "503000" if status == 503 else "500000"
        text = "Service unavailable" if status == 503 else "Internal Server Error"
        what = "error_after" if done else "error"
        return self.spell(what, lasts, status=status, code=code, text=text, times=times, path=path)

    def html_page(self, times: int = 1, path: str = "", done: bool = True) -> int:
        """An HTML page in the place of an answer."""
        return self.spell("html", status=502, times=times, path=path, done=done)

    def half_json(self, times: int = 1, path: str = "") -> int:
        """Half an answer, after it was done."""
        return self.spell("half", times=times, path=path)

    def throttle(self, times: int | None = None, lasts: int | None = None, path: str = "") -> int:
        """Every request is one too many (429)."""
        return self.spell("throttle", lasts, times=times, path=path)

    def drain_quota(self, pool: str = "", ms: int = 10_000) -> None:
        """The quota is used up for so long: Futures, Public, Spot, Management, or "" for all."""
        self._floor.quota.drain(pool, self._floor.now(), ms)

    def reject_next(
        self, times: int = 1, stops: bool | None = None, code: str = "300000", text: str = "request parameter illegal"
    ) -> int:
        """The next orders are refused; stops true: only stop orders, false: only the others."""
        return self.spell("reject", times=times, stops=stops, code=code, text=text)

    def partial_fill(self, share: float = 0.5, times: int = 1) -> int:
        """The next orders fill by this share and then stall until they are cancelled."""
        return self.spell("partial", share=share, times=times)

    def clear(self) -> None:
        """All faults off."""
        self._floor.faults.clear()

    # standing faults

    def maintenance(self, on: bool = True) -> None:
        """Under maintenance: status says so, everything private is refused with 503."""
        self._floor.faults.maintenance = on

    def revoke_key(self, on: bool = True) -> None:
        """Every key is refused (400003)."""
        self._floor.faults.revoked = on

    def unlist_address(self, on: bool = True) -> None:
        """Every address is refused (400006)."""
        self._floor.faults.unlisted = on

    def grant(self, permission: str = "Withdrawal", on: bool = True) -> None:
        """Every key says that it may do this as well: Withdrawal, Transfer, ... (on false: no more)."""
        faults = self._floor.faults
        faults.granted = (*(p for p in faults.granted if p != permission), *((permission,) if on else ()))

    def skew(self, ms: int) -> None:
        """The exchange's clock goes ahead by so many ms (behind below 0)."""
        self._floor.faults.skew = ms

    def stall(self, public: bool = True, private: bool = True, on: bool = True) -> None:
        """Sockets stay open and answer pings, and nothing is pushed."""
        faults = self._floor.faults
        faults.stalled_public, faults.stalled_private = public and on, private and on

    def disturb_pushes(self, duplicate: float = 0.0, reorder: float = 0.0, lose: float = 0.0, delay: int = 0) -> None:
        """Pushes come twice, out of order, not at all (each with this chance), or late by delay ms."""
        faults = self._floor.faults
        faults.duplicate, faults.reorder, faults.lose, faults.push_delay = duplicate, reorder, lose, delay

    def empty_positions(self, times: int = 1) -> None:
        """The next reads of the positions find none."""
        self._floor.faults.empty_positions = times

    def zero_balance(self, times: int = 1) -> None:
        """The next reads of the balance find zeros."""
        self._floor.faults.zero_balance = times

    def fills_late(self, ms: int) -> None:
        """New fills can be read only after ms."""
        self._floor.faults.fills_late = ms

    # sockets

    def error_frame(self, code: int = 415, data: str = "type is not supported", private: bool = False) -> None:
        """An error frame for every public (or private) socket."""
        self._floor.outlet.signal(Push(kind="error", data={"code": code, "data": data}, private=private))

    def expire_tokens(self) -> None:
        """No token opens a socket any more; open ones get an error frame and are closed."""
        self._floor.tokens.clear()
        for private in (False, True):
            self._floor.outlet.signal(Push(kind="error", data={"code": 401, "data": "token is expired"}, private=private))
            self._floor.outlet.signal(Push(kind="close", private=private))

    def close_sockets(self, private: bool | None = None) -> None:
        """Drop all sockets, or only the public or private ones."""
        for each in (False, True):
            if private is None or private == each:
                self._floor.outlet.signal(Push(kind="close", private=each))

    # by hand

    def hand_trade(self, symbol: str, side: str, size: int, leverage: int = 1, price: Any = None) -> str:
        """A market order by hand: it fills at the best price, or at `price`."""
        floor = self._floor
        tape = floor.tape(symbol)
        if side not in _SIDES:
            raise ValueError(f"side is {side!r}; it must be buy or sell")
        if size <= 0:
            raise ValueError(f"size is {size}; it must be above 0")
        now = floor.now()
        if price is None:
            levels = tape.levels(_SIDES[side], now, floor.rules.book_max_age)
            if not levels:
                raise ValueError(f"{symbol} has no price yet")
            price = levels[0][0]
        at = tape.instrument.price(float(price))
        return floor.trading.hand(symbol, _SIDES[side], size, at, now, leverage=Decimal(leverage)).id

    def hand_order(self, symbol: str, side: str, size: int, price: Any, stop: str = "", client_id: str = "") -> str:
        """A resting order by hand, at `price`; with stop up or down a reduce-only stop there."""
        floor = self._floor
        tape = floor.tape(symbol)
        if side not in _SIDES or stop not in ("", "up", "down"):
            raise ValueError("side must be buy or sell, stop up, down or empty")
        at = tape.instrument.price(float(self._amount(price, "price")))
        now = floor.now()
        order = Order(
            id="",
            symbol=tape.contract.symbol,
            side=_SIDES[side],
            kind="market" if stop else "limit",
            size=int(self._amount(size, "size")),
            created=now,
            updated=now,
            client_id=client_id,
            price=ZERO if stop else at,
            stop=stop,
            stop_price=at if stop else None,
            stop_type="MP" if stop else "",
            reduce_only=bool(stop),
            mode=floor.account.mode(tape.contract.symbol),
        )
        floor.trading.check(order, now)
        floor.trading.place(order, now)
        return order.id

    def hand_close(self, symbol: str, share: float = 1.0) -> str:
        """Close a position by hand, or a share of it."""
        name, size = self._position(symbol)
        lots = max(1, round(abs(size) * share))
        return self.hand_trade(name, "sell" if size > 0 else "buy", lots)

    def hand_flip(self, symbol: str) -> str:
        """Turn a position round by hand."""
        name, size = self._position(symbol)
        return self.hand_trade(name, "sell" if size > 0 else "buy", 2 * abs(size))

    def hand_cancel(self, order: str = "", symbol: str = "", stops: bool | None = None) -> list[str]:
        """Cancel an order by hand (its id or client id), or all of a symbol or all. stops true: only stops, false: the others."""
        floor = self._floor
        now = floor.now()
        if order:
            found = floor.state.orders.get(order) or floor.trading.by_client(order)
            if found is None:
                raise ValueError(f"there is no order {order}")
            return [found.id] if floor.trading.cancel(found, now) else []
        chosen = [
            o
            for each, orders in floor.account.live.items()
            if symbol in ("", each)
            for o in orders.values()
            if stops is None or o.waits == stops
        ]
        return [o.id for o in chosen if floor.trading.cancel(o, now)]

    def deposit(self, amount: Any) -> None:
        """Money comes into the futures account."""
        self._transfer(self._amount(amount, "amount"), "TransferIn")

    def withdraw(self, amount: Any) -> None:
        """Money leaves the futures account."""
        wanted = self._amount(amount, "amount")
        if wanted > self._floor.account.available:
            raise ValueError(f"amount is {wanted}; {self._floor.account.available} are available")
        self._transfer(-wanted, "TransferOut")

    def _transfer(self, amount: Decimal, kind: str) -> None:
        now = self._floor.now()
        self._floor.account.move(now, kind, amount, ZERO, "Transferred by hand")
        self._floor.account.tell_wallet(now)

    # what the venue does

    def liquidate(self, symbol: str) -> None:
        """Liquidate a position at its liquidation price."""
        self._floor.trading.liquidate(self._position(symbol)[0], self._floor.now())

    def deleverage(self, symbol: str, share: float = 1.0) -> None:
        """Auto-deleverage a position, or a share of it, at the mark price."""
        name, size = self._position(symbol)
        floor = self._floor
        tape = floor.tapes[name]
        lots = max(1, round(abs(size) * share))
        price = tape.instrument.price(tape.mark)
        floor.trading.hand(name, -1 if size > 0 else 1, lots, price, floor.now(), trade_type="adl")

    def cancel_by_venue(self, symbol: str = "", stops: bool | None = None) -> list[str]:
        """The venue calls orders off, as a person would."""
        return self.hand_cancel("", symbol, stops)

    def pause(self, symbol: str) -> None:
        """A contract takes no orders and no cancels."""
        self._floor.tape(symbol).state.status = "Paused"

    def resume(self, symbol: str) -> None:
        """It does again."""
        self._floor.tape(symbol).state.status = "Open"

    def delist(self, symbol: str) -> None:
        """A contract is taken off the list: orders are cancelled, a position is settled at the mark price."""
        floor = self._floor
        tape = floor.tape(symbol)
        name = tape.contract.symbol
        self.hand_cancel("", name)
        if name in floor.state.positions:
            floor.trading.liquidate(name, floor.now(), trade_type="settlement", price=tape.instrument.price(tape.mark))
        tape.state.status = "Closed"

    def change_contract(self, symbol: str, tick: Any = None, lot: int | None = None, multiplier: Any = None) -> None:
        """Another tick, lot or (with nothing held) multiplier."""
        floor = self._floor
        tape = floor.tape(symbol)
        if multiplier is not None and tape.contract.symbol in floor.state.positions:
            raise ValueError(f"{symbol} is held: its multiplier cannot change")
        state = tape.state
        state.tick = self._amount(tick, "tick") if tick is not None else state.tick
        state.multiplier = self._amount(multiplier, "multiplier") if multiplier is not None else state.multiplier
        state.lot = int(self._amount(lot, "lot")) if lot is not None else state.lot
        tape.reload()

    def margin_mode(self, symbol: str, mode: str) -> None:
        """Somebody has switched a symbol to CROSS or ISOLATED."""
        if mode not in ("CROSS", "ISOLATED"):
            raise ValueError(f"mode is {mode!r}; it must be CROSS or ISOLATED")
        self._floor.state.modes[self._floor.tape(symbol).contract.symbol] = mode

    def price(self, symbol: str, price: Any) -> None:
        """The price jumps there: last, mark and index."""
        floor = self._floor
        tape = floor.tape(symbol)
        at = float(self._amount(price, "price"))
        now = floor.now()
        tape.saw_price(now, at)
        tape.state.mark = tape.state.index = at
        tape.drop_book()
        floor.trading.ticked(tape.contract.symbol, at, 1 << 60, now)

    def fund(self, symbol: str, rate: float | None = None) -> None:
        """A funding settlement now, at the rate in force or at another."""
        tape = self._floor.tape(symbol)
        self._settle(tape, self._floor.now(), tape.state.rate if rate is None else float(rate))


BUTTONS: dict[str, str] = {
    name: " ".join((inspect.getdoc(button) or "").split())
    for name, button in vars(Buttons).items()
    if not name.startswith("_") and name != "press" and callable(button)
}
"""The name of every button, and what it does."""
