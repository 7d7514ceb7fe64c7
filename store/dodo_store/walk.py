"""Walk: what a file or folder on disk comes to, as a node; with a batch, also taken into the store.

Inputs are seen as a program sees them: their links are followed, because a program that opens the
path follows them; a link that leads back into a folder being walked is taken as it is. Outputs and
workspaces are seen as the store keeps them: links as they are.

The price of a folder in which nothing moved is one listing and one stat for each file. All that
the stats said goes into one hash; if that is the hash the last walk came to, the folder's own files
need no further look, and if its sub-folders came to the same too, neither does the folder.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from dodo_store import forks, record, tree
from dodo_store.errors import Changing, NotStorable
from dodo_store.named import Named
from dodo_store.oid import Oid, of_bytes, of_file
from dodo_store.stamps import is_settled, mark, now
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar

    from dodo_store.ignore import Ignore
    from dodo_store.pool import Batch
    from dodo_store.stamps import Stamps
    from dodo_store.store import Store

    Graft = Mapping[str, Node | "Graft" | None]
    """What to put in place of what the disk holds: a node, a folder of grafts, or None: nothing."""
    T = TypeVar("T")

_Read = tuple[Oid, os.stat_result, int]
"""A file's name, what it was when it was read, and when reading began."""

LARGE = 4 << 20
"""Bytes to be read, in one folder, from which on threads are worth it: below, in files of a few
kilobytes, they only wait for each other."""

AVERAGE = 256 << 10
"""The same for the average file."""

MANY = 4096
"""Files that were there before from which on folders are listed ahead."""

BLOCK, BLOCK_SIZE = 8192, 256 << 20
"""Files, and bytes, that are shared among processes at a time."""


Listings = dict[str, tuple[bytes, list[str]]]
"""Folder -> the hash of its listing, and its sub-folders."""


class Source(Named):
    """A folder to walk in, and how."""

    root: str
    stamps: Stamps
    ignore: Ignore | None
    strict: bool
    """Refuse links that lead outside *root* and special files, rather than keep or pass them."""
    links: bool = False
    """Hand plain files over to the store: they share their content with it from then on."""
    listings: Listings | None = None
    """What walks have seen lately, for whoever may take that for what is there now."""


class _Seen(Named):
    """A listing: what moves with any change of it, its files and links, its folders."""

    key: bytes
    leaves: list[tuple[str, os.stat_result]]
    folders: list[str]
    started: int


class Walk:
    """One walk. Without *store* and *batch* nothing is kept, only named."""

    def __init__(
        self,
        source: Source,
        *,
        follow: bool = False,
        store: Store | None = None,
        batch: Batch | None = None,
    ) -> None:
        self._root = source.root
        self._stamps = source.stamps
        self._ignore = source.ignore
        self._source = source
        self._listings = {} if source.listings is None else source.listings
        self._follow = follow
        self._store = store
        self._batch = batch
        self.is_same = True
        """Whether inputs and outputs see what was walked alike."""
        self._is_plain = True
        kind = "i" if follow else "d" if batch is None else "s" if source.strict else "w"
        self._tag = kind + (source.ignore.tag if source.ignore is not None else "")

    # -- folders ---------------------------------------------------------------------------

    def list_ahead(self, path: str) -> None:
        """List folders that are known at and below a path, if they are many, in several processes.

        A folder in which something has moved since is listed once more when its turn comes.
        """
        known = [each for each in self._stamps.known(path) if each[0] not in self._listings]
        files = sum(count for _, count in known)
        count = forks.shares(files)
        if len(known) < 2 or files < MANY or count == 1:
            return
        known.sort(key=lambda each: each[1])
        names = [name for start in range(count) for name, _ in known[start::count]]
        for name, found in zip(names, forks.each(names, self._list_all, count), strict=True):
            if found is not None:
                self._listings[name] = found

    def _list_all(self, paths: Sequence[str]) -> list[tuple[bytes, list[str]] | None]:
        return [self._list_if_there(path) for path in paths]

    def _list_if_there(self, path: str) -> tuple[bytes, list[str]] | None:
        try:
            self._look(path)
        except OSError:
            return None
        return self._listings.pop(path)

    def folder(self, path: str, graft: Graft | None = None, above: tuple[str, ...] = ()) -> Node:
        """The folder at *path* (relative, "" for the root)."""
        if graft:
            return self._grafted_folder(path, graft, above)
        memo = self._stamps.memo(path, self._tag)
        seen = None if memo is not None and path in self._listings else self._look(path)
        key = seen.key if seen is not None else self._key(path, *self._listings[path])
        outer, self.is_same = self.is_same, True
        inner: dict[str, Node] = {}
        if memo is not None and _fits(memo, key):
            _, subs, whole, plain, is_same = memo
            inner = self._folders(path, subs, (*above, path))
            if whole == _whole(key, inner) and (node := self._known(plain)) is not None:
                self.is_same = outer and self.is_same and is_same
                if self._batch is not None:
                    self._batch.passed(node.size - sum(each.size for each in inner.values()))
                return node
        node = self._slowly(path, seen or self._look(path), inner, (*above, path))
        self.is_same = outer and self.is_same
        return node

    def _slowly(
        self, path: str, seen: _Seen, inner: dict[str, Node], above: tuple[str, ...]
    ) -> Node:
        """Look at every member; keep a memo where nothing can change unseen."""
        was_same, was_plain = self.is_same, self._is_plain
        self.is_same = self._is_plain = True
        leaves = [
            (name, found)
            for name, found in seen.leaves
            if not self._skips(_join(path, name), False)
        ]
        subs = [name for name in seen.folders if not self._skips(_join(path, name), True)]
        members = self._leaves(path, leaves, above)
        own_same, own_plain = self.is_same, self._is_plain
        inner |= self._folders(path, [name for name in subs if name not in inner], above)
        # A folder that was known may be a file by now: only what this listing names counts.
        folders = {name: inner[name] for name in subs if name in inner}
        own_plain = own_plain and len(folders) == len(subs)
        members |= folders
        node = self._close(members)
        self._is_plain = was_plain
        if own_plain and all(is_settled(mark(found), seen.started) for _, found in seen.leaves):
            memo = [seen.key, subs, _whole(seen.key, folders), list(node), own_same]
            names = dict(seen.leaves)
            self._stamps.keep(path, self._tag, memo, names)
        self.is_same = self.is_same and was_same
        return node

    def _folders(self, path: str, names: list[str], above: tuple[str, ...]) -> dict[str, Node]:
        """The nodes of sub-folders, without those that were removed since they were listed."""
        found = {}
        for name in names:
            node = self._if_there(_join(path, name), self.folder, None, above)
            if node is not None:
                found[name] = node
        return found

    def _if_there(self, path: str, read: Callable[..., T], *args: Any) -> T | None:
        """Call `read(path, *args)`; None if *path* was removed since it was listed."""
        try:
            return read(path, *args)
        except NotADirectoryError:
            pass  # a file is where a folder was
        except FileNotFoundError:
            if os.path.lexists(os.path.join(self._root, path)):
                raise
        self._is_plain = False
        return None

    def _look(self, path: str) -> _Seen:
        """List a folder: one stat for each file or link, none for a folder."""
        started = now()
        rows: list[Any] = []
        leaves: list[tuple[str, os.stat_result]] = []
        folders: list[str] = []
        full = os.path.join(self._root, path) if path else self._root
        with os.scandir(full) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed since it was listed
                    continue
                leaves.append((name, found))
                rows += (
                    name,
                    found.st_mode,
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                )
        listing = of_bytes(record.pack([rows, folders]))
        self._listings[path] = listing, folders
        return _Seen(self._key(path, listing, folders), leaves, folders, started)

    def _key(self, path: str, listing: bytes, folders: list[str]) -> bytes:
        """What moves with any change of a listing, or of what is passed over in it."""
        rules = self._ignore.mark(path, folders) if self._ignore is not None else b""
        return of_bytes(listing + rules)

    def _skips(self, path: str, is_folder: bool) -> bool:
        if self._ignore is None:
            return False
        if self._ignore.skips(path, is_folder):
            return True
        self.is_same = self.is_same and not self._ignore.is_default(path, is_folder)
        return False

    def _known(self, plain: Any) -> Node | None:
        """A memo's node, if the store has what it needs."""
        node = Node(*plain)
        if self._batch is None or self._store is None:
            return node
        return node if self._store.trees.has(node.oid) else None

    def _close(self, members: Mapping[str, Node]) -> Node:
        """The folder's node; its own tree goes into the batch once its members are in."""
        names = sorted(members, key=os.fsencode)
        oid, data = tree.encode(tuple((name, members[name]) for name in names))
        if self._batch is not None and self._store is not None:
            self._batch.add_bytes(self._store.trees, oid, data)
        seen = tree.digest([tree.member(name, members[name]) for name in names])
        return Node(FOLDER, oid, sum(node.size for node in members.values()), seen)

    # -- grafts ----------------------------------------------------------------------------

    def _grafted_folder(self, path: str, graft: Graft, above: tuple[str, ...]) -> Node:
        """A folder some of which is given; it has no memo, those of its sub-folders serve."""
        seen = self._look(path)
        leaves = []
        members: dict[str, Node] = {}
        for name, found in seen.leaves:
            if name in graft and (_is_given(graft[name]) or _has_node(graft[name])):
                continue
            if not self._skips(_join(path, name), False):
                leaves.append((name, found))
        for name in seen.folders:
            over = graft.get(name, {})
            if over is None or isinstance(over, Node) or self._skips(_join(path, name), True):
                continue
            node = self._if_there(_join(path, name), self.folder, over, (*above, path))
            if node is not None:
                members[name] = node
        members.update(self._leaves(path, leaves, above))
        members.update(self._made(graft, members))
        return self._close(members)

    def _made(self, graft: Graft, present: Mapping[str, Node]) -> dict[str, Node]:
        """Grafts that the disk did not bring up: nodes, and folders that exist only in grafts."""
        made: dict[str, Node] = {}
        for name, over in graft.items():
            if isinstance(over, Node):
                made[name] = over
            elif over is not None and name not in present:
                inner = self._made(over, {})
                if inner:
                    made[name] = self._close(inner)
        return made

    # -- files and links -------------------------------------------------------------------

    def _leaves(
        self, path: str, leaves: list[tuple[str, os.stat_result]], above: tuple[str, ...]
    ) -> dict[str, Node]:
        """The nodes of a folder's files and links; several threads read what has to be read."""
        members: dict[str, Node] = {}
        unread: list[tuple[str, os.stat_result]] = []
        passed = 0
        for name, found in leaves:
            if stat.S_ISREG(found.st_mode):
                oid = self._stamps.seen(path, name, mark(found))
                if oid is not None and self._has(oid, found.st_size):
                    members[name] = _file(oid, found)
                    passed += found.st_size
                else:
                    unread.append((name, found))
                continue
            node = self._if_there(_join(path, name), self._special, found, above)
            if node is not None:
                members[name] = node
        if self._batch is not None:
            self._batch.passed(passed)
        for (name, _), read in zip(unread, self._read(path, unread), strict=True):
            if read is not None:
                members[name] = self._stamped(_join(path, name), read)
        return members

    def _read(self, path: str, leaves: list[tuple[str, os.stat_result]]) -> list[_Read | None]:
        def one(leaf: tuple[str, os.stat_result]) -> _Read | None:
            return self._if_there(_join(path, leaf[0]), self._file, leaf[1])

        size = sum(found.st_size for _, found in leaves)
        is_small = size < AVERAGE * len(leaves) and not self._source.links
        if is_small and forks.shares(len(leaves)) > 1:
            return self._read_shared(path, leaves)
        if len(leaves) < 2 or size < max(LARGE, AVERAGE * len(leaves)):
            return [one(leaf) for leaf in leaves]
        from dodo_store import threads

        return threads.each(one, leaves)

    def _read_shared(
        self, path: str, leaves: list[tuple[str, os.stat_result]]
    ) -> list[_Read | None]:
        """The same of many small files, by several processes."""
        folder = os.path.join(self._root, path)
        read: list[_Read | None] = []
        for block in _blocks(leaves):
            started = now()
            named = [(f"{folder}/{name}", found) for name, found in block]
            for (name, found), taken in zip(block, forks.each(named, self._take), strict=True):
                if taken is None:
                    read.append(self._if_there(_join(path, name), self._file, found))
                    continue
                oid, temporary = Oid(taken[0]), taken[1]
                if self._batch is not None and self._store is not None:
                    self._batch.put(self._store.objects, oid, temporary, found.st_size)
                read.append((oid, found, started))
        return read

    def _take(self, leaves: Sequence[tuple[str, os.stat_result]]) -> list[tuple[bytes, str] | None]:
        """Name files, and copy them into the batch's folder; None for one that has moved."""
        if self._batch is None or self._store is None:
            return [_hash_once(full, found) for full, found in leaves]
        objects = self._store.objects
        return [self._batch.take(objects, full, mark(found)) for full, found in leaves]

    def _has(self, oid: Oid, size: int) -> bool:
        if self._batch is None or self._store is None:
            return True
        return self._store.objects.has(oid, size)

    def leaf(self, path: str, found: os.stat_result, above: tuple[str, ...] = ()) -> Node | None:
        """What is not a folder; None for a special file that is passed over."""
        if not stat.S_ISREG(found.st_mode):
            return self._special(path, found, above)
        oid = self._stamps.get(path, mark(found))
        if oid is not None and self._has(oid, found.st_size):
            return _file(oid, found)
        return self._stamped(path, self._file(path, found))

    def _file(self, path: str, found: os.stat_result) -> _Read:
        """Read a regular file whose stamp has moved; called from several threads."""
        full = os.path.join(self._root, path)
        started = now()
        if self._batch is not None and self._store is not None:
            linked = self._source.links and not found.st_mode & stat.S_IXUSR
            return *self._batch.add_file(self._store.objects, full, link=linked), started
        return *_hash(path, full, found), started

    def _stamped(self, path: str, read: _Read) -> Node:
        oid, found, started = read
        self._stamps.set(path, mark(found), oid, started)
        return _file(oid, found)

    def _special(self, path: str, found: os.stat_result, above: tuple[str, ...]) -> Node | None:
        if stat.S_ISLNK(found.st_mode):
            self.is_same = False
            return self._followed(path, above) if self._follow else self._link(path)
        if self._batch is not None and not self._source.strict:
            return None
        raise NotStorable(path, "neither a file, a folder nor a link")

    def _link(self, path: str) -> Node:
        target = os.readlink(os.path.join(self._root, path))
        if self._batch is not None and self._source.strict:
            self._check_link(path, target)
        data = os.fsencode(target)
        oid = of_bytes(data)
        if self._batch is not None and self._store is not None:
            self._batch.add_bytes(self._store.objects, oid, data)
        return Node(LINK, oid, len(data), tree.link_digest(target))

    def _check_link(self, path: str, target: str) -> None:
        folder = os.path.join(self._root, os.path.dirname(path))
        if os.path.isabs(target):
            raise NotStorable(path, f"a link with an absolute target, {target!r}; make it relative")
        if not is_within(os.path.join(folder, target), self._root):
            raise NotStorable(path, f"a link that leads outside the project, to {target!r}")

    def _followed(self, path: str, above: tuple[str, ...]) -> Node:
        """What a link leads to, if that is anything but a folder on the way to it."""
        self._is_plain = False  # what it leads to can change without a move of its own
        full = os.path.join(self._root, path)
        try:
            found = os.stat(full)
        except OSError:
            return self._link(path)
        if stat.S_ISDIR(found.st_mode):
            if any(_is_at(os.path.join(self._root, outer), found) for outer in above):
                return self._link(path)
            node = self.folder(path, None, above)
            self._is_plain = False
            return node
        leaf = self.leaf(path, found, above)
        assert leaf is not None
        return leaf


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _fits(memo: Any, key: bytes) -> bool:
    return isinstance(memo, list) and len(memo) == 5 and memo[0] == key


def _whole(key: bytes, inner: Mapping[str, Node]) -> bytes:
    return of_bytes(key + b"".join(node.oid + node.digest for node in inner.values()))


def _is_given(over: Any) -> bool:
    return over is None or isinstance(over, Node)


def _has_node(graft: Any) -> bool:
    """Whether anything is put in, rather than only left out."""
    return any(
        isinstance(over, Node) or (over is not None and _has_node(over)) for over in graft.values()
    )


def _file(oid: Oid, found: os.stat_result) -> Node:
    kind = EXEC if found.st_mode & stat.S_IXUSR else FILE
    return Node(kind, oid, found.st_size, oid)


def _hash(path: str, full: str, found: os.stat_result) -> tuple[Oid, os.stat_result]:
    """Name a file's content; three times at most, until it holds still."""
    for _ in range(3):
        oid = of_file(full)
        after = os.stat(full)
        if mark(after) == mark(found):
            return oid, found
        found = after
    raise Changing(path, "it is still being written to")


def _blocks(
    leaves: list[tuple[str, os.stat_result]],
) -> Iterator[list[tuple[str, os.stat_result]]]:
    """Some at a time, so that progress can be told in between."""
    block: list[tuple[str, os.stat_result]] = []
    size = 0
    for leaf in leaves:
        block.append(leaf)
        size += leaf[1].st_size
        if len(block) >= BLOCK or size >= BLOCK_SIZE:
            yield block
            block, size = [], 0
    yield block


def _hash_once(full: str, found: os.stat_result) -> tuple[bytes, str] | None:
    try:
        oid = of_file(full)
        return (oid, "") if mark(os.stat(full)) == mark(found) else None
    except OSError:
        return None


def _is_at(path: str, found: os.stat_result) -> bool:
    here = os.stat(path)
    return (here.st_dev, here.st_ino) == (found.st_dev, found.st_ino)


def is_within(path: str, root: str) -> bool:
    """Whether *path*, its links followed, lies in *root* or is it."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(top + os.sep)


class Digest(Named):
    """A digest, and whether inputs and outputs see the path alike, so that one digest does."""

    digest: Oid | None
    is_same_for_both: bool


def digest(source: Source, path: str, *, follow: bool) -> Digest:
    """Digest of the file or folder at *path* in *source*; None where nothing is there.

    Raises:
        NotStorable: a FIFO, socket or device, which is never opened.
        Changing: a file that does not hold still.
    """
    node, is_same = look(source, path, follow=follow)
    return Digest(node.digest if node is not None else None, is_same)


TRIES = 5
"""How often a path is looked at that is moved away during the look, as a run does with outputs."""


def look(source: Source, path: str, *, follow: bool) -> tuple[Node | None, bool]:
    """The node of what is at *path*, nothing kept; see `digest`."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError, NotADirectoryError):
            return _look_once(source, path, follow=follow)
    raise Changing(path, "it is moved away and back while it is read")


def _look_once(source: Source, path: str, *, follow: bool) -> tuple[Node | None, bool]:
    walk = Walk(source, follow=follow)
    full = os.path.join(source.root, path)
    try:
        found = os.lstat(full)
        is_link = stat.S_ISLNK(found.st_mode)
        if is_link and follow:
            found = os.stat(full)
    except (FileNotFoundError, NotADirectoryError):
        return None, True
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotStorable(path, "a link that leads to itself") from None
        raise
    if not stat.S_ISDIR(found.st_mode):
        return walk.leaf(path, found), not is_link
    try:
        walk.list_ahead(path)
        node = walk.folder(path)
    except RecursionError:
        raise NotStorable(path, "folders nested too deep") from None
    return node, walk.is_same and not is_link
