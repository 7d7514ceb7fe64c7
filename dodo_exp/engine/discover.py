"""Discover: every dvc.yaml of a project, without walking folders that have not changed.

A folder's mtime moves when an entry is added or removed, so a folder whose stat stands still has
the sub-folders it had. What is ignored and what stages make is not walked, as with DVC.
"""

from __future__ import annotations

import os
from functools import partial

from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_exp.project import STATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dodo_exp.engine.memo import Memo
    from dodo_exp.pipeline.model import PipelineFile
    from dodo_store.ignore import Ignore

IGNORE_FILES = (".gitignore", ".dvcignore", ".dodoignore")


def pipeline_files(
    root: str, ignore: Ignore, memo: Memo, read: Callable[[str], PipelineFile]
) -> dict[str, PipelineFile]:
    """Path relative to *root* -> what *read* makes of the dvc.yaml there."""
    found: dict[str, PipelineFile] = {}
    outs: set[str] = set()
    todo = [""]
    while todo:
        folder = todo.pop()
        full = os.path.join(root, folder) if folder else root
        try:
            has_pipeline, inner = memo.get("folder", folder, full, partial(_list, full))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        if folder and (
            ".dvc" in inner
            or (STATE in inner and memo.is_there(f"{folder}/{STATE}/VERSION", full[: -len(folder)]))
        ):
            continue  # a project of its own; see project.find_root
        if has_pipeline:
            path = f"{folder}/{PIPELINE_FILE}" if folder else PIPELINE_FILE
            found[path] = read(path)
            outs.update(out.path for stage in found[path].stages for out in stage.outs)
        paths = [f"{folder}/{name}" if folder else name for name in inner]
        todo += [p for p in reversed(paths) if p not in outs and not ignore.skips(p, True)]
    return dict(sorted(found.items(), key=lambda item: (item[0].count("/"), item[0])))


def _list(folder: str) -> tuple[bool, tuple[str, ...]]:
    """Whether there is a dvc.yaml, and the names of the sub-folders (links are not followed)."""
    has_pipeline = False
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == PIPELINE_FILE:
                has_pipeline = True
            elif entry.is_dir(follow_symlinks=False) or entry.name == STATE:
                inner.append(entry.name)
    return has_pipeline, tuple(sorted(inner))
