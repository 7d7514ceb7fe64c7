"""Memo: what was read from the user's files, kept as msgpack until a file's stat moves.

Parsing YAML of ten thousand stages takes over a second, unpacking the same 40 ms. Each value is
packed on its own, so that only what is asked for is unpacked, and only what is new is packed. The
file may be deleted at any time.
"""

from __future__ import annotations

import os
from _thread import RLock
from contextlib import suppress
from errno import ELOOP

from dodo_exp.engine.still import code_identity
from dodo_exp.errors import BadInput
from dodo_store import durable, record
from dodo_store.boot import boot_id
from dodo_store.errors import StoreError
from dodo_store.oid import of_bytes, of_file
from dodo_store.stamps import is_settled, mark, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from dodo_store.stamps import Mark

VERSION = 4
"""Raise it whenever the shape of any kept value changes."""

NO_MARK: Mark = (-1, -1, -1, -1)
"""Of what has moved between two questions: no file has this."""


class Memo:
    """Kind and path -> the file's mark and the value read from it, in which tuples become lists.

    The same value is the same object for as long as nothing moves.
    """

    def __init__(self, path: str, *, is_trusted: bool = True) -> None:
        """One that is not *trusted* knows nothing from earlier commands."""
        self._path = path
        self._lock = RLock()
        """Guards the tables; not held while a file is read."""
        self._dirty = False
        self._values: dict[str, tuple[bytes, Any]] = {}
        self._used: dict[str, Mark | None] = {}
        try:
            version, code, boot, table = record.read(record.CACHE, path, lists=True)
            # A file that was read before the machine stopped may hold zeros now.
            is_good = (
                is_trusted and version == VERSION and code == code_identity() and boot == boot_id()
            )
            self._table: dict[str, Any] = table if is_good else {}
        except (OSError, StoreError, ValueError, TypeError):
            self._table = {}

    @property
    def used(self) -> dict[str, Mark | None]:
        """What was asked for, with the mark that the answer is good for; None: not there."""
        with self._lock:
            return dict(self._used)

    def get(self, kind: str, path: str, full: str, read: Callable[[], Any]) -> Any:
        """The value of the file at *full*, from the table or by *read*.

        Raises:
            FileNotFoundError, BadInput for a loop of links, and whatever *read* raises.
        """
        try:
            found = mark(os.stat(full))
        except (FileNotFoundError, NotADirectoryError):
            self._use(path, None)
            raise
        except OSError as error:
            if error.errno == ELOOP:
                raise BadInput(path, "not a regular file") from None
            raise
        self._use(path, found)
        name = f"{kind}:{path}"
        entry = self._table.get(name)
        if entry is not None and tuple(entry[0]) == found and self._is_sure(entry, found, full):
            with suppress(ValueError):
                return self._value(name, entry[1])
        started = now()
        value = read()
        if is_settled(found, started) and mark(os.stat(full)) == found:
            self._keep(name, found, value)
        return value

    def is_there(self, path: str, root: str) -> bool:
        """Whether there is anything at a path relative to *root*."""
        found = _mark(root, path)
        self._use(path, None if found is None else _as_mark(found))
        return found is not None

    def put(self, kind: str, path: str, full: str, data: bytes, value: Any) -> None:
        """Keep the value of a file that was just written with *data*.

        The clock cannot vouch yet for what it holds, so that is compared when it is asked for.
        """
        self._keep(f"{kind}:{path}", mark(os.stat(full)), value, of_bytes(data))

    def _is_sure(self, entry: list[Any], found: Mark, full: str) -> bool:
        """Whether a file with the right mark holds what was read from it."""
        if not entry[2]:
            return True
        started = now()
        if of_file(full) != entry[2]:
            return False
        if is_settled(found, started):
            with self._lock:
                entry[2] = b""
                self._dirty = True
        return True

    def get_watched(
        self, kind: str, path: str, root: str, read: Callable[[Callable[[str], None]], Any]
    ) -> Any:
        """A value that *read* makes from several files, and names each before it looks at it.

        Names are relative to *root*; a file that is not there, or a folder whose entries count,
        is named as well.
        """
        name = f"{kind}:{path}"
        entry = self._table.get(name)
        if entry is not None and all(_mark(root, each) == was for each, was in entry[0]):
            with suppress(ValueError):
                value = self._value(name, entry[1])
                self._use_all(entry[0])
                return value
        started = now()
        marks: dict[str, Any] = {}
        value = read(lambda each: marks.update({each: marks.get(each) or _mark(root, each)}))
        self._use_all(marks.items())
        settled = all(
            each is None or is_settled(_as_mark(each), started) for each in marks.values()
        )
        if settled and all(_mark(root, each) == was for each, was in marks.items()):
            self._keep(name, list(marks.items()), value)
        return value

    def _value(self, name: str, packed: bytes) -> Any:
        """Raises: ValueError, where it is not what we write."""
        with self._lock:
            kept = self._values.get(name)
            if kept is None or kept[0] is not packed:
                kept = self._values[name] = (packed, record.unpack(packed))
            return kept[1]

    def _keep(self, name: str, marks: Any, value: Any, oid: bytes = b"") -> None:
        with self._lock:
            self._table.pop(name, None)
            try:
                packed = record.pack(value)
            except (OverflowError, ValueError, TypeError):
                return  # an integer beyond 64 bits, say: what holds it is read anew each time
            self._table[name] = [marks, packed, oid]
            self._values[name] = (packed, value)
            self._dirty = True

    def _use_all(self, marks: Iterable[tuple[str, list[int] | None]]) -> None:
        for name, was in marks:
            self._use(name, None if was is None else _as_mark(was))

    def _use(self, path: str, found: Mark | None) -> None:
        with self._lock:
            if self._used.setdefault(path, found) != found:
                self._used[path] = NO_MARK

    def save(self) -> None:
        """Write the table if it changed; where that cannot be, only time is lost."""
        with self._lock:
            if not self._dirty:
                return
            try:
                row = [VERSION, code_identity(), boot_id(), self._table]
                data = record.encode(record.CACHE, row)
                durable.replace(self._path, data, sync=False)
            except (OSError, StoreError, OverflowError, ValueError, TypeError):
                return
            self._dirty = False


def _mark(root: str, name: str) -> list[int] | None:
    try:
        return list(mark(os.stat(os.path.join(root, name))))
    except OSError:
        return None


def _as_mark(found: list[int]) -> Mark:
    size, mtime, ctime, inode = found
    return size, mtime, ctime, inode
