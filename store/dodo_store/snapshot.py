"""Snapshot: a file or folder taken into the store; reads only what has moved since it last was."""

from __future__ import annotations

import os
import stat

from dodo_store import tree
from dodo_store.errors import NotStorable
from dodo_store.oid import Oid
from dodo_store.tree import FOLDER, Node
from dodo_store.walk import Walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dodo_store.pool import Batch
    from dodo_store.store import Store
    from dodo_store.walk import Graft, Source


def take(store: Store, batch: Batch, source: Source, path: str, graft: Graft | None = None) -> Node:
    """Add the file or folder at *path* (relative, "" for all) to *batch*; commit is the caller's.

    Raises:
        NotStorable, Changing
    """
    if tree.is_reserved(path):
        raise NotStorable(path, "never part of a snapshot")
    source.stamps.renew()
    walk = Walk(source, store=store, batch=batch)
    found = os.lstat(os.path.join(source.root, path) if path else source.root)
    if stat.S_ISDIR(found.st_mode):
        try:
            walk.list_ahead(path)
            return walk.folder(path, graft)
        except RecursionError:
            raise NotStorable(path, "folders nested too deep") from None
    node = walk.leaf(path, found)
    if node is None:
        raise NotStorable(path, "neither a file, a folder nor a link")
    return node


def overlay(store: Store, batch: Batch, node: Node, graft: Graft) -> Node:
    """A folder of the store with *graft* laid over it; what is not touched stays as it is.

    Raises:
        Missing, Damaged
    """
    members = dict(store.tree(node.oid)) if node.kind == FOLDER else {}
    for name, over in graft.items():
        if isinstance(over, Node):
            members[name] = over
        elif over is None:
            members.pop(name, None)
        else:
            members[name] = overlay(store, batch, members.get(name, _EMPTY), over)
    names = sorted(members, key=os.fsencode)
    oid, data = tree.encode(tuple((name, members[name]) for name in names))
    batch.add_bytes(store.trees, oid, data)
    seen = tree.digest([tree.member(name, members[name]) for name in names])
    return Node(FOLDER, oid, sum(each.size for each in members.values()), seen)


_EMPTY = Node(-1, Oid(b""), 0, Oid(b""))


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
