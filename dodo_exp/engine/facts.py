"""Facts: everything on disk that the verdict "nothing to do" rests on, with its stats.

Only what stood still well before the command began is a fact: its content cannot have changed
between the look at it and now (see dodo_store/stamps.py on clocks).
"""

from __future__ import annotations

import os
import stat
import struct

from dodo_exp import settings
from dodo_exp.engine import journal
from dodo_exp.engine.still import MOST, Facts, pack
from dodo_store.stamps import is_settled, mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_store.ignore import Ignore


class _Unfit(Exception):
    """Something is not fit to be a fact: it moved lately, or cannot be watched by a stat."""


def gather(workspace: Workspace, files: Iterable[str]) -> Facts | None:
    """What *workspace* has looked at, and *files* besides; None where that cannot be said."""
    try:
        return _Gatherer(workspace).all(files)
    except (_Unfit, OSError, struct.error):
        return None


class _Gatherer:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._facts = Facts(workspace.root)

    def all(self, files: Iterable[str]) -> Facts:
        workspace = self._workspace
        if not workspace.store.trusts_stat or workspace.is_beyond_stats:
            raise _Unfit
        if os.environ.get("DODO_HASH"):
            raise _Unfit  # a setting that says "always" has to be followed without it
        if journal.has_leftovers(workspace.store):
            raise _Unfit
        for path, was in workspace.memo.used.items():
            if was is None:
                self._absent(path)
            elif mark(self._look(path)) != was:
                raise _Unfit
        store = workspace.store
        for path in (f"{store.local}/journal", f"{store.folder}/undo", f"{store.folder}/VERSION"):
            self._look(path)
        for path in files:
            self._look(path)
        for path, follow in workspace.looked_at:
            if not follow and os.path.islink(workspace.path(path)):
                self._link(path)
            else:
                ignore = workspace.input_ignore if follow else workspace.output_ignore
                self._tree(path, ignore)
        for path in workspace.rules_from:
            self._look(path)
        for path, _ in settings.files(os.path.dirname(store.folder)):
            if os.path.lexists(path):
                self._look(path)
            else:
                self._absent(path)
        return self._facts

    def _absent(self, path: str) -> None:
        if os.path.lexists(self._workspace.path(path)):
            raise _Unfit
        self._facts.absent.add(path)

    def _look(self, path: str) -> os.stat_result:
        """Note a file or folder by where a link leads, and the link."""
        full = self._workspace.path(path)
        found = os.lstat(full)
        if stat.S_ISLNK(found.st_mode):
            self._link(path)
            found = os.stat(full)
        self._settled(found)
        self._facts.seen[path or "."] = pack(found)
        return found

    def _link(self, path: str) -> None:
        found = os.lstat(self._workspace.path(path))
        self._settled(found)
        self._facts.links[path] = pack(found)

    def _settled(self, found: os.stat_result) -> None:
        # Anybody can set the other time: in the store it is part of a file's name.
        changed = (found.st_size, found.st_ctime_ns, found.st_ctime_ns, found.st_ino)
        if not is_settled(changed, self._workspace.born) or len(self._facts.seen) > MOST:
            raise _Unfit

    def _tree(self, path: str, ignore: Ignore) -> None:
        found = self._look(path)
        if stat.S_ISREG(found.st_mode):
            if self._workspace.stamps.get(path, mark(found)) is None:
                raise _Unfit  # moved since it was hashed
            return
        if not stat.S_ISDIR(found.st_mode):
            raise _Unfit
        for name in os.listdir(self._workspace.path(path)):
            inner = f"{path}/{name}"
            is_folder = os.path.isdir(self._workspace.path(inner))
            if os.path.islink(self._workspace.path(inner)):
                raise _Unfit  # what it leads to may be anywhere
            if not ignore.skips(inner, is_folder):
                self._tree(inner, ignore)
