"""Memo: what was read from the user's files, kept as msgpack until a file's stat moves.

Parsing YAML of ten thousand stages takes over a second, unpacking the same 40 ms. The file may be
deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from dodo_store import durable, record
from dodo_store.errors import StoreError
from dodo_store.stamps import Mark, is_settled, mark, now

VERSION = 2
"""Raise it whenever the shape of any kept value changes."""


def _mark(root: str, name: str) -> list[int] | None:
    try:
        return list(mark(os.stat(os.path.join(root, name))))
    except OSError:
        return None


NO_MARK: Mark = (-1, -1, -1, -1)
"""Of what has moved between two questions: no file has this."""


def _as_mark(found: list[int]) -> Mark:
    size, mtime, ctime, inode = found
    return size, mtime, ctime, inode


def _is_encodable(entry: Any) -> bool:
    try:
        return bool(record.encode(record.CACHE, entry))
    except (OverflowError, ValueError, TypeError):
        return False


class Memo:
    """Kind and path -> the file's mark and the value read from it, in which tuples become lists."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._dirty = False
        self.used: dict[str, Mark | None] = {}
        """What was asked for, with the mark that the answer is good for; None: not there."""
        try:
            version, table = record.read(record.CACHE, path, lists=True)
            self._table: dict[str, Any] = table if version == VERSION else {}
        except (OSError, StoreError, ValueError, TypeError):
            self._table = {}

    def get(self, kind: str, path: str, full: str, read: Callable[[], Any]) -> Any:
        """The value of the file at *full*, from the table or by *read*.

        Raises:
            FileNotFoundError, and whatever *read* raises.
        """
        try:
            found = mark(os.stat(full))
        except (FileNotFoundError, NotADirectoryError):
            self._use(path, None)
            raise
        self._use(path, found)
        entry = self._table.get(f"{kind}:{path}")
        if entry is not None and tuple(entry[0]) == found:
            return entry[1]
        started = now()
        value = read()
        if is_settled(found, started) and mark(os.stat(full)) == found:
            self._table[f"{kind}:{path}"] = (found, value)
            self._dirty = True
        return value

    def get_watched(
        self, kind: str, path: str, root: str, read: Callable[[Callable[[str], None]], Any]
    ) -> Any:
        """A value that *read* makes from several files, and names each before it looks at it.

        Names are relative to *root*; a file that is not there, or a folder whose entries count,
        is named as well.
        """
        entry = self._table.get(f"{kind}:{path}")
        if entry is not None and all(_mark(root, name) == was for name, was in entry[0]):
            self._use_all(entry[0])
            return entry[1]
        started = now()
        marks: dict[str, Any] = {}
        value = read(lambda name: marks.update({name: marks.get(name) or _mark(root, name)}))
        self._use_all(marks.items())
        settled = all(each is None or is_settled(tuple(each), started) for each in marks.values())
        if settled and all(_mark(root, name) == was for name, was in marks.items()):
            self._table[f"{kind}:{path}"] = (list(marks.items()), value)
            self._dirty = True
        return value

    def _use_all(self, marks: Iterable[tuple[str, list[int] | None]]) -> None:
        for name, was in marks:
            self._use(name, None if was is None else _as_mark(was))

    def _use(self, path: str, found: Mark | None) -> None:
        if self.used.setdefault(path, found) != found:
            self.used[path] = NO_MARK

    def save(self) -> None:
        """Write the table if it changed; where that cannot be, only time is lost."""
        if not self._dirty:
            return
        try:
            data = record.encode(record.CACHE, [VERSION, self._table])
        except (OverflowError, ValueError, TypeError):
            # An integer beyond 64 bits, say: what holds it is read anew each time.
            kept = {name: entry for name, entry in self._table.items() if _is_encodable(entry)}
            data = record.encode(record.CACHE, [VERSION, kept])
        try:
            durable.replace(self._path, data, sync=False)
        except (OSError, StoreError):
            return
        self._dirty = False
