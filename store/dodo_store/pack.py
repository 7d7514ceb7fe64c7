"""Pack: one file that carries records with all they name to another store.

Beside each xxh3 name stands a sha256, because xxh3 tells accidents and not people: whoever reads a
pack checks both, and the sha256 of the whole at its end. Nothing of a pack is believed, or kept,
before all of it has been read. The format is in docs/design/store.md, "Packs".
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Callable

from dodo_store import durable, record, tree
from dodo_store.errors import Damaged, NewerFormat, NotStorable, StoreError, TooLarge
from dodo_store.named import Named
from dodo_store.oid import CHUNK, Hasher, Oid, of_bytes
from dodo_store.pool import READ_ONLY
from dodo_store.tree import FOLDER, LINK, RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, NoReturn

    from dodo_store.pool import Batch, Pool
    from dodo_store.store import Store
    from dodo_store.tree import Node

MAGIC = b"DODOPACK"
FORMAT = 1
START = struct.Struct(">8sB")
ENTRY = struct.Struct(">B16sQ")
"""Kind, oid, size of what follows; after that the sha256 of it."""

END = 0
ROOT = 1
TREE = 2
OBJECT = 3
SECOND = 4
PART = 7
"""Kinds of entries: records (ROOT of experiments, SECOND of snapshots, PART of what those name)
come first, then trees, then objects, and the end."""

DEEPEST = 250
"""Folders in folders that are read at most."""

MOST = 50_000_000
"""Files below one folder that are read at most, each counted as often as it is named."""

LARGEST = 3 << 20
"""Bytes of an experiment's record: far above any that a person's params and metrics make."""

Told = Callable[[int], None]


def write(
    store: Store,
    records: Iterable[tuple[int, Oid]],
    nodes: Iterable[Node],
    to: IO[bytes],
    told: Told,
) -> str:
    """Write records and all that *nodes* lead to; return the sha256 of the pack.

    Every byte is checked against its name on its way.

    Raises:
        Missing, Damaged: the store does not have it all; what was written is no whole pack.
        NotStorable: it holds a name that `read` refuses.
    """
    trees: dict[Oid, bytes] = {}
    objects: dict[Oid, int] = {}
    for node in nodes:
        _gather(store, node, trees, objects)
    out = _Out(to)
    out.write(START.pack(MAGIC, FORMAT))
    for kind, oid in records:
        data = store.records.read(oid)
        if len(data) > LARGEST:
            raise TooLarge(store.records.path(oid), f"params and metrics of {len(data):,} bytes")
        out.entry(kind, oid, data)
    for oid, data in trees.items():
        out.entry(TREE, oid, data)
    for oid, size in objects.items():
        _write_object(store.objects, oid, size, out)
        told(size)
    out.write(ENTRY.pack(END, bytes(16), len(trees) + len(objects)))
    total = out.whole.digest()
    to.write(total)
    return total.hex()


def _gather(store: Store, top: Node, trees: dict[Oid, bytes], objects: dict[Oid, int]) -> None:
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if node.kind != FOLDER:
            objects.setdefault(node.oid, node.size)
        elif node.oid not in trees:
            data = store.trees.read(node.oid)
            trees[node.oid] = data
            entries = tree.decode(node.oid, data, store.trees.path(node.oid))
            _check_exportable(entries, store.trees.path(node.oid))
            waiting += [inner for _, inner in entries]


def _check_exportable(entries: tree.Entries, path: str) -> None:
    """Raises: NotStorable: `read` would refuse the whole pack."""
    for name, _ in entries:
        if name in RESERVED:
            raise NotStorable(path, f"it holds {name!r}, which no pack may carry")


class _Out:
    """A stream that knows the sha256 of all that went into it."""

    def __init__(self, to: IO[bytes]) -> None:
        self._to = to
        self.whole = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._to.write(data)
        self.whole.update(data)

    def entry(self, kind: int, oid: Oid, data: bytes) -> None:
        self.write(ENTRY.pack(kind, oid, len(data)))
        self.write(data)
        self.write(hashlib.sha256(data).digest())


def _write_object(pool: Pool, oid: Oid, size: int, out: _Out) -> None:
    own, hasher, left = hashlib.sha256(), Hasher(), size
    out.write(ENTRY.pack(OBJECT, oid, size))
    with pool.opened(oid, size) as fd:
        while left and (chunk := os.read(fd, min(CHUNK, left))):
            own.update(chunk)
            hasher.update(chunk)
            out.write(chunk)
            left -= len(chunk)
    if left or hasher.digest() != oid:
        raise Damaged(pool.path(oid), "its content does not match its name")
    out.write(own.digest())


class Unpacked(Named):
    """What a pack carried: its records by name, their kinds, and how much content was new."""

    records: dict[Oid, bytes]
    kinds: dict[Oid, int]
    objects: int
    bytes: int


def read(
    store: Store,
    source: IO[bytes],
    path: str,
    batch: Batch,
    scratch: str,
    nodes_of: Callable[[Oid, bytes], Iterable[Node]],
    told: Told,
) -> Unpacked:
    """Read a pack into *batch*, all of it or nothing; commit, and the records, are the caller's.

    *nodes_of* reads a record and gives the nodes it names.

    Raises:
        Damaged: not a pack, or anything in it is not what it says.
        NewerFormat
    """
    reader = _In(source, path)
    magic, fmt = START.unpack(reader.exactly(START.size))
    if magic != MAGIC:
        raise Damaged(path, "not a file that `dodo exp export` wrote")
    if fmt > FORMAT:
        raise NewerFormat(path, f"pack format {fmt} is newer than this version reads")
    records: dict[Oid, bytes] = {}
    kinds: dict[Oid, int] = {}
    trees: dict[Oid, bytes] = {}
    objects: dict[Oid, tuple[int, str, bytes]] = {}
    for kind, oid, size in reader.entries():
        if kind == OBJECT:
            if oid in objects:
                raise Damaged(path, "the same object twice")
            temporary = os.path.join(scratch, durable.temporary_name())
            objects[oid] = (size, temporary, reader.to_file(oid, size, temporary))
            told(size)
            continue
        into = trees if kind == TREE else records
        if objects or (into is records and trees) or oid in into:
            raise Damaged(path, "its parts are not in order")
        into[oid] = reader.whole_entry(kind, oid, size)
        kinds[oid] = kind
    _check_whole(records, trees, objects, nodes_of, path)
    new = _add(store, batch, trees, objects)
    return Unpacked(records, {oid: kinds[oid] for oid in records}, *new)


class _In:
    """A stream that is read to its end, and no byte further."""

    def __init__(self, source: IO[bytes], path: str) -> None:
        self._source = source
        self._path = path
        self._all = hashlib.sha256()

    def exactly(self, size: int) -> bytes:
        """The next *size* bytes, at most a record's worth."""
        parts = []
        while size:
            chunk = self._source.read(min(size, CHUNK))
            if not chunk:
                raise Damaged(self._path, "cut short")
            self._all.update(chunk)
            parts.append(chunk)
            size -= len(chunk)
        return b"".join(parts)

    def entries(self) -> Iterator[tuple[int, Oid, int]]:
        """The head of each entry; whoever takes one reads what follows it."""
        count = 0
        while True:
            kind, oid, size = ENTRY.unpack(self.exactly(ENTRY.size))
            if kind == END:
                break
            if kind not in (ROOT, TREE, OBJECT, SECOND, PART):
                raise Damaged(self._path, f"an entry of unknown kind {kind}")
            count += kind in (TREE, OBJECT)
            yield kind, Oid(oid), size
        wanted = self._all.digest()
        if oid != bytes(16) or size != count or self._source.read(32) != wanted:
            raise Damaged(self._path, "its check sum does not match")
        if self._source.read(1):
            raise Damaged(self._path, "bytes after its end")

    def whole_entry(self, kind: int, oid: Oid, size: int) -> bytes:
        """A record or tree."""
        if size > (record.LIMIT + 1024 if kind == TREE else LARGEST):
            raise Damaged(self._path, f"a record of {size:,} bytes")
        data = self.exactly(size)
        sha = hashlib.sha256(data).digest()
        if self.exactly(32) != sha or of_bytes(data) != oid:
            raise Damaged(self._path, f"{oid.hex()} is not what its check sums say")
        return data

    def to_file(self, oid: Oid, size: int, temporary: str) -> bytes:
        """An object, on its way to the store; returns its sha256."""
        sha, hasher, left = hashlib.sha256(), Hasher(), size
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(temporary, flags, READ_ONLY)
        try:
            while left:
                chunk = self.exactly(min(left, CHUNK))
                sha.update(chunk)
                hasher.update(chunk)
                durable.write_all(fd, chunk)
                left -= len(chunk)
        finally:
            os.close(fd)
        if self.exactly(32) != sha.digest() or hasher.digest() != oid:
            raise Damaged(self._path, f"{oid.hex()} is not what its check sums say")
        return sha.digest()


def _check_whole(
    records: dict[Oid, bytes],
    trees: dict[Oid, bytes],
    objects: dict[Oid, tuple[int, str, bytes]],
    nodes_of: Callable[[Oid, bytes], Iterable[Node]],
    path: str,
) -> None:
    """All that is named must be in the pack, all in it must be named, and be fit to be restored."""
    tops = [node for oid, data in records.items() for node in nodes_of(oid, data)]
    sizes = {oid: size for oid, (size, _, _) in objects.items()}
    found = _Folders(trees, sizes, path)
    for node in tops:
        found.visit(node, 0)
    for oid in found.links:
        _check_target(objects[oid], path)
    if found.folders.keys() != trees.keys() or found.files != objects.keys():
        raise Damaged(path, "something is in it that nothing names")


class _Folders:
    """The folders of a pack: each is looked at once, however often it is named."""

    def __init__(self, trees: dict[Oid, bytes], sizes: dict[Oid, int], path: str) -> None:
        self._trees = trees
        self._sizes = sizes
        self._path = path
        self.folders: dict[Oid, tuple[int, int, int]] = {}
        """Size in bytes, folders below one another, and files in all."""
        self.files: set[Oid] = set()
        self.links: set[Oid] = set()

    def visit(self, node: Node, level: int) -> tuple[int, int, int]:
        """All below a node must be there, and fit to be restored."""
        if node.kind != FOLDER:
            if self._sizes.get(node.oid) != node.size:
                self._refuse(f"{node.oid.hex()} is named and not in it, or of another size")
            self.files.add(node.oid)
            if node.kind == LINK:
                self.links.add(node.oid)
            return node.size, 0, 1
        found = self.folders.get(node.oid)
        if found is None:
            found = self.folders[node.oid] = self._look(node.oid, level)
        size, depth, files = found
        if size != node.size:
            self._refuse(f"folder {node.oid.hex()} is not of the size that is given")
        if level + depth > DEEPEST:
            self._refuse("folders nested too deep")
        if files > MOST:
            self._refuse(f"folders of over {MOST:,} files")
        return found

    def _look(self, oid: Oid, level: int) -> tuple[int, int, int]:
        if oid not in self._trees:
            self._refuse(f"folder {oid.hex()} is named and not in it")
        if level > DEEPEST:
            self._refuse("folders nested too deep")
        _check_rows(self._trees[oid], self._path)
        entries = tree.decode(oid, self._trees[oid], self._path)
        _check_names(entries, self._path)
        inner = [self.visit(each, level + 1) for _, each in entries]
        return (
            sum(size for size, _, _ in inner),
            1 + max((depth for _, depth, _ in inner), default=0),
            1 + sum(files for _, _, files in inner),
        )

    def _refuse(self, why: str) -> NoReturn:
        raise Damaged(self._path, why)


def _check_rows(data: bytes, path: str) -> None:
    """A tree's bytes are rows as we write them, so that reading them takes no more than their size.

    See `tree.encode`: each an array of name, kind, oid, size, digest or nil.
    """
    at = record.HEAD.size
    if len(data) < at + 17:
        raise Damaged(path, "a folder that is none")
    width = {0xDC: 2, 0xDD: 4}.get(data[at], 0)
    if not width and data[at] & 0xF0 != 0x90:
        raise Damaged(path, "a folder that is none")
    count = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else data[at] & 15
    at += 1 + width
    end = len(data) - 16
    for _ in range(count):
        row = _ROW.match(data, at, end)
        if row is None:
            raise Damaged(path, "a folder with an entry that is none")
        at = row.end() + (data[row.end() - 1] if row["short"] else 0)
        if row["long"]:
            at += int.from_bytes(data[row.end() - 2 : row.end()], "big")
        rest = _REST.match(data, at, end)
        if rest is None:
            raise Damaged(path, "a folder with an entry that is none")
        at = rest.end()
    if at != end:
        raise Damaged(path, "a folder with more in it than it says")


_ROW = re.compile(rb"\x95(?:(?P<short>\xc4.)|(?P<long>\xc5..))", re.DOTALL)
_REST = re.compile(
    rb"[\x00-\x03]\xc4\x10.{16}"
    rb"(?:[\x00-\x7f]|\xcc.|\xcd.{2}|\xce.{4}|\xcf.{8})(?:\xc0|\xc4\x10.{16})",
    re.DOTALL,
)


def _check_target(found: tuple[int, str, bytes], path: str) -> None:
    size, temporary, _ = found
    if size > 4096:
        raise Damaged(path, "a link with a target of over 4096 bytes")
    with open(temporary, "rb") as file:
        target = file.read()
    if not target or b"\0" in target:
        raise Damaged(path, "a link with no fit target")


def _check_names(entries: tree.Entries, path: str) -> None:
    import unicodedata

    met: dict[str, str] = {}
    # Reserved names are refused in whichever case: a hook put into a repository is run.
    for name, _ in entries:
        alike = unicodedata.normalize("NFC", name).casefold()
        if len(os.fsencode(name)) > 255:
            raise Damaged(path, f"a file name of over 255 bytes: {name[:40]!r}")
        if alike.rstrip(". ") in RESERVED:
            raise Damaged(path, f"a file named {name!r}, which a pack may not carry")
        if alike in met:
            text = f"{met[alike]!r} and {name!r} in one folder, which some systems take for one"
            raise Damaged(path, text)
        met[alike] = name


def _add(
    store: Store,
    batch: Batch,
    trees: dict[Oid, bytes],
    objects: dict[Oid, tuple[int, str, bytes]],
) -> tuple[int, int]:
    """Hand everything to the batch; what is here under the same name must be the same."""
    count = size = 0
    for oid, (length, _, sha) in objects.items():
        _check_same(store.objects, oid, length, sha)
    for oid, data in trees.items():
        check_same_bytes(store.trees, oid, data)
    for oid, (length, temporary, _) in objects.items():
        if not store.objects.has(oid, length):
            count, size = count + 1, size + length
        batch.adopt(store.objects, oid, length, temporary)
    for oid, data in trees.items():
        batch.add_bytes(store.trees, oid, data)
    return count, size


def check_same_bytes(pool: Pool, oid: Oid, data: bytes) -> None:
    """The same for a tree or a record.

    Raises:
        Damaged
    """
    try:
        here = pool.read(oid)
    except StoreError:
        return
    if here != data:
        raise Damaged(pool.path(oid), DECEIVES)


DECEIVES = "the pack holds other content under this name: it was made to deceive, or is damaged"


def _check_same(pool: Pool, oid: Oid, size: int, sha: bytes) -> None:
    """A second content for a name that is taken is no accident.

    Raises:
        Damaged
    """
    if not pool.has(oid, size):
        return
    own = hashlib.sha256()
    try:
        with pool.opened(oid, size) as fd:
            while chunk := os.read(fd, CHUNK):
                own.update(chunk)
    except StoreError:
        return
    if own.digest() != sha:
        raise Damaged(pool.path(oid), DECEIVES)
