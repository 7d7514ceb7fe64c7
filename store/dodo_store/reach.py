"""Reach: everything that a store's roots lead to, and for which of them it is kept.

A root is whatever keeps content alive: an experiment, a snapshot, a result in the run-cache, a run
that is going on. Which nodes a root names is its owner's knowledge; here they are followed.
"""

from __future__ import annotations

import os

from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.tree import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dodo_store.oid import Oid
    from dodo_store.pool import Pool
    from dodo_store.store import Store
    from dodo_store.tree import Node


class Root(Named):
    """What keeps content alive.

    `kind` is one of the words that reports use; `path` is the file that says so; `records` are the
    records it names, `nodes` the content. With `may_lack` the content need not be in the store
    (an output with `cache: false`). `problem` says why the root itself cannot be read.
    """

    kind: str
    name: str
    path: str
    records: tuple[Oid, ...] = ()
    nodes: tuple[Node, ...] = ()
    may_lack: bool = False
    problem: str = ""


class Lack(Named):
    """Something that should be in the store and is not, or is not what it should be."""

    path: str
    what: str
    root: Root


class Reach:
    """What has been reached so far: name -> place of its kind among the kinds met."""

    def __init__(self, store: Store, progress: Callable[[int], None] = lambda count: None) -> None:
        self._store = store
        self._progress = progress
        self.kinds: list[str] = []
        self.objects: dict[Oid, int] = {}
        self.trees: dict[Oid, int] = {}
        self.records: dict[Oid, int] = {}
        self.lacks: list[Lack] = []
        self._sizes: dict[Oid, int] = {}

    def follow(self, roots: Iterable[Root]) -> None:
        """Reach all that these roots lead to; what another root led to keeps its kind."""
        for root in roots:
            if root.kind not in self.kinds:
                self.kinds.append(root.kind)
            kind = self.kinds.index(root.kind)
            if root.problem:
                self.lacks.append(Lack(root.path, root.problem, root))
            for oid in root.records:
                self.records.setdefault(oid, kind)
            for node in root.nodes:
                self._node(node, kind, root)

    def _node(self, top: Node, kind: int, root: Root) -> None:
        waiting = [top]
        while waiting:
            node = waiting.pop()
            if node.kind != FOLDER:
                known = node.oid in self.objects
                self.objects.setdefault(node.oid, kind)
                if not known and not self._store.objects.has(node.oid, node.size):
                    self._miss(self._store.objects, node, root)
                continue
            known = node.oid in self.trees
            if known and self._sizes.get(node.oid, node.size) == node.size:
                continue
            self.trees.setdefault(node.oid, kind)
            self._progress(len(self.trees))
            try:
                entries = self._store.recorded_tree(node.oid)
            except StoreError as error:
                self._lack(error.path, str(error), root)
                continue
            total = self._sizes[node.oid] = sum(inner.size for _, inner in entries)
            if total != node.size:
                text = f"a folder of {total} bytes, recorded as {node.size}"
                self._lack(self._store.trees.path(node.oid), text, root)
            if known:
                continue
            waiting += [inner for _, inner in entries]

    def _miss(self, pool: Pool, node: Node, root: Root) -> None:
        path = pool.path(node.oid)
        if node.oid in pool.damaged:
            self._lack(path, "its content does not match its name", root)
        elif os.path.lexists(path):
            self._lack(path, "of another size than recorded", root)
        else:
            self._lack(path, "not in the store", root)

    def _lack(self, path: str, what: str, root: Root) -> None:
        if not root.may_lack:
            self.lacks.append(Lack(path, what, root))


def broken(store: Store, roots: Iterable[Root], bad: set[Oid]) -> list[tuple[Root, list[str]]]:
    """Roots that lead to something that is not there, each with the paths in it that are lost.

    *bad* are names of objects and trees that are there and damaged.
    """
    lost: dict[Oid, list[str]] = {}
    found = []
    for root in roots:
        if root.may_lack:
            continue
        paths = [path for node in root.nodes for path in _lost(store, node, bad, lost)]
        if paths or root.problem:
            found.append((root, list(dict.fromkeys(paths))))
    return found


def _lost(store: Store, node: Node, bad: set[Oid], known: dict[Oid, list[str]]) -> list[str]:
    """Paths below a node that cannot be restored; "." for the node itself."""
    if node.kind != FOLDER:
        is_there = node.oid not in bad and store.objects.has(node.oid, node.size)
        return [] if is_there else ["."]
    if node.oid not in known:
        known[node.oid] = []
        try:
            for name, inner in store.recorded_tree(node.oid):
                for path in _lost(store, inner, bad, known):
                    known[node.oid].append(name if path == "." else f"{name}/{path}")
        except StoreError:
            known[node.oid] = ["."]
    return known[node.oid]


def owners(store: Store, roots: Iterable[Root]) -> tuple[dict[str, int], dict[str, int]]:
    """For each root by name: the bytes it leads to, and those that no other root leads to.

    Content is counted once for each root, however often it is in it.
    """
    state: dict[Oid, str | None] = {}
    sizes: dict[Oid, int] = {}
    whole: dict[str, int] = {}
    for root in roots:
        seen: set[Oid] = set()
        for node in root.nodes:
            _claim(store, node, root.name, state, sizes)
            _count(store, node, seen, sizes)
        whole[root.name] = sum(sizes.get(oid, 0) for oid in seen)
    own = dict.fromkeys(whole, 0)
    for oid, name in state.items():
        if name is not None:
            own[name] += sizes.get(oid, 0)
    return whole, own


def _claim(
    store: Store, node: Node, who: str | None, state: dict[Oid, str | None], sizes: dict[Oid, int]
) -> None:
    """Note whose a node and all below it are; None: several's. At most two visits a tree."""
    if node.oid in state:
        owner = state[node.oid]
        if owner is None or owner == who:
            return
        who = None
    state[node.oid] = who
    if node.kind != FOLDER:
        sizes[node.oid] = node.size
        return
    for inner in _members(store, node):
        _claim(store, inner, who, state, sizes)


def _count(store: Store, node: Node, seen: set[Oid], sizes: dict[Oid, int]) -> None:
    if node.oid in seen:
        return
    seen.add(node.oid)
    if node.kind == FOLDER:
        for inner in _members(store, node):
            _count(store, inner, seen, sizes)


def _members(store: Store, node: Node) -> list[Node]:
    try:
        return [inner for _, inner in store.recorded_tree(node.oid)]
    except StoreError:
        return []
