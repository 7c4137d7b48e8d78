"""Which spell meets a request, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from enigma_sandbox.exchange.faults import Faults, Spell
from enigma_sandbox.exchange.state import Order
from enigma_sandbox.exchange.words import Reply, Request

_ORDERS = ("reject", "late", "partial")
_BEFORE = ("drop", "error", "throttle", "arrives")
_PAGE = "<html><head><title>{0} Bad Gateway</title></head><body><center><h1>{0} Bad Gateway</h1></center></body></html>"


class Met(msgspec.Struct, frozen=True):
    """What befalls one request: `spell` besides the latency. `done`: what it asks for is done all the same."""

    delay: int
    spell: Spell | None = None

    @property
    def done(self) -> bool:
        spell = self.spell
        return spell is None or not (spell.what in _BEFORE or (spell.what == "html" and not spell.done))

    @property
    def arrives(self) -> int | None:
        """After how many ms it gets there, where it is under way for so long that nobody waits for the answer."""
        return self.spell.ms if self.spell is not None and self.spell.what == "arrives" else None

    def reply(self, headers: Mapping[str, str]) -> Reply:
        """The answer to what was not done."""
        spell = self.spell
        assert spell is not None
        if spell.what in ("drop", "arrives"):
            return Reply(lost=True, delay=self.delay)
        if spell.what == "html":
            return Reply(status=spell.status, raw=_PAGE.format(spell.status).encode(), delay=self.delay)
        if spell.what == "throttle":
            payload = {"code": "429000", "msg": "Too many requests in a short period of time, please retry later--kucoin"}
            told = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "0", "gw-ratelimit-reset": str(spell.ms or 1_000)}
            return Reply(status=429, payload=payload, headers=told, delay=self.delay)
        return Reply(status=spell.status, payload={"code": spell.code, "msg": spell.text}, headers=headers, delay=self.delay)

    def over(self, reply: Reply) -> Reply:
        """What becomes of the answer to what was done."""
        spell = self.spell
        changes: dict[str, Any] = {"delay": self.delay}
        if spell is not None:
            if spell.what == "timeout":
                changes["lost"] = True
            elif spell.what == "error_after":
                changes |= {"status": spell.status, "payload": {"code": spell.code, "msg": spell.text}}
            elif spell.what == "html":
                changes |= {"status": spell.status, "raw": _PAGE.format(spell.status).encode()}
            elif spell.what == "half":
                body = reply.body()
                changes["raw"] = body[: len(body) // 2]
        return msgspec.structs.replace(reply, **changes)


class Disturbance:
    """The spells in force."""

    def __init__(self, faults: Faults, random: Random) -> None:
        self._faults = faults
        self._random = random
        self._asked: Request | None = None
        self._now = 0

    def before(self, request: Request, now: int) -> Met | None:
        """What befalls `request`; None: nothing."""
        spells = self._faults.spells
        if not spells:
            return None
        self._asked, self._now = request, now
        delay, found = 0, None
        for spell in list(spells):
            if spell.what in _ORDERS or (found is not None and spell.what != "latency") or not self._meets(spell, request, now):
                continue
            if spell.what == "latency":
                delay += spell.ms
            else:
                found = spell
            self._spend(spell)
        return Met(delay, found) if delay or found is not None else None

    def of_order(self, order: Order) -> Spell | None:
        """The spell that meets an order of the request at hand."""
        for spell in list(self._faults.spells):
            if spell.what not in _ORDERS or self._asked is None:
                continue
            if spell.symbol not in ("", order.symbol) or not _kind(spell, order.stop != "", order.reduce_only or order.close):
                continue
            plain = msgspec.structs.replace(spell, symbol="", stops=None, reducing=None)
            if self._meets(plain, self._asked, self._now):
                self._spend(spell)
                return spell
        return None

    def _meets(self, spell: Spell, request: Request, now: int) -> bool:
        if spell.until is not None and now >= spell.until:
            self._faults.spells = [s for s in self._faults.spells if s is not spell]
            return False
        if spell.mount not in ("", request.mount) or spell.method not in ("", request.method):
            return False
        if not request.path.startswith(spell.path):
            return False
        if spell.symbol or spell.stops is not None or spell.reducing is not None:
            body = request.body if isinstance(request.body, Mapping) else {}
            if spell.symbol not in ("", request.query.get("symbol", body.get("symbol", ""))):
                return False
            if not _kind(spell, bool(body.get("stop")), bool(body.get("reduceOnly") or body.get("closeOrder"))):
                return False
        return spell.chance >= 1 or self._random.random() < spell.chance

    def _spend(self, spell: Spell) -> None:
        if spell.times is None:
            return
        spells = self._faults.spells
        at = next((n for n, s in enumerate(spells) if s is spell), None)
        if at is None:
            return
        if spell.times <= 1:
            del spells[at]
        else:
            spells[at] = msgspec.structs.replace(spell, times=spell.times - 1)


def _kind(spell: Spell, stops: bool, reducing: bool) -> bool:
    return spell.stops in (None, stops) and spell.reducing in (None, reducing)
