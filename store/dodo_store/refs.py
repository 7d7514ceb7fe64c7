"""Refs: the few mutable names of a store, each a small file that names a record."""

from __future__ import annotations

import os

from dodo_store import durable
from dodo_store.errors import Damaged
from dodo_store.oid import of_bytes, parse
from dodo_store.record import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dodo_store.oid import Oid


class Refs:
    """One folder of refs. A name is a file name; callers keep it to letters, digits, `-_.`."""

    def __init__(self, folder: str, check_writing: Callable[[], None] = lambda: None) -> None:
        """*check_writing* is called before a ref is set; see `Store.check_writing`."""
        self.folder = folder
        self._check_writing = check_writing

    def path(self, name: str) -> str:
        """Where the ref is kept."""
        return os.path.join(self.folder, name)

    def names(self) -> Iterator[str]:
        """All names, in no particular order."""
        try:
            entries = os.listdir(self.folder)
        except FileNotFoundError:
            return
        yield from (name for name in entries if not name.startswith("."))

    def has(self, name: str) -> bool:
        """Whether there is a ref of this name, readable or not."""
        return os.path.lexists(self.path(name))

    def get(self, name: str) -> Oid | None:
        """What the ref names; None where there is no such ref.

        Raises:
            Damaged: the file is there but not whole.
        """
        path = self.path(name)
        try:
            data = read_regular(path, 200)
        except FileNotFoundError:
            return None
        try:
            text, check = data.decode("ascii").split()
            oid = parse(text)
        except (ValueError, UnicodeDecodeError):
            raise Damaged(path, "not a ref") from None
        if check != _check(oid):
            raise Damaged(path, "its check sum does not match")
        return oid

    def set(self, name: str, oid: Oid) -> None:
        """Point the ref at a record that is already durable."""
        self._check_writing()
        os.makedirs(self.folder, exist_ok=True)
        durable.replace(self.path(name), f"{oid.hex()} {_check(oid)}\n".encode(), mode=0o644)

    def delete(self, name: str) -> None:
        """Remove the ref; what it named stays until it is collected."""
        os.unlink(self.path(name))
        durable.sync_folder(self.folder)


def _check(oid: Oid) -> str:
    return of_bytes(b"ref " + oid).hex()[:8]
