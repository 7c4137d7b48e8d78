"""The settings in force, changing them, and the parts they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from litestar import Router, get, put
from litestar.exceptions import HTTPException
from litestar.params import BodyKwarg
from msgspec import UNSET

from enigma_core import report
from enigma_core.parts import Desk, Part
from enigma_core.plan import Plan
from enigma_webhooks.api.shapes import REFUSALS, Asker, AtDesk, Shape

DEPTH = 12
"""How deep a tree of settings may be."""

MOST = 500
"""Settings changed at once."""

SECTIONS = ("indicators", "microstructure", "gates", "exits", "notifiers", "services")
SINGLE = ("feed", "executor", "sizer")

Change = Annotated[
    dict[str, Any],
    BodyKwarg(description='A tree of settings, or {"changes": {"gates.score.min": 60}}; null is the default. The others stay.'),
]


class Configured(Shape, frozen=True, kw_only=True):
    """Which settings are in force `now`, and which wait for the next start (`restart`), by path."""

    now: list[str]
    restart: list[str]


class PluginShown(Shape, frozen=True, kw_only=True):
    """A part in use. Its secrets are hidden."""

    kind: str
    name: str
    settings: dict[str, Any]


@get("/config", responses=REFUSALS, opt={"scope": "read"})
async def config(desk: AtDesk) -> dict[str, Any]:
    """Every setting in force, secrets hidden."""
    return _in_force(desk)


@put("/config", responses=REFUSALS, opt={"scope": "admin"})
async def configure(desk: AtDesk, request: Asker, data: Change) -> Configured:
    """Change settings, all of them or none, for this run and those after it. What /config answers may be put back as it is."""
    changes = _changes(data, _in_force(desk))
    if len(changes) > MOST:
        raise HTTPException(status_code=422, detail=f"{len(changes)} settings are changed at once; {MOST} are the most")
    if not changes:
        return Configured(now=[], restart=[])
    applied = await desk.configure(changes, f"API, token {request.auth.name}")
    return Configured(now=list(applied.now), restart=list(applied.restart))


@get("/plugins", responses=REFUSALS, opt={"scope": "read"})
async def plugins(desk: AtDesk) -> list[PluginShown]:
    """The parts that this run uses, with their settings."""
    tree = _in_force(desk)
    return [
        PluginShown(kind=part.kind, name=name, settings=_settings(tree, section, name)) for section, name, part in _parts(desk.plan)
    ]


def _in_force(desk: Desk) -> dict[str, Any]:
    """The settings as JSON has them, so that what comes back can be compared with them."""
    tree: dict[str, Any] = report.ready(desk.settings())
    return tree


def _changes(data: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Changes by path; of a tree only what differs from the settings in force, so that hidden secrets stay what they are."""
    given = data.get("changes", UNSET)
    if given is not UNSET:
        if len(data) > 1 or not isinstance(given, dict):
            raise HTTPException(status_code=422, detail="changes must be an object of paths and values, and stand alone")
        return given
    present = dict(_flat(now))
    return {path: value for path, value in _flat(data) if path not in present or present[path] != value}


def _flat(tree: Mapping[str, Any], path: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """(path, value) of every leaf; an empty section and a reference to a secret count as one."""
    if depth > DEPTH:
        raise HTTPException(status_code=422, detail=f"{path[:80]}... is nested deeper than {DEPTH} sections")
    for name, value in tree.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value and not _refers(value):
            yield from _flat(value, here, depth + 1)
        else:
            yield here, value


def _refers(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in ("env", "file")


def _parts(plan: Plan) -> Iterator[tuple[str, str, Part]]:
    """(section, name, part) of everything the plan is made of."""
    for section in SINGLE:
        part = getattr(plan, section)
        if part is not None:
            yield section, part.name, part
    for section in SECTIONS:
        parts = {**plan.market_gates, **plan.account_gates} if section == "gates" else getattr(plan, section)
        for name, part in parts.items():
            yield section, name, part


def _settings(tree: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    found = tree.get(section)
    if section in SECTIONS and isinstance(found, Mapping):
        found = found.get(name)
    return {key: value for key, value in found.items() if key != "use"} if isinstance(found, Mapping) else {}


def settings() -> Router:
    return Router("/", route_handlers=[config, configure, plugins], tags=["settings"])
