"""From a tree of settings to a `Plan` with its parts made."""

from __future__ import annotations

import re
import zoneinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

from enigma_core.config import describe
from enigma_core.config.checks import Checker
from enigma_core.config.defaults import CLASSES, CORE, MANY, ONE, SECTIONS
from enigma_core.config.overrides import near
from enigma_core.config.tree import EVERY_OTHER, Tree
from enigma_core.errors import ConfigError, PluginError
from enigma_core.model import Instrument
from enigma_core.parts import (
    AccountGate,
    Algorithm,
    Executor,
    Feed,
    Indicator,
    LiveIndicator,
    MarketGate,
    Part,
    Rehearsal,
    Sizer,
    Universe,
)
from enigma_core.plan import Plan, Timeframes
from enigma_core.plugins import Catalogue
from enigma_core.timeframes import milliseconds

_SYMBOL = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{2,10}):([A-Z0-9]{2,10})")
_VENUE_SYMBOL = re.compile(r"([A-Z0-9]{1,20}?)[-_/]?(USDT|USDC|USD)(?:[-_:/]?(?:\2|SWAP|PERP))?M?")

_BOUNDS: dict[str, tuple[Decimal, Decimal]] = {
    "account.equity": (Decimal("0.01"), Decimal(10) ** 12),
    "costs.taker": (Decimal(0), Decimal("0.1")),
    "costs.maker": (Decimal("-0.01"), Decimal("0.1")),
    "costs.slippage": (Decimal(0), Decimal("0.1")),
    "costs.funding_rate": (Decimal("-0.1"), Decimal("0.1")),
}
"""Limits of the core's decimal settings: msgspec has bounds for floats only."""

SIMULATED = "paper"
"""The executor that trades with nobody; a live run needs another."""

VOLATILITY = "atr"
"""The indicator whose line the core itself reads, for leverage, confidence and the signal."""


def resolve(tree: Tree, catalogue: Catalogue) -> Plan:
    """The plan that `tree` describes. Raises `ConfigError` with a sentence for each thing that is wrong, one a line."""
    plan, problems = examine(tree, catalogue)
    if plan is None:
        head = "" if len(problems) == 1 else f"{len(problems)} settings cannot be used:\n"
        mark = "" if len(problems) == 1 else "- "
        raise ConfigError(head + "\n".join(f"{mark}{problem}" for problem in problems))
    return plan


def examine(tree: Tree, catalogue: Catalogue) -> tuple[Plan | None, tuple[str, ...]]:
    """The plan and no problems, or None and every problem there is."""
    resolution = _Resolution(tree, catalogue)
    plan = resolution.plan()
    return plan, tuple(dict.fromkeys(resolution.check.problems))


class _Resolution:
    def __init__(self, tree: Tree, catalogue: Catalogue) -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.check = Checker(tree)
        self.check.problems += tree.problems

    def plan(self) -> Plan | None:
        values = self.tree.values
        for section in values:
            if section not in SECTIONS:
                self.check.refuse(section, f"is no section{near(section, SECTIONS)}")
        core = {section: self._core(section) for section in CORE}
        many = {section: self._many(section) for section in MANY}
        mode, sandbox = self._mode(), self._sandbox()
        # nobody else needs a local exchange
        unused = () if sandbox else ("rehearsal",)
        one = {section: self._one(section) for section in ONE if section not in unused}
        universe, symbols = self._universe(), self._symbols()
        instruments = self._instruments()
        if isinstance(timeframes := core["timeframes"], Timeframes):
            self._timeframes(timeframes, many["gates"])
        self._between(many)
        if self.check.problems:
            return None
        gates = many["gates"]
        return Plan(
            mode=mode,
            sandbox=sandbox,
            strategy=values["strategy"],
            symbols=symbols,
            universe=universe,
            timeframes=core["timeframes"],
            thresholds=core["signal_thresholds"],
            confidence=core["confidence"],
            leverage=core["leverage"],
            costs=core["costs"],
            account=core["account"],
            risk=core["risk"],
            indicators=many["indicators"],
            microstructure=many["microstructure"],
            market_gates={name: gate for name, gate in gates.items() if isinstance(gate, MarketGate)},
            account_gates={name: gate for name, gate in gates.items() if isinstance(gate, AccountGate)},
            sizer=cast(Sizer, one["sizer"]),
            exits=many["exits"],
            feed=cast(Feed, one["feed"]),
            executor=cast(Executor, one["executor"]),
            algorithm=cast(Algorithm, one["algorithm"]),
            rehearsal=cast("Rehearsal | None", one.get("rehearsal")),
            notifiers=many["notifiers"],
            services=many["services"],
            instruments=instruments,
        )

    def _core(self, section: str) -> Any:
        values = self.check.mapping(section, self.tree.values.get(section))
        made: Any = None if values is None else self.check.struct(section, values, CORE[section])
        if made is None:
            return None
        for name in made.__struct_fields__:
            least, most = _BOUNDS.get(f"{section}.{name}", (None, None))
            if least is not None and most is not None and not least <= getattr(made, name) <= most:
                self.check.refuse(f"{section}.{name}", f"is {getattr(made, name)}; it must lie from {least} to {most}")
        if section == "signal_thresholds":
            self._rising(section, made, ("weak", "plain", "strong", "extreme", "max_score", "max_score_live"))
        if section == "leverage" and any(a.atr >= b.atr for a, b in pairwise(made.steps)):
            self.check.refuse("leverage.steps", "must rise in atr: the first step whose atr is not reached counts")
        if section == "risk":
            self._zone(made.zone)
        return made

    def _rising(self, section: str, made: Any, names: tuple[str, ...]) -> None:
        for lower, upper in pairwise(names):
            if getattr(made, lower) > getattr(made, upper):
                self.check.refuse(
                    f"{section}.{lower}",
                    f"is {getattr(made, lower):g}; it must not exceed {section}.{upper}, which is {getattr(made, upper):g}",
                )

    def _zone(self, zone: str) -> None:
        try:
            zoneinfo.ZoneInfo(zone)
        except Exception:  # noqa: BLE001 - a bad key raises anything from KeyError to IsADirectoryError
            hint = near(zone, zoneinfo.available_timezones()) or "; write it as in Europe/Berlin"
            self.check.refuse("risk.zone", f'is "{zone}", which is no time zone{hint}')

    def _one(self, section: str) -> Part | None:
        values = self.check.mapping(section, self.tree.values.get(section))
        if values is None:
            return None
        if "use" not in values:
            self.check.refuse(section, f'names no part; write {{"use": NAME}}{near("", self.catalogue.parts(ONE[section]))}')
            return None
        return self._part(section, ONE[section], values["use"], values)

    def _many(self, section: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, entry in (self.check.mapping(section, self.tree.values.get(section)) or {}).items():
            path = f"{section}.{name}"
            if name == EVERY_OTHER:
                continue
            if not isinstance(entry, dict):
                self.check.refuse(path, f"is {describe.shown(entry)}; it must be a mapping of settings, or false to switch it off")
                continue
            enabled = entry.get("enabled", True)
            if not isinstance(enabled, bool):
                self.check.refuse(f"{path}.enabled", f"is {describe.shown(enabled)}; it must be true or false")
            elif enabled:
                part = self._part(path, MANY[section], entry.get("use", name), entry)
                if part is not None and self._belongs(path, section, part):
                    made[name] = part
        return made

    def _part(self, path: str, kind: str, use: Any, entry: dict[str, Any]) -> Part | None:
        if not isinstance(use, str):
            self.check.refuse(f"{path}.use", f"is {describe.shown(use)}; it must be the name of {describe.an(kind)}")
            return None
        try:
            offer = self.catalogue.part(kind, use)
        except PluginError as error:
            at = f"{path}.use" if "use" in entry else path
            self.check.problems.append(f"{at}{self.check.source(at)}: {error}")
            return None
        settings = {name: value for name, value in entry.items() if name not in ("use", "enabled")}
        return self.check.struct(path, settings, offer.part)

    def _belongs(self, path: str, section: str, part: Part) -> bool:
        wanted = CLASSES.get(section)
        if wanted is None or isinstance(part, wanted):
            return True
        other = next(name for name, kind in CLASSES.items() if isinstance(part, kind))
        self.check.refuse(path, f"belongs into the section {other}; move it there")
        return False

    def _mode(self) -> Any:
        mode = self.tree.values.get("mode")
        if mode not in ("paper", "live"):
            self.check.refuse("mode", f'is {describe.shown(mode)}; it must be "paper" or "live"')
        elif mode == "live" and self.tree.get("executor.use") == SIMULATED:
            self.check.refuse(
                "mode", f'is "live", but executor.use is "{SIMULATED}"; name the executor of a venue, or trade on paper'
            )
        return mode

    def _sandbox(self) -> bool:
        sandbox = self.tree.values.get("sandbox")
        if not isinstance(sandbox, bool):
            self.check.refuse("sandbox", f"is {describe.shown(sandbox)}; it must be true or false")
            return False
        return sandbox

    def _universe(self) -> Universe | None:
        """What finds the symbols, where the section is a part and no list."""
        given = self.tree.values.get("symbols")
        if not isinstance(given, dict):
            return None
        if "use" not in given:
            hint = near("", self.catalogue.parts("universe"))
            self.check.refuse("symbols", f'names no part; it must be a list of symbols, or {{"use": NAME}}{hint}')
            return None
        return cast("Universe | None", self._part("symbols", "universe", given["use"], given))

    def _symbols(self) -> tuple[str, ...]:
        given = self.tree.values.get("symbols")
        if isinstance(given, dict):
            return ()
        if not isinstance(given, (list, tuple)):
            wanted = 'a list of symbols, empty for all the feed has, or {"use": NAME}'
            self.check.refuse("symbols", f"is {describe.shown(given)}; it must be {wanted}")
            return ()
        symbols = []
        for i, symbol in enumerate(given):
            if self._symbol(f"symbols[{i}]", symbol):
                symbols.append(symbol)
        if len(set(symbols)) != len(symbols):
            twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
            self.check.refuse("symbols", f"names {twice} twice; leave it once")
        return tuple(symbols)

    def _symbol(self, path: str, symbol: Any) -> bool:
        if isinstance(symbol, str) and _SYMBOL.fullmatch(symbol):
            return True
        hint = ""
        if isinstance(symbol, str) and (match := _VENUE_SYMBOL.fullmatch(symbol.upper())):
            base = {"XBT": "BTC"}.get(match[1], match[1])
            hint = f'; did you mean "{base}/{match[2]}:{match[2]}"?'
        elif isinstance(symbol, str) and symbol in self.catalogue.parts("universe"):
            hint = f'; to have {symbol} find them write symbols: {{"use": "{symbol}"}}'
        self.check.refuse(path, f"is {describe.shown(symbol)}; a symbol is written BASE/QUOTE:SETTLE, as in BTC/USDT:USDT{hint}")
        return False

    def _instruments(self) -> dict[str, dict[str, str]]:
        made: dict[str, dict[str, str]] = {}
        fields = [name for name in Instrument.__struct_fields__ if name != "symbol"]
        for symbol, values in (self.check.mapping("instruments", self.tree.values.get("instruments")) or {}).items():
            path = f"instruments.{symbol}"
            if not self._symbol(path, symbol) or self.check.mapping(path, values) is None:
                continue
            for name in values:
                if name not in fields:
                    self.check.refuse(f"{path}.{name}", f"is unknown{near(name, fields, f'{path}.')}")
            known = {name: value for name, value in values.items() if name in fields}
            if self.check.struct(path, {"symbol": symbol, **known}, Instrument) is not None:
                made[symbol] = {name: repr(value) if isinstance(value, float) else str(value) for name, value in known.items()}
        return made

    def _timeframes(self, timeframes: Timeframes, gates: dict[str, Any]) -> None:
        lengths: dict[str, int] = {}
        places = [("primary", timeframes.primary), ("secondary", timeframes.secondary)]
        for name, timeframe in [*places, *((f"available[{i}]", t) for i, t in enumerate(timeframes.available))]:
            if timeframe is not None:
                try:
                    lengths[name] = milliseconds(timeframe)
                except ConfigError as error:
                    self.check.refuse(f"timeframes.{name}", f"cannot be used: {error}")
        available = ", ".join(timeframes.available) or "none"
        for name, timeframe in places:
            if name in lengths and timeframe not in timeframes.available:
                self.check.refuse(
                    f"timeframes.{name}", f'is "{timeframe}", which is not in timeframes.available ({available}); add it'
                )
        if len(lengths.keys() & {"primary", "secondary"}) == 2 and lengths["secondary"] <= lengths["primary"]:
            self.check.refuse(
                "timeframes.secondary",
                f'is "{timeframes.secondary}"; it must be coarser than the primary, which is "{timeframes.primary}", or null',
            )
        for name, gate in gates.items():
            for i, timeframe in enumerate(getattr(gate, "timeframes", ()) or ()):
                try:
                    milliseconds(timeframe)
                except (ConfigError, TypeError) as error:
                    self.check.refuse(f"gates.{name}.timeframes[{i}]", f"cannot be used: {error}")
                else:
                    if timeframe not in timeframes.available:
                        self.tree.notes.append(
                            f"gates.{name}.timeframes names {timeframe}, which is not among timeframes.available: it never counts"
                        )

    def _between(self, many: dict[str, dict[str, Any]]) -> None:
        """What only shows when sections are seen together."""
        indicators: dict[str, Indicator | LiveIndicator] = many["indicators"]
        for name in indicators.keys() & many["microstructure"].keys():
            self.check.refuse(f"microstructure.{name}", f"bears the name of indicators.{name}; name one of them otherwise")
        section = self.tree.values.get("indicators")
        written = section if isinstance(section, dict) else {}
        off = {name for name, entry in written.items() if isinstance(entry, dict) and entry.get("enabled") is False}
        # one that is on and was not made has its own sentence already
        missing = written.keys() - indicators.keys() - off
        for name, gate in many["gates"].items():
            for line in getattr(gate, "reads", ()):
                if line not in indicators and line not in missing:
                    self.check.refuse(
                        f"gates.{name}",
                        f'reads the line of "{line}", which is not among the indicators; switch that on, or gates.{name} off',
                    )
        if VOLATILITY not in indicators and VOLATILITY not in missing and isinstance(section, dict):
            self.check.refuse(
                f"indicators.{VOLATILITY}",
                "is not among the indicators, but leverage, confidence and sizes are worked out from its line; switch it on",
            )
