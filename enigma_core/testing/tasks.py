"""The contract of executors, notifiers and services, as far as it can be seen without sending anything anywhere."""

from __future__ import annotations

import inspect as reflection

from enigma_core.parts import Executor, Notifier, Part, Service
from enigma_core.testing.finding import Inspection


def inspect_executor(inspection: Inspection, part: Executor) -> None:
    """`open` is there and takes the ports."""
    _own(inspection, part, Executor, "open", ("ports",))


def inspect_notifier(inspection: Inspection, part: Notifier) -> None:
    """`send` is an async function of one note."""
    _awaitable(inspection, part, Notifier, "send", ("note",))


def inspect_service(inspection: Inspection, part: Service) -> None:
    """`serve` is an async function of inbox and ports."""
    _awaitable(inspection, part, Service, "serve", ("inbox", "ports"))


def _own(inspection: Inspection, part: Part, base: type[Part], method: str, arguments: tuple[str, ...]) -> bool:
    own = getattr(type(part), method)
    if own is getattr(base, method):
        inspection.found("missing", f"{method}() is not defined; write it, as the class {base.__name__} describes")
        return False
    try:
        reflection.signature(own).bind(part, *arguments)
    except TypeError as fault:
        inspection.found("signature", f"{method}({', '.join(arguments)}) cannot be called: {fault}")
        return False
    return True


def _awaitable(inspection: Inspection, part: Part, base: type[Part], method: str, arguments: tuple[str, ...]) -> None:
    own = _own(inspection, part, base, method, arguments)
    if own and not reflection.iscoroutinefunction(getattr(type(part), method)):
        inspection.found("async", f"{method}() is no coroutine; write async def {method}(...), so that trading never waits for it")
