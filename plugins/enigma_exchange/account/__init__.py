"""The logic of a live account, behind the port and without a wire: the same against an exchange and in a simulation."""

from enigma_exchange.account.timing import Timing
from enigma_exchange.account.venue import LiveAccount

__all__ = ["LiveAccount", "Timing"]
