"""Edits: what `-S` does to the params files, worked out before anything is written."""

from __future__ import annotations

import os
from errno import ELOOP

from dodo_exp.errors import BadInput, UsageError, did_you_mean
from dodo_exp.events import Note
from dodo_exp.pipeline import edit, params
from dodo_exp.pipeline.model import PARAMS_FILE, seen_from
from dodo_exp.pipeline.overrides import ABSENT, ADD, DELETE, SET
from dodo_exp.pipeline.text import decode
from dodo_exp.pipeline.values import (
    Ambiguous,
    canonical,
    child,
    is_index,
    leaves,
    lookup,
    parts,
    way,
)
from dodo_store.named import Named
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.overrides import Change

BOM = "\ufeff"
MAX_FILLS = 32
"""How deep one value may name another that names another."""
_SHELL = pattern(r"[;&|<>`$()\n]")
_FILLED = pattern(r"\$\{([^}]*)\}")


class Plan(Named):
    """What to write: path of each params file -> its new text, where that differs.

    `notes` are for the user; `read` are the bytes that it was worked out from.
    """

    texts: dict[str, str]
    notes: tuple[Note, ...]
    read: dict[str, bytes]

    def still_holds(self, workspace: Workspace) -> bool:
        """Whether the files are what they were then."""
        return all(_bytes(workspace, path) == data for path, data in self.read.items())


def plan(workspace: Workspace, changes: tuple[Change, ...], folder: str) -> Plan:
    """Work out what *changes* do, which the user gave standing in *folder*; changes nothing.

    Raises:
        BadInput, UsageError
    """
    notes: list[Note] = []
    files: dict[str, _File] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    last = {(change.file, change.keys): change for change in changes}
    # What is filled from other params comes last, so that it sees the others as they will be.
    for change in sorted(changes, key=lambda change: _is_filled(change.value)):
        if _is_filled(change.value) and last[change.file, change.keys] is not change:
            continue
        path = workspace.inside(folder, change.file)
        if path not in files:
            files[path] = _File(workspace, path, notes, folder)
        if (path, change.keys) in seen:
            notes.append(Note("warning", f"-S {change.name} is given twice: the last one counts"))
        seen.add((path, change.keys))
        files[path].apply(change)
    return Plan(
        {path: file.bom + file.text for path, file in files.items() if file.text != file.old},
        tuple(notes),
        {path: file.data for path, file in files.items()},
    )


def _bytes(workspace: Workspace, path: str) -> bytes:
    return workspace.read(path) if os.path.exists(workspace.path(path)) else b""


class _File:
    """One params file being edited."""

    def __init__(
        self, workspace: Workspace, path: str, notes: list[Note], folder: str = ""
    ) -> None:
        """The user stands in *folder*: messages name paths as they are typed there."""
        self.path = path
        self.shown = seen_from(folder, path)
        self.notes = notes
        self.data = workspace.read(path) if _is_there(workspace, path, folder) else b""
        self.filling = {
            key
            for f in workspace.files.values()
            for dep in f.uses
            if dep.file == path
            for key in dep.keys
        }
        self.bom = BOM if self.data.startswith(BOM.encode()) else ""
        self.old = self.text = decode(self.data, path)

    def warn(self, message: str) -> None:
        self.notes.append(Note("warning", message))

    def apply(self, change: Change) -> None:
        """Change the text.

        Raises:
            BadInput, UsageError
        """
        values = params.load(self.text, self.path)
        keys = self.keys(values, change)
        old = _follow(values, keys)
        if change.op == DELETE:
            self.delete(values, change, keys, old)
            return
        value = edit.with_text_keys(_filled(change.value, values, change), self.path)
        if change.op == ADD and old not in (ABSENT, None) and not isinstance(value, list | dict):
            raise UsageError(
                f"-S +{change.name}: it is in {self.shown} already, as {canonical(old):.60}",
                f"change it with {change.name}=..., or with ++ whether it is there or not",
            )
        if isinstance(value, str) and _SHELL.search(value) and change.name in self.filling:
            self.warn(f"{change.name} fills a command, and a shell reads {value!r} in its own way")
        if change.op == SET:
            self.warn_of(change, keys, old, value, values)
        # Only a value that is a template as a whole replaces a mapping: DVC does so too.
        is_filled = isinstance(change.value, str) and _is_filled(change.value)
        for inner, leaf in [(keys, value)] if is_filled else _merged(old, keys, value):
            self.text = edit.set_value(self.text, inner, leaf, self.path, values)
            values = edit.updated(values, inner, leaf, "")

    def keys(self, values: Any, change: Change) -> tuple[str, ...]:
        """The way to the value; a dotted name can also be one key's own spelling."""
        try:
            return _from_the_front(values, way(values, change.name))
        except Ambiguous as error:
            key = parts(error.quoted)[-1]
            raise UsageError(
                f"-S {change.name}: {self.shown} has both a key {key!r} and nested keys"
                f" {' -> '.join(change.keys)}",
                f"for the key quote it: -S '{error.quoted}=...'",
            ) from None
        except KeyError:
            return _from_the_front(values, change.keys)

    def delete(self, values: Any, change: Change, keys: tuple[str, ...], old: Any) -> None:
        if old is ABSENT:
            known = [name for name, _ in leaves(values)]
            raise UsageError(
                f"-S ~{change.name}: it is not in {self.shown}", did_you_mean(change.name, known)
            )
        if change.value is not ABSENT and change.value != old:
            raise UsageError(
                f"-S ~{change.name}={canonical(change.value)}: it is {canonical(old):.60}"
            )
        self.text = edit.delete_value(self.text, keys, self.path)

    def warn_of(
        self, change: Change, keys: tuple[str, ...], old: Any, value: Any, values: Any
    ) -> None:
        """Of a name that is not there, which may be a slip, and of a value of another kind."""
        if old is ABSENT:
            close = did_you_mean(change.name, [name for name, _ in leaves(values)]) or ""
            hint = f" ({close.rstrip('?')}?)" if close.startswith("did you mean") else ""
            self.warn(f"{change.name!r} is not in {self.shown}: added{hint}")
        elif _kind(old) != _kind(value) and None not in (old, value):
            self.warn(
                f"{change.name} becomes {_kind(value)}, {canonical(value):.60};"
                f" it was {_kind(old)}, {canonical(old):.60}"
            )


def _is_there(workspace: Workspace, path: str, folder: str) -> bool:
    """Whether a params file exists; only files that the pipeline reads are ever written.

    Raises:
        UsageError: not a params file of this project.
        BadInput: a loop of links.
    """
    read = {dep.file for stage in workspace.graph.stages.values() for dep in stage.params}
    read |= {dep.file for file in workspace.files.values() for dep in file.uses}
    tracked = {PARAMS_FILE, *read}
    shown = seen_from(folder, path)
    if path not in tracked and os.path.basename(path) != PARAMS_FILE:
        raise UsageError(f"{shown} is not a params file of this project", _listed(tracked, folder))
    if path.startswith(("/", "../")):
        raise UsageError(f"{shown} lies outside the project")
    try:
        os.stat(workspace.path(path))
        return True
    except OSError as error:
        if error.errno == ELOOP:
            raise BadInput(path, "not a regular file") from None
    if path in read:
        return False
    raise UsageError(f"there is no {shown}", _listed(tracked - {path}, folder))


def _listed(paths: set[str], folder: str) -> str | None:
    shown = ", ".join(seen_from(folder, path) for path in sorted(paths))
    return f"params files: {shown}" if paths else None


def _follow(values: Any, keys: tuple[str, ...]) -> Any:
    try:
        for key in keys:
            values = child(values, key)
    except KeyError:
        return ABSENT
    return values


def _from_the_front(values: Any, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys with a list's `-1` as the index that it stands for."""
    found = []
    for key in keys:
        if isinstance(values, list) and key.startswith("-") and is_index(key[1:]):
            key = str(len(values) + int(key)) if int(key) + len(values) >= 0 else key
        found.append(key)
        values = _follow(values, (key,))
    return tuple(found)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a flag"
    for kind, name in ((str, "text"), (list, "a list"), (dict, "a mapping")):
        if isinstance(value, kind):
            return name
    return "a number"


def _merged(old: Any, keys: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], Any]]:
    """What to set: into a mapping that is there a mapping goes entry by entry, as in DVC."""
    if not (isinstance(old, dict) and isinstance(value, dict)):
        return [(keys, value)]
    found = []
    for key, inner in value.items():
        found += _merged(_follow(old, (key,)), (*keys, key), inner)
    return found


# -- values filled from other params -------------------------------------------------------


def _is_filled(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_filled, value.values()))
    if isinstance(value, list):
        return any(map(_is_filled, value))
    return isinstance(value, str) and "${" in value


def _filled(value: Any, values: Any, change: Change, depth: int = 0) -> Any:
    """The value with `${other.key}` replaced by that param's value.

    Raises:
        UsageError: there is no such param, or they name each other in a circle.
    """
    if isinstance(value, dict):
        return {key: _filled(inner, values, change, depth) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values, change, depth) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if depth > MAX_FILLS:
        raise UsageError(f"-S {change.name}: {value!r} names itself in a circle")

    def one(match: re.Match[str]) -> Any:
        name = match[1].replace("[", ".").replace("]", "").strip()
        try:
            found = lookup(values, name)
        except KeyError:
            known = [known for known, _ in leaves(values)]
            raise UsageError(
                f"-S {change.name}: '${{{match[1]}}}' names no param of {change.file}",
                did_you_mean(name, known),
            ) from None
        if parts(name) == change.keys:
            raise UsageError(f"-S {change.name}: {value!r} names itself in a circle")
        return _filled(found, values, change, depth + 1)

    whole = _FILLED.fullmatch(value)
    return one(whole) if whole else _FILLED.sub(lambda match: str(one(match)), value)
