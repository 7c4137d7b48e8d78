"""What is pushed of the market: for watched topics only, and no oftener than KuCoin does."""

from __future__ import annotations

from typing import Any

from enigma_core.market import BookSeen, FundingSeen, TradeSeen
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.outlet import CROSS_LEVERAGE, MARGIN_MODE, ORDERS, POSITION, POSITIONS, STOPS, WALLET
from enigma_sandbox.exchange.shown import NANOS, plain
from enigma_sandbox.exchange.tape import CODES, Forming, Level, Tape

CANDLE = "/contractMarket/limitCandle:"
TICKER = "/contractMarket/tickerV2:"
OLD_TICKER = "/contractMarket/ticker:"
DEPTH5 = "/contractMarket/level2Depth5:"
DEPTH50 = "/contractMarket/level2Depth50:"
LEVEL2 = "/contractMarket/level2:"
EXECUTION = "/contractMarket/execution:"
INSTRUMENT = "/contract/instrument:"
ANNOUNCEMENT = "/contract/announcement:"
SNAPSHOT = "/contractMarket/snapshot:"
_PUBLIC = (TICKER, OLD_TICKER, DEPTH5, DEPTH50, LEVEL2, EXECUTION, INSTRUMENT, ANNOUNCEMENT, SNAPSHOT)
_PRIVATE = (ORDERS, STOPS, POSITIONS, WALLET, MARGIN_MODE, CROSS_LEVERAGE)
_NAMES = {minutes: code for code, minutes in CODES.items()}

_FAST = 100
"""ms between two depths of one symbol."""
_SECOND = 1_000
_SLOW = 5_000
_MINUTE = 60_000


class Stream:
    """Public topics: who watches what, what has changed since it was pushed last."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._outlet = floor.outlet
        self._depths: dict[str, None] = {}
        self._candles: dict[str, None] = {}
        self._marks: dict[str, None] = {}
        self._followed: dict[str, dict[int, int]] = {}
        self._snapshots: dict[str, int] = {}
        self._rates: dict[str, int] = {}
        self._fast = self._second = self._slow = self._minute = 0

    # subscriptions

    def watch(self, topic: str) -> bool:
        outlet = self._outlet
        if topic in outlet.watched:
            outlet.watched[topic] += 1
            return True
        if not self._exists(topic):
            return False
        outlet.watched[topic] = 1
        now = self._floor.now()
        if topic.startswith(CANDLE):
            symbol, minutes = self._candle(topic)
            followed = self._followed.setdefault(symbol, {})
            followed[minutes] = followed.get(minutes, 0) + 1
            self._floor.tapes[symbol].follow(minutes, now)
        elif topic.startswith(SNAPSHOT):
            self._snapshots[topic[len(SNAPSHOT) :]] = 1
        elif topic.startswith(INSTRUMENT):
            symbol = topic[len(INSTRUMENT) :]
            self._rates[symbol] = 1
            self._marks[symbol] = None
        elif topic.startswith((DEPTH5, DEPTH50)):
            self._depths[topic.partition(":")[2]] = None
        return True

    def unwatch(self, topic: str) -> None:
        watched = self._outlet.watched
        if topic not in watched:
            return
        watched[topic] -= 1
        if watched[topic]:
            return
        del watched[topic]
        if topic.startswith(CANDLE):
            symbol, minutes = self._candle(topic)
            self._followed[symbol].pop(minutes, None)
            self._floor.tapes[symbol].forming.pop(minutes, None)
        elif topic.startswith(SNAPSHOT):
            self._snapshots.pop(topic[len(SNAPSHOT) :], None)
        elif topic.startswith(INSTRUMENT):
            self._rates.pop(topic[len(INSTRUMENT) :], None)

    def rewatch(self) -> None:
        """The markets were made anew: what is watched is followed there too."""
        now = self._floor.now()
        for symbol, followed in self._followed.items():
            for minutes in followed:
                self._floor.tapes[symbol].follow(minutes, now)

    def _candle(self, topic: str) -> tuple[str, int]:
        symbol, _, code = topic[len(CANDLE) :].rpartition("_")
        return symbol, CODES.get(code, 0)

    def _exists(self, topic: str) -> bool:
        if topic in _PRIVATE:
            return True
        name, colon, symbol = topic.partition(":")
        if not colon:
            return False
        if topic.startswith(CANDLE):
            symbol, minutes = self._candle(topic)
            return symbol in self._floor.tapes and minutes > 0
        return symbol in self._floor.tapes and (name + ":" in _PUBLIC or name in (ORDERS, POSITION))

    # what happens

    def trade(self, tape: Tape, trade: TradeSeen, ended: list[tuple[int, Forming]]) -> None:
        """A public trade; `ended`: bars that it closed."""
        outlet = self._outlet
        if not outlet.watched:
            return
        symbol = tape.contract.symbol
        self._rolled(tape, ended, trade.ts)
        if symbol in self._followed:
            self._candles[symbol] = None
        topic = EXECUTION + symbol
        if topic in outlet.watched:
            number = tape.state.prints
            data = {
                "symbol": symbol,
                "sequence": number,
                "side": "buy" if trade.side > 0 else "sell",
                "size": tape.lots(trade.size),
                "price": plain(tape.exact(trade.price)),
                "takerOrderId": str(number),
                "makerOrderId": str(number - 1),
                "tradeId": str(number),
                "ts": trade.ts * NANOS,
            }
            outlet.public(topic, "match", data, number)
        if OLD_TICKER + symbol in outlet.watched:
            self._ticker(tape, trade.ts, OLD_TICKER)

    def bar(self, tape: Tape, ended: list[tuple[int, Forming]], now: int) -> None:
        """A bar that no trade told of."""
        if not self._outlet.watched:
            return
        self._rolled(tape, ended, now)
        if tape.contract.symbol in self._followed:
            self._candles[tape.contract.symbol] = None

    def _rolled(self, tape: Tape, ended: list[tuple[int, Forming]], now: int) -> None:
        for minutes, forming in ended:
            self._stick(tape, minutes, forming, now)

    def book(self, tape: Tape, before: BookSeen | None, book: BookSeen) -> None:
        """A new book after `before`: its changes, and what throttled topics will say."""
        outlet = self._outlet
        symbol = tape.contract.symbol
        if LEVEL2 + symbol in outlet.watched:
            self._changes(tape, before, book)
        else:
            tape.state.sequence += 1
        if not outlet.watched or (before is not None and before.bids == book.bids and before.asks == book.asks):
            return
        if DEPTH5 + symbol in outlet.watched or DEPTH50 + symbol in outlet.watched:
            self._depths[symbol] = None
        if TICKER + symbol in outlet.watched:
            # any change of the book is told, not only one of its best
            self._ticker(tape, book.ts, TICKER)
        best_moved = before is None or before.bids[:1] != book.bids[:1] or before.asks[:1] != book.asks[:1]
        if best_moved and OLD_TICKER + symbol in outlet.watched:
            self._ticker(tape, book.ts, OLD_TICKER)

    def _changes(self, tape: Tape, before: BookSeen | None, book: BookSeen) -> None:
        symbol = tape.contract.symbol
        changes: list[str] = []
        for side, old, new in (
            ("buy", before.bids if before is not None else (), book.bids),
            ("sell", before.asks if before is not None else (), book.asks),
        ):
            was, now = tape.sized(old), tape.sized(new)
            gone = [f"{plain(tape.exact(price))},{side},0" for price in was if price not in now]
            come = [f"{plain(tape.exact(price))},{side},{lots}" for price, lots in now.items() if was.get(price) != lots]
            changes += gone + come
        first = tape.state.sequence + 1
        tape.state.sequence += len(changes)
        for n, change in enumerate(changes):
            data = {"sequence": first + n, "change": change, "timestamp": book.ts}
            self._outlet.public(LEVEL2 + symbol, "level2", data, first + n)

    def mark(self, tape: Tape) -> None:
        """Mark or index price have changed."""
        symbol = tape.contract.symbol
        if INSTRUMENT + symbol in self._outlet.watched or symbol in self._floor.state.positions:
            self._marks[symbol] = None

    def rate(self, tape: Tape, seen: FundingSeen) -> None:
        """A funding rate was told."""
        if INSTRUMENT + tape.contract.symbol in self._outlet.watched:
            self._rate(tape, seen.ts)

    def settled(self, tape: Tape, ts: int, rate: float, now: int) -> None:
        """A funding settlement took place."""
        topic = ANNOUNCEMENT + tape.contract.symbol
        if topic in self._outlet.watched:
            data = {"symbol": tape.contract.symbol, "fundingTime": ts, "fundingRate": rate, "timestamp": now}
            self._outlet.public(topic, "funding.begin", data)
            self._outlet.public(topic, "funding.end", data)

    # what is pushed

    def _stick(self, tape: Tape, minutes: int, forming: Forming, now: int) -> None:
        symbol = tape.contract.symbol
        topic = f"{CANDLE}{symbol}_{_NAMES[minutes]}"
        forming.fresh = False
        if topic not in self._outlet.watched:
            return
        candle = [
            str(forming.ts // 1000),
            *(plain(tape.exact(p)) for p in (forming.open, forming.close, forming.high, forming.low)),
            str(round(forming.turnover, 8)),
            str(round(forming.lots)),
        ]
        self._outlet.public(topic, "candle.stick", {"symbol": symbol, "candles": candle, "time": now})

    def _ticker(self, tape: Tape, now: int, name: str) -> None:
        symbol = tape.contract.symbol
        bid, ask = tape.best(now, self._floor.rules.book_max_age)
        number = tape.state.sequence
        data: dict[str, Any] = {"symbol": symbol, "sequence": number}
        if name == OLD_TICKER and tape.trades:
            trade = tape.trades[-1]
            data["side"] = "buy" if trade.side > 0 else "sell"
            data["size"] = tape.lots(trade.size)
            data["price"] = plain(tape.exact(trade.price))
            data["tradeId"] = str(number)
        data["bestBidSize"] = int(bid[1]) if bid else 0
        data["bestBidPrice"] = plain(tape.exact(bid[0] if bid else 0.0))
        data["bestAskPrice"] = plain(tape.exact(ask[0] if ask else 0.0))
        data["bestAskSize"] = int(ask[1]) if ask else 0
        data["ts"] = now * NANOS
        self._outlet.public(name + symbol, "tickerV2" if name == TICKER else "ticker", data, number)

    def _depth(self, tape: Tape, now: int) -> None:
        symbol = tape.contract.symbol
        age = self._floor.rules.book_max_age

        def told(levels: list[Level], most: int) -> list[list[Any]]:
            return [[plain(tape.exact(price)), int(lots)] for price, lots in levels[:most]]

        for topic, most in ((DEPTH5, 5), (DEPTH50, 50)):
            if topic + symbol in self._outlet.watched:
                data = {
                    "bids": told(tape.told(-1, now, age), most),
                    "sequence": tape.state.sequence,
                    "timestamp": now,
                    "ts": now,
                    "asks": told(tape.told(1, now, age), most),
                }
                self._outlet.public(topic + symbol, "level2", data, now)

    def _mark(self, tape: Tape, now: int) -> None:
        symbol = tape.contract.symbol
        topic = INSTRUMENT + symbol
        if topic in self._outlet.watched:
            data = {
                "markPrice": tape.exact(tape.mark),
                "indexPrice": tape.exact(tape.index),
                "granularity": 1000,
                "timestamp": now // 1000 * 1000,
            }
            self._outlet.public(topic, "mark.index.price", data)
        position = self._floor.state.positions.get(symbol)
        if position is not None and self._outlet.heard:
            # at every tick of the mark price KuCoin tells only what that changes
            full = self._floor.account.show(position, now)
            names = (
                "markPrice",
                "markValue",
                "maintMargin",
                "realLeverage",
                "unrealisedPnl",
                "unrealisedRoePcnt",
                "unrealisedPnlPcnt",
                "delevPercentage",
                "currentTimestamp",
                "settleCurrency",
                "symbol",
            )
            data = {name: full[name] for name in names} | {"changeReason": "markPriceChange"}
            own = f"{POSITION}:{symbol}"
            self._outlet.private(now, own, "position.change", data, own, POSITIONS)

    def _rate(self, tape: Tape, now: int) -> None:
        topic = INSTRUMENT + tape.contract.symbol
        data = {"granularity": 60_000, "fundingRate": tape.state.rate, "timestamp": now // _MINUTE * _MINUTE}
        self._outlet.public(topic, "funding.rate", data)

    def _snapshot(self, tape: Tape, now: int) -> None:
        symbol = tape.contract.symbol
        first, high, low, turnover, volume = tape.day(now)
        last = tape.last
        data = {
            "highPrice": high,
            "lastPrice": last,
            "lowPrice": low,
            "price24HoursBefore": first,
            "priceChg": round(last - first, 8),
            "priceChgPct": round((last - first) / first, 4) if first else 0.0,
            "symbol": symbol,
            "ts": now * NANOS,
            "turnover": turnover,
            "volume": volume,
        }
        self._outlet.public(SNAPSHOT + symbol, "snapshot.24h", data)

    # time

    def due(self) -> int | None:
        """When something throttled may be pushed next, ms."""
        found = []
        if self._depths:
            found.append(self._fast + _FAST)
        if self._candles or self._marks:
            found.append(self._second + _SECOND)
        if self._snapshots:
            found.append(self._slow + _SLOW)
        if self._rates:
            found.append(self._minute + _MINUTE)
        return min(found, default=None)

    def advance(self, now: int) -> None:
        """Push what has waited long enough."""
        tapes = self._floor.tapes
        if self._depths and now - self._fast >= _FAST:
            self._fast = now // _FAST * _FAST
            depths, self._depths = self._depths, {}
            for symbol in depths:
                self._depth(tapes[symbol], now)
        if (self._candles or self._marks) and now - self._second >= _SECOND:
            self._second = now // _SECOND * _SECOND
            candles, self._candles = self._candles, {}
            marks, self._marks = self._marks, {}
            for symbol in candles:
                tape = tapes[symbol]
                for minutes, forming in tape.forming.items():
                    if forming.fresh:
                        self._stick(tape, minutes, forming, now)
            for symbol in marks:
                self._mark(tapes[symbol], now)
        if self._snapshots and now - self._slow >= _SLOW:
            self._slow = now // _SLOW * _SLOW
            for symbol in self._snapshots:
                self._snapshot(tapes[symbol], now)
        if self._rates and now - self._minute >= _MINUTE:
            self._minute = now // _MINUTE * _MINUTE
            for symbol in self._rates:
                self._rate(tapes[symbol], now)
