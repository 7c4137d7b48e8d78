"""A message as it is entered at TradingView, which fills in its placeholders when the alert goes off."""

from __future__ import annotations

from enigma_webhooks.alerts.loose import PLACEHOLDER

_SAMPLES = {
    "ticker": "BTCUSDT.P",
    "exchange": "KUCOIN",
    "interval": "30",
    "time": "2026-01-31T12:00:00Z",
    "timenow": "2026-01-31T12:30:01Z",
    "syminfo.currency": "USDT",
    "syminfo.basecurrency": "BTC",
    "strategy.order.action": "buy",
    "strategy.order.contracts": "1",
    "strategy.order.price": "50000",
    "strategy.order.id": "Long",
    "strategy.order.comment": "Long",
    "strategy.order.alert_message": "BUY BTCUSDT.P",
    "strategy.position_size": "1",
    "strategy.market_position": "long",
    "strategy.market_position_size": "1",
    "strategy.prev_market_position": "flat",
    "strategy.prev_market_position_size": "0",
    **dict.fromkeys(("open", "high", "low", "close", "volume"), "50000"),
}


def placeholders(text: str) -> list[str]:
    """The placeholders in `text` that TradingView knows, each once, in their order."""
    return list(dict.fromkeys(found[0] for found in PLACEHOLDER.finditer(text) if _sample(found[0]) is not None))


def filled(text: str) -> str:
    """`text` as it might arrive: an entry of Bitcoin in place of what TradingView fills in."""
    return PLACEHOLDER.sub(lambda found: _sample(found[0]) or found[0], text)


def _sample(placeholder: str) -> str | None:
    name = placeholder.strip("{} ")
    return "1" if name.startswith("plot") else _SAMPLES.get(name)
