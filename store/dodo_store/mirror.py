"""Mirror: make a folder exactly what a tree says, touching only what differs from it.

For folders that are ours alone: what is in them and not in the tree is removed. Killed at any
moment it can be begun again, because it goes by what is there.
"""

from __future__ import annotations

import contextlib
import os
import stat

from dodo_store import forks
from dodo_store.errors import Changing, Damaged, NotStorable
from dodo_store.named import Named
from dodo_store.oid import of_bytes, of_file
from dodo_store.stamps import mark, now
from dodo_store.tree import EXEC, FOLDER, LINK
from dodo_store.walk import BLOCK, Source, Walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dodo_store.oid import Oid
    from dodo_store.stamps import Mark, Stamps
    from dodo_store.store import Store
    from dodo_store.tree import Node

OURS = 0o600
"""Modes without which a file of ours is not left as it is: the next user may want to write it."""


class Mirrored(Named):
    """How many files and links were written, and how many things were removed."""

    written: int
    removed: int


def mirror(store: Store, node: Node, root: str, stamps: Stamps) -> Mirrored:
    """Make the folder *root*, which may not be there, be what *node* says.

    Raises:
        Missing, Damaged: the store cannot give it; what is in *root* is then of no use.
    """
    made = _Mirror(store, root, stamps)
    if not os.path.isdir(root) or os.path.islink(root):
        wipe(root)
        os.makedirs(root)
    made.folder("", node)
    made.write()
    made.settle()
    return Mirrored(made.written, made.removed)


class _Seen(Walk):
    """A walk that remembers what each folder came to, and which hold files that are not to be left
    so; of folders that have moved, what their files and links came to."""

    def __init__(self, root: str, stamps: Stamps) -> None:
        super().__init__(Source(root, stamps, None, strict=True))
        self.nodes: dict[str, Node] = {}
        self.leaves: dict[str, dict[str, Node]] = {}
        self.odd: set[str] = set()

    def folder(self, path: str, graft: object = None, above: tuple[str, ...] = ()) -> Node:
        """As every walk, noting the node."""
        node = super().folder(path, None, above)
        self.nodes[path] = node
        return node

    def _leaves(
        self, path: str, leaves: list[tuple[str, os.stat_result]], above: tuple[str, ...]
    ) -> dict[str, Node]:
        members = super()._leaves(path, leaves, above)
        self.leaves[path] = dict(members)
        return members

    def _list_if_there(self, path: str) -> tuple[bytes, list[str]] | None:
        """Nothing is unlocked ahead of its turn: what was a folder may be anything now.

        And what is odd has to be known to the walk itself, where this is another process.
        """
        try:
            if not _is_usable(os.path.join(self._root, path)):
                return None
        except OSError:
            return None
        found = super()._list_if_there(path)
        return None if path in self.odd else found

    def _look(self, path: str) -> object:  # type: ignore[override]
        _unlock(os.path.join(self._root, path) if path else self._root)
        seen = super()._look(path)
        for _, found in seen.leaves:
            is_file = stat.S_ISREG(found.st_mode)
            if is_file and (found.st_mode & OURS != OURS or found.st_nlink > 1):
                self.odd.add(path)
        return seen


class _Mirror:
    """One mirroring."""

    def __init__(self, store: Store, root: str, stamps: Stamps) -> None:
        self._store = store
        self._root = root
        self._stamps = stamps
        self._seen = _Seen(root, stamps)
        self._files: list[tuple[str, Node]] = []
        self._fresh: list[tuple[str, Mark, Oid]] = []
        self.written = self.removed = 0
        # A pipe, or a file that nobody may read: then each thing is looked at by itself.
        with contextlib.suppress(NotStorable, Changing, OSError, RecursionError):
            self._seen.list_ahead("")
            self._seen.folder("")

    def folder(self, path: str, node: Node) -> None:
        """Bring a folder that is there to what *node* says."""
        seen = self._seen.nodes.get(path)
        if seen is not None and seen.oid == node.oid and not self._is_odd(path):
            return
        full = self._full(path)
        wanted = dict(self._store.tree(node.oid))
        known = self._seen.leaves.get(path, {}) if path not in self._seen.odd else {}
        with os.scandir(full) as entries:
            present = list(entries)
        for entry in present:
            want = wanted.get(entry.name)
            if want is not None and want == known.get(entry.name):
                del wanted[entry.name]
                continue
            inner = f"{path}/{entry.name}" if path else entry.name
            if want is not None and self._is_good(inner, entry, want):
                del wanted[entry.name]
            else:
                wipe(entry.path)
                self.removed += 1
        self._build_all(path, list(wanted.items()))

    def _is_odd(self, path: str) -> bool:
        """Whether a file at or below a folder cannot be left as it is."""
        return any(not path or odd == path or odd.startswith(f"{path}/") for odd in self._seen.odd)

    def _is_good(self, path: str, entry: os.DirEntry[str], want: Node) -> bool:
        """Whether what is there is what is wanted, or a folder that has been made so."""
        if entry.is_dir(follow_symlinks=False):
            if want.kind != FOLDER or not _is_usable(entry.path):
                return False
            self.folder(path, want)
            return True
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return want.kind == LINK and of_bytes(os.fsencode(os.readlink(entry.path))) == want.oid
        is_ours = found.st_mode & OURS == OURS and found.st_nlink == 1
        is_exec = bool(found.st_mode & stat.S_IXUSR)
        if not stat.S_ISREG(found.st_mode) or not is_ours or want.kind in (LINK, FOLDER):
            return False
        if found.st_size != want.size or is_exec != (want.kind == EXEC):
            return False
        oid = self._stamps.get(path, mark(found)) or of_file(entry.path)
        return oid == want.oid

    def _build_all(self, path: str, members: Sequence[tuple[str, Node]]) -> None:
        """Make what a folder lacks."""
        for name, node in members:
            inner = f"{path}/{name}" if path else name
            if node.kind in (LINK, FOLDER):
                self._build(inner, node)
            else:
                self._files.append((inner, node))
        if len(self._files) > BLOCK:
            self.write()

    def write(self) -> None:
        """Write the files that are to be in folders which are there."""
        files, self._files = self._files, []
        for (path, node), found in zip(files, forks.each(files, self._write), strict=True):
            self._fresh.append((path, found, node.oid))
        self.written += len(files)

    def _write(self, files: Sequence[tuple[str, Node]]) -> list[Mark]:
        found = []
        for path, node in files:
            full = self._full(path)
            mode = 0o777 if node.kind == EXEC else 0o666
            found.append(self._store.objects.copy_out(node.oid, node.size, full, mode))
        return found

    def _build(self, path: str, node: Node) -> None:
        """Make a link or a folder."""
        full = self._full(path)
        if node.kind == FOLDER:
            os.mkdir(full)
            self._build_all(path, self._store.tree(node.oid))
            return
        self.written += 1
        objects = self._store.objects
        target = objects.read(node.oid)
        if b"\0" in target or not target:
            raise Damaged(objects.path(node.oid), "not the target of a link")
        os.symlink(target, os.fsencode(full))

    def settle(self) -> None:
        """What was written need not be read to be known, if it has not moved since."""
        self._stamps.set_all(self._fresh, now())

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _unlock(folder: str) -> None:
    """Let a folder be as a new one would be, if somebody has taken our rights to it."""
    if not _is_usable(folder):
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(folder, 0o777 & ~mask)


def _is_usable(folder: str) -> bool:
    return os.lstat(folder).st_mode & 0o700 == 0o700


def wipe(path: str) -> None:
    """Remove whatever is at *path*, also folders that somebody has locked."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(path)
        return
    import shutil

    if not _is_usable(path):
        os.chmod(path, 0o700)
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            if not os.path.islink(inner) and not _is_usable(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(path)
