"""What `enigma doctor` has to say of an exchange: can it be reached, is its clock ours, may the key do what it should only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

from enigma_core import guards
from enigma_core.parts import Check
from enigma_exchange.broken import why
from enigma_exchange.hosts import Hosts
from enigma_exchange.port import Account, Denied, ExchangeError

TIMEOUT = 5.0
"""Seconds that an answer may take."""

TIMES = 3
"""Readings of the clock; the one that was quickest counts."""

SLOW = 1.0
"""Seconds of a round trip from which on orders come late."""

SCARCE = 0.3
"""Of a quota: less than that left is worth a word."""

MOST = 2_000_000
"""Bytes of an answer that are read."""


class Answer(msgspec.Struct, frozen=True):
    """`data` of the envelope, the headers in lower case, and how long it took in seconds."""

    data: Any
    headers: Mapping[str, str]
    seconds: float


class Unanswered(Exception):
    """There was no answer, or none that makes sense; the text says why."""


Ask = Callable[[str, str], Answer]
"""(method, address) of a public request to its answer. Raises `Unanswered`."""


def asked(method: str, address: str) -> Answer:
    """One public request over the network."""
    began = time.monotonic()
    request = Request(address, b"" if method == "POST" else None, {"Accept": "application/json"}, method=method)
    try:
        with _opener(address).open(request, timeout=TIMEOUT) as reply:
            body, headers = reply.read(MOST), reply.headers
    except HTTPError as error:
        with error:
            body, headers = error.read(MOST), error.headers
    except (OSError, ValueError) as error:
        raise Unanswered(why(error)) from None
    took = time.monotonic() - began
    try:
        answer = json.loads(body)
        code, data = str(answer["code"]), answer.get("data")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unanswered("its answer is none of this exchange's") from None
    if code != "200000":
        raise Unanswered(f"it says {answer.get('msg') or 'no'!r} ({code})")
    return Answer(data, {name.lower(): value for name, value in headers.items()}, took)


def reach(hosts: Hosts, *, ask: Ask = asked, wall: Callable[[], float] = time.time) -> Iterator[Check]:
    """What can be said of an exchange without a key: both hosts, their clock, whether it is open, the quota, the stream's door."""
    place = hosts.futures.rpartition("/")[0] if hosts.local else hosts.futures
    for name, base in (("futures", hosts.futures), ("spot", hosts.spot)):
        try:
            skew, took, headers = _skew(ask, f"{base}/api/v1/timestamp", wall)
        except Unanswered as error:
            if name == "futures":
                yield Check("exchange", "fail", f"{base} cannot be reached ({error}): check the network, a proxy, and the address")
                return
            yield Check("exchange", "warn", f"{base} cannot be reached ({error}): what a key may do is asked for there")
            continue
        slow = took > SLOW
        yield Check(
            "exchange",
            "warn" if slow else "ok",
            f"{base} answers within {took * 1000:,.0f} ms"
            + (": orders would come late, look for a nearer machine" if slow else ""),
        )
        if name == "futures":
            yield clock(skew)
            yield from _quota(headers)
    yield from _open(ask, hosts)
    try:
        servers = ask("POST", f"{hosts.futures}/api/v1/bullet-public").data["instanceServers"]
        yield Check("exchange", "ok", f"market data streams from {str(servers[0]['endpoint']).split('?')[0]}")
    except Unanswered as error:
        yield Check("exchange", "fail", f"{place} gives no token for its stream ({error}): market data would not come")
    except (KeyError, IndexError, TypeError):
        yield Check("exchange", "fail", f"{place} names no server of its stream: market data would not come")


def clock(skew: float) -> Check:
    """How far the clock here is ahead of the exchange's, ms."""
    if fault := guards.skewed(skew):
        return Check("clock", "fail", fault)
    return Check("clock", "ok", f"{abs(skew):,.0f} ms {'ahead of' if skew >= 0 else 'behind'} the exchange's")


async def account(
    api: Account, symbols: Sequence[str] = (), *, sandbox: bool = False, wall: Callable[[], float] = time.time
) -> list[Check]:
    """What can be said of an account by its key: clock, rights, balance, margin and position mode, what is open. Changes nothing.

    On a local exchange (`sandbox`) a key that may do more than trade is a warning.
    """
    found: list[Check] = []
    for step in (_time(api, wall), _rights(api, sandbox), _balance(api), _margin(api, symbols), _open_now(api)):
        try:
            async with asyncio.timeout(4 * TIMEOUT):
                found += [one async for one in step]
        except Denied as error:
            found.append(Check("key", "fail", _denied(error)))
            # the exchange does not like to be asked again and again with a key that is none
            break
        except ExchangeError as error:
            found.append(Check("account", "fail", f"the exchange does not answer as it should: {error}"))
        except TimeoutError:
            found.append(Check("account", "fail", f"the exchange has not answered within {4 * TIMEOUT:g} s: check the network"))
    return found


def examined(check: Callable[[], Any]) -> Iterable[Check]:
    """What a coroutine of checks comes to, for who has no loop."""
    answer: Iterable[Check] = asyncio.run(check())
    return answer


def _opener(address: str) -> OpenerDirector:
    """What the environment says of proxies counts, except for this machine itself."""
    here = urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")
    return build_opener(ProxyHandler({})) if here else build_opener()


def _denied(error: Denied) -> str:
    code = f" ({error.code})" if error.code else ""
    return f"the exchange refuses the key{code}: {error}; check key, secret and passphrase, and the addresses it may be used from"


def _skew(ask: Ask, address: str, wall: Callable[[], float]) -> tuple[float, float, Mapping[str, str]]:
    """(ms that the clock here is ahead, seconds of the quickest round trip, the last answer's headers)."""
    readings = []
    headers: Mapping[str, str] = {}
    for _ in range(TIMES):
        answer = ask("GET", address)
        try:
            theirs = float(answer.data)
        except (TypeError, ValueError):
            raise Unanswered("it does not say what time it is") from None
        # it was read about half way
        readings.append((answer.seconds, (wall() - answer.seconds / 2) * 1000 - theirs))
        headers = answer.headers
    took, skew = min(readings)
    return skew, took, headers


def _quota(headers: Mapping[str, str]) -> Iterator[Check]:
    try:
        limit, left = float(headers["gw-ratelimit-limit"]), float(headers["gw-ratelimit-remaining"])
    except (KeyError, ValueError):
        yield Check("quota", "ok", "the exchange does not say how much of the quota is left")
        return
    scarce = limit <= 0 or left / limit < SCARCE
    more = ": another program uses this address too" if scarce else ""
    yield Check("quota", "warn" if scarce else "ok", f"{left:,.0f} of {limit:,.0f} are left for public requests{more}")


def _open(ask: Ask, hosts: Hosts) -> Iterator[Check]:
    try:
        status = ask("GET", f"{hosts.futures}/api/v1/status").data
        state, why = str(status["status"]), str(status.get("msg") or "")
    except Unanswered as error:
        yield Check("exchange", "warn", f"it does not say whether it is open ({error})")
        return
    except (KeyError, TypeError, AttributeError):
        yield Check("exchange", "warn", "it does not say whether it is open")
        return
    said = {"open": "it is open", "close": "it is closed", "cancelonly": "orders can only be cancelled now"}.get(state, state)
    yield Check("exchange", "ok" if state == "open" else "warn", said + (f": {why}" if why and state != "open" else ""))


async def _time(api: Account, wall: Callable[[], float]) -> AsyncIterator[Check]:
    readings = []
    for _ in range(TIMES):
        began, at = wall(), time.monotonic()
        theirs = await api.time()
        took = time.monotonic() - at
        readings.append((took, (began + took / 2) * 1000 - theirs))
    yield clock(min(readings)[1])


async def _rights(api: Account, sandbox: bool) -> AsyncIterator[Check]:
    allowed = await api.rights()
    refused, doubtful = guards.rights(
        trade=allowed.trade, withdraw=allowed.withdraw, transfer=allowed.transfer, addresses=allowed.addresses
    )
    if sandbox:
        refused, doubtful = (refused, []) if not allowed.trade else ([], refused)
    for text in refused:
        yield Check("key", "fail", text)
    for text in doubtful:
        yield Check("key", "warn", text)
    if not refused:
        bound = f", and only from {', '.join(allowed.addresses)}" if allowed.addresses else ""
        more = "" if allowed.withdraw or allowed.transfer else " and neither withdraw nor transfer"
        yield Check("key", "ok", f"it may trade futures{more}{bound}")


async def _balance(api: Account) -> AsyncIterator[Check]:
    balance = await api.balance()
    empty = balance.equity <= 0
    yield Check(
        "account",
        "warn" if empty else "ok",
        f"equity {balance.equity:,.2f}, of which {balance.available:,.2f} can be used"
        + (": nothing can be traded before money is transferred to the futures account" if empty else ""),
    )


async def _margin(api: Account, symbols: Sequence[str]) -> AsyncIterator[Check]:
    unready = [symbol for symbol in symbols if not await api.isolated(symbol)]
    if unready:
        yield Check(
            "margin",
            "warn",
            f"not isolated, one way: {', '.join(unready)}; a run sets it before its first entry, which it cannot while a position "
            "or an order is open there",
        )
    elif symbols:
        yield Check("margin", "ok", f"isolated, one way: {', '.join(symbols)}")


async def _open_now(api: Account) -> AsyncIterator[Check]:
    held, working = await api.held(), await api.working()
    yield Check("account", "ok", f"{_counted(len(held), 'position')} and {_counted(len(working), 'order')} are open")
    bare = [each.symbol for each in held if not any(w.symbol == each.symbol and w.stop and w.side != each.side for w in working)]
    if bare:
        yield Check("account", "warn", f"no stop protects the position in {', '.join(bare)}: a run protects its own only")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
