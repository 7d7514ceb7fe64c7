"""Migrate: whether the result that a dvc.lock describes is what lies here.

A project that DVC has run needs no second run: where the command, params, and the md5 of every
dependency and output are as dvc.lock says, the outputs are this stage's result. dvc.lock is never
written. Format: https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#dvclock-file
"""

from __future__ import annotations

import os

from dodo_exp.errors import BadInput
from dodo_exp.pipeline.expand import join
from dodo_exp.pipeline.lockfile import DVC_LOCK
from dodo_exp.pipeline.values import canonical, lookup
from dodo_store.ignore import Ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.model import ParamDep, Stage

CHUNK = 1 << 20


def is_made(workspace: Workspace, stage: Stage, *, allow_missing: bool = False) -> bool:
    """Whether dvc.lock has the stage, and everything is as it says.

    With *allow_missing*, everything that is here, and a missing dependency is what its maker made.
    """
    entry = _entry(workspace, stage)
    if not isinstance(entry, dict):
        return False
    try:
        return (
            _is_same_command(stage, entry.get("cmd"))
            and _are_same_params(workspace, stage, entry.get("params") or {})
            and _are_same_files(
                workspace, stage.wdir, stage.deps, entry.get("deps") or [], allow_missing
            )
            and not any(os.path.islink(workspace.path(out.path)) for out in stage.outs)
            and _are_same_files(
                workspace,
                stage.wdir,
                [out.path for out in stage.outs],
                entry.get("outs") or [],
                allow_missing,
            )
        )
    except (AttributeError, KeyError, TypeError, OSError):
        return False  # not DVC's, or not readable: the stage runs


def _entry(workspace: Workspace, stage: Stage) -> Any:
    path = os.path.join(os.path.dirname(stage.file), DVC_LOCK)
    if not os.path.isfile(workspace.path(path)):
        return None

    def read() -> dict[str, Any]:
        from dodo_exp.pipeline import params

        stages = params.parse(workspace.read(path), path).get("stages")
        return stages if isinstance(stages, dict) else {}

    try:
        return workspace.memo.get("dvc.lock", path, workspace.path(path), read).get(stage.name)
    except BadInput:
        return None


def _is_same_command(stage: Stage, cmd: Any) -> bool:
    lines = cmd if isinstance(cmd, list) else cmd.splitlines()
    return tuple(line for line in lines if line.strip()) == stage.cmds or (cmd,) == stage.cmds


def _are_same_params(workspace: Workspace, stage: Stage, locked: dict[str, Any]) -> bool:
    found = {join(stage.wdir, path): values for path, values in locked.items()}
    return found.keys() == {dep.file for dep in stage.params} and all(
        _is_same_file_of_params(workspace, dep, found[dep.file]) for dep in stage.params
    )


def _is_same_file_of_params(workspace: Workspace, dep: ParamDep, locked: dict[str, Any]) -> bool:
    values = workspace.params(dep.file) or {}
    now = {key: lookup(values, key) for key in dep.keys} if dep.keys else values
    return canonical(now) == canonical(locked)


def _are_same_files(
    workspace: Workspace,
    wdir: str,
    paths: list[str] | tuple[str, ...],
    locked: list[Any],
    allow_missing: bool,
) -> bool:
    found = {join(wdir, entry["path"]): entry for entry in locked}
    return found.keys() == set(paths) and all(
        _is_as_made(workspace, path, found[path])
        if allow_missing and not os.path.lexists(workspace.path(path))
        else _is_same_content(workspace, path, found[path])
        for path in paths
    )


def _is_as_made(workspace: Workspace, path: str, entry: dict[str, Any]) -> bool:
    """Whether dvc.lock says the same of a path where it is an output, if it is one."""
    maker = workspace.graph.maker(path)
    stage = workspace.graph.stages[maker] if maker is not None else None
    made = (_entry(workspace, stage) or {}).get("outs") or [] if stage is not None else []
    sums = [out["md5"] for out in made if stage and join(stage.wdir, out["path"]) == path]
    return not sums or bool(sums[0] == entry["md5"])


def _is_same_content(workspace: Workspace, path: str, entry: dict[str, Any]) -> bool:
    full = workspace.path(path)
    if os.path.isfile(full):
        return bool(os.path.getsize(full) == entry["size"] and _md5(full) == entry["md5"])
    return os.path.isdir(full) and bool(_md5_of_folder(workspace, path) == entry["md5"])


def _md5(full: str) -> str:
    from hashlib import md5

    digest = md5(usedforsecurity=False)
    with open(full, "rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _md5_of_folder(workspace: Workspace, path: str) -> str:
    """DVC's name for a folder: the md5 of its sorted list of files and their md5."""
    import json
    from hashlib import md5

    ignore = Ignore(workspace.root, (".dvcignore",), defaults=False)
    rows = []
    for folder, inner, names in os.walk(workspace.path(path), followlinks=True):
        relative = os.path.relpath(folder, workspace.root)
        inner[:] = [name for name in inner if not ignore.skips(f"{relative}/{name}", True)]
        for name in names:
            if not ignore.skips(f"{relative}/{name}", False):
                full = os.path.join(folder, name)
                relpath = os.path.relpath(full, workspace.path(path)).replace(os.sep, "/")
                rows.append({"md5": _md5(full), "relpath": relpath})
    rows.sort(key=lambda row: row["relpath"])
    text = json.dumps(rows, sort_keys=True)
    return md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
