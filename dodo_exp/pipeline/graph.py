"""Graph: which stage makes what another reads, by path containment, and what a target selects.

A stage follows another when it reads the other's output, something inside it, or a folder that
holds it. All paths are relative to the project's root.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from bisect import bisect_left

from dodo_exp.errors import BadInput, Faults, UsageError, did_you_mean
from dodo_exp.pipeline.model import PIPELINE_FILE, seen_from
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dodo_exp.pipeline.model import Stage


class Selection(Named):
    """Stages in an order in which they can run, and, in the same order, by address, what each waits
    for among them."""

    stages: tuple[Stage, ...]
    after: dict[str, tuple[str, ...]]
    is_in_turn: bool = False
    """Whether they run one at a time, because a stage comes before one that it reads from."""


class Graph:
    """The stages of a project and the edges between them.

    Raises:
        BadInput: two stages make the same path, one inside another's, or a cycle.
    """

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages: dict[str, Stage] = {}
        self._makers: dict[str, str] = {}
        self._faults = Faults()
        for stage in stages:
            other = self.stages.setdefault(stage.address, stage)
            if other is not stage:
                self._fault(stage, f"the stage at {other.at} is called {stage.address!r} as well")
        for name, stage in self.stages.items():
            self._claim(name, stage)
        self._outs = sorted(self._makers)
        self._around = self._folders_around_outs()
        self._holders: dict[str, str | None] = {}
        self._lock = allocate_lock()
        """Guards `_holders`, all that changes once the graph is made."""
        self._check_overlaps()
        self.before = {name: self._before(name, stage) for name, stage in self.stages.items()}
        self._faults.tell()
        self.next: dict[str, list[str]] = {name: [] for name in self.stages}
        for name, makers in self.before.items():
            for maker in makers:
                self.next[maker].append(name)
        self._check_cycles()

    def _fault(self, stage: Stage, message: str) -> None:
        self._faults.add(BadInput(stage.at, message))

    def maker(self, path: str) -> str | None:
        """Address of the stage that makes *path* or a folder that holds it."""
        return self._makers.get(path) or self._holder(path.rpartition("/")[0])

    def _holder(self, folder: str) -> str | None:
        """Address of the stage that makes the folder or one around it; folders recur, so kept."""
        known, trail = self._holders, []
        with self._lock:
            while folder and folder not in known and folder not in self._makers:
                trail.append(folder)
                folder = folder.rpartition("/")[0]
            found = self._makers.get(folder) or known.get(folder)
            known.update(dict.fromkeys(trail, found))
        return found

    def made_inside(self, path: str) -> list[str]:
        """Outputs that lie inside the folder *path*."""
        if path == ".":
            return [out for out in self._outs if not out.startswith(("/", "../"))]
        path = path.rstrip("/")
        if path not in self._around:
            return []
        prefix = path + "/"
        found = []
        for out in self._outs[bisect_left(self._outs, prefix) :]:
            if not out.startswith(prefix):
                break
            found.append(out)
        return found

    def _folders_around_outs(self) -> set[str]:
        found: set[str] = set()
        for out in self._outs:
            folder = out.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return found

    def _claim(self, name: str, stage: Stage) -> None:
        for out in stage.outs:
            other = self._makers.setdefault(out.path, name)
            if other != name:
                self._fault(
                    stage,
                    f"{out.path!r} is made by stage {name!r} and by {other!r}"
                    f" ({self.stages[other].at})",
                )

    def _check_overlaps(self) -> None:
        for out in self._outs:
            outer = self._holder(out.rpartition("/")[0])
            if outer is not None:
                stage = self.stages[self._makers[out]]
                self._fault(
                    stage,
                    f"output {out!r} of stage {stage.address!r} lies inside an output of {outer!r}"
                    f" ({self.stages[outer].at})",
                )

    def _before(self, own: str, stage: Stage) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for path in stage.inputs:
            maker = self.maker(path)
            makers = [maker] if maker else [self._makers[out] for out in self.made_inside(path)]
            for name in makers:
                if name == own:
                    inner = [out for out in self.made_inside(path) if not self._makers.get(path)]
                    what = f"in which it makes {inner[0]!r}" if inner else "which it makes"
                    self._fault(stage, f"stage {name!r} reads {path!r}, {what}")
                found[name] = None
        return () if stage.frozen else tuple(found)

    def _check_cycles(self) -> None:
        """Depth first without recursion: a chain of ten thousand stages is no reason to fail."""
        done: set[str] = set()
        for start in self.stages:
            path: dict[str, Iterator[str]] = {}
            todo = [start]
            while todo:
                name = todo[-1]
                if name in done:
                    todo.pop()
                    continue
                rest = path.setdefault(name, iter(self.before[name]))
                following = next(rest, None)
                if following is None:
                    done.add(name)
                    del path[name]
                    todo.pop()
                elif following in path:
                    names = list(path)
                    circle = [*names[names.index(following) :], following]
                    raise BadInput(
                        self.stages[following].at,
                        "stages wait for each other: " + " <- ".join(circle),
                    )
                else:
                    todo.append(following)

    # -- selection -------------------------------------------------------------------------

    def upstream(self, names: Iterable[str]) -> list[str]:
        """The stages and all they wait for, each after what it waits for (post-order)."""
        order: dict[str, None] = {}
        for start in names:
            todo = [(start, iter(self.before[start]))]
            while todo:
                name, rest = todo[-1]
                following = next((n for n in rest if n not in order), None)
                if name in order:
                    todo.pop()
                elif following is None:
                    order[name] = None
                    todo.pop()
                else:
                    todo.append((following, iter(self.before[following])))
        return list(order)

    def downstream(self, names: Iterable[str]) -> set[str]:
        """The stages and all that wait for them."""
        found = set(names)
        todo = list(found)
        while todo:
            for name in self.next[todo.pop()]:
                if name not in found:
                    found.add(name)
                    todo.append(name)
        return found

    def component(self, names: Iterable[str]) -> set[str]:
        """Every stage connected with these, up and down."""
        found = set(names)
        todo = list(found)
        while todo:
            name = todo.pop()
            for other in (*self.before[name], *self.next[name]):
                if other not in found:
                    found.add(other)
                    todo.append(other)
        return found

    def select(self, names: Iterable[str], *, only: bool = False) -> Selection:
        """Put stages in order; with *only*, without those they wait for."""
        wanted = list(names)
        chosen = set(wanted)
        order = [name for name in self.upstream(wanted) if not only or name in chosen]
        kept = set(order)
        return Selection(
            tuple(self.stages[name] for name in order),
            {name: tuple(n for n in self.before[name] if n in kept) for name in order},
        )

    def select_in_turn(self, groups: Iterable[Iterable[str]]) -> Selection:
        """Put groups of stages, and nothing before them, in the order given, as DVC's `-s` does.

        The stages of one group are in an order in which they can run.
        """
        stages = {
            stage.address: stage
            for names in groups
            for stage in self.select(names, only=True).stages
        }
        after: dict[str, tuple[str, ...]] = {}
        is_in_turn = False
        for name in stages:
            among = [each for each in self.before[name] if each in stages]
            after[name] = tuple(each for each in among if each in after)
            is_in_turn = is_in_turn or len(after[name]) < len(among)
        return Selection(tuple(stages.values()), after, is_in_turn)

    def resolve(self, target: str, folder: str, *, glob: bool = False) -> list[str]:
        """Addresses that *target* means, said in *folder* (relative to the root, "" for it).

        `stage`, `:stage`, `path/dvc.yaml` or `path/dvc.yaml:stage`; a group stands for all its
        stages, `group@key` for one. The path is relative to *folder*, or to the root.

        Raises:
            UsageError: no such stage or file.
        """
        files: dict[str, list[Stage]] = {}
        for stage in self.stages.values():
            files.setdefault(stage.file, []).append(stage)
        for file, name in spellings(target):
            there = os.path.normpath(os.path.join(folder, file))
            for path in (there, file) if "/" in file else (there,):
                chosen = [
                    stage.address
                    for stage in files.get(path, ())
                    if not name
                    or name in (stage.name, stage.group)
                    or (glob and _matches(stage.name, name))
                ]
                if chosen:
                    return chosen
        file, name = split(target)
        path = os.path.normpath(os.path.join(folder, file))
        if path not in files:
            shown, near = seen_from(folder, path), [seen_from(folder, each) for each in files]
            raise UsageError(f"there is no {shown} with stages", did_you_mean(shown, near, "files"))
        known = {each for stage in files[path] for each in (stage.name, stage.group) if each}
        shown = seen_from(folder, path)
        raise UsageError(f"no stage {name!r} in {shown}", did_you_mean(name, known, "stages"))

    def within(self, folder: str) -> list[str]:
        """Addresses of the stages whose dvc.yaml lies in *folder* or below it."""
        prefix = "" if folder in ("", ".") else folder + "/"
        return [name for name, stage in self.stages.items() if stage.file.startswith(prefix)]


def spellings(target: str) -> Iterator[tuple[str, str]]:
    """What a target may mean, the likeliest first: a file, and a stage in it, "" for all.

    Names of stages and of folders may hold colons themselves.
    """
    yield target, ""
    yield PIPELINE_FILE, target
    for i, char in enumerate(target):
        if char == ":" and target[i + 1 :]:
            yield target[:i] or PIPELINE_FILE, target[i + 1 :]


def split(target: str) -> tuple[str, str]:
    """The file and the stage that a target which means nothing was meant to name."""
    for file, name in list(spellings(target))[2:]:
        if file.endswith((".yaml", ".yml")):
            return file, name
    if target.endswith((".yaml", ".yml")) or os.path.basename(target) == PIPELINE_FILE:
        return target, ""
    return PIPELINE_FILE, target


def covers(out: str, path: str) -> bool:
    """Whether an output is at, above or below a path."""
    return out == path or path.startswith(f"{out}/") or out.startswith(f"{path}/")


def _matches(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(name, pattern)
