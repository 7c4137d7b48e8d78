"""The test kit for plugin authors: contract checks for every kind of part, fakes, and generated markets.

>>> from enigma_core.testing import verify
>>> verify(WilliamsR)          # silent when sound, else ContractError with the sentences its author needs

In a test, the fixture ``check_part`` of the bundled pytest plugin is this function.
"""

from enigma_core.testing.contract import check, verify
from enigma_core.testing.fakes import (
    FakeAccount,
    FakeClock,
    first_bars,
    make_account,
    make_evaluation,
    make_holding,
    make_instrument,
    make_path,
    make_signal,
)
from enigma_core.testing.finding import Finding
from enigma_core.testing.generators import REGIMES, candles, markets

__all__ = [
    "REGIMES",
    "FakeAccount",
    "FakeClock",
    "Finding",
    "candles",
    "check",
    "first_bars",
    "make_account",
    "make_evaluation",
    "make_holding",
    "make_instrument",
    "make_path",
    "make_signal",
    "markets",
    "verify",
]
