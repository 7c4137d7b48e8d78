"""The errors of Miniature Enigma, sorted by what the caller should do about them.

::

    EnigmaError              one sentence: the place, the value, the limit, the remedy
    ├── ConfigError          change a setting
    ├── DataError            mend or replace the market data
    ├── PluginError          mend, install or leave out a plugin
    │   └── ContractError    the part breaks its kind's contract: a matter for its author
    ├── Busy                 wait a little and try again: too much is waiting already
    ├── HomeError            the run's folder: locked, unwritable, of another account or damaged
    └── MoneyError           the books do not add up: a defect of ours, trading stops
"""

from __future__ import annotations


class EnigmaError(Exception):
    """The family. The text is a whole sentence for a person; the command line prints it and exits with 1."""


class ConfigError(EnigmaError):
    """A setting is unknown, of the wrong type or beyond its limits."""


class DataError(EnigmaError):
    """Market data is missing, damaged or says nonsense."""


class PluginError(EnigmaError):
    """A plugin cannot be found, loaded or admitted."""


class ContractError(PluginError):
    """A part answered with something its kind does not allow (shape, type, bounds, look-ahead)."""


class Busy(EnigmaError):
    """A bounded queue is full. Nothing was lost or begun: the same thing may be tried again soon."""


class HomeError(EnigmaError):
    """The run's folder cannot be used: another run holds it, it cannot be written, or its database is damaged."""


class MoneyError(EnigmaError):
    """An accounting rule was broken. Never expected; raised so that trading stops instead of going on wrongly."""
