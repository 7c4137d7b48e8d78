"""A JSON schema of everything that can be set with the plugins that are installed."""

from __future__ import annotations

from typing import Any

import msgspec

from enigma_core.config.complete import SCHEMA_FILE, as_json
from enigma_core.config.defaults import CLASSES, CORE, MANY, ONE
from enigma_core.model import Instrument
from enigma_core.parts import Part
from enigma_core.plugins import Catalogue, Offer

_OFF = {"enum": [False, None], "description": "switched off"}
_ON = {"type": "boolean", "default": True, "description": "false switches the part off"}
_SECRET = {
    "description": "a secret: where it stands, never what it is",
    "oneOf": [
        {"type": "object", "properties": {name: {"type": "string"}}, "required": [name], "additionalProperties": False}
        for name in ("env", "file")
    ],
}
_OUTWARD = ("feed", "executor", "notifier", "service")
"""Kinds that talk to the world, and so may need a secret."""

_SYMBOL = {"type": "string", "pattern": "^[A-Z0-9]{1,20}/[A-Z0-9]{2,10}:[A-Z0-9]{2,10}$", "examples": ["BTC/USDT:USDT"]}


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON schema (2020-12) of the configuration file, with the settings of every installed part. Editors complete from it."""
    definitions: dict[str, Any] = {"secret": _SECRET}
    properties: dict[str, Any] = {
        "$schema": {"type": "string"},
        "mode": {"enum": ["paper", "live"], "default": "paper", "description": "paper trades with nobody; live needs a venue"},
        "sandbox": {"type": "boolean", "default": False, "description": "live trading is rehearsed on a local exchange"},
        "strategy": {"type": "string", "default": "default", "description": "a file of strategies/ laid over this one"},
    }
    universes = [_used(offer, definitions, must=True) for offer in catalogue.parts("universe").values()]
    properties["symbols"] = {
        "description": "what to trade; empty for all the feed has; or what finds it when a run starts",
        "anyOf": [
            {"type": "array", "items": _SYMBOL, "uniqueItems": True},
            *({"$ref": ref} for ref in universes),
        ],
        "default": [],
    }
    for section, kind in CORE.items():
        properties[section] = _described(kind, definitions, section)
    for section, part_kind in ONE.items():
        offers = catalogue.parts(part_kind)
        used = [_used(offer, definitions, must=True) for offer in offers.values()]
        properties[section] = {
            "description": f"the {part_kind}, and its settings",
            "anyOf": [{"enum": sorted(offers)}, *({"$ref": ref} for ref in used)],
        }
    for section, part_kind in MANY.items():
        wanted = CLASSES.get(section, Part)
        offers = {name: offer for name, offer in catalogue.parts(part_kind).items() if issubclass(offer.part, wanted)}
        properties[section] = _entries(part_kind, offers, definitions)
    instrument = _described(Instrument, definitions, "instrument")
    body = definitions["instrument"]
    body["properties"].pop("symbol", None)
    body["required"] = []
    body["additionalProperties"] = False
    properties["instruments"] = {
        "description": "what the venue's own listing is overridden with, by symbol",
        "type": "object",
        "propertyNames": _SYMBOL,
        "additionalProperties": instrument,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_FILE,
        "title": "Miniature Enigma's configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _entries(kind: str, offers: dict[str, Offer], definitions: dict[str, Any]) -> dict[str, Any]:
    named = {}
    for name, offer in offers.items():
        plain = _used(offer, definitions, must=False)
        named[name] = {"anyOf": [{"$ref": plain}, {"type": "boolean"}, {"type": "null"}], "description": _first_line(offer.part)}
    others = [{"$ref": _used(offer, definitions, must=True)} for offer in offers.values()]
    return {
        "description": f"{kind}s by name; one whose name is not its part's says which it uses",
        "type": "object",
        "properties": {"*": {**_OFF, "description": "false switches off what weaker layers name and this one does not"}, **named},
        "additionalProperties": {"anyOf": [_OFF, {"enum": sorted(offers)}, *others]},
    }


def _used(offer: Offer, definitions: dict[str, Any], *, must: bool) -> str:
    """The reference of an entry that uses `offer`; where it `must` say so, one that requires the word "use"."""
    key = f"{offer.kind}.{offer.name}"
    if key not in definitions:
        _described(offer.part, definitions, key)
        body = definitions[key]
        body["properties"] = {"use": {"const": offer.name}, "enabled": _ON, **body.get("properties", {})}
        if offer.kind in _OUTWARD:
            for setting in body["properties"].values():
                _allow_secret(setting)
    if not must:
        return f"#/$defs/{key}"
    strict = f"{key}.used"
    if strict not in definitions:
        definitions[strict] = {"$ref": f"#/$defs/{key}", "required": ["use"]}
    return f"#/$defs/{strict}"


def _described(kind: type[msgspec.Struct], definitions: dict[str, Any], key: str) -> dict[str, Any]:
    """Put the schema of `kind` among the definitions under `key`; the reference to it."""
    try:
        (outer,), parts = msgspec.json.schema_components([kind], ref_template=f"#/$defs/{key}:{{name}}")
    except Exception as error:  # noqa: BLE001 - one plugin's odd type must not cost the others their schema
        definitions[key] = {"type": "object", "properties": {}, "description": f"settings that have no schema: {error}"}
        return {"$ref": f"#/$defs/{key}"}
    own = outer["$ref"].removeprefix(f"#/$defs/{key}:")
    for name, body in parts.items():
        definitions[key if name == own else f"{key}:{name}"] = _plain(as_json(body))
    return {"$ref": f"#/$defs/{key}"}


def _plain(body: Any) -> Any:
    """msgspec's schema as our files are written: a decimal may be a number too, and no title repeats a class's name."""
    if isinstance(body, list):
        return [_plain(inner) for inner in body]
    if not isinstance(body, dict):
        return body
    made = {name: _plain(inner) for name, inner in body.items()}
    if isinstance(text := made.get("description"), str):
        made["description"] = " ".join(text.split())
    if made.get("format") == "decimal":
        made["type"] = ["string", "number"]
    if made.get("type") == "object" and "properties" in made:
        made.pop("title", None)
    return made


def _allow_secret(setting: dict[str, Any]) -> None:
    """A text may be a reference to a secret instead, and so may a list's texts."""
    if setting.get("type") == "string" and "format" not in setting:
        kept = {name: setting.pop(name) for name in list(setting) if name not in ("description", "default")}
        setting["anyOf"] = [kept, {"$ref": "#/$defs/secret"}]
    elif setting.get("type") == "array" and isinstance(setting.get("items"), dict):
        _allow_secret(setting["items"])


def _first_line(part: type[Part]) -> str:
    return (part.__doc__ or part.name).strip().partition("\n")[0]
