"""Which symbol of the run is meant."""

from __future__ import annotations

import re

from litestar.exceptions import HTTPException

from enigma_core.parts import Desk
from enigma_webhooks.alerts.symbols import UnknownSymbol, match


def known(desk: Desk, text: str) -> str:
    """The symbol of this run that `text` names, in whatever spelling. Raises 404 with the nearest."""
    compact = re.sub(r"[^A-Za-z0-9]", "", text).upper()
    for symbol in desk.instruments:
        if text == symbol or compact == symbol.split(":")[0].replace("/", "").upper():
            return symbol
    try:
        return match(text, desk.instruments)[0]
    except UnknownSymbol as error:
        raise HTTPException(status_code=404, detail=str(error)) from None


def recorded(desk: Desk, text: str | None) -> str | None:
    """The symbol to look for in the journal: what is not traded now may stand there from before, as it is written."""
    if text is None:
        return None
    try:
        return known(desk, text)
    except HTTPException:
        return text
