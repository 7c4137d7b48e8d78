"""Symbols: how they are written out there, and the one name each has here."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection
from decimal import Decimal

import msgspec

from enigma_core.alert import Request

WRITTEN = re.compile(r"[A-Z0-9:._/!-]{1,40}", re.ASCII)

_QUOTES = "USDT|USDC|FDUSD|USD|EUR|GBP|JPY|AUD|CHF|CAD|BRL|TRY|KRW|BTC|ETH"
_PERPETUAL = re.compile(r"(?:[._-]?PERP(?:ETUAL)?|\.P|-SWAP|_[UCD]MCBL)$")
_JOINED = re.compile(rf"([A-Z0-9]+?)({_QUOTES})(M?)")
_APART = re.compile(r"([A-Z0-9]+)[-_/]([A-Z]{2,6}?)(M?)(?::([A-Z]{2,6}))?")
_MULTIPLIED = re.compile(r"(10{3,7}|1M)([A-Z][A-Z0-9]*)|([A-Z]{2,})(10{3,7})")
_DATED = re.compile(r"[0-9]*!$|[-_][0-9]{6,8}$|[FGHJKMNQUVXZ]20[0-9]{2}$")


class UnknownSymbol(ValueError):
    """A symbol cannot be read, or the venue does not trade it. The text is a sentence with the name and the nearest known."""


class Name(msgspec.Struct, frozen=True):
    """A symbol as it is called here. `multiplier` is how many of the coin one unit of its base is: 1000 of ``1000CAT``."""

    symbol: str
    exchange: str
    base: str
    quote: str
    settle: str
    multiplier: int = 1


def unified(text: str) -> Name:
    """The perpetual that `text` names: ``KUCOIN:XBTUSDTM``, ``BTCUSDT.P``, ``BTC/USDT`` are ``BTC/USDT:USDT``.

    The quote is kept as it is stated. Raises `UnknownSymbol`.
    """
    written = text.strip()
    if not written.isascii() or not WRITTEN.fullmatch(upper := written.upper()):
        raise UnknownSymbol(f"the symbol {written[:40]!a} is not 1 to 40 of A-Z 0-9 : . _ / ! -")
    return _unified(upper)


@functools.lru_cache(4096)
def _unified(written: str) -> Name:
    shown = repr(written)
    exchange, rest = "", written
    if ":" in written and "/" not in written.partition(":")[0]:
        exchange, rest = written.split(":", 1)
    if rest in ("USDT", "USDC", "USD") and exchange:
        exchange, rest = "", exchange
    if "/" not in rest and _DATED.search(rest):
        raise UnknownSymbol(f"the symbol {shown} is a dated or a continuous future; write the perpetual, as in BTCUSDT.P")
    bare = _PERPETUAL.sub("", rest, count=1)
    found = _APART.fullmatch(bare)
    if found is not None:
        base, quote, inverse, settle = found[1], found[2], found[3], found[4]
    else:
        found = _JOINED.fullmatch(bare)
        if found is None:
            raise UnknownSymbol(f"the symbol {shown} names no pair; write base and quote, as in BTCUSDT")
        base, quote, inverse, settle = found[1], found[2], found[3], None
    if base == "XBT":
        base = "BTC"
    if settle is None:
        settle = base if inverse and quote == "USD" else quote
    multiplier, coin = _multiplier(base)
    return Name(f"{base}/{quote}:{settle}", exchange, coin, quote, settle, multiplier)


def _multiplier(base: str) -> tuple[int, str]:
    found = _MULTIPLIED.fullmatch(base)
    if found is None:
        return 1, base
    if found[1]:
        return 1_000_000 if found[1] == "1M" else int(found[1]), found[2]
    return int(found[4]), found[3]


def match(name: Name | str, known: Collection[str]) -> tuple[str, Decimal]:
    """The venue's symbol that `name` means, and the factor its prices are to be multiplied by (quantities are divided).

    The factor is not 1 where the venue's symbol has another multiplier: ``1000CAT`` here, ``10000CAT`` there: 10. Raises
    `UnknownSymbol` with the nearest known names.
    """
    if isinstance(name, str):
        name = unified(name)
    if name.symbol in known:
        return name.symbol, Decimal(1)
    for symbol in known:
        if name.base in symbol:
            try:
                other = unified(symbol)
            except UnknownSymbol:
                continue
            if (other.base, other.quote, other.settle) == (name.base, name.quote, name.settle):
                return symbol, Decimal(other.multiplier) / Decimal(name.multiplier)
    raise UnknownSymbol(f"the symbol {name.symbol} is not traded here; {_near(name, known)}")


def _near(name: Name, known: Collection[str]) -> str:
    bases: dict[str, list[str]] = {}
    for symbol in known:
        bases.setdefault(symbol.split("/")[0], []).append(symbol)
    near = [s for base in difflib.get_close_matches(name.base, bases, 3, cutoff=0.5) for s in bases[base]][:3]
    if near:
        return f"the nearest are {', '.join(near)}"
    some = sorted(known)[:3]
    return f"there are {', '.join(some)}{' and others' if len(known) > 3 else ''}" if some else "nothing is"


def rescaled(request: Request, symbol: str, factor: Decimal) -> Request:
    """`request` for the venue's `symbol`: prices times `factor`, a quantity in base units divided by it.

    Raises `UnknownSymbol` where the quantity counts contracts of another multiplier: how large those are nobody said.
    """
    if factor == 1:
        return request if request.symbol == symbol else msgspec.structs.replace(request, symbol=symbol)
    if request.unit == "contracts" and request.quantity is not None:
        raise UnknownSymbol(
            f"{request.quantity} contracts of {request.symbol} cannot be converted to {symbol}; state the quantity in base units"
        )
    changed = {name: value * factor for name in ("price", "stop", "take_profit") if (value := getattr(request, name)) is not None}
    quantity = request.quantity
    if quantity is not None and request.unit == "base":
        quantity = quantity / factor
    if request.position_size is not None:
        changed["position_size"] = request.position_size / factor
    return msgspec.structs.replace(request, symbol=symbol, quantity=quantity, **changed)
