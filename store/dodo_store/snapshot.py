"""Snapshot: a file or folder taken into the store; reads only what has moved since it last was."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from dodo_store.errors import NotStorable
from dodo_store.pool import Batch
from dodo_store.store import Store
from dodo_store.tree import Node
from dodo_store.walk import Graft, Source, Walk


def take(store: Store, batch: Batch, source: Source, path: str, graft: Graft | None = None) -> Node:
    """Add the file or folder at *path* (relative, "" for all) to *batch*; commit is the caller's.

    Raises:
        NotStorable, Changing
    """
    source.stamps.renew()
    walk = Walk(source, store=store, batch=batch)
    found = os.lstat(os.path.join(source.root, path) if path else source.root)
    if stat.S_ISDIR(found.st_mode):
        try:
            return walk.folder(path, graft)
        except RecursionError:
            raise NotStorable(path, "folders nested too deep") from None
    node = walk.leaf(path, found)
    if node is None:
        raise NotStorable(path, "neither a file, a folder nor a link")
    return node


def graft_of(nodes: Mapping[str, Node | None]) -> Graft:
    """Nest paths into grafts: {"a/b": node} -> {"a": {"b": node}}."""
    top: dict[str, Node | Graft | None] = {}
    for path, node in sorted(nodes.items()):
        *folders, name = path.split("/")
        here = top
        for folder in folders:
            inner = here.setdefault(folder, {})
            if not isinstance(inner, dict):
                break
            here = inner
        else:
            here[name] = node
    return top
