"""What KuCoin says to anybody: requests without a key, each made until it is answered or hopeless."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from enigma_core.errors import DataError
from enigma_exchange.broken import why
from enigma_exchange.hosts import Hosts
from enigma_exchange.quota import Bucket, Lane, weight

OK = "200000"
TIMEOUT = 10.0
ATTEMPTS = 4
"""Of one request, before its failure is told."""

PAUSE = 0.5
"""Seconds before the second attempt; twice as many before each further one."""

MOST = 64 * 2**20
"""Bytes of an answer."""

THROTTLED = ("429000", "200002")
BROKEN = (OSError, http.client.HTTPException)


class Unanswered(DataError):
    """The exchange cannot be reached, or gives no answer that makes sense. It may be asked again later."""


class Declined(DataError):
    """The exchange has answered, and will not give what was asked. `code` is its own."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class Public:
    """The public requests of one exchange. May be used by several threads; `close` ends what they wait for.

    `now` gives seconds that only ascend, `pause` waits so many of them; `lane` is where its requests wait for the quota.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        bucket: Bucket | None = None,
        lane: Lane = Lane.MARKET,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.hosts = hosts
        self._lane = lane
        self._now = now
        self._bucket = bucket if bucket is not None else Bucket(now=now())
        self._ended = threading.Event()
        self._pause = pause or self._ended.wait
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._open: set[http.client.HTTPConnection] = set()
        parts = urlsplit(hosts.futures)
        self._secure = parts.scheme == "https"
        self._host, self._port, self._mount = parts.hostname or "", parts.port, parts.path
        self._context = ssl.create_default_context() if self._secure else None

    def get(self, path: str, attempts: int = ATTEMPTS, **query: object) -> Any:
        """The `data` of an answer. Raises `Unanswered` or `Declined`."""
        return self.ask("GET", path, attempts, **query)

    def ask(self, method: str, path: str, attempts: int = ATTEMPTS, **query: object) -> Any:
        """As `get`, by any method. Only what may be done twice over belongs here."""
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        fault = "it was not asked"
        for attempt in range(1, attempts + 1):
            self._wait(weight(method, path))
            try:
                status, headers, body = self._request(method, target)
            except BROKEN as error:
                if self._ended.is_set():
                    raise Unanswered("the feed is closed") from None
                fault = why(error)
            else:
                self._told(headers)
                answer = _answer(body)
                code = str(answer.get("code", ""))
                if status == 429 or code in THROTTLED:
                    with self._lock:
                        self._bucket.throttled(self._now(), _seconds(headers.get("gw-ratelimit-reset")))
                    fault = "too many requests"
                elif code == OK:
                    return answer.get("data")
                elif code and status < 500 and code != "500000":
                    said = answer.get("msg") or "no reason"
                    raise Declined(f"{self.hosts.futures} declines {target}: {code} {said}", code)
                else:
                    said = f", {answer['msg']}" if answer.get("msg") else ""
                    fault = f"HTTP {status}" + (f", {code}{said}" if code else ", and no answer in JSON" if not answer else "")
            if attempt < attempts and not self._ended.is_set():
                self._pause(PAUSE * 2 ** (attempt - 1))
        raise Unanswered(
            f"{self.hosts.futures} does not answer {path} ({fault}); check the network, or what enigma doctor says"
        ) from None

    def offset(self) -> float:
        """How much the exchange's clock is ahead of the wall's, ms: the quickest of a few answers is the most exact."""
        best = (float("inf"), 0.0)
        for _ in range(3):
            before, wall = self._now(), time.time()
            there = float(self.get("/api/v1/timestamp"))
            took = self._now() - before
            best = min(best, (took, there - (wall + took / 2) * 1000))
        return best[1]

    def sibling(self, lane: Lane = Lane.MARKET) -> Public:
        """Another client of the same exchange, to be closed apart; both draw on one quota."""
        made = Public(self.hosts, bucket=self._bucket, lane=lane, now=self._now, timeout=self._timeout)
        made._lock = self._lock
        return made

    def close(self) -> None:
        """End what is under way; nothing can be asked afterwards."""
        self._ended.set()
        with self._lock:
            for connection in self._open:
                if connection.sock is not None:
                    _shut(connection)
            self._idle.clear()

    def _wait(self, weight: float) -> None:
        while True:
            if self._ended.is_set():
                raise Unanswered("the feed is closed")
            with self._lock:
                seconds = self._bucket.wait(self._lane, weight, self._now())
                if seconds <= 0:
                    self._bucket.take(weight, self._now())
                    return
            self._pause(seconds)

    def _request(self, method: str, target: str) -> tuple[int, Mapping[str, str], bytes]:
        connection, fresh = self._connection()
        try:
            try:
                return self._exchange(connection, method, target)
            except BROKEN:
                if fresh or self._ended.is_set():
                    raise
                # a kept connection may have been closed meanwhile: that says nothing of the server
                self._drop(connection)
                connection = self._connect()
                return self._exchange(connection, method, target)
        except BaseException:
            self._drop(connection)
            raise

    def _exchange(self, connection: http.client.HTTPConnection, method: str, target: str) -> tuple[int, Mapping[str, str], bytes]:
        connection.request(method, self._mount + target, headers={"Accept": "application/json", "User-Agent": "miniature-enigma"})
        response = connection.getresponse()
        body = response.read(MOST)
        headers = {name.lower(): value for name, value in response.getheaders()}
        with self._lock:
            if response.will_close or not response.isclosed() or self._ended.is_set():
                self._open.discard(connection)
                connection.close()
            else:
                self._idle.append(connection)
        return response.status, headers, body

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        return self._connect(), True

    def _connect(self) -> http.client.HTTPConnection:
        proxy = (
            None
            if urllib.request.proxy_bypass(self._host)
            else urllib.request.getproxies().get("https" if self._secure else "http")
        )
        host, port = self._host, self._port
        if proxy is not None and not self.hosts.local:
            through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            host, port = through.hostname or "", through.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
            if self._secure
            else http.client.HTTPConnection(host, port, timeout=self._timeout)
        )
        if host != self._host:
            connection.set_tunnel(self._host, self._port)
        with self._lock:
            self._open.add(connection)
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _told(self, headers: Mapping[str, str]) -> None:
        limit, remaining = _number(headers.get("gw-ratelimit-limit")), _number(headers.get("gw-ratelimit-remaining"))
        with self._lock:
            self._bucket.told(self._now(), limit=limit, remaining=remaining)


def _answer(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _seconds(milliseconds: str | None) -> float:
    number = _number(milliseconds)
    return 1.0 if number is None else number / 1000


def _shut(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
