"""Oid: the name of a piece of content, the 16 bytes of its xxh3_128.

xxh3 guards against accidents, not against people: inside one store all writers trust each other.
"""

from __future__ import annotations

from xxhash import xxh3_128, xxh3_128_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import RawIOBase
    from typing import NewType

    Oid = NewType("Oid", bytes)
else:
    Oid = bytes

CHUNK = 1 << 20
"""Bytes read at a time: large enough that Python's share of hashing is under one per cent."""

Hasher = xxh3_128


def of_bytes(data: bytes) -> Oid:
    """Name these bytes."""
    return Oid(xxh3_128_digest(data))


def of_file(path: str) -> Oid:
    """Name the content of the file at *path*, reading it in chunks."""
    with open(path, "rb", buffering=0) as file:
        return of_open(file)


def of_open(file: RawIOBase) -> Oid:
    """Name what an open file holds from where it is read next, in chunks."""
    hasher = Hasher()
    while chunk := file.read(CHUNK):
        hasher.update(chunk)
    return Oid(hasher.digest())


def parse(text: str) -> Oid:
    """Read 32 lower-case hex digits.

    Raises:
        ValueError: for anything else, so that text from a file can never become a path.
    """
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"not an id: {text[:40]!r}")
    return Oid(bytes.fromhex(text))
