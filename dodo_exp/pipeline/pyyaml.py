"""PyYAML, loaded in half the time that it takes by itself; whoever needs it takes it from here."""

from __future__ import annotations

from dodo_store.pattern import compiled_later

with compiled_later():
    import yaml
    from yaml._yaml import CParser
    from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

__all__ = [
    "CParser",
    "CollectionNode",
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "yaml",
]
