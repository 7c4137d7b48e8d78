"""The local exchange itself: synchronous, without IO, its clock and its chance given to it."""

from enigma_sandbox.exchange.exchange import Exchange
from enigma_sandbox.exchange.faults import Faults, Spell
from enigma_sandbox.exchange.rules import Contract, Key, RiskLevel, Rules
from enigma_sandbox.exchange.words import Push, Reply, Request, encode

__all__ = ["Contract", "Exchange", "Faults", "Key", "Push", "Reply", "Request", "RiskLevel", "Rules", "Spell", "encode"]
