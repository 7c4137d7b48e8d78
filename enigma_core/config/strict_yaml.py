"""YAML with the surprises taken out: scalars mean what they mean in JSON, names are texts, and nothing stands twice."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode

from enigma_core.config import sources


class StrictLoader(yaml.SafeLoader):
    """Only null, true, false and decimal numbers are special; ``no``, ``12:30`` and dates stay texts. No anchors, no tags."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConstructorError(None, None, "anchors and aliases are not used here; write the value out", event.start_mark)
        return super().compose_node(parent, index)


def _scalar(loader: StrictLoader, node: ScalarNode) -> Any:
    return sources.scalar(node.value) if node.style is None else node.value


def _mapping(loader: StrictLoader, node: MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise ConstructorError(None, None, "a name must be a word", key.start_mark)
        if key.value in found:
            raise ConstructorError(None, None, f'"{key.value}" stands twice in one place; leave one of them', key.start_mark)
        found[key.value] = loader.construct_object(value, deep=True)
    return found


StrictLoader.add_constructor("tag:yaml.org,2002:str", _scalar)
StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
