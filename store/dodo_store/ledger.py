"""Ledger: key -> the records of what was made for it, each written once and never changed.

Usually one record a key. A key that was made twice with different results keeps both, so that
one whose objects are gone does not hide the other.
"""

from __future__ import annotations

import contextlib
import os

from dodo_store import durable, record
from dodo_store.errors import Damaged, NewerFormat, StoreError
from dodo_store.oid import of_bytes, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dodo_store.oid import Oid


class Ledger:
    """Records under one folder: `ab/<30 hex of the key>.<32 hex of the record>`."""

    def __init__(self, folder: str, check_writing: Callable[[], None] = lambda: None) -> None:
        """*check_writing* is called before a record is kept; see `Store.check_writing`."""
        self.folder = folder
        self._check_writing = check_writing

    def put(self, key: Oid, at: float, value: Any) -> None:
        """Keep *value*, made at *at* (seconds since the epoch), under *key*.

        Everything that it names must be durable already.
        """
        self._check_writing()
        data = record.encode(record.RUN, [key, float(at), value])
        name = key.hex()
        folder = os.path.join(self.folder, name[:2])
        is_new = not os.path.isdir(folder)
        if is_new:
            os.makedirs(folder, exist_ok=True)
        durable.replace(f"{folder}/{name[2:]}.{of_bytes(data).hex()}", data, mode=0o444)
        if is_new:
            # Last: a file system that writes everything in order has done it by now.
            durable.sync_folder(self.folder)

    def get(self, key: Oid) -> list[Any]:
        """Every value kept under *key*, the newest first; damaged ones do not count."""
        name = key.hex()
        folder = os.path.join(self.folder, name[:2])
        found: list[tuple[float, Any]] = []
        for file in _listing(folder):
            if file.startswith(name[2:]):
                try:
                    found.append(self._read(os.path.join(folder, file)))
                except (Damaged, NewerFormat):
                    continue
        return [value for _, value in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def drop(self, key: Oid) -> None:
        """Forget everything that is kept under *key*."""
        name = key.hex()
        folder = os.path.join(self.folder, name[:2])
        for file in _listing(folder):
            if file.startswith(name[2:]):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, file))

    def _read(self, path: str) -> tuple[float, Any]:
        """When and what, of a file whose name says truly what is in it."""
        ab, name = path.rsplit("/", 2)[1:]
        rest, _, own = name.partition(".")
        try:
            key, record_oid = parse(ab + rest), parse(own)
        except ValueError:
            raise Damaged(path, "not the name of a run's record") from None
        try:
            data = record.read_regular(path)
        except OSError as error:
            raise Damaged(path, f"cannot be read ({error.strerror})") from None
        value = record.decode(record.RUN, data, path)
        if not isinstance(value, tuple) or len(value) != 3 or not isinstance(value[1], float):
            raise Damaged(path, "not a run's record")
        if value[0] != key or of_bytes(data) != record_oid:
            raise Damaged(path, "kept under another name")
        return value[1], value[2]

    def paths(self) -> Iterator[str]:
        """Where each record is kept."""
        for ab in _listing(self.folder):
            for file in _listing(os.path.join(self.folder, ab)):
                if not file.startswith(durable.TEMPORARY):
                    yield os.path.join(self.folder, ab, file)

    def all(self) -> Iterator[tuple[str, Any]]:
        """Path and value of every record; a damaged one's value is its error."""
        for path in self.paths():
            found = self.read(path)
            yield path, found if isinstance(found, StoreError) else found[1]

    def read(self, path: str) -> tuple[float, Any] | StoreError:
        """When a record was made, and its value; of a damaged one, what is wrong with it."""
        try:
            return self._read(path)
        except StoreError as error:
            return error


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
