"""The local exchange: one object, no IO, no clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from enigma_core.market import BarsClosed, BookSeen, Funding, FundingSeen, MarketEvent, MarkSeen, TickerSeen, TradeSeen
from enigma_core.model import ZERO, Bar, Candles
from enigma_sandbox.exchange.api.account import AccountApi
from enigma_sandbox.exchange.api.market import MarketApi
from enigma_sandbox.exchange.api.orders import OrderApi
from enigma_sandbox.exchange.api.positions import PositionApi
from enigma_sandbox.exchange.api.route import Route, Table
from enigma_sandbox.exchange.buttons import Buttons
from enigma_sandbox.exchange.disturbance import Disturbance
from enigma_sandbox.exchange.faults import Faults
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.quota import throttled
from enigma_sandbox.exchange.refusals import OK, Refusal
from enigma_sandbox.exchange.rules import Contract, Rules
from enigma_sandbox.exchange.signing import check
from enigma_sandbox.exchange.state import Order, State
from enigma_sandbox.exchange.stream import Stream
from enigma_sandbox.exchange.tape import Tape
from enigma_sandbox.exchange.words import Push, Reply, Request

_HOUR = 3_600_000


class Exchange:
    """KuCoin Futures for one account.

    `clock` gives ms; `random` decides what chance decides (tokens, faults with a probability), so one seed gives one course of
    events. `history` has closed bars of one base timeframe per symbol, `funding` past settlements; both may be empty.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        rules: Rules,
        clock: Callable[[], int],
        random: Random,
        history: Mapping[str, Candles] | None = None,
        funding: Mapping[str, Funding] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults if faults is not None else Faults()
        """The buttons that change how it answers; see `faults.Faults`."""
        self._floor = floor = Floor(contracts, rules, clock, random, self.faults, history or {}, funding or {})
        self._stream = Stream(floor)
        self._buttons = Buttons(floor, self._settle)
        self._disturbance = Disturbance(self.faults, random)
        apis = (MarketApi(floor), OrderApi(floor, self._disturbance.of_order), PositionApi(floor), AccountApi(floor))
        self._table = Table(route for api in apis for route in api.routes())
        self._due: list[tuple[int, str]] = []
        self._late: list[tuple[int, int, Request]] = []
        self._arrivals = 0
        floor.account.move(floor.now(), "Deposit", rules.deposit, ZERO, "Deposit")
        self._schedule()

    # REST

    def request(self, request: Request) -> Reply:
        """Answer one REST request. Never raises for anything a client can send."""
        floor = self._floor
        now = floor.now()
        disturbed = self._disturbance.before(request, now)
        if disturbed is not None and not disturbed.done:
            if disturbed.arrives is not None:
                self._arrivals += 1
                heapq.heappush(self._late, (now + disturbed.arrives, self._arrivals, request))
            return disturbed.reply({})
        reply = self._answer(request, now)
        return reply if disturbed is None else disturbed.over(reply)

    def _answer(self, request: Request, now: int) -> Reply:
        floor = self._floor
        found = self._table.find(request.mount, request.method, request.path)
        if found is None:
            return _refused(Refusal("404000", "Url Not Found", 404), {})
        route, values = found
        pool = floor.quota.pool(route.pool, request.address)
        try:
            if not pool.take(route.weight, now):
                raise throttled()
            self._admit(route, request, now)
            payload = {"code": OK, "data": route.answer(request, values)}
            return Reply(payload=payload, headers=pool.headers(now))
        except Refusal as no:
            return _refused(no, pool.headers(now))

    def _admit(self, route: Route, request: Request, now: int) -> None:
        if route.permission:
            if self.faults.maintenance:
                raise Refusal("503000", "Service unavailable: the system is being upgraded", 503)
            check(request, self._floor.rules, self.faults, now, route.permission)
        elif self.faults.maintenance and route.weight and not request.path.endswith(("/status", "/timestamp")):
            raise Refusal("503000", "Service unavailable: the system is being upgraded", 503)

    # the market

    def see(self, event: MarketEvent) -> None:
        """Take a market event in: prices move, stops trigger, orders fill, positions are liquidated. Symbols that are not
        listed are passed over."""
        if isinstance(event, BarsClosed):
            for bar in event.bars.values():
                self._bar(bar)
            return
        floor = self._floor
        symbol = floor.names.get(event.symbol)
        if symbol is None:
            return
        tape = floor.tapes[symbol]
        now = event.ts + self.faults.skew
        if self._due and self._due[0][0] <= now:
            self._fundings(now)
        tape.state.seen = max(tape.state.seen, event.ts)
        match event:
            case TradeSeen():
                if not (event.price > 0 and event.size >= 0):
                    return
                ended = tape.saw_trade(event)
                self._stream.trade(tape, event, ended)
                floor.trading.ticked(symbol, event.price, tape.full(event.size), now)
                if not tape.marked:
                    self._stream.mark(tape)
            case BookSeen():
                before = tape.book
                tape.saw_book(event, now)
                self._stream.book(tape, before, event)
                floor.trading.booked(symbol, now)
            case MarkSeen():
                if not event.mark > 0:
                    return
                tape.marked = True
                tape.state.mark = event.mark
                tape.state.index = event.index if event.index > 0 else event.mark
                if not tape.state.last:
                    tape.state.last = event.mark
                self._stream.mark(tape)
                floor.trading.moved(symbol, now)
            case FundingSeen():
                self._rate(tape, event)
            case TickerSeen():
                tape.state.turnover = event.turnover

    def _bar(self, bar: Bar) -> None:
        floor = self._floor
        symbol = floor.names.get(bar.symbol)
        if symbol is None:
            return
        tape = floor.tapes[symbol]
        now = bar.end + self.faults.skew
        if self._due and self._due[0][0] <= now:
            self._fundings(now)
        tape.state.seen = max(tape.state.seen, bar.end)
        silent = tape.ticked < bar.ts
        ended = tape.saw_bar(bar)
        self._stream.bar(tape, ended, now)
        if silent:
            floor.trading.barred(symbol, bar, now)
            if not tape.marked:
                self._stream.mark(tape)

    # funding

    def _rate(self, tape: Tape, seen: FundingSeen) -> None:
        state = tape.state
        state.rate = seen.rate if seen.rate == seen.rate else 0.0
        state.hours = seen.hours
        # what is over and done is not announced again
        if seen.next_ts > seen.ts and seen.next_ts != state.next_funding:
            state.next_funding = seen.next_ts
            heapq.heappush(self._due, (state.next_funding, tape.contract.symbol))
        self._stream.rate(tape, seen)

    def _schedule(self) -> None:
        """Every contract has its next settlement: the announced one, or the next of its grid."""
        now = self._floor.now()
        self._due = []
        for symbol, tape in self._floor.tapes.items():
            state = tape.state
            step = round(state.hours * _HOUR)
            if not state.next_funding:
                state.next_funding = (now // step + 1) * step
            self._due.append((state.next_funding, symbol))
        heapq.heapify(self._due)

    def _fundings(self, now: int) -> None:
        """All settlements that are due by `now`."""
        while self._due and self._due[0][0] <= now:
            ts, symbol = heapq.heappop(self._due)
            tape = self._floor.tapes[symbol]
            state = tape.state
            if ts != state.next_funding:
                continue
            self._settle(tape, ts, state.rate)
            state.next_funding = ts + round(state.hours * _HOUR)
            heapq.heappush(self._due, (state.next_funding, symbol))

    def _settle(self, tape: Tape, ts: int, rate: float) -> None:
        if tape.state.status == "Closed":
            return
        tape.settle(ts, rate)
        if rate and tape.mark:
            self._floor.trading.fund(tape.contract.symbol, ts, rate, max(ts, tape.state.seen + self.faults.skew))
        self._stream.settled(tape, ts, rate, ts)

    # time

    def advance(self, now: int) -> None:
        """Do what is due by `now`: funding, delayed and throttled pushes. Any number of times, `now` never going back."""
        now += self.faults.skew
        if self._due and self._due[0][0] <= now:
            self._fundings(now)
        while self._late and self._late[0][0] <= now:
            self._answer(heapq.heappop(self._late)[2], now)
        self._stream.advance(now)
        self._floor.outlet.advance(now)

    def due(self) -> int | None:
        """When `advance` has something to do next, ms; None: nothing is waiting."""
        found = [at for at in (self._stream.due(), self._floor.outlet.due()) if at is not None]
        if self._due:
            found.append(self._due[0][0])
        if self._late:
            found.append(self._late[0][0])
        return min(found) - self.faults.skew if found else None

    # sockets

    def listen(self, push: Callable[[Push], None]) -> None:
        """Have `push` called for everything sockets may hear. Called synchronously, in order."""
        self._floor.outlet.listen(push)

    def watch(self, topic: str) -> bool:
        """A socket has subscribed to one topic: public pushes are made for watched topics only. False: there is no such topic."""
        return self._stream.watch(topic)

    def unwatch(self, topic: str) -> None:
        """One subscription fewer; the topic is given up when none is left."""
        self._stream.unwatch(topic)

    def admits(self, token: str) -> str | None:
        """What a WebSocket token opens: "public", "private", or None when it is unknown or has expired."""
        kind, until = self._floor.tokens.get(token, ("", 0))
        return kind if kind and until > self._floor.now() else None

    # by hand

    def press(self, button: str, **values: Any) -> Any:
        """Press a button by name (see `buttons.BUTTONS`): a fault, or something done by hand. Raises `ValueError`, a sentence."""
        return self._buttons.press(button, values)

    # what there is

    @property
    def state(self) -> State:
        """Everything the account holds, to look at: nobody else changes it."""
        return self._floor.state

    @property
    def available(self) -> Any:
        """Money that is not bound by positions or orders."""
        return self._floor.account.available

    def order_of(self, client_id: str) -> Order | None:
        """The order of a client id, whatever faults hide it."""
        return self._floor.trading.by_client(client_id)

    def working(self, symbol: str | None = None) -> Iterator[Order]:
        """Orders that work or wait, by KuCoin's symbol or all."""
        for each, orders in self._floor.account.live.items():
            if symbol in (None, each):
                yield from orders.values()

    def snapshot(self) -> bytes:
        """The account's whole state as JSON, exact."""
        return msgspec.json.encode(self._floor.state)

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot. Raises `ValueError` with a sentence where it is none."""
        try:
            found = msgspec.json.decode(state, type=State)
        except msgspec.DecodeError as wrong:
            raise ValueError(f"this is no state of the local exchange: {wrong}") from None
        if found.version != State().version:
            raise ValueError(f"the state has version {found.version}; this exchange reads version {State().version}")
        self._floor.begin(found)
        self._stream.rewatch()
        self._schedule()


def _refused(no: Refusal, headers: Mapping[str, str]) -> Reply:
    return Reply(status=no.status, payload={"code": no.code, "msg": no.text}, headers=headers)
