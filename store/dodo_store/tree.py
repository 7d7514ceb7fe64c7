"""Tree: one folder as a sorted list of named nodes; a sub-folder is a node that names its own tree.

A node has two names. Its *oid* says where its bytes are and covers everything that a restore
brings back (modes, links, empty folders). Its *digest* says what a reader of the files sees: it
ignores modes and empty folders, so that `chmod` or `mkdir` is not a changed dependency. For a
file the two are equal.
"""

from __future__ import annotations

import os

from dodo_store import record
from dodo_store.errors import Damaged
from dodo_store.named import Named
from dodo_store.oid import Oid, of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = 0
EXEC = 1
LINK = 2
FOLDER = 3

RESERVED = frozenset({".dodo", ".git"})
"""Names that are never content, whether of a file, a link or a folder, at any depth.

Both may be a link or a file (a store on another disk, a Git worktree or submodule), and what they
say is true of one folder on one machine only.
"""


class Node(Named):
    """A file, an executable file, a link (its object is the target's path) or a folder."""

    kind: int
    oid: Oid
    size: int
    digest: Oid


Entries = tuple[tuple[str, Node], ...]
"""What a folder holds, sorted by the bytes of the names."""

EMPTY = of_bytes(b"folder\n")
"""Digest of a folder without files, however many empty folders it holds."""

Member = tuple[bytes, bytes, Oid]
"""A name, `f`, `l` or `d` for file, link or folder, and the digest."""


def digest(members: list[Member]) -> Oid:
    """Digest of a folder from its members, in any order."""
    seen = sorted(member for member in members if member[1:] != (b"d", EMPTY))
    if not seen:
        return EMPTY
    return of_bytes(b"folder\n" + b"".join(b"%b%d:%b%b" % (k, len(n), n, d) for n, k, d in seen))


def member(name: str, node: Node) -> Member:
    """A node as a member of a folder's digest; a mode does not count."""
    letter = {LINK: b"l", FOLDER: b"d"}.get(node.kind, b"f")
    return os.fsencode(name), letter, node.digest


def link_digest(target: str) -> Oid:
    """Digest of a link that is taken as it is rather than followed."""
    return of_bytes(b"link\n" + os.fsencode(target))


def encode(entries: Entries) -> tuple[Oid, bytes]:
    """The tree's name and its record."""
    rows = [
        (os.fsencode(name), node.kind, node.oid, node.size, _own_digest(node))
        for name, node in entries
    ]
    data = record.encode(record.TREE, rows)
    return of_bytes(data), data


def _own_digest(node: Node) -> bytes | None:
    return None if node.digest == node.oid else node.digest


def decode(oid: Oid, data: bytes, path: str) -> Entries:
    """Read a tree and hold it to its rules.

    Raises:
        Damaged: not the bytes it is named for, or names that could reach outside the folder.
    """
    if of_bytes(data) != oid:
        raise Damaged(path, "its content does not match its name")
    rows = record.decode(record.TREE, data, path)
    if not isinstance(rows, tuple):
        raise Damaged(path, "not a list of entries")
    entries = []
    last = b""
    for row in rows:
        name, node = _checked(row, path)
        if name <= last:
            raise Damaged(path, "names out of order")
        last = name
        entries.append((os.fsdecode(name), node))
    return tuple(entries)


def _checked(row: Any, path: str) -> tuple[bytes, Node]:
    if not isinstance(row, tuple) or len(row) != 5:
        raise Damaged(path, "an entry is not a row of five")
    name, kind, oid, size, own = row
    if not isinstance(name, bytes) or name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise Damaged(path, f"not a file name: {name!r:.60}")
    if type(kind) is not int or not FILE <= kind <= FOLDER or type(size) is not int or size < 0:
        raise Damaged(path, f"a strange entry for {name!r:.60}")
    if not _is_oid(oid) or not (own is None or _is_oid(own)):
        raise Damaged(path, f"not an id beside {name!r:.60}")
    return name, Node(kind, Oid(oid), size, Oid(own if own is not None else oid))


def _is_oid(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 16


def is_reserved(path: str) -> bool:
    """Whether a path is, or leads through, a reserved name."""
    return not RESERVED.isdisjoint(path.split("/"))
