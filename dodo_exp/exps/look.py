"""Look: into the store, by name or id, for people and for scripts."""

from __future__ import annotations

import os

from dodo_exp.errors import UsageError
from dodo_exp.exps import find, roots
from dodo_exp.exps.steps import AT
from dodo_store import record, tree
from dodo_store.errors import Damaged
from dodo_store.named import Named
from dodo_store.oid import CHUNK, Hasher, Oid
from dodo_store.reach import Reach, owners
from dodo_store.store import PLACES
from dodo_store.tree import FOLDER, LINK, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.project import Project
    from dodo_store.pool import Pool
    from dodo_store.store import Store

KINDS = {tree.FILE: "file", tree.EXEC: "exec", tree.LINK: "link", tree.FOLDER: "dir"}


class Content(Named):
    """Bytes of an object; read in parts, and checked by the last of them."""

    oid: Oid
    size: int

    def chunks(self, store: Store) -> Iterator[bytes]:
        """The bytes.

        Raises:
            Missing, Damaged: at the end, where they are not what the name says.
        """
        hasher = Hasher()
        with store.objects.opened(self.oid, self.size) as fd:
            while chunk := os.read(fd, CHUNK):
                hasher.update(chunk)
                yield chunk
        if hasher.digest() != self.oid:
            raise Damaged(store.objects.path(self.oid), "its content does not match its name")


class Entry(Named):
    """A member of a folder."""

    kind: str
    size: int
    id: str
    path: str


def names(store: Store) -> list[find.Found]:
    """Experiments and snapshots."""
    return find.everything(store)


def look_up(store: Store, what: str) -> Any:
    """What a name or id stands for: `Content`, or plain data for JSON.

    Raises:
        UsageError, Missing, Damaged
    """
    name, colon, path = what.partition(":")
    node = _kept(store, name)
    if node is not None and colon:
        return _of_node(store, _at(store, node, path, what))
    if node is not None:
        found = find.find(store, name, find.READABLE)
        return _plain(store.get_record(record.EXPERIMENT, found.oid))
    pool, oid = _by_id(store, what)
    if pool is store.records:
        return _plain(store.get_record(record.EXPERIMENT, oid))
    if pool is store.trees:
        return [_row(name, inner) for name, inner in store.tree(oid)]
    return Content(oid, os.lstat(pool.path(oid)).st_size)


def _of_node(store: Store, node: Node) -> Any:
    if node.kind == FOLDER:
        return [_row(name, inner) for name, inner in store.tree(node.oid)]
    return Content(node.oid, node.size)


def _row(name: str, node: Node) -> dict[str, Any]:
    row = {"name": name, "kind": KINDS[node.kind], "id": node.oid.hex(), "size": node.size}
    return row if node.digest == node.oid else {**row, "digest": node.digest.hex()}


def _plain(value: Any) -> Any:
    """A record's value with its nodes by name."""
    named = dict(value)
    for side in ("base", "result"):
        kind, oid, size, digest = named[side]
        named[side] = {"kind": KINDS[kind], "id": oid, "size": size, "digest": digest}
    return named


def _kept(store: Store, name: str) -> Node | None:
    """The result that a name keeps; None if it is no name."""
    base = name.rpartition(AT)[0] or name
    if not any(refs.has(base) for refs in (store.experiments, store.snapshots) if _is_name(base)):
        return None
    return find.experiment(store, name, find.READABLE).result


def _is_name(name: str) -> bool:
    return bool(name) and "/" not in name and not name.startswith(".")


def _at(store: Store, node: Node, path: str, what: str) -> Node:
    found = store.find(node, path.strip("/"))
    if found is None:
        raise UsageError(f"{what!r}: there is no such file in it", "`dodo store ls` lists them")
    return found


def _by_id(store: Store, text: str) -> tuple[Pool, Oid]:
    """Whose id begins so.

    Raises:
        UsageError: nothing's, or several'.
    """
    lower = text.lower()
    is_id = len(lower) >= find.SHORTEST and set(lower) <= set("0123456789abcdef")
    found = []
    for pool in (store.records, store.trees, store.objects) if is_id else ():
        folder = f"{pool.folder}/{lower[:2]}"
        for rest in os.listdir(folder) if os.path.isdir(folder) else ():
            if (lower[:2] + rest).startswith(lower):
                found.append((pool, lower[:2] + rest))
    if not found:
        hint = "`dodo store ls` lists names; an id needs four digits"
        raise UsageError(f"no experiment, snapshot or id {text!r}", hint)
    if len(found) > 1:
        raise UsageError(f"{text!r} is the beginning of {len(found)} ids", "give more digits")
    pool, name = found[0]
    return pool, Oid(bytes.fromhex(name))


def entries(store: Store, what: str, *, recursive: bool) -> Iterator[Entry]:
    """The members of a folder in the store.

    Raises:
        UsageError, Missing, Damaged
    """
    name, _, path = what.partition(":")
    node = _kept(store, name)
    if node is not None:
        node = _at(store, node, path, what)
    else:
        pool, oid = _by_id(store, what)
        if pool is store.objects:
            raise UsageError(f"{what!r} is a file, not a folder", f"`dodo store cat {what}`")
        if pool is store.records:
            from dodo_exp.exps.record import load

            node = load(store, oid).result
        else:
            node = Node(FOLDER, oid, 0, oid)
    if node.kind != FOLDER:
        yield Entry(KINDS[node.kind], node.size, node.oid.hex(), path)
        return
    yield from _members(store, node, path.strip("/"), recursive)


def _members(store: Store, node: Node, path: str, recursive: bool) -> Iterator[Entry]:
    for name, inner in store.tree(node.oid):
        full = f"{path}/{name}" if path else name
        shown = full
        if inner.kind == LINK:
            shown += f" -> {os.fsdecode(store.objects.read(inner.oid))}"
        yield Entry(KINDS[inner.kind], inner.size, inner.oid.hex(), shown)
        if recursive and inner.kind == FOLDER:
            yield from _members(store, inner, full, recursive)


class Usage(Named):
    """Bytes: of each name (all, its own), by what keeps them, of what nothing needs."""

    each: list[tuple[str, int, int]]
    kept: dict[str, tuple[int, int]]
    idle: tuple[int, int]
    leftovers: tuple[int, int]


def usage(project: Project, given: tuple[str, ...]) -> Usage:
    """What the space is used for.

    Raises:
        UsageError: a name that is not there.
    """
    store = project.store
    wanted = {find.find(store, name).name for name in given}
    every = list(roots.everything(project))
    named = list(roots.of_kind(every, roots.EXPERIMENT, roots.SNAPSHOT))
    whole, own = owners(store, named)
    each = [(name, whole[name], own[name]) for name in whole if not wanted or name in wanted]
    reach = Reach(store)
    reach.follow(every)
    kept: dict[str, tuple[int, int]] = {}
    idle = (0, 0)
    pools = ((store.objects, reach.objects), (store.trees, reach.trees))
    for pool, reached in (*pools, (store.records, reach.records)):
        for oid in pool.oids():
            size = _size(pool.path(oid))
            if oid in reached:
                kind = reach.kinds[reached[oid]]
                so_far = kept.get(kind, (0, 0))
                kept[kind] = (so_far[0] + size, so_far[1] + 1)
            else:
                idle = (idle[0] + size, idle[1] + 1)
    order = list(roots.WORDS)
    kept = dict(sorted(kept.items(), key=lambda item: order.index(item[0])))
    return Usage(each, kept, idle, _leftovers(store))


def _leftovers(store: Store) -> tuple[int, int]:
    count = size = 0
    for name in ("quarantine", "partial", "replaced", "logs", "tmp", PLACES):
        for folder, _, files in os.walk(f"{store.folder}/{name}"):
            count += len(files)
            size += sum(_size(os.path.join(folder, file)) for file in files)
    return size, count


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
