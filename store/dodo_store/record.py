"""Record: a value on disk that can tell whether it is whole.

Layout: `DODO`, format (1 byte), kind (1 byte), payload length (4 bytes, big endian), payload in
msgpack, xxh3_128 of all before. A torn, emptied, foreign or newer file is told apart before
anything in it is interpreted. See docs/design/store.md, "Records".
"""

from __future__ import annotations

import errno
import os
import stat
import struct

import msgpack

from dodo_store.errors import Damaged, NewerFormat, TooLarge
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MAGIC = b"DODO"
FORMAT = 1
HEAD = struct.Struct(">4sBBI")
LIMIT = 64 << 20
"""No record is larger than this many bytes; a larger one is neither written nor read."""

CACHE_LIMIT = 1 << 30
"""The same for caches, which nobody else has written."""

TREE = 1
RUN = 2
EXPERIMENT = 3
CACHE = 4
JOURNAL = 5
STEP = 6
JOB = 7


def _unknown_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def pack(value: Any) -> bytes:
    """Encode *value* so that equal values give equal bytes; callers sort their own maps.

    Names that are not UTF-8 (PEP 383) are kept byte for byte.
    """
    return bytes(msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape"))


def unpack(data: bytes) -> Any:
    """A value from its own bytes, which nothing else guards; see `pack`."""
    return msgpack.unpackb(data, unicode_errors="surrogateescape", strict_map_key=False)


def encode(kind: int, value: Any) -> bytes:
    """Frame *value* as a record of this *kind*.

    Raises:
        TooLarge
    """
    payload = pack(value)
    if len(payload) > limit(kind):
        raise TooLarge("", f"a record of {len(payload):,} bytes")
    head = HEAD.pack(MAGIC, FORMAT, kind, len(payload)) + payload
    return head + of_bytes(head)


def limit(kind: int) -> int:
    """The largest payload of a kind, in bytes."""
    return CACHE_LIMIT if kind == CACHE else LIMIT


def decode(kind: int, data: bytes, path: str, *, lists: bool = False) -> Any:
    """Read one record that fills *data*; its lists come back as tuples, or as lists.

    Raises:
        Damaged: torn, foreign, of another kind, or not well formed.
        NewerFormat: whole, but written by a newer version.
    """
    value, rest = split(kind, data, path, lists=lists)
    if rest != len(data):
        raise Damaged(path, "bytes after the end of the record")
    return value


def split(
    kind: int, data: bytes, path: str, start: int = 0, *, lists: bool = False
) -> tuple[Any, int]:
    """Read the record that begins at *start*; return it and where the next one begins."""
    body = start + HEAD.size
    if len(data) < body:
        raise Damaged(path, "shorter than a record")
    magic, fmt, found, length = HEAD.unpack_from(data, start)
    end = body + length
    if magic != MAGIC:
        raise Damaged(path, "not a record")
    if (
        length > limit(kind)
        or len(data) < end + 16
        or data[end : end + 16] != of_bytes(data[start:end])
    ):
        raise Damaged(path, "its check sum does not match")
    if fmt == 0:
        raise Damaged(path, "of no format")
    if fmt > FORMAT:
        raise NewerFormat(path, f"record format {fmt} is newer than this version reads")
    if found != kind:
        raise Damaged(path, f"a record of kind {found}, not {kind}")
    try:
        value = msgpack.unpackb(
            data[body:end],
            raw=False,
            unicode_errors="surrogateescape",
            use_list=lists,
            strict_map_key=False,
            ext_hook=_unknown_extension,
            object_pairs_hook=_unique,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise Damaged(path, f"not well formed ({error})") from None
    return value, end + 16


def read(kind: int, path: str, *, lists: bool = False) -> Any:
    """Read the record that is the whole file at *path*; FileNotFoundError where there is none."""
    data = read_regular(path, limit(kind) + HEAD.size + 17)
    return decode(kind, data, path, lists=lists)


def read_regular(path: str, most: int = 1 << 40) -> bytes:
    """The bytes of a file, at most *most*; one that is no regular file is not waited for.

    Raises:
        Damaged: a folder, a FIFO or a link.
        FileNotFoundError
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Damaged(path, "not a regular file") from None
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(path, "not a regular file")
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.readall() if found.st_size <= most else file.read(most)
    finally:
        os.close(fd)
