"""What a contender, a workload and a goal is; lets contenders take turns."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tests.bench.peers import Missing, Peers
from tests.bench.runner import Failed, Runner, TimedOut, Took

OURS = "dodo"
Made = TypeVar("Made")


def _nothing(number: int) -> None:
    """Nothing has to be done before a round."""


def _unasked() -> None:
    """What was measured has been looked at before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender that is ready to be measured."""

    measure: Callable[[int], Took]
    before: Callable[[int], None] = _nothing
    verify: Callable[[], None] = _unasked
    """Asked once, after the first round: has it really done the work?"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part, up to which size; *enter* sets up the work for a size."""

    name: str
    enter: Callable[[Ground, int], Entry]
    most: int = sys.maxsize
    large: int = sys.maxsize
    """Up to this size with --large."""
    slow: bool = False
    """Takes over 5 s, so that --quick leaves it out."""
    rounds: int | None = None
    """At most so many, for what takes minutes."""
    large_rounds: int | None = None
    """The same of the sizes that take long."""


Field = Literal["wall", "cpu", "peak"]


@dataclass(frozen=True, slots=True)
class Term:
    """So many times the median of a contender, in this row or in another one."""

    times: float
    contender: str
    workload: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """Ours may be at most the sum of the terms and *plus*."""

    words: str
    terms: tuple[Term, ...] = ()
    plus: float = 0.0
    field: Field = "wall"
    ours: str = OURS


def share(contender: str, times: float, words: str, ours: str = OURS) -> Goal:
    """At most so many times what a peer takes."""
    return Goal(words, (Term(times, contender),), ours=ours)


def no_goals(size: int) -> Iterable[Goal]:
    return ()


@dataclass(frozen=True, slots=True)
class Workload:
    """The same work for everybody, in several sizes."""

    family: str
    name: str
    unit: str
    """What a size counts; empty where there is one size only."""
    sizes: tuple[int, ...]
    contenders: tuple[Contender, ...]
    large: tuple[int, ...] = ()
    """Sizes that take long."""
    goals: Callable[[int], Iterable[Goal]] = no_goals
    detail: Mapping[int, str] = field(default_factory=dict)
    """What else is to be said of a size."""
    linear: bool = True
    """Whether the work grows with the size."""


@dataclass
class Ground:
    """Where the workloads of one family are measured in one size."""

    run: Runner
    peers: Peers
    folder: Path
    quick: bool = False
    _made: dict[Hashable, Any] = field(default_factory=dict)
    _count: int = 0

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What several contenders or workloads share; made when first asked for."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    def new(self, name: str) -> Path:
        """A path in the folder that nobody else has."""
        self._count += 1
        return self.folder / f"{name}-{self._count}"

    def put_away(self, path: Path) -> None:
        """Make room for another one at *path*.

        After many files were deleted a file system may be slow for minutes (ext4 does not give out
        again at once what it has taken back, and looks past it for each new file). So nothing is
        deleted before everybody has had all turns.
        """
        if path.exists():
            path.rename(self.new("old"))

    def command(
        self,
        words: list[str],
        folder: Path,
        *,
        before: Callable[[int], None] = _nothing,
        verify: Callable[[], None] = _unasked,
        env: Mapping[str, str] = {},
    ) -> Entry:
        """A contender that is one command."""
        return Entry(lambda number: self.run(words, folder, env), before, verify)


def settle() -> None:
    """Let what was written reach the disk, and stamps of files be older than the next command."""
    os.sync()
    time.sleep(0.1)


def expect(true: bool, words: str) -> None:
    """Raise Failed unless a contender has done what is measured."""
    if not true:
        raise Failed(words)


@dataclass
class Contest:
    """Runs workloads; what did not end in time is not tried again in larger sizes."""

    run: Runner
    peers: Peers
    base: Path
    runs: int
    quick: bool
    large: bool
    only: tuple[int, ...] = ()
    """The sizes to measure, if not those that a workload has."""
    _late: dict[tuple[str, str], str] = field(default_factory=dict)

    def sizes(self, workload: Workload) -> tuple[int, ...]:
        """Those that are asked for."""
        if self.quick:
            return workload.sizes[:1]
        if self.only:
            return tuple(size for size in workload.sizes + workload.large if size in self.only)
        return workload.sizes + (workload.large if self.large else ())

    def family(
        self, workloads: list[Workload], keep: Callable[[Workload, int, dict[str, Any]], None]
    ) -> None:
        """Measure a family, size by size: its workloads share what is set up for a size."""
        for size in sorted({size for each in workloads for size in self.sizes(each)}):
            folder = self.base / f"{workloads[0].family}-{size}"
            folder.mkdir()
            ground = Ground(self.run, self.peers, folder, self.quick)
            for workload in workloads:
                if size in self.sizes(workload):
                    keep(workload, size, self._row(ground, workload, size))
            if any(size in workload.large for workload in workloads):
                shutil.rmtree(folder)  # a second one would not fit on the disk

    def _row(self, ground: Ground, workload: Workload, size: int) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}
        entries: dict[str, Entry] = {}
        limits: dict[str, int] = {}
        for each in workload.contenders:
            is_large = self.large or size in self.only
            if size > (each.large if is_large else each.most) or (self.quick and each.slow):
                continue
            late = self._late.get((workload.name, each.name))
            if late is not None:
                found[each.name] = {"failed": late}
                continue
            with _Guard(self, workload, each.name, found):
                entries[each.name] = each.enter(ground, size)
                most = each.large_rounds if size in workload.large else each.rounds
                limits[each.name] = min(self.runs, most or self.runs)
        times: dict[str, list[Took]] = {name: [] for name in entries}
        for number in range(self.runs):
            for name, entry in list(entries.items()):
                if number >= limits[name]:
                    continue
                with _Guard(self, workload, name, found):
                    entry.before(number)
                    times[name].append(entry.measure(number))
                    if number == 0:
                        entry.verify()
                if name in found:
                    del entries[name]
        found |= {name: summary(times[name]) for name in entries}
        # In the order in which they are listed, however they fared.
        return {each.name: found[each.name] for each in workload.contenders if each.name in found}


class _Guard:
    """What one contender does wrong is written down; the others go on."""

    def __init__(
        self, contest: Contest, workload: Workload, name: str, found: dict[str, dict[str, Any]]
    ) -> None:
        self._contest, self._workload, self._name, self._found = contest, workload, name, found

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        what = f"{self._workload.name}, {self._name}"
        match error:
            case None:
                return True
            case TimedOut():
                self._found[self._name] = {"failed": str(error)}
                self._contest._late[self._workload.name, self._name] = str(error)
            case Missing():
                print(f"{what}: left out: {error}", file=sys.stderr)
                self._found[self._name] = {"failed": "not installed"}
            case Failed() | OSError():
                # An OSError is what comes of looking at what the contender should have made.
                print(f"{what}: failed: {error}", file=sys.stderr)
                self._found[self._name] = {"failed": "failed"}
            case _:
                return False
        return True


def summary(times: list[Took]) -> dict[str, Any]:
    """Medians, least and most, and every single one."""
    walls = [each.wall for each in times]
    row: dict[str, Any] = {
        "n": len(times),
        "wall": round(statistics.median(walls), 5),
        "least": round(min(walls), 5),
        "most": round(max(walls), 5),
        "cpu": round(statistics.median(each.cpu for each in times), 5),
        "peak": round(statistics.median(each.peak for each in times), 1),
        "all": [[round(x.wall, 5), round(x.cpu, 5), round(x.peak, 1)] for x in times],
    }
    if times[-1].note:
        row["note"] = times[-1].note
    return row
