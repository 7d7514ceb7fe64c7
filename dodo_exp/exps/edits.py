"""Edits: what `-S` does to the params files, worked out before anything is written."""

from __future__ import annotations

import difflib
import os

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import UsageError
from dodo_exp.events import Listener, Note
from dodo_exp.pipeline import edit, yaml12
from dodo_exp.pipeline.model import PARAMS_FILE
from dodo_exp.pipeline.overrides import Change
from dodo_exp.pipeline.values import leaves, lookup


def plan(
    workspace: Workspace, changes: tuple[Change, ...], folder: str, listener: Listener
) -> dict[str, str]:
    """Path of each params file -> its new text, where that differs; changes nothing.

    Raises:
        BadInput, UsageError
    """
    texts: dict[str, tuple[str, str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for change in changes:
        path = workspace.inside(folder, change.file)
        if path not in texts:
            there = _is_there(workspace, path)
            text = yaml12.decode(workspace.read(path), path) if there else ""
            texts[path] = (text, text)
        if (path, change.keys) in seen:
            listener(Note("warning", f"-S {change.name} is given twice: the last one counts"))
        seen.add((path, change.keys))
        _warn_unknown(workspace, path, change, listener)
        old, text = texts[path]
        texts[path] = (old, edit.set_value(text, change.keys, change.value, path))
    return {path: new for path, (old, new) in texts.items() if new != old}


def _is_there(workspace: Workspace, path: str) -> bool:
    """Whether a params file exists; only files that the pipeline reads are ever written.

    Raises:
        UsageError: not a params file of this project.
    """
    read = {dep.file for stage in workspace.graph.stages.values() for dep in stage.params}
    tracked = {PARAMS_FILE, *read}
    if path not in tracked and os.path.basename(path) != PARAMS_FILE:
        raise UsageError(f"{path} is not a params file of this project", _listed(tracked))
    if path.startswith(("/", "../")):
        raise UsageError(f"{path} lies outside the project")
    if os.path.exists(workspace.path(path)):
        return True
    if path in read:
        return False
    raise UsageError(f"there is no {path}", _listed(tracked - {path}))


def _listed(paths: set[str]) -> str | None:
    return f"params files: {', '.join(sorted(paths))}" if paths else None


def _warn_unknown(workspace: Workspace, path: str, change: Change, listener: Listener) -> None:
    values = workspace.params(path) or {}
    try:
        lookup(values, change.name)
    except KeyError:
        known = [name for name, _ in leaves(values)]
        close = difflib.get_close_matches(change.name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        listener(Note("warning", f"{change.name!r} is not in {path}: added{hint}"))
