"""Compare: how the params, metrics, dependencies and files of two sides differ."""

from __future__ import annotations

import os

from dodo_exp.exps.index import DEP, METRIC, PARAM, flat, is_dep
from dodo_exp.exps.side import is_below
from dodo_exp.pipeline.values import is_same
from dodo_store.delta import changes
from dodo_store.named import Named
from dodo_store.tree import FOLDER, LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.exps.index import Column
    from dodo_exp.exps.side import Contents
    from dodo_exp.project import Project
    from dodo_store.delta import Change
    from dodo_store.store import Store
    from dodo_store.tree import Node


class Difference(Named):
    """A value on both sides; None where one has none, or has one that is stale."""

    column: Column
    old: Any
    new: Any
    stale: tuple[bool, bool] = (False, False)
    """Whether the old and the new value are metrics older than their stage's inputs."""

    @property
    def change(self) -> int | float | None:
        """By how much a number has grown; None for what is not two numbers."""
        numbers = [v for v in (self.old, self.new) if type(v) in (int, float)]
        return self.new - self.old if len(numbers) == 2 else None


def compare(
    one: Contents,
    other: Contents,
    *,
    unchanged: bool = False,
    params: frozenset[tuple[str, str]] | None = None,
    targets: tuple[str, ...] = (),
) -> list[Difference]:
    """Values that differ, in the order of the files; with *unchanged* all of them.

    *params* are (file, key) of the only params to look at, *targets* the only files or folders.
    """
    before, after = _values(one), _values(other)
    found = []
    for column in dict.fromkeys((*before, *after)):
        if params is not None and not is_dep(column, params):
            continue
        if targets and not any(is_below(column.file, target) for target in targets):
            continue
        old, new = before.get(column), after.get(column)
        is_equal = column in before and column in after and is_same(old, new)
        if unchanged or not is_equal:
            stale = column.kind == METRIC and (
                column.file in one.stale,
                column.file in other.stale,
            )
            found.append(Difference(column, old, new, stale or (False, False)))
    return found


def _values(contents: Contents) -> dict[Column, Any]:
    columns, values = flat(contents.metrics, contents.params, contents.deps)
    return dict(zip(columns, values, strict=True))


def of_kind(found: list[Difference], kind: str) -> list[Difference]:
    """Those of metrics, params or dependencies."""
    return [each for each in found if each.column.kind == kind]


def as_data(found: list[Difference]) -> dict[str, Any]:
    """DVC's `exp diff --json`: {"metrics": {file: {name: {old, new, diff}}}, "params": ...}.

    And "deps": {path: {old, new}} besides; what has no difference is left out. A value that is
    stale is null, and "stale" says on which side it is.
    """
    made: dict[str, Any] = {}
    for kind, key in ((METRIC, "metrics"), (PARAM, "params")):
        files: dict[str, Any] = {}
        for each in of_kind(found, kind):
            row = {"old": each.old, "new": each.new}
            if each.change is not None:
                row["diff"] = each.change
            if any(each.stale):
                row["stale"] = [
                    s for s, flag in zip(("old", "new"), each.stale, strict=True) if flag
                ]
            files.setdefault(each.column.file, {})[each.column.name] = row
        if files:
            made[key] = files
    deps = {d.column.file: {"old": d.old, "new": d.new} for d in of_kind(found, DEP)}
    return {**made, "deps": deps} if deps else made


class Changed(Named):
    """A file that differs: `how` is added, removed or changed."""

    path: str
    how: str
    old: Node | None
    new: Node | None


def changed_files(store: Store, one: Node, other: Node) -> list[Changed]:
    """Files that differ, each of a folder that is on one side only.

    Raises:
        Missing, Damaged
    """
    found = []
    for change in changes(store, one, other):
        for path, old, new in _each(store, change):
            how = "added" if old is None else "removed" if new is None else "changed"
            found.append(Changed(path, how, old, new))
    return sorted(found)


def _each(store: Store, change: Change) -> Iterator[tuple[str, Node | None, Node | None]]:
    """A change file by file; a folder in a file's place is two."""
    below: dict[str, dict[str, Node]] = {"old": {}, "new": {}}
    for name, node in (("old", change.old), ("new", change.new)):
        if node is not None and node.kind == FOLDER:
            below[name] = dict(_files(store, node, change.path))
        elif node is not None:
            below[name] = {change.path: node}
    for path in sorted(below["old"].keys() | below["new"].keys()):
        yield path, below["old"].get(path), below["new"].get(path)


def _files(store: Store, node: Node, path: str) -> Iterator[tuple[str, Node]]:
    for name, inner in store.tree(node.oid):
        full = f"{path}/{name}"
        if inner.kind == FOLDER:
            yield from _files(store, inner, full)
        else:
            yield full, inner


def written(project: Project, found: list[Changed]) -> list[Changed]:
    """Those that somebody wrote: neither a stage's outputs nor lock files."""
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.lockfile import LOCK_FILE

    workspace = Workspace(project.root, project.store, tolerant=True)
    outs = {out.path for stage in workspace.graph.stages.values() for out in stage.outs}

    def is_made(path: str) -> bool:
        parts = path.split("/")
        return parts[-1] == LOCK_FILE or any(
            "/".join(parts[:i]) in outs for i in range(1, len(parts) + 1)
        )

    return [each for each in found if not is_made(each.path)]


MOST = 1 << 20
"""Bytes of a file whose lines are compared."""


def patch(store: Store, changed: Changed) -> str:
    """How a text file differs, as `diff -u` has it; one line for what is not text.

    Raises:
        Missing, Damaged
    """
    import difflib

    texts = [_lines(store, node) for node in (changed.old, changed.new)]
    names = [
        f"{prefix}/{changed.path}" if node is not None else os.devnull
        for prefix, node in (("a", changed.old), ("b", changed.new))
    ]
    if texts[0] is None or texts[1] is None:
        return f"Binary files {names[0]} and {names[1]} differ\n"
    made = []
    for line in difflib.unified_diff(texts[0], texts[1], names[0], names[1]):
        made.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    if not made:
        return f"{changed.path}: another mode, the same content\n"
    return "".join(made)


def _lines(store: Store, node: Node | None) -> list[str] | None:
    if node is None:
        return []
    if node.size > MOST:
        return None
    data = store.objects.read(node.oid)
    if node.kind == LINK:
        return [f"link to {os.fsdecode(data)}\n"]
    try:
        return None if b"\0" in data else data.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
