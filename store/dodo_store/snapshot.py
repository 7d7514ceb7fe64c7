"""Snapshot: a file or folder taken into the store, and brought back from it.

Taking reads only what has moved since it was last taken. Bringing back builds beside the target
and swaps by rename, so a reader sees the old content or the new, never a mix.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple, Union

from dodo_store import durable, tree
from dodo_store.errors import Damaged, NotStorable
from dodo_store.ignore import Ignore
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.stamps import Stamps, mark, now
from dodo_store.store import Store
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Node

Graft = Mapping[str, Union[Node, "Graft", None]]
"""What to put in place of what the disk holds: a node, a folder of grafts, or None for nothing."""


class Source(NamedTuple):
    """A folder to take from."""

    root: str
    stamps: Stamps
    ignore: Ignore | None
    strict: bool
    """Refuse links that lead outside *root* and special files, rather than keep or pass them."""


def take(store: Store, batch: Batch, source: Source, path: str, graft: Graft | None = None) -> Node:
    """Add the file or folder at *path* (relative, "" for all) to *batch*; commit is the caller's.

    Raises:
        NotStorable, Changing
    """
    full = os.path.join(source.root, path) if path else source.root
    found = os.lstat(full)
    if stat.S_ISDIR(found.st_mode):
        try:
            return _folder(store, batch, source, path, graft or {})
        except RecursionError:
            raise NotStorable(path, "folders nested too deep") from None
    node = _leaf(store, batch, source, path, found)
    if node is None:
        raise NotStorable(path, "neither a file, a folder nor a link")
    return node


def _folder(store: Store, batch: Batch, source: Source, path: str, graft: Graft) -> Node:
    members: dict[str, Node] = {}
    full = os.path.join(source.root, path) if path else source.root
    with os.scandir(full) as entries:
        for entry in entries:
            inner = f"{path}/{entry.name}" if path else entry.name
            over = graft.get(entry.name, graft)
            if over is None or isinstance(over, Node):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            below = {} if over is graft else over
            if source.ignore is not None and source.ignore.skips(inner, is_folder):
                continue
            if not is_folder and _has_node(below):
                continue  # what is grafted below it needs a folder in its place
            node = (
                _folder(store, batch, source, inner, below)
                if is_folder
                else _leaf(store, batch, source, inner, entry.stat(follow_symlinks=False))
            )
            if node is not None:
                members[entry.name] = node
    return _close(store, batch, {**members, **_grafted(store, batch, graft, members)})


def _has_node(graft: Graft) -> bool:
    """Whether anything is put in, rather than only left out."""
    return any(
        isinstance(over, Node) or (over is not None and _has_node(over)) for over in graft.values()
    )


def _grafted(
    store: Store, batch: Batch, graft: Graft, present: Mapping[str, Node]
) -> dict[str, Node]:
    """Grafts that the disk did not bring up: nodes, and folders that exist only in grafts."""
    made: dict[str, Node] = {}
    for name, over in graft.items():
        if isinstance(over, Node):
            made[name] = over
        elif over is not None and name not in present:
            inner = _grafted(store, batch, over, {})
            if inner:
                made[name] = _close(store, batch, inner)
    return made


def _close(store: Store, batch: Batch, members: Mapping[str, Node]) -> Node:
    """Add a folder's own tree, once its members are in."""
    names = sorted(members, key=os.fsencode)
    oid, data = tree.encode(tuple((name, members[name]) for name in names))
    batch.add_bytes(store.trees, oid, data)
    seen = tree.digest([tree.member(name, members[name]) for name in names])
    return Node(FOLDER, oid, sum(node.size for node in members.values()), seen)


def _leaf(
    store: Store, batch: Batch, source: Source, path: str, found: os.stat_result
) -> Node | None:
    full = os.path.join(source.root, path)
    if stat.S_ISLNK(found.st_mode):
        return _link(store, batch, source, path, os.readlink(full))
    if not stat.S_ISREG(found.st_mode):
        if source.strict:
            raise NotStorable(path, "neither a file, a folder nor a link")
        return None
    kind = EXEC if found.st_mode & stat.S_IXUSR else FILE
    oid = source.stamps.get(path, mark(found))
    if oid is None or not store.objects.has(oid, found.st_size):
        started = now()
        oid, found = batch.add_file(store.objects, full)
        source.stamps.set(path, mark(found), oid, started)
    return Node(kind, oid, found.st_size, oid)


def _link(store: Store, batch: Batch, source: Source, path: str, target: str) -> Node:
    if source.strict:
        folder = os.path.join(source.root, os.path.dirname(path))
        if os.path.isabs(target):
            raise NotStorable(path, f"a link with an absolute target, {target!r}; make it relative")
        if not _is_within(os.path.join(folder, target), source.root):
            raise NotStorable(path, f"a link that leads outside the project, to {target!r}")
    data = os.fsencode(target)
    oid = of_bytes(data)
    batch.add_bytes(store.objects, oid, data)
    return Node(LINK, oid, len(data), tree.link_digest(target))


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


def restore(store: Store, node: Node, root: str, path: str, scratch: str) -> None:
    """Make *path* under *root* be what *node* says, replacing what is there.

    It is built in *scratch*, where a kill leaves nothing in anybody's way, unless that is another
    file system.

    Raises:
        NotStorable: a folder on the way is a link that leads outside *root*.
        Missing, Damaged: the store cannot give it; the target is then untouched.
    """
    full = os.path.join(root, path)
    parent = os.path.dirname(full)
    if not _is_within(parent, root):
        raise NotStorable(path, "a folder on its way is a link that leads outside the project")
    try:
        os.makedirs(parent, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotStorable(path, "a file is where a folder on its way should be") from None
    beside = scratch if os.stat(scratch).st_dev == os.stat(parent).st_dev else parent
    new = os.path.join(beside, durable.temporary_name())
    old = os.path.join(beside, durable.temporary_name())
    try:
        _build(store, node, new)
        _swap(new, full, old)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(full):
            os.rename(old, full)
        remove(new)
        raise
    remove(old)


def _is_within(path: str, root: str) -> bool:
    """Whether a path, with every link on its way followed, is *root* or below it."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(top + os.sep)


def _build(store: Store, node: Node, to: str) -> None:
    if node.kind == LINK:
        target = store.objects.read(node.oid)
        if len(target) != node.size or b"\0" in target:
            raise Damaged(store.objects.path(node.oid), "not the target of the recorded link")
        os.symlink(target, os.fsencode(to))
    elif node.kind == FOLDER:
        os.mkdir(to)
        for name, inner in store.tree(node.oid):
            _build(store, inner, os.path.join(to, name))
    else:
        store.objects.copy_out(node.oid, node.size, to)
        if node.kind == EXEC:
            os.chmod(to, 0o777 & ~store.umask)


def _swap(new: str, target: str, old: str) -> None:
    """Rename *new* over *target*; where a folder is in the way, that goes to *old* first."""
    is_folder = os.path.isdir(target) and not os.path.islink(target)
    if is_folder or os.path.isdir(new):
        with contextlib.suppress(FileNotFoundError):
            os.rename(target, old)
    os.rename(new, target)


def remove(path: str) -> None:
    """Remove a file, link or folder; nothing where nothing is."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        import shutil

        shutil.rmtree(path)
