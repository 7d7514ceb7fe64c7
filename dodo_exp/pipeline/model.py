"""Model: stages as dvc.yaml describes them, with every path relative to the project's root.

Named tuples rather than dataclasses: these are imported by every command, and a dataclass costs
ten times as much to define (0.6 ms against 0.07 ms).
"""

from __future__ import annotations

import os

from dodo_exp.errors import Location
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPELINE_FILE = "dvc.yaml"
PARAMS_FILE = "params.yaml"


def seen_from(folder: str, path: str) -> str:
    """A path of the project as it is typed in *folder*; both are relative to the root."""
    return path if folder in ("", ".") or path.startswith("/") else os.path.relpath(path, folder)


def seen_from_here(root: str, path: str) -> str:
    """A full path as it is typed in the current folder if that is in *root*, else below *root*."""
    here = os.getcwd()
    is_inside = here == root or here.startswith(f"{root}/")
    return os.path.relpath(path, here if is_inside else root)


MAX_BYTES = 10 << 20
"""No file that a user wrote is read if it is larger."""

OUT, METRIC, PLOT = "out", "metric", "plot"


class Out(Named):
    """Something a stage makes."""

    path: str
    role: str
    cache: bool
    persist: bool
    checkpoint: bool
    plot: dict[str, Any]
    """Plot options (x, y, template, ...) as written; empty for other roles."""

    @property
    def is_inside(self) -> bool:
        """Whether it lies in the project."""
        return not self.path.startswith("/") and self.path.split("/")[0] != ".."

    @property
    def is_stored(self) -> bool:
        """Whether the run-cache may keep it; DVC exempts metrics and plots from `cache: false`."""
        return self.cache or self.role != OUT


class ParamDep(Named):
    """The parameters of one file that a stage reads; no keys means the whole file."""

    file: str
    keys: tuple[str, ...]


def address(file: str, name: str) -> str:
    """What a stage is called in its project: `train`, or `sub/dvc.yaml:train`."""
    return name if file == PIPELINE_FILE else f"{file}:{name}"


class Stage(Named):
    """One stage. `cmds` are run in turn, each by a shell of its own, in the folder `wdir`."""

    name: str
    file: str
    line: int
    cmds: tuple[str, ...]
    wdir: str
    deps: tuple[str, ...]
    params: tuple[ParamDep, ...]
    outs: tuple[Out, ...]
    frozen: bool
    always: bool
    desc: str
    meta: Any

    @property
    def address(self) -> str:
        """The stage's name where it is known."""
        return self.name if self.file == PIPELINE_FILE else address(self.file, self.name)

    @property
    def group(self) -> str:
        """The group it belongs to, "" if to none; no name that a user gives has an `@`."""
        group, at, _ = self.name.partition("@")
        return group if at else ""

    @property
    def at(self) -> Location:
        """Where it is written."""
        return Location(self.file, self.line)

    @property
    def runs_always(self) -> bool:
        """Whether it is never up to date: so marked, or with nothing to compare (a callback)."""
        return self.always or not (self.deps or self.params or self.outs)

    @property
    def is_cacheable(self) -> bool:
        """Whether a result may be restored from the run-cache, by DVC's rules."""
        return (
            bool(self.deps or self.params)
            and bool(self.outs)
            and not self.always
            and all(out.is_stored and not out.persist and not out.checkpoint for out in self.outs)
        )

    def may_share(self, out: Out) -> bool:
        """Whether an output may be one file with the store's; not where it is kept or extended."""
        return out.cache and not out.persist and not self.has_checkpoints

    @property
    def has_checkpoints(self) -> bool:
        """Whether it goes on from an output of its own."""
        return any(out.checkpoint for out in self.outs)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every path whose content the stage reads: dependencies and parameter files."""
        return (*self.deps, *(dep.file for dep in self.params))


class PipelineFile(Named):
    """One dvc.yaml: its stages, and what it names at the top."""

    path: str
    stages: tuple[Stage, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[Any, ...] = ()
    params: tuple[str, ...] = ()
    artifacts: tuple[Any, ...] = ()
    datasets: tuple[Any, ...] = ()
    groups: tuple[str, ...] = ()
    """Names that stand for several stages, `group@key`: those with foreach or matrix."""
    globs: tuple[str, ...] = ()
    """Groups with a stage for each file that matches a pattern."""
    matched: tuple[str, ...] = ()
    """Dependencies that are there because they match a pattern."""
    uses: tuple[ParamDep, ...] = ()
    """Params that templates were filled from: shown with experiments, not compared."""
    notes: tuple[str, ...] = ()
    """What a reader should know and what is no fault, each with its place."""


def stage_of(row: Any) -> Stage:
    """A stage from the plain lists that a cache keeps."""
    name, file, line, cmds, wdir, deps, params, outs, frozen, always, desc, meta = row
    return Stage(
        name,
        file,
        line,
        tuple(cmds),
        wdir,
        tuple(deps),
        tuple(ParamDep(path, tuple(keys)) for path, keys in params),
        tuple(Out(*out) for out in outs),
        frozen,
        always,
        desc,
        meta,
    )


def pipeline_file_of(row: Any) -> PipelineFile:
    """A pipeline file from the plain lists that a cache keeps."""
    path, *lists = row
    made = PipelineFile(path, *map(tuple, lists))
    return made._replace(
        stages=tuple(map(stage_of, made.stages)),
        uses=tuple(ParamDep(file, tuple(keys)) for file, keys in made.uses),
    )
