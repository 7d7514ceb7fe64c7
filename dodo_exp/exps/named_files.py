"""Named files: metrics and params files that a command names, declared by the pipeline or not."""

from __future__ import annotations

import os

from dodo_exp.errors import BadInput
from dodo_exp.exps import index, side, state
from dodo_exp.exps.plots import Files
from dodo_exp.pipeline import params

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from dodo_exp.exps.side import Side
    from dodo_exp.project import Project

ENDINGS = (".json", ".toml", ".yaml", ".yml")
"""What files of metrics or params end with, in a folder of which none is declared."""


def with_targets(project: Project, each: Side, kind: str, paths: Iterable[str]) -> Side:
    """The side with the files of *kind* at *paths*, whether or not the pipeline declares them.

    A folder stands for the declared files below it or, if there are none, for those with one of
    ENDINGS. Where nothing is there, nothing is added.
    """
    known = each.contents.params if kind == index.PARAM else each.contents.metrics
    there = Files(project, each)
    added: dict[str, Any] = {}
    for path in paths:
        if any(side.is_below(file, path) for file in known):
            continue
        found = there.below(path)
        if found != [path]:
            parts = ((file, file.split("/")) for file in found)
            shown = (file for file, names in parts if not any(n.startswith(".") for n in names))
            found = [file for file in shown if os.path.splitext(file)[1].lower() in ENDINGS]
        added.update((file, _values(there, file, kind)) for file in found)
    field = "params" if kind == index.PARAM else "metrics"
    return each._replace(contents=each.contents._replace(**{field: {**known, **added}}))


def with_missing_metrics(project: Project, each: Side) -> Side:
    """The workspace's side with an error for each declared metrics file that is not there."""
    known = each.contents.metrics
    found = {
        path: known.get(path, {"error": f"{path}: no such file"})
        for path in state.declared_metrics(side.workspace_of(project))
    }
    return each._replace(contents=each.contents._replace(metrics={**found, **known}))


def _values(there: Files, path: str, kind: str) -> dict[str, Any]:
    """What a file that was named has, as in `Contents`."""
    data = there.read(path)
    if data is None:
        return {"error": f"{path}: it cannot be read"}
    try:
        parse = params.parse if kind == index.PARAM else params.parse_metrics
        return {"data": state.plainly(parse(data, path))}
    except BadInput as error:
        return {"error": str(error)}
