"""Ledger: key -> the records of what was made for it, each written once and never changed.

Usually one record a key. A key that was made twice with different results keeps both, so that
one whose objects are gone does not hide the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from dodo_store import durable, record
from dodo_store.errors import Damaged
from dodo_store.oid import Oid, of_bytes


class Ledger:
    """Records under one folder: `ab/<30 hex of the key>.<32 hex of the record>`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def put(self, key: Oid, at: float, value: Any) -> None:
        """Keep *value*, made at *at* (seconds since the epoch), under *key*.

        Everything that it names must be durable already.
        """
        data = record.encode(record.RUN, [key, at, value])
        name = key.hex()
        folder = os.path.join(self.folder, name[:2])
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
            durable.sync_folder(self.folder)
        durable.replace(f"{folder}/{name[2:]}.{of_bytes(data).hex()}", data, mode=0o444)

    def get(self, key: Oid) -> list[Any]:
        """Every value kept under *key*, the newest first; damaged ones do not count."""
        name = key.hex()
        folder = os.path.join(self.folder, name[:2])
        found: list[tuple[float, Any]] = []
        try:
            files = os.listdir(folder)
        except FileNotFoundError:
            return []
        for file in files:
            if file.startswith(name[2:]):
                try:
                    found.append(self._read(os.path.join(folder, file), key)[1:])
                except Damaged:
                    continue
        return [value for _, value in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def _read(self, path: str, key: Oid) -> tuple[Oid, float, Any]:
        named, at, value = record.read(record.RUN, path)
        if named != key:
            raise Damaged(path, "kept under another key")
        return Oid(named), at, value

    def all(self) -> Iterator[tuple[str, Any]]:
        """Path and value of every record, for checking; raises Damaged at a damaged one."""
        if not os.path.isdir(self.folder):
            return
        for ab in sorted(os.listdir(self.folder)):
            for file in sorted(os.listdir(os.path.join(self.folder, ab))):
                path = os.path.join(self.folder, ab, file)
                if file.startswith(durable.TEMPORARY):
                    continue
                key, _, _ = file.partition(".")
                yield path, self._read(path, Oid(bytes.fromhex(ab + key)))[2]
