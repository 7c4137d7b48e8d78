"""Bars as they close: by the clock, confirmed by REST, all symbols of a moment together, each bar once and in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from enigma_core.market import BarsClosed
from enigma_core.model import Bar

GRACE = 700
"""After a close (ms) until the exchange's own bar is taken for whole."""

PATIENCE = 3_000
"""After a close (ms) until its moment is over without the bars that are not there."""

CATCHING_UP = 20_000
"""For moments that went by during an interruption: after its end, or REST's last answer (ms), as there may be much to ask."""

GAP = 15_000
"""After a close (ms) until a bar that the exchange does not list does not exist."""

FIRST_WAIT, LONGEST_WAIT = 500, 30_000
"""Between two questions (ms) for the same bars: twice as long each time."""

PROBE = 5_000
"""While every question fails, one is asked again after so long (ms) at most; its answer has all the others asked at once."""

PAGE = 500
"""Bars in one answer."""

LOOKED_BACK = 3
"""Bars before the wanted ones that are asked for with them: whether they were corrected, or are listed after all."""


class Row(msgspec.Struct, frozen=True):
    """A bar as the exchange tells it: `ts` is its open, ms; `volume` in lots."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def possible(self) -> bool:
        """Written so that NaN fails."""
        prices = 0 < self.low <= self.open <= self.high < math.inf and self.low <= self.close <= self.high
        return prices and 0 <= self.volume < math.inf


class Asked(msgspec.Struct, frozen=True):
    """Bars of `symbol` that REST should be asked for: those with ``start <= ts < end``."""

    symbol: str
    start: int
    end: int


class _Symbol:
    """Where one symbol stands."""

    __slots__ = (
        "again",
        "asked",
        "covered",
        "forming",
        "given",
        "holed",
        "last",
        "missed",
        "overstated",
        "ready",
        "refused",
        "tries",
        "unit",
    )

    def __init__(self, last: int, unit: float) -> None:
        self.last = last
        """The open of the newest bar that was given."""
        self.covered = last
        """Up to which open REST has spoken."""
        self.given: Row | None = None
        self.ready: dict[int, Row] = {}
        self.forming: dict[int, Row] = {}
        self.holed: set[int] = set()
        """Opens of forming bars that pushes may be missing of."""
        self.overstated = False
        """The stream has shown more volume than REST listed in the end: it counts in something else."""
        self.refused: set[int] = set()
        """Opens of bars that REST lists and nobody can believe."""
        self.asked = False
        self.again = 0
        self.tries = 0
        self.missed = False
        """Its bar was not there in time the last time: nobody waits for it."""
        self.unit = unit


class Counts(msgspec.Struct):
    """What was unusual."""

    gaps: int = 0
    """Bars that the exchange does not list."""
    late: int = 0
    """Bars given after their moment."""
    corrected: int = 0
    """Bars that REST tells differently after they were given."""
    unconfirmed: int = 0
    """Bars given as the stream had them, before REST had confirmed them."""
    bad: int = 0
    """Bars that cannot be, or lie far from the marks of their time."""


class Closing:
    """Makes `BarsClosed` out of forming bars (pushes) and REST's answers. Times are the exchange's, ms; it has no clock.

    `last` has the open of each symbol's newest bar that is known already. A symbol's bars are given in order, each once; a bar
    that cannot be had in time is given late, with the close it belongs to, and later ones of its symbol after it. One that the
    exchange does not list is a gap, which nothing fills.
    """

    def __init__(self, length: int, last: Mapping[str, int], units: Mapping[str, float], now: int) -> None:
        self.length = length
        self.counts = Counts()
        self._symbols = {symbol: _Symbol(open_, units[symbol]) for symbol, open_ in last.items()}
        self._moment = min((s.last for s in self._symbols.values()), default=now // length * length - length) + 2 * length
        """The close that comes next."""
        self._resumed = self._heard = now
        self._down = False
        self._failing: int | None = None
        """Since when questions fail without an answer to any."""
        self._asked = now
        """When anything was last asked for."""

    @property
    def moment(self) -> int:
        """The close that comes next, ms."""
        return self._moment

    def waits(self, now: int) -> bool:
        """Whether a close has come whose bars have not been given yet."""
        return now >= self._moment

    def lost(self, symbols: Iterable[str]) -> None:
        """Pushes about `symbols` may be missing: their forming bars say nothing until they are pushed again."""
        for symbol in symbols:
            one = self._symbols[symbol]
            one.holed.update(one.forming)

    def down(self) -> None:
        """Nothing comes in any more: no moment is over without its bars."""
        self._down = True

    def resume(self, now: int) -> None:
        """Things come in again; what was missed is asked for."""
        self._down = False
        self._resumed = now
        for one in self._symbols.values():
            one.again, one.tries = 0, 0

    def forming(self, symbol: str, row: Row) -> None:
        """A bar as a push has it: the one with the most volume is the newest, in whatever order they come."""
        one = self._symbols.get(symbol)
        if one is None or row.ts <= one.last or row.ts % self.length:
            return
        if not row.possible:
            self.counts.bad += 1
            return
        known = one.forming.get(row.ts)
        if known is None or (row.volume, row.high - row.low) >= (known.volume, known.high - known.low):
            one.forming[row.ts] = row
        # a push has all of its bar so far
        one.holed.discard(row.ts)
        while len(one.forming) > 4:
            del one.forming[min(one.forming)]

    def wanted(self, now: int) -> list[Asked]:
        """What REST should be asked for now: symbols without a bar from the stream first. Each is then taken for asked."""
        top = (now - GRACE) // self.length * self.length
        probing = self._failing is not None and now - max(self._failing, self._asked) >= PROBE
        found = []
        for symbol, one in self._symbols.items():
            start = one.covered + self.length
            if one.asked or start >= top or (now < one.again and not probing):
                continue
            probing = False
            self._asked = now
            first = start - LOOKED_BACK * self.length
            asked = Asked(symbol, first, min(top, first + PAGE * self.length))
            found.append((top - self.length in one.forming, asked))
            one.asked = True
        found.sort(key=lambda pair: pair[0])
        return [asked for _, asked in found]

    def failed(self, asked: Asked, now: int) -> None:
        """There was no answer."""
        self._failing = now if self._failing is None else self._failing
        self._later(self._symbols[asked.symbol], now)

    def answered(self, asked: Asked, rows: Iterable[Row], now: int, *, sane: Sequence[int] | None = None) -> None:
        """REST's answer. `sane` are the opens of those bars that may be believed, None for all of them."""
        one = self._symbols[asked.symbol]
        one.asked = False
        self._heard = now
        if self._failing is not None and now - self._failing >= PROBE:
            for other in self._symbols.values():
                other.again = 0
        self._failing = None
        found: dict[int, Row] = {}
        for row in rows:
            if not asked.start <= row.ts < asked.end or row.ts % self.length:
                continue
            if not row.possible or (sane is not None and row.ts not in sane):
                self.counts.bad += 1
                one.refused.add(row.ts)
                continue
            found[row.ts] = row
        if one.given is not None and (told := found.get(one.given.ts)) is not None and told != one.given:
            self.counts.corrected += 1
            one.overstated = told.volume < one.given.volume
            one.given = told
        for ts in found:
            if one.last < ts <= one.covered and ts not in one.ready and ts not in one.refused:
                # listed so late that it was taken for a gap
                one.ready[ts] = found[ts]
                self.counts.gaps -= 1
        behind = False
        for ts in range(one.covered + self.length, asked.end, self.length):
            bar, pushed = found.get(ts), one.forming.get(ts)
            less = bar is not None and pushed is not None and bar.volume < pushed.volume
            if (
                (bar is None or (less and not one.overstated))
                and now < ts + self.length + GAP
                and not any(later > ts for later in found)
            ):
                behind = True
                break
            one.covered = ts
            if ts <= one.last:
                continue
            if bar is not None:
                one.ready[ts] = bar
                if pushed is not None and ts not in one.holed:
                    one.overstated = less
            elif pushed is not None and ts not in one.holed and ts not in one.refused and not one.overstated:
                # what was traded there has been seen
                one.ready[ts] = pushed
                self.counts.unconfirmed += 1
            else:
                self.counts.gaps += 1
        if behind:
            self._later(one, now)
        else:
            one.tries, one.again = 0, 0

    def closed(self, now: int) -> list[BarsClosed]:
        """What can be given now, in order of time."""
        found: dict[int, dict[str, Bar]] = {}
        while now >= self._moment and self._over(self._moment, now):
            self._give(self._moment, found)
            self._moment += self.length
        for symbol, one in self._symbols.items():
            self._overdue(symbol, one, self._moment, found)
        order = list(self._symbols)
        return [BarsClosed(ts, {s: found[ts][s] for s in order if s in found[ts]}) for ts in sorted(found)]

    def due(self, now: int) -> int:
        """When to look again without any news, ms."""
        moments = [self._moment + GRACE if now < self._moment + GRACE else now + 50]
        moments += [one.again for one in self._symbols.values() if one.again > now]
        return min(moments)

    def _over(self, moment: int, now: int) -> bool:
        """Whether everybody has a bar for this close, or nobody is waited for any longer."""
        ts = moment - self.length
        resolved = [one.last >= ts or one.covered >= ts for one in self._symbols.values()]
        if all(resolved):
            return True
        if self._down:
            # while nobody answers at all, no moment is over
            return any(resolved) and now >= self._heard + CATCHING_UP
        if now >= (moment + PATIENCE if moment > self._resumed else max(self._resumed, self._heard) + CATCHING_UP):
            return True
        # who was not there the last time is not waited for, unless all were
        waited = [ok for ok, one in zip(resolved, self._symbols.values(), strict=True) if not one.missed]
        return bool(waited) and all(waited) and now >= moment + GRACE

    def _give(self, moment: int, found: dict[int, dict[str, Bar]]) -> None:
        ts = moment - self.length
        for symbol, one in self._symbols.items():
            self._overdue(symbol, one, moment, found)
            if one.last >= ts:
                continue
            row = one.ready.pop(ts, None)
            one.missed = row is None and one.covered < ts
            pushed = None if one.overstated or ts in one.holed else one.forming.get(ts)
            if one.missed and pushed is not None and max(one.covered, one.last) >= ts - self.length:
                # nothing before it can still come
                row, one.missed = pushed, False
                self.counts.unconfirmed += 1
            if row is not None:
                self._add(symbol, one, row, found)

    def _overdue(self, symbol: str, one: _Symbol, moment: int, found: dict[int, dict[str, Bar]]) -> None:
        """Bars whose moments went by without them."""
        while one.ready and (ts := min(one.ready)) + self.length < moment:
            self._add(symbol, one, one.ready.pop(ts), found)
            self.counts.late += 1

    def _add(self, symbol: str, one: _Symbol, row: Row, found: dict[int, dict[str, Bar]]) -> None:
        if row.ts <= one.last:
            return
        one.last, one.given = row.ts, row
        for ts in [ts for ts in one.forming if ts <= row.ts]:
            del one.forming[ts]
        one.holed = {ts for ts in one.holed if ts > row.ts}
        one.refused = {ts for ts in one.refused if ts > row.ts}
        end = row.ts + self.length
        volume = row.volume * one.unit
        found.setdefault(end, {})[symbol] = Bar(symbol, row.ts, end, row.open, row.high, row.low, row.close, volume)

    def _later(self, one: _Symbol, now: int) -> None:
        one.asked = False
        one.again = now + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(one.tries, 10))
        one.tries += 1
