"""The port `Account` over the network, by ccxt."""

from enigma_exchange.wire.kucoin import KucoinAccount

__all__ = ["KucoinAccount"]
