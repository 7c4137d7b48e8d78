"""Find plugins, admit them one by one, and keep the catalogue of what they offer.

A plugin is what an entry point of the group ``enigma`` names, or a file ``strategies/*.py``. Each is imported, registered
and asked in its own ``try``: one that fails leaves a `Fault`, a sentence for its author, and takes nothing else with it.
Nobody but this file touches pluggy's manager.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import importlib.util
import logging
import re
import sys
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import msgspec
import pluggy

from enigma_core import hookspecs
from enigma_core.alert import Alert
from enigma_core.errors import EnigmaError, PluginError
from enigma_core.hookspecs import GROUP
from enigma_core.parts import API_VERSION, KINDS, Part

HOOKS: Mapping[str, str] = MappingProxyType({f"enigma_{kind}s": kind for kind in KINDS})
"""The hooks that offer parts, and the kind each offers."""

BUILT_IN = "miniature-enigma"
"""The distribution whose parts nobody displaces."""

RESERVED = ("use", "enabled")
"""Words of the configuration that no part's setting may bear."""

MOST_OFFERS = 1_000
"""Parts taken from one hook of one plugin: a generator that never ends must not hang the start."""

STRIKES, STRIKES_WITHIN = 3, 600.0
"""An observer that raises this often within so many seconds is switched off."""

log = logging.getLogger("enigma.plugins")


class Source(NamedTuple):
    """Where a plugin comes from, and how to import it."""

    entry_point: str
    distribution: str
    version: str
    module: str
    load: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.entry_point} ({f'{self.distribution} {self.version}'.rstrip()})"


class Offer(NamedTuple):
    """A part on offer, and who offers it."""

    part: type[Part]
    kind: str
    name: str
    distribution: str
    version: str
    module: str
    entry_point: str

    @property
    def built_in(self) -> bool:
        return self.distribution == BUILT_IN


class Fault(NamedTuple):
    """What is wrong with a plugin, or with one part of it. `parts` are the names that are missing for it."""

    entry_point: str
    distribution: str
    version: str
    sentence: str
    parts: tuple[str, ...] = ()


class _Refused(Exception):
    """A plugin or a part is not admitted; the text is the rest of a sentence that begins with its name."""


class _Observer:
    """One plugin's implementation of one observer hook, and when it failed."""

    __slots__ = ("arguments", "failures", "function", "source")

    def __init__(self, source: Source, function: Callable[..., object], arguments: tuple[str, ...]) -> None:
        self.source = source
        self.function = function
        self.arguments = arguments
        self.failures: deque[float] = deque(maxlen=STRIKES)


class Catalogue:
    """Every part that installed plugins offer, by kind and name, and what is wrong with the rest.

    >>> catalogue = Catalogue.load()
    >>> catalogue.part("gate", "score").part(min=60.0)  # doctest: +SKIP
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.faults: list[Fault] = []
        self._clock = clock
        self._parts: dict[str, dict[str, Offer]] = {kind: {} for kind in KINDS}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._sources: dict[int, Source] = {}
        self._observers: dict[str, list[_Observer]] = {}

    @classmethod
    def load(
        cls,
        folders: Iterable[Path | str] = (),
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Catalogue:
        """The catalogue of all installed plugins and of the ``*.py`` files in `folders`. Never raises for a plugin's sake.

        `entry_points` stands in for those of the environment; `clock` (seconds, monotonic) times the strikes of observers.
        """
        catalogue = cls(clock)
        points = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
        offers: list[tuple[Source, Offer]] = []
        for source in [*_installed(points), *_local(folders)]:
            offers += catalogue._admit(source)
        catalogue._settle(offers)
        catalogue._observers = {
            name: observers for name in _hooks() if name not in HOOKS and (observers := list(catalogue._observing(name)))
        }
        return catalogue

    @classmethod
    def installed(cls) -> Catalogue:
        """The catalogue as the command line sees it: installed plugins and ``./strategies/*.py``."""
        return cls.load(folders=("strategies",))

    @classmethod
    def built_in(cls) -> Catalogue:
        """The catalogue of what comes with enigma itself, whatever else is installed."""
        try:
            points = importlib.metadata.distribution(BUILT_IN).entry_points.select(group=GROUP)
        except importlib.metadata.PackageNotFoundError:
            raise PluginError(f"{BUILT_IN} is not installed here, so it has no plugins; run: pip install -e .") from None
        return cls.load(entry_points=points)

    def parts(self, kind: str) -> dict[str, Offer]:
        """Offers of `kind` by name, built-ins first. Raises `PluginError` for a kind that does not exist."""
        if kind not in self._parts:
            raise PluginError(f"{kind!r} is no kind of part{_near(kind, self._parts)}")
        return dict(self._parts[kind])

    def part(self, kind: str, name: str) -> Offer:
        """The offer of that name.

        Raises `PluginError` with the fault of the plugin that would have offered it, else with the nearest name.
        """
        offers = self.parts(kind)
        if name in offers:
            return offers[name]
        for fault in self.faults:
            if name in fault.parts or f"{kind}:{name}" in fault.parts:
                raise PluginError(f"{kind} {name!r} cannot be used: {fault.sentence}")
        elsewhere = next((other for other in KINDS if name in self._parts[other]), None)
        hint = f"; there is {_a(elsewhere)} of that name" if elsewhere else _near(name, offers)
        raise PluginError(f"no installed plugin offers {_a(kind)} {name!r}{hint}")

    def commands(self) -> tuple[Any, ...]:
        """click commands of all plugins, each name once: a name that two plugins want goes to neither and is a fault."""
        found: dict[str, list[tuple[Source, Any]]] = defaultdict(list)
        for source, function in self._implementations("enigma_commands"):
            try:
                commands = _answers("enigma_commands", function)
            except _Refused as refusal:
                self._fault(source, str(refusal))
                continue
            for command in commands:
                if isinstance(name := getattr(command, "name", None), str) and callable(command):
                    found[name].append((source, command))
                else:
                    self._fault(source, f"offers {command!r} in enigma_commands, which is no click command")
        for name, rivals in found.items():
            if len(rivals) > 1:
                for source, _ in rivals:
                    others = ", ".join(str(other) for other, _ in rivals if other is not source) or "itself a second time"
                    self._fault(source, f"offers a command {name!r}, and so does {others}; neither is used")
        return tuple(rivals[0][1] for rivals in found.values() if len(rivals) == 1)

    def routes(self) -> dict[str, tuple[Any, ...]]:
        """Route handlers of all plugins by who brings them, as they come: whether they fit is for the server to say."""
        found: dict[str, tuple[Any, ...]] = {}
        for source, function in self._implementations("enigma_routes"):
            try:
                handlers = tuple(_answers("enigma_routes", function))
            except _Refused as refusal:
                self._fault(source, str(refusal))
                continue
            if handlers:
                found[str(source)] = (*found.get(str(source), ()), *handlers)
        return found

    def read_alerts(self, message: str, received: int, symbols: tuple[str, ...]) -> tuple[Alert, ...] | None:
        """What the first plugin that reads `message` makes of it; None where none does. See the hook `enigma_read_alerts`.

        Raises the `EnigmaError` that says what is wrong with the message. Another failure is a fault of the plugin's.
        """
        given = {"message": message, "received": received, "symbols": symbols}
        caller: pluggy.HookCaller = self._manager.hook.enigma_read_alerts
        for impl in caller.get_hookimpls():
            try:
                answer: Any = impl.function(*[given[name] for name in impl.argnames])
                found = None if answer is None else tuple(islice(answer, MOST_OFFERS))
            except EnigmaError:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault stays its own
                self._fault(self._sources[id(impl.plugin)], f"raised in enigma_read_alerts: {_what(error)}{_where(error)}")
                continue
            if found is None:
                continue
            if any(type(alert) is not Alert for alert in found):
                self._fault(self._sources[id(impl.plugin)], "answers enigma_read_alerts with something else than alerts")
                continue
            return found
        return None

    def notify(self, hook: str, /, **facts: Any) -> tuple[str, ...]:
        """Tell every observer of `hook`, one at a time. Returns what a person should be told, usually nothing.

        What an observer raises is logged and decides nothing; the third time within ten minutes it is switched off.
        """
        observers = self._observers.get(hook)
        if not observers:
            return ()
        told = []
        for observer in tuple(observers):
            try:
                observer.function(*[facts[name] for name in observer.arguments])
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit() in an observer must not end a run
                now = self._clock()
                observer.failures.append(now)
                sentence = f"plugin {observer.source}: {hook} raised {_what(error)}"
                if len(observer.failures) == STRIKES and now - observer.failures[0] <= STRIKES_WITHIN:
                    observers.remove(observer)
                    sentence += f"; that was the third time in ten minutes, so its {hook} is switched off until the next start"
                    self.faults.append(Fault(*observer.source[:3], sentence))
                    told.append(sentence)
                log.error(sentence, exc_info=log.isEnabledFor(logging.DEBUG))
        return tuple(told)

    def _admit(self, source: Source) -> list[tuple[Source, Offer]]:
        """Import, register and ask one plugin. What is wrong becomes a fault."""
        try:
            plugin = _imported(source)
            if id(plugin) in self._sources:
                return []
            self._register(plugin, source)
        except _Refused as refusal:
            self._fault(source, str(refusal), (source.entry_point, source.entry_point.rpartition(".")[2]))
            return []
        offers: list[tuple[Source, Offer]] = []
        for hook, kind in HOOKS.items():
            for function in self._functions(hook, plugin):
                try:
                    answers = _answers(hook, function)
                except _Refused as refusal:
                    self._fault(source, str(refusal), (source.entry_point, source.entry_point.rpartition(".")[2]))
                    continue
                for answer in answers:
                    try:
                        _validate(answer, kind, hook)
                    except _Refused as refusal:
                        name = getattr(answer, "name", None)
                        self._fault(source, str(refusal), (f"{kind}:{name}",) if name and isinstance(name, str) else ())
                    else:
                        module = f"{answer.__module__}.{answer.__qualname__}"
                        offer = Offer(answer, kind, answer.name, source.distribution, source.version, module, source.entry_point)
                        offers.append((source, offer))
        return offers

    def _register(self, plugin: object, source: Source) -> None:
        version = getattr(plugin, "enigma_api", API_VERSION)
        if isinstance(version, bool) or not isinstance(version, int):
            raise _Refused(f"states enigma_api = {version!r}; it must be a whole number, at present {API_VERSION}")
        if version != API_VERSION:
            remedy = "install a newer version of the plugin" if version < API_VERSION else "upgrade miniature-enigma"
            raise _Refused(f"is written for plugin API {version}, and this is API {API_VERSION}; {remedy}")
        try:
            self._manager.register(plugin, name=f"{source.distribution}:{source.entry_point}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # pluggy's own complaint, or whatever an attribute of the plugin raises when read
            with contextlib.suppress(Exception):
                self._manager.unregister(plugin)
            raise _Refused(f"cannot be registered: {_oneline(error)}") from error
        hooks = self._manager.get_hookcallers(plugin) or []
        strays = sorted(caller.name for caller in hooks if not caller.has_spec())
        for name in strays:
            self._fault(source, f"implements {name}, which is no hook{_near(name, _hooks())}")
        if len(strays) == len(hooks):
            self._manager.unregister(plugin)
            unmarked = sorted(name for name in _hooks() if callable(getattr(plugin, name, None)))
            hint = f"; {unmarked[0]} is there, but not marked with enigma_core's hookimpl" if unmarked else ""
            raise _Refused(f"offers nothing: no function marked @hookimpl bears a hook's name{hint}")
        self._sources[id(plugin)] = source

    def _functions(self, hook: str, plugin: object) -> list[Callable[..., Any]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return [impl.function for impl in caller.get_hookimpls() if impl.plugin is plugin]

    def _implementations(self, hook: str) -> Iterator[tuple[Source, Callable[..., Any]]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        for impl in caller.get_hookimpls():
            yield self._sources[id(impl.plugin)], impl.function

    def _observing(self, hook: str) -> Iterator[_Observer]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        for impl in caller.get_hookimpls():
            source = self._sources[id(impl.plugin)]
            if impl.hookwrapper or impl.wrapper:
                self._fault(source, f"implements {hook} as a wrapper; observers are called one by one, nothing is wrapped")
            else:
                yield _Observer(source, impl.function, tuple(impl.argnames))

    def _settle(self, offers: list[tuple[Source, Offer]]) -> None:
        """Give each name to the one who offers it. A built-in stays; of two others neither gets it."""
        wanted: dict[tuple[str, str], list[tuple[Source, Offer]]] = defaultdict(list)
        for source, offer in offers:
            wanted[offer.kind, offer.name].append((source, offer))
        for (kind, name), rivals in wanted.items():
            first = rivals[0][1]
            keeps = first.built_in and not any(offer.built_in for _, offer in rivals[1:])
            if len(rivals) == 1 or keeps:
                self._parts[kind][name] = first
            for i, (source, _) in enumerate(rivals):
                if len(rivals) == 1 or (keeps and i == 0):
                    continue
                others = " and ".join(str(other) for k, (other, _) in enumerate(rivals) if k != i)
                if keeps:
                    sentence = f"offers {_a(kind)} named {name!r}, which is built in; rename it"
                    self._fault(source, sentence)
                else:
                    sentence = f"offers {_a(kind)} named {name!r}, and so does {others}; neither is used: rename or uninstall one"
                    self._fault(source, sentence, (f"{kind}:{name}",))

    def _fault(self, source: Source, sentence: str, parts: tuple[str, ...] = ()) -> None:
        self.faults.append(Fault(*source[:3], f"plugin {source} {sentence}", parts))


def _installed(points: Iterable[importlib.metadata.EntryPoint]) -> list[Source]:
    """Entry points as sources: built-ins first, as they are listed, then the others by name."""
    known: dict[int, tuple[str, str]] = {}
    sources = []
    for point in points:
        distribution = point.dist
        # reading a distribution's metadata is slow, and fifty entry points share one
        if id(distribution) not in known:
            known[id(distribution)] = _identity(distribution)
        sources.append(Source(point.name, *known[id(distribution)], point.value, point.load))
    sources.sort(key=lambda s: (False, "", "") if s.distribution == BUILT_IN else (True, s.distribution, s.entry_point))
    return sources


def _identity(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    if distribution is None:
        return "unknown distribution", ""
    try:
        return distribution.name or "unknown distribution", distribution.version or ""
    except Exception:
        log.debug("a distribution's metadata cannot be read", exc_info=True)
        return "unknown distribution", ""


def _local(folders: Iterable[Path | str]) -> Iterator[Source]:
    """The files ``*.py`` of each folder, each file once; those that begin with an underscore are not plugins."""
    seen: set[Path] = set()
    for folder in map(Path, folders):
        try:
            files = sorted(folder.glob("*.py"))
        except OSError as error:
            log.warning("%s cannot be read: %s", folder, error.strerror)
            continue
        for file in files:
            path = file.resolve()
            if path in seen or file.name.startswith("_") or not path.is_file():
                continue
            seen.add(path)
            name = f"enigma_local.{file.stem}"
            while name in sys.modules and sys.modules[name].__file__ != str(path):
                name += "_"
            yield Source(file.stem, str(file), "", name, partial(_executed, name, path))


def _executed(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # msgspec looks a class's annotations up in its module's namespace
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _imported(source: Source) -> Any:
    try:
        # what a plugin prints while it is imported must not end up in the JSON of a command
        with contextlib.redirect_stdout(sys.stderr):
            return source.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a plugin does not end the program
        raise _Refused(f"cannot be imported: {_what(error)}{_where(error)}") from error


def _answers(hook: str, function: Callable[..., Any]) -> list[Any]:
    """All that one implementation yields."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = function()
            if isinstance(answer, type):
                raise _Refused(f"returns a class from {hook}; yield it, or return a list of classes")
            if answer is None:
                raise _Refused(f"answers None to {hook}; yield its classes, or an empty list for none")
            try:
                iterator = iter(answer)
            except TypeError:
                raise _Refused(f"answers {type(answer).__name__} to {hook}; yield its classes") from None
            answers = list(islice(iterator, MOST_OFFERS + 1))
    except (KeyboardInterrupt, _Refused):
        raise
    except BaseException as error:
        raise _Refused(f"raised in {hook}: {_what(error)}{_where(error)}") from error
    if len(answers) > MOST_OFFERS:
        raise _Refused(f"offers more than {MOST_OFFERS} parts in {hook}; that cannot be meant")
    return answers


_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _validate(part: Any, kind: str, hook: str) -> None:
    """Refuse what is not a sound part of `kind`. How it behaves is for the test kit to say."""
    if not isinstance(part, type):
        thing = f"an instance of {type(part).__name__}; yield the class itself" if isinstance(part, Part) else repr(part)[:80]
        raise _Refused(f"offers in {hook} {thing}" if isinstance(part, Part) else f"offers in {hook} {thing}, which is no class")
    bases = KINDS[kind]
    if not issubclass(part, bases):
        wanted = " or ".join(base.__name__ for base in bases)
        raise _Refused(f"offers {part.__name__} in {hook}, which derives from no {wanted}")
    if part in bases or part.__dict__.get("name", getattr(part, "name", "")) == "":
        raise _Refused(f'offers {part.__name__} without a name; write name = "{_snake(part.__name__)}" in the class')
    name: object = part.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _Refused(
            f"offers {part.__name__} named {name!r}; a name is lower case letters, digits and _, as in {_snake(part.__name__)!r}"
        )
    config = part.__struct_config__
    if not config.frozen:
        raise _Refused(f"offers {kind} {name!r} whose class is not frozen; write class {part.__name__}(..., frozen=True)")
    if not config.forbid_unknown_fields:
        raise _Refused(f"offers {kind} {name!r} that takes unknown settings in silence; leave forbid_unknown_fields on")
    taken = [setting for setting in part.__struct_encode_fields__ if setting in RESERVED]
    if taken:
        raise _Refused(f"offers {kind} {name!r} with a setting {taken[0]!r}, a word of the configuration itself; rename it")
    try:
        msgspec.structs.fields(part)
    except Exception as error:
        raise _Refused(f"offers {kind} {name!r} whose settings cannot be read: {_what(error)}") from error


def _hooks() -> tuple[str, ...]:
    return tuple(name for name in vars(hookspecs) if name.startswith("enigma_"))


def _near(word: str, known: Iterable[str]) -> str:
    """The remedy's half of a sentence: the nearest name, else all there are if they are few."""
    names = sorted(known)
    if near := difflib.get_close_matches(word, names, n=1):
        return f'; did you mean "{near[0]}"?'
    return f"; there are: {', '.join(names)}" if 0 < len(names) <= 24 else ""


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"  # a universe


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _oneline(error: BaseException) -> str:
    return " ".join(str(error).split())


def _what(error: BaseException) -> str:
    text = _oneline(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error: BaseException) -> str:
    """The place in the plugin's own file, where the traceback has one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and "importlib" not in f.filename]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
