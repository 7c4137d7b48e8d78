"""A live account: what somebody else holds there is left alone by every later run too."""

from __future__ import annotations

import msgspec

from desk import BTC, INSTRUMENT
from live_desk import LiveDesk, live

ETH = "ETH/USDT:USDT"


def test_x24_a_restart_enters_no_symbol_in_which_somebody_else_holds_a_position() -> None:
    async def scene() -> None:
        desk = await LiveDesk(instruments={BTC: INSTRUMENT, ETH: msgspec.structs.replace(INSTRUMENT, symbol=ETH)}).start()
        desk.exchange.by_hand(1, 7, ETH)
        await desk.until(lambda: desk.book.blocked(ETH), 10)
        desk = await desk.crash()
        assert "not ours" in desk.book.blocked(ETH)
        assert not desk.book.blocked(BTC)
        desk.exchange.by_hand(-1, 7, ETH)
        await desk.until(lambda: not desk.book.blocked(ETH), 10)

    live(scene)
