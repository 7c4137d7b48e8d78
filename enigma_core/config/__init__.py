"""Settings: files, strategies, environment and command line in one tree, and the plan that it describes.

>>> tree = load(strategy="aggressive", sets=["gates.score.min=60"])  # doctest: +SKIP
>>> plan = resolve(tree, Catalogue.load(tree.plugin_folders))  # doctest: +SKIP
"""

from enigma_core.config.complete import complete, explained, masked
from enigma_core.config.defaults import NO_STRATEGY
from enigma_core.config.load import FILE, description, load, plugin_folders, strategies, strategy_folders
from enigma_core.config.overrides import OWN_NAMES
from enigma_core.config.resolve import examine, resolve
from enigma_core.config.schema import schema
from enigma_core.config.tree import Tree

__all__ = [
    "FILE",
    "NO_STRATEGY",
    "OWN_NAMES",
    "Tree",
    "complete",
    "description",
    "examine",
    "explained",
    "load",
    "masked",
    "plugin_folders",
    "resolve",
    "schema",
    "strategies",
    "strategy_folders",
]
