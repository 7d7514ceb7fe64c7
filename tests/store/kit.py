"""Kit: a store and a project folder beside it, for tests that need no command."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from dodo_store import restore, snapshot, tree
from dodo_store.ignore import Ignore
from dodo_store.oid import Oid, of_bytes
from dodo_store.pool import Batch
from dodo_store.stamps import Stamps
from dodo_store.store import Store
from dodo_store.tree import FILE, FOLDER, Entries, Node
from dodo_store.walk import Digest as Seen
from dodo_store.walk import Source, digest

LATER = 10**19 // 2
"""A time (ns) at which every file of a test has long settled."""

thorough = settings(max_examples=60, deadline=None, database=None)

names = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"-").replace(b"\0", b"\n"))
    .filter(lambda raw: raw not in (b".", b".."))
)
"""File names as the kernel knows them: any bytes."""

ODD_NAMES = [
    b"\xff\xfe",
    b"two\nlines",
    b"n" * 255,
    "\u00e4\u00f6 \u7532".encode(),
    b" ",
    b"...",
    b"-rf",
    b"\\",
]


class Kit:
    """A store that is ready, and `root`, a folder to take from and restore to."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "project"
        self.root.mkdir()
        self.store = Store(str(base / ".dodo"))
        self.store.create()
        self.stamps = Stamps(str(base / "stamps"))

    # -- filling the store -----------------------------------------------------------------

    def put(self, data: bytes, kind: int = FILE) -> Node:
        """Keep these bytes; a node that names them."""
        oid = of_bytes(data)
        with self.store.scratch() as scratch:
            batch = Batch(scratch)
            batch.add_bytes(self.store.objects, oid, data)
            batch.commit()
        return Node(kind, oid, len(data), oid)

    def put_tree(self, entries: Entries) -> Node:
        """Keep a folder of these entries; a node that names it."""
        oid, data = tree.encode(entries)
        with self.store.scratch() as scratch:
            batch = Batch(scratch)
            batch.add_bytes(self.store.trees, oid, data)
            batch.commit()
        seen = tree.digest([tree.member(name, node) for name, node in entries])
        return Node(FOLDER, oid, sum(node.size for _, node in entries), seen)

    # -- verbs -----------------------------------------------------------------------------

    def take(
        self,
        path: str = "",
        *,
        strict: bool = False,
        ignore: Ignore | None = None,
        graft: Mapping[str, Node | None] | None = None,
    ) -> Node:
        """Take a path of the project into the store."""
        source = Source(str(self.root), self.stamps, ignore, strict)
        with self.store.scratch() as scratch:
            batch = Batch(scratch)
            made = snapshot.graft_of(graft or {})
            node = snapshot.take(self.store, batch, source, path, made)
            batch.commit()
        return node

    def restore(self, node: Node, path: str, root: Path | None = None) -> None:
        """Bring a node back into the project, or into another folder; nothing may be left over."""
        with self.store.scratch() as scratch:
            try:
                restore.restore(self.store, node, str(root or self.root), path, scratch)
            finally:
                assert os.listdir(scratch) == []

    def seen(self, path: str, *, follow: bool = True, ignore: Ignore | None = None) -> Seen:
        """The digest of a path of the project."""
        return digest(Source(str(self.root), self.stamps, ignore, strict=True), path, follow=follow)

    def members(self, node: Node) -> dict[str, Node]:
        """What a folder's node holds."""
        return dict(self.store.tree(node.oid))

    def object_path(self, node: Node) -> Path:
        """Where a file's content is kept."""
        return Path(self.store.objects.path(node.oid))

    def tree_path(self, node: Node) -> Path:
        """Where a folder's tree is kept."""
        return Path(self.store.trees.path(node.oid))


def damage(path: Path, data: bytes) -> None:
    """Give a write-once file other bytes."""
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file, and nothing about its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    damage(path, bytes(data))


def look(path: Path) -> dict[bytes, Any]:
    """All that is at *path*: folders, links with their targets, files with x bit and bytes."""
    return dict(_look(os.fsencode(path), b""))


def _look(full: bytes, name: bytes) -> Iterable[tuple[bytes, Any]]:
    found = os.lstat(full)
    if stat.S_ISLNK(found.st_mode):
        yield name, ("link", os.readlink(full))
    elif stat.S_ISDIR(found.st_mode):
        yield name, "folder"
        for inner in sorted(os.listdir(full)):
            yield from _look(os.path.join(full, inner), os.path.join(name, inner))
    else:
        with open(full, "rb") as file:
            yield name, ("file", bool(found.st_mode & stat.S_IXUSR), file.read())


def oid_of(text: str) -> Oid:
    """Some id."""
    return of_bytes(text.encode())
