"""Content: the digest of a file or folder, without storing anything.

An input's links are followed, because a program that opens the path follows them; one that leads
back into a folder being walked is taken as it is. An output's links are taken as they are,
because that is what the store keeps.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from dodo_store import tree
from dodo_store.errors import Changing, NotStorable
from dodo_store.ignore import Ignore
from dodo_store.oid import Oid, of_file
from dodo_store.stamps import Stamps, mark, now


class Seen(NamedTuple):
    """A digest, and whether inputs and outputs see the path alike, so that one digest does."""

    digest: Oid | None
    is_same_for_both: bool


class _Walk:
    """One digest in the making."""

    def __init__(self, root: str, stamps: Stamps, ignore: Ignore | None, follow: bool) -> None:
        self.root = root
        self.stamps = stamps
        self.ignore = ignore
        self.follow = follow
        self.is_same = True

    def link(self, path: str) -> Oid:
        return tree.link_digest(os.readlink(os.path.join(self.root, path)))

    def any(self, path: str, found: os.stat_result, above: frozenset[tuple[int, int]]) -> Oid:
        if stat.S_ISREG(found.st_mode):
            return of_stamped(self.root, path, found, self.stamps)
        if not stat.S_ISDIR(found.st_mode):
            raise NotStorable(path, "neither a file nor a folder")
        above |= {(found.st_dev, found.st_ino)}
        members: list[tree.Member] = []
        with os.scandir(os.path.join(self.root, path)) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}"
                if self.ignore is not None:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if self.ignore.skips(inner, is_folder):
                        continue
                    self.is_same = self.is_same and not self.ignore.is_default(inner, is_folder)
                members.append((os.fsencode(entry.name), *self.member(inner, entry, above)))
        return tree.digest(members)

    def member(
        self, path: str, entry: os.DirEntry[str], above: frozenset[tuple[int, int]]
    ) -> tuple[bytes, Oid]:
        """The member's letter and digest; see `tree.Member`."""
        if entry.is_symlink():
            self.is_same = False
            found = self.followed(entry, above)
            if found is None:
                return b"l", self.link(path)
        else:
            found = entry.stat(follow_symlinks=False)
        letter = b"d" if stat.S_ISDIR(found.st_mode) else b"f"
        return letter, self.any(path, found, above)

    def followed(
        self, entry: os.DirEntry[str], above: frozenset[tuple[int, int]]
    ) -> os.stat_result | None:
        """Where a link leads, if it is to be followed and leads anywhere but back up."""
        if not self.follow:
            return None
        try:
            found = entry.stat()
        except OSError:
            return None
        return None if (found.st_dev, found.st_ino) in above else found


def digest(root: str, path: str, stamps: Stamps, ignore: Ignore | None, *, follow: bool) -> Seen:
    """Digest of the file or folder at *path* (relative to *root*); None where nothing is there.

    Raises:
        NotStorable: a FIFO, socket or device, which is never opened.
        Changing: a file that does not hold still.
    """
    walk = _Walk(root, stamps, ignore, follow)
    full = os.path.join(root, path)
    try:
        found = os.lstat(full)
        if stat.S_ISLNK(found.st_mode):
            walk.is_same = False
            if not follow:
                return Seen(walk.link(path), False)
            found = os.stat(full)
    except (FileNotFoundError, NotADirectoryError):
        return Seen(None, True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotStorable(path, "a link that leads to itself") from None
        raise
    return Seen(walk.any(path, found, frozenset()), walk.is_same)


def of_stamped(root: str, path: str, found: os.stat_result, stamps: Stamps) -> Oid:
    """Name of a regular file's content, read only if its stamp moved."""
    seen = mark(found)
    oid = stamps.get(path, seen)
    if oid is not None:
        return oid
    full = os.path.join(root, path)
    for _ in range(3):
        started = now()
        oid = of_file(full)
        after = mark(os.stat(full))
        if after == seen:
            stamps.set(path, seen, oid, started)
            return oid
        seen = after
    raise Changing(path, "it is still being written to")
