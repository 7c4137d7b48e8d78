"""Candles and funding kept on disk: one SQLite file a market, read by several processes while one of them writes.

Bars lie in chunks of `CHUNK` bars' time as blobs of numbers; those that come a few at a time wait as rows until there are enough of
them to be folded in. Beside the bars stands what has been asked for: a bar missing within such a span is missing at the venue, one
outside of it has not been fetched yet. Every write is one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

import msgspec
import numpy as np

from enigma_core import database
from enigma_core.errors import DataError, HomeError
from enigma_core.lines import Floats
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.timeframes import Moments, bucket_start, milliseconds

APPLICATION_ID = 0x454E4743
"""``ENGC``, in the file's header."""

FORMAT = 1

CHUNK = 10_000
"""Bars' time in one chunk."""

ROWS = 1_000
"""Bars of one chunk that may wait as rows."""

PAGE = 65_536
"""Bytes of a page of the file: a chunk is hundreds of kilobytes."""

FUNDING = "funding"
"""What stands in the place of a timeframe where funding is meant."""

Span = tuple[int, int]
"""A stretch of time: opens of bars from the first moment on and before the second, ms."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,"
    " UNIQUE (symbol, timeframe)) STRICT",
    "CREATE TABLE IF NOT EXISTS chunk (series INTEGER NOT NULL REFERENCES series, number INTEGER NOT NULL, bars INTEGER NOT NULL,"
    " crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, number)) STRICT",
    "CREATE TABLE IF NOT EXISTS bar (series INTEGER NOT NULL REFERENCES series, ts INTEGER NOT NULL, open REAL NOT NULL,"
    " high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (series, ts))"
    " STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS span (series INTEGER NOT NULL REFERENCES series, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " PRIMARY KEY (series, first)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS funding (series INTEGER NOT NULL REFERENCES series, ts INTEGER NOT NULL, rate REAL NOT NULL,"
    " PRIMARY KEY (series, ts)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS instrument (symbol TEXT PRIMARY KEY, listed BLOB NOT NULL) STRICT, WITHOUT ROWID",
)


def store_path(market: str, home: str | os.PathLike[str] | None = None) -> Path:
    """Where the candles of `market` (a feed's identity) are kept: ``candles/NAME.sqlite`` in the run's folder."""
    from enigma_core.home import home_path

    name = re.sub(r"[^a-z0-9.]+", "-", market.lower()).strip("-.")
    if not name or len(name) > 60 or name != market:
        # two markets whose names differ in signs only are two files
        name = f"{name[:60] or 'market'}-{hashlib.sha256(market.encode()).hexdigest()[:8]}"
    return home_path(home) / "candles" / f"{name}.sqlite"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One series of a store: its bars, what of its time has been asked for, and what of that is missing. Times are opens, ms."""

    symbol: str
    timeframe: str
    bars: int
    spans: tuple[Span, ...]
    gaps: tuple[Span, ...]
    """Stretches that were asked for, lie between two bars that are there, and hold none."""

    @property
    def missing(self) -> int:
        """Bars that are missing in `gaps`."""
        length = milliseconds(self.timeframe)
        return sum((last - first) // length for first, last in self.gaps)


class CandleStore:
    """The candles of one market. Safe for several threads; `reading` opens a file that others write and never changes it.

    Raises `DataError` where the file cannot be used: damaged, another program's, another market's, or on a disk that refuses.
    """

    def __init__(self, path: str | os.PathLike[str], market: str = "", *, reading: bool = False) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._series: dict[tuple[str, str], int] = {}
        with self._guarded():
            self._db = self._read_only() if reading else self._writable(market)
        try:
            self.market = self._stamp()
            if market and self.market != market:
                raise DataError(f"{self.path} holds candles of {self.market}, not of {market}: name another file")
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def of(cls, market: str, home: str | os.PathLike[str] | None = None) -> Self:
        """The store of `market` in the run's folder, made where there is none yet."""
        return cls(store_path(market, home), market)

    # candles

    def write(self, candles: Candles, asked: Span | None = None) -> int:
        """Take bars in, over those of the same time, and note that the stretch `asked` (by default theirs) has been fetched.

        Any order of calls gives the same store. The answer is how many bars were new or different. Raises `DataError` for bars
        that cannot be.
        """
        length = milliseconds(candles.timeframe)
        _sound(candles)
        if asked is None and len(candles):
            asked = int(candles.ts[0]), int(candles.ts[-1]) + length
        with self._changing() as db:
            series = self._id(candles.symbol, candles.timeframe, make=True)
            changed = 0
            numbers = candles.ts // (length * CHUNK)
            for number in np.unique(numbers).tolist():
                first, last = np.searchsorted(numbers, [number, number + 1])
                changed += self._take(db, series, number, length, candles[slice(first, last)])
            if asked is not None:
                self._asked(db, series, aligned(asked[0], candles.timeframe), aligned(asked[1], candles.timeframe))
        return changed

    def read(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Bars with ``start <= ts < end``; none where none are kept. They are as old as the last write, whoever made it."""
        with self._guarded():
            series = self._id(symbol, timeframe)
            if series is None:
                return _candles(symbol, timeframe, np.empty(0, np.int64), np.empty((5, 0)))
            ts, values = self._read(series, milliseconds(timeframe), start, end)
        return _candles(symbol, timeframe, ts, values)

    def missing(self, symbol: str, timeframe: str, start: int, end: int) -> list[Span]:
        """What of ``start <= ts < end`` has not been asked for yet, ascending."""
        first, last = aligned(start, timeframe), aligned(end, timeframe)
        with self._guarded():
            return self._missing(symbol, timeframe, first, last)

    def asked(self, symbol: str, timeframe: str) -> list[Span]:
        """What has been asked for, ascending and apart."""
        with self._guarded():
            series = self._id(symbol, timeframe)
            return [] if series is None else self._spans(series)

    def forget(self, symbol: str, timeframe: str) -> None:
        """Drop a series and what was asked of it."""
        with self._changing() as db:
            series = self._id(symbol, timeframe)
            if series is not None:
                for table in ("chunk", "bar", "span", "funding"):
                    db.execute(f"DELETE FROM {table} WHERE series = ?", (series,))

    # funding

    def write_funding(self, symbol: str, funding: Funding, asked: Span | None = None) -> None:
        """Take settlements in, and note that the stretch `asked` (by default theirs) has been fetched."""
        if not (np.isfinite(funding.rate).all() and (np.abs(funding.rate) < 1).all() and (np.diff(funding.ts) > 0).all()):
            raise DataError(f"{symbol}: funding must be fractions between -1 and 1, oldest first; nothing of it was kept")
        if asked is None and len(funding.ts):
            asked = int(funding.ts[0]), int(funding.ts[-1]) + 1
        with self._changing() as db:
            series = self._id(symbol, FUNDING, make=True)
            rows = zip(funding.ts.tolist(), funding.rate.tolist(), strict=True)
            db.executemany("INSERT OR REPLACE INTO funding VALUES (?, ?, ?)", [(series, ts, rate) for ts, rate in rows])
            if asked is not None:
                self._asked(db, series, *asked)

    def funding(self, symbol: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Settlements with ``start <= ts < end``; None where none have ever been asked for."""
        with self._guarded():
            series = self._id(symbol, FUNDING)
            if series is None:
                return None
            first, last = _limits(start, end)
            rows = self._db.execute(
                "SELECT ts, rate FROM funding WHERE series = ? AND ts >= ? AND ts < ? ORDER BY ts", (series, first, last)
            ).fetchall()
        ts = np.array([row[0] for row in rows], np.int64)
        rate = np.array([row[1] for row in rows], np.float64)
        ts.flags.writeable = rate.flags.writeable = False
        return Funding(ts, rate)

    def missing_funding(self, symbol: str, start: int, end: int) -> list[Span]:
        """What of ``start <= ts < end`` has not been asked for yet, ascending."""
        with self._guarded():
            return self._missing(symbol, FUNDING, start, end)

    # instruments

    def write_instrument(self, instrument: Instrument) -> None:
        """Keep how the venue lists a contract."""
        with self._changing() as db:
            db.execute("INSERT OR REPLACE INTO instrument VALUES (?, ?)", (instrument.symbol, msgspec.json.encode(instrument)))

    def instrument(self, symbol: str) -> Instrument | None:
        """The contract as it was last listed."""
        with self._guarded():
            row = self._db.execute("SELECT listed FROM instrument WHERE symbol = ?", (symbol,)).fetchone()
        try:
            return None if row is None else msgspec.json.decode(row[0], type=Instrument)
        except msgspec.MsgspecError as error:
            raise self._damaged(f"the contract of {symbol}: {error}") from None

    # the whole

    def series(self) -> list[tuple[str, str]]:
        """(symbol, timeframe) of all candles there are, by name and length; those without a bar are left out."""
        with self._guarded():
            rows = self._db.execute(
                "SELECT symbol, timeframe FROM series s WHERE timeframe <> ? AND (EXISTS (SELECT 1 FROM chunk WHERE series = s.id)"
                " OR EXISTS (SELECT 1 FROM bar WHERE series = s.id))",
                (FUNDING,),
            ).fetchall()
        return sorted(((symbol, timeframe) for symbol, timeframe in rows), key=lambda row: (row[0], milliseconds(row[1])))

    def kept(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Kept:
        """What there is of one series, and the gaps in it."""
        length = milliseconds(timeframe)
        bars = self.read(symbol, timeframe, start, end)
        spans = self.asked(symbol, timeframe)
        after = np.flatnonzero(np.diff(bars.ts) > length)
        holes = [(int(bars.ts[i]) + length, int(bars.ts[i + 1])) for i in after]
        gaps = [(max(first, a), min(last, b)) for first, last in holes for a, b in spans if max(first, a) < min(last, b)]
        return Kept(symbol=symbol, timeframe=timeframe, bars=len(bars), spans=tuple(spans), gaps=tuple(gaps))

    def verify(self) -> None:
        """Check the whole file, sums of the chunks included. Raises `DataError` naming what is wrong."""
        with self._guarded():
            answer = [row[0] for row in self._db.execute("PRAGMA integrity_check(3)")]
            if answer != ["ok"]:
                raise self._damaged("; ".join(map(str, answer)))
            names = "SELECT symbol, timeframe, number, bars, crc, data FROM chunk JOIN series ON series.id = chunk.series"
            for symbol, timeframe, number, bars, crc, data in self._db.execute(names):
                if crc32(data) != crc or len(data) != bars * 48:
                    raise self._damaged(f"chunk {number} of {symbol} {timeframe} does not match its sum")

    def close(self) -> None:
        """May be called again."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # the file

    def _writable(self, market: str) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists() or not self.path.stat().st_size
        if fresh and not market:
            raise DataError(f"{self.path}: there are no candles yet; a new file needs the name of its market")
        if not fresh:
            self._ours()
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
            for pragma in (
                f"page_size = {PAGE}",
                "busy_timeout = 10000",
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "foreign_keys = ON",
                "wal_autocheckpoint = 250",
                "journal_size_limit = 67108864",
                "trusted_schema = OFF",
                "cell_size_check = ON",
            ):
                db.execute(f"PRAGMA {pragma}")
            if fresh:
                self._make(db, market)
        except BaseException:
            db.close()
            raise
        return db

    def _make(self, db: sqlite3.Connection, market: str) -> None:
        db.execute("BEGIN IMMEDIATE")
        # another process may have been as quick
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in _TABLES:
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('market', ?)", (market,))
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
        # the stamp stands in the file itself from here on
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _ours(self) -> None:
        """Raise `DataError` for a file of another program, before anything of it is touched."""
        # by SQLite alone, as `database.stamp` has to
        try:
            db = database.connect_for_reading(self.path)
        except HomeError as error:
            raise self._damaged(database.NO_DATABASE) from error
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            # one without tables is being made by another process at this moment
            if application != APPLICATION_ID and db.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
                raise self._foreign()
        finally:
            db.close()

    def _foreign(self) -> DataError:
        return DataError(f"{self.path} holds no candles: another program made it, or another part of this one")

    def _read_only(self) -> sqlite3.Connection:
        if not self.path.is_file() or not self.path.stat().st_size:
            raise DataError(f"{self.path}: there are no candles here; enigma download fetches some")
        # a reader's connection, that threads may share
        database.connect_for_reading(self.path).close()
        options = "mode=ro"
        if not os.access(self.path.parent, os.W_OK) and not database.sidecar(self.path, "-wal").exists():
            options += "&immutable=1"
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, check_same_thread=False, timeout=10.0
        )

    def _stamp(self) -> str:
        with self._guarded():
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise self._foreign()
            if version > FORMAT:
                raise DataError(
                    f"{self.path} has format {version}, and this version reads up to {FORMAT}: use the newer version that made it"
                )
            row = self._db.execute("SELECT value FROM meta WHERE key = 'market'").fetchone()
            if row is None:
                raise self._damaged("it does not say whose candles it holds")
            return str(row[0])

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self.path} is damaged ({what}): move it away; enigma download fetches the candles anew")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """One thread at a time, and errors as sentences."""
        with self._lock:
            try:
                yield
            except HomeError as error:
                raise DataError(str(error)) from error
            except sqlite3.ProgrammingError as error:
                raise DataError(f"{self.path} has been closed already ({error})") from error
            except (sqlite3.OperationalError, OSError) as error:
                raise DataError(
                    f"{self.path} cannot be used ({error}); check the folder's rights, the free space of its disk, and that no "
                    "other program holds the file"
                ) from error
            except database.FAULTS as error:
                raise self._damaged(str(error)) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._series.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # what lies in it

    def _id(self, symbol: str, timeframe: str, make: bool = False) -> int | None:
        if known := self._series.get((symbol, timeframe)):
            return known
        find = "SELECT id FROM series WHERE symbol = ? AND timeframe = ?"
        row = self._db.execute(find, (symbol, timeframe)).fetchone()
        if row is None:
            if not make:
                return None
            self._db.execute("INSERT INTO series (symbol, timeframe) VALUES (?, ?)", (symbol, timeframe))
            row = self._db.execute(find, (symbol, timeframe)).fetchone()
        self._series[symbol, timeframe] = row[0]
        return int(row[0])

    def _take(self, db: sqlite3.Connection, series: int | None, number: int, length: int, bars: Candles) -> int:
        """Bars of one chunk's time: as rows while they are few, else folded into the chunk."""
        span = length * CHUNK
        first, last = number * span, (number + 1) * span
        values = np.stack((bars.open, bars.high, bars.low, bars.close, bars.volume))
        there, old = self._read(series, length, int(bars.ts[0]), int(bars.ts[-1]) + 1)
        at = np.searchsorted(there, bars.ts)
        at[at == len(there)] = -1
        same = (there[at] == bars.ts) & (old[:, at] == values).all(axis=0) if len(there) else np.zeros(len(bars), np.bool_)
        ts, values = bars.ts[~same], values[:, ~same]
        if not len(ts):
            return 0
        (waiting,) = db.execute(
            "SELECT count(*) FROM bar WHERE series = ? AND ts >= ? AND ts < ?", (series, first, last)
        ).fetchone()
        if waiting + len(ts) <= ROWS:
            rows = zip(ts.tolist(), *values.tolist(), strict=True)
            db.executemany("INSERT OR REPLACE INTO bar VALUES (?, ?, ?, ?, ?, ?, ?)", [(series, *row) for row in rows])
            return len(ts)
        whole, numbers = _merged(*self._read(series, length, first, last), ts, values)
        data = whole.tobytes() + numbers.tobytes()
        db.execute("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?)", (series, number, len(whole), crc32(data), data))
        db.execute("DELETE FROM bar WHERE series = ? AND ts >= ? AND ts < ?", (series, first, last))
        return len(ts)

    def _read(self, series: int | None, length: int, start: int | None, end: int | None) -> tuple[Moments, Floats]:
        """Times (n,) and values (5, n) with ``start <= ts < end``."""
        first, last = _limits(start, end)
        span = length * CHUNK
        within = (series, first // span, (last - 1) // span)
        chosen = "FROM chunk WHERE series = ? AND number BETWEEN ? AND ?"
        # one picture of the file, whatever is written meanwhile
        with self._snapshot():
            (count,) = self._db.execute(f"SELECT coalesce(sum(bars), 0) {chosen}", within).fetchone()
            ts, values = np.empty(count, np.int64), np.empty((5, count))
            at = 0
            for bars, data in self._db.execute(f"SELECT bars, data {chosen} ORDER BY number", within):
                if len(data) != bars * 48:
                    raise self._damaged("a chunk is of the wrong length")
                ts[at : at + bars] = np.frombuffer(data, "<i8", bars)
                values[:, at : at + bars] = np.frombuffer(data, "<f8", offset=bars * 8).reshape(5, bars)
                at += bars
            rows = self._db.execute(
                "SELECT ts, open, high, low, close, volume FROM bar WHERE series = ? AND ts >= ? AND ts < ? ORDER BY ts",
                (series, first, last),
            ).fetchall()
        a, b = np.searchsorted(ts, [first, last])
        ts, values = ts[a:b], values[:, a:b]
        if not rows:
            return ts, values
        table = np.array([row[1:] for row in rows], np.float64).T
        return _merged(ts, values, np.array([row[0] for row in rows], np.int64), table)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def _spans(self, series: int) -> list[Span]:
        return self._db.execute("SELECT first, last FROM span WHERE series = ? ORDER BY first", (series,)).fetchall()

    def _asked(self, db: sqlite3.Connection, series: int | None, first: int, last: int) -> None:
        """Join a span with those that it touches."""
        if series is None or first >= last:
            return
        touching = "FROM span WHERE series = ? AND first <= ? AND last >= ?"
        a, b = db.execute(f"SELECT min(first), max(last) {touching}", (series, last, first)).fetchone()
        db.execute(f"DELETE {touching}", (series, last, first))
        db.execute("INSERT INTO span VALUES (?, ?, ?)", (series, min(first, first if a is None else a), max(last, b or last)))

    def _missing(self, symbol: str, timeframe: str, first: int, last: int) -> list[Span]:
        series = self._id(symbol, timeframe)
        found = []
        for a, b in [] if series is None else self._spans(series):
            if b <= first or a >= last:
                continue
            if a > first:
                found.append((first, a))
            first = b
        if first < last:
            found.append((first, last))
        return found


def aligned(ts: int, timeframe: str) -> int:
    """The open of the first bar that opens at `ts` or later."""
    opens = int(bucket_start(np.array([ts]), timeframe)[0])
    return opens if opens == ts else opens + milliseconds(timeframe)


def _limits(start: int | None, end: int | None) -> Span:
    return (-(2**62) if start is None else start), (2**62 if end is None else end)


def _candles(symbol: str, timeframe: str, ts: Moments, values: Floats) -> Candles:
    return Candles.of(symbol, timeframe, ts, *values)


def _merged(ts: Moments, values: Floats, newer: Moments, numbers: Floats) -> tuple[Moments, Floats]:
    """Two lots of bars as one, ascending; of two bars of one time the newer lot's."""
    if not len(ts) or not len(newer) or newer[0] > ts[-1]:
        return np.concatenate((ts, newer)), np.concatenate((values, numbers), axis=1)
    keep = ~np.isin(ts, newer)
    ts, values = np.concatenate((ts[keep], newer)), np.concatenate((values[:, keep], numbers), axis=1)
    order = np.argsort(ts, kind="stable")
    return ts[order], values[:, order]


def _sound(candles: Candles) -> None:
    """Refuse bars that cannot be: every comparison is written so that NaN fails it."""
    ts, low, high = candles.ts, candles.low, candles.high
    sound = (low > 0) & (low <= candles.open) & (low <= candles.close) & (high >= candles.open) & (high >= candles.close)
    sound &= (high < math.inf) & (candles.volume >= 0) & (candles.volume < math.inf)
    sound &= bucket_start(ts, candles.timeframe) == ts
    if len(ts):
        sound[1:] &= np.diff(ts) > 0
    if not sound.all():
        at = int(np.argmin(sound))
        bar = ", ".join(f"{name} {float(getattr(candles, name)[at]):.12g}" for name in ("open", "high", "low", "close", "volume"))
        raise DataError(
            f"{candles.symbol} {candles.timeframe}: the bar of {int(ts[at])} cannot be kept ({bar}): prices must be above 0 with "
            "the low and the high about them, times on the timeframe's boundaries and ascending"
        )


def stores(home: str | os.PathLike[str] | None = None) -> Sequence[Path]:
    """The files of candles in the run's folder, by name."""
    from enigma_core.home import home_path

    folder = home_path(home) / "candles"
    return sorted(folder.glob("*.sqlite")) if folder.is_dir() else []
