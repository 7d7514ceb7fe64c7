"""Capture: the workspace as a snapshot that a later run could start from, anywhere.

In it: every file that is not ignored, declared dependencies and outputs even where they are
ignored, and stored outputs by what their record names rather than by what lies there.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from types import MappingProxyType

from dodo_exp.engine.discover import IGNORE_FILES
from dodo_exp.errors import UsageError
from dodo_exp.events import Note
from dodo_store import forks, snapshot
from dodo_store.errors import NotStorable
from dodo_store.ignore import Ignore
from dodo_store.pool import Batch
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_store.tree import Node


def capture(
    workspace: Workspace,
    listener: Listener,
    *,
    after_run: bool,
    include: tuple[str, ...] = (),
    instead: Mapping[str, Node | None] = MappingProxyType({}),
    as_is: frozenset[str] = frozenset(),
    allow_missing: bool = False,
) -> Node:
    """Take the workspace into the store; reads only what has changed since it was last taken.

    *include* names paths that are taken even if they are ignored.

    Before a run an output is what its record says, whatever lies there; after it, an output that
    is not what its record says is taken as it lies. *instead* says of some outputs what is taken
    for them (None: nothing); those of *as_is* are taken as they lie. With *allow_missing*, an
    output that is not there is what its record says, after a run too.
    """
    store = workspace.store
    ignore = Ignore(workspace.root, IGNORE_FILES)
    source = Source(
        workspace.root, workspace.stamps, ignore, strict=False, listings=workspace.listings
    )
    with store.scratch() as scratch:
        counting = Ignore(workspace.root, IGNORE_FILES)
        what = "keeping a snapshot of the workspace"
        progress = Progress(listener, what, workspace.root, counting)
        batch = Batch(scratch, progress)
        try:
            grafts = _outputs(workspace, batch, source, after_run, instead, as_is, allow_missing)
            grafts |= _ignored_inputs(workspace, batch, source, ignore, grafts, include)
            node = snapshot.take(store, batch, source, "", snapshot.graft_of(grafts))
            batch.commit()
        finally:
            try:
                batch.drop()
            finally:
                progress.end()
    return node


class Progress:
    """A word a few seconds apart while much is copied: how much, how fast, how long yet.

    How long is known where *root* is given: all that is there and not ignored is counted.
    """

    def __init__(
        self, listener: Listener, what: str, root: str = "", ignore: Ignore | None = None
    ) -> None:
        self._what = what
        self._listener = listener
        self._root = root
        self._ignore = ignore
        self._started = time.monotonic()
        self._next = self._started + 1.0
        self._files = self._bytes = self._passed = 0
        self._total: int | None = None
        self._counter: forks.Aside | None = None
        self._is_counted = not root
        self._lock = threading.Lock()

    def __call__(self, size: int, was_read: bool) -> None:
        with self._lock:  # several threads may be at it
            self._passed += size
            if not was_read:
                return
            self._files += 1
            self._bytes += size
            if time.monotonic() >= self._next:
                self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 3.0
        if not self._is_counted:
            self._is_counted = True
            self._begin_to_count()
        elif self._counter is not None and self._counter.is_done():
            with suppress(OSError):
                self._total = self._counter.result()
            self.end()
        self._listener(Note("info", f"{self._what}: {self._words(now - self._started)}"))

    def _begin_to_count(self) -> None:
        if not forks.can_fork():
            with suppress(RuntimeError):  # no more threads: then it is not counted
                threading.Thread(target=self._count_here, daemon=True).start()
            return
        with suppress(OSError), forks.undisturbed():
            self._counter = forks.Aside(self._count, lets_go=True)

    def _count_here(self) -> None:
        self._total = self._count()

    def end(self) -> None:
        """Nothing is counted any more."""
        if self._counter is not None:
            self._counter.end()
        self._counter = None

    def _words(self, seconds: float) -> str:
        done = f"{self._files:,} files, {self._bytes / 1e6:,.0f} MB read"
        speed = f"{self._bytes / 1e6 / seconds:,.0f} MB/s"
        if self._total is None or self._total <= self._passed:
            return f"{done}, {speed}"
        left = (self._total - self._passed) * seconds / max(self._passed, 1)
        return f"{done}, {speed}, {self._passed / self._total:.0%} done, {left:,.0f} s left"

    def _count(self) -> int:
        """All that there is to keep, in bytes; beside the copying, which it hardly slows."""
        total, waiting = 0, [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(os.path.join(self._root, folder)))
            except OSError:
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
                    elif self._ignore is None or not self._ignore.skips(path, True):
                        waiting.append(path)
        return total


def _outputs(
    workspace: Workspace,
    batch: Batch,
    source: Source,
    after_run: bool,
    instead: Mapping[str, Node | None],
    as_is: frozenset[str],
    allow_missing: bool,
) -> dict[str, Node | None]:
    """Outputs by reference where the store has them, as they lie where it does not."""
    found: dict[str, Node | None] = {}
    for stage in workspace.graph.stages.values():
        record = workspace.record(stage)
        recorded = dict(record.outs) if record else {}
        is_dvcs = not after_run and workspace.is_made_by_dvc(stage)
        for out in stage.outs:
            if not _is_inside(out.path):
                continue
            if out.path in instead:
                found[out.path] = instead[out.path]
                continue
            if out.path in as_is:
                found[out.path] = _as_it_lies(workspace, batch, source, out.path)
                continue
            node = recorded.get(out.path)
            if after_run and node is not None and out.is_stored:
                here = workspace.out_look(out.path)
                is_other = here is None or (here.kind, here.oid) != (node.kind, node.oid)
                if is_other and not (here is None and allow_missing):
                    node = None
            elif after_run and node is not None:
                node = None
            if node is not None and out.is_stored and workspace.store.is_whole(node, clean=True):
                found[out.path] = node
            elif node is None and not after_run and not is_dvcs:
                # Never recorded: whatever lies there is not this pipeline's work.
                found[out.path] = None
            else:
                found[out.path] = _as_it_lies(workspace, batch, source, out.path)
    return found


def _ignored_inputs(
    workspace: Workspace,
    batch: Batch,
    source: Source,
    ignore: Ignore,
    outputs: dict[str, Node | None],
    include: tuple[str, ...],
) -> dict[str, Node | None]:
    found: dict[str, Node | None] = {}
    for path in include:
        if not _is_inside(path) or (node := _as_it_lies(workspace, batch, source, path)) is None:
            raise UsageError(f"{path!r} is not there, or not in the project")
        found[path] = node
    inputs = [path for stage in workspace.graph.stages.values() for path in stage.inputs]
    inputs += workspace.data
    inputs += [dep.file for file in workspace.files.values() for dep in file.uses]
    for path in inputs:
        if path in found or not _is_inside(path) or workspace.graph.maker(path):
            continue
        if _is_ignored(workspace, ignore, path):
            found[path] = _as_it_lies(workspace, batch, source, path)
    return {path: node for path, node in found.items() if node is not None and path not in outputs}


def _as_it_lies(workspace: Workspace, batch: Batch, source: Source, path: str) -> Node | None:
    plain = source._replace(ignore=workspace.output_ignore)
    try:
        return snapshot.take(workspace.store, batch, plain, path)
    except (FileNotFoundError, NotADirectoryError, NotStorable):
        return None


def _is_ignored(workspace: Workspace, ignore: Ignore, path: str) -> bool:
    parts = path.split("/")
    for i in range(1, len(parts) + 1):
        part = "/".join(parts[:i])
        if ignore.skips(part, i < len(parts) or os.path.isdir(workspace.path(part))):
            return True
    return False


def _is_inside(path: str) -> bool:
    return not path.startswith("/") and path.split("/")[0] != ".." and "://" not in path
