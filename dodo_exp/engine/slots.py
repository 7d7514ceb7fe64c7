"""Slots: what stages share while they run, among all experiments of a project on a machine.

A pool is a folder with a lock file for each unit. Who needs units holds their locks, so they are
free again when their holder ends, however it ends. To take some, one holds the pool's `turn` first:
those who wait do so in line, and one that needs many is not passed by for ever. Turns are taken in
order of name, and given up once the units are had; so nobody waits for somebody who waits for him.
"""

from __future__ import annotations

import contextlib
import math
import os
import time

from dodo_exp.errors import BadInput, did_you_mean
from dodo_store import locks
from dodo_store.errors import Held
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dodo_exp.errors import Location
    from dodo_exp.pipeline.needs import Needs

EXACT = 64
"""So many things are counted one by one; each unit that is held is an open file."""

UNITS = 60
"""Of more, or of what is no whole number, there are so many units: it goes evenly into many."""

LOOK_UP = 0.05
"""Seconds between two looks at whether something is free."""


class Pool(Named):
    """So many units of so much each; `ids` are what the units are called where they have names."""

    name: str
    units: int
    unit: float
    ids: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """All there is."""
        return self.units * self.unit

    def count(self, amount: float) -> int:
        """How many units an amount takes: rounded up, unless it goes evenly into the whole."""
        fit = math.floor(self.total / amount + 1e-9)
        if 0 < fit <= self.units and self.units % fit == 0:
            return min(self.units // fit, max(1, math.ceil(amount / self.unit - 1e-9)))
        return max(1, math.ceil(amount / self.unit - 1e-9))


class Taken(Named):
    """Numbers of the units that are held: of resources by name, and of the budget.

    A process that inherits the `descriptors` holds them too, also when we have died.
    """

    resources: dict[str, list[int]]
    slot: int | None
    descriptors: tuple[int, ...] = ()


def pool(name: str, total: float, ids: Sequence[str] = ()) -> Pool:
    """A pool of *total*; where that is much its units are larger than one."""
    if total <= EXACT and total == int(total):
        return Pool(name, int(total), 1.0, tuple(ids))
    return Pool(name, UNITS, total / UNITS)


def pools(settings: Mapping[str, float | tuple[str, ...]]) -> dict[str, Pool]:
    """The pools that the settings name, and the machine's processors and memory."""
    found = {"cpu": pool("cpu", os.cpu_count() or 1)}
    with contextlib.suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found["mem"] = pool("mem", float(memory))
    for name, value in settings.items():
        ids = value if isinstance(value, tuple) else ()
        found[name] = pool(name, len(ids) if isinstance(value, tuple) else value, ids)
    return found


class Slots:
    """The pools of a project on this machine, under *folder*."""

    def __init__(self, folder: str, known: Mapping[str, Pool]) -> None:
        self._folder = f"{folder}/{os.uname().nodename}"
        self._known = known

    def check(self, needs: Needs, stage: str, at: Location) -> None:
        """Whether there are such pools, and large enough ones.

        Raises:
            BadInput
        """
        for name, amount in needs.resources:
            known = self._known.get(name)
            if known is None:
                near = did_you_mean(name, self._known) or ""
                hint = near if near.startswith("did") else f"`[resources] {name} = 1` in dodo.toml"
                text = f"stage {stage!r} needs {name!r}, and there is no such resource"
                raise BadInput(at, text, hint)
            if amount > known.total:
                there = f"of which there is {known.total:g}"
                raise BadInput(at, f"stage {stage!r} needs {amount:g} of {name!r}, {there}")

    def ids(self, name: str, units: list[int], amount: float) -> str:
        """What units are called, with commas: what CUDA_VISIBLE_DEVICES wants to hear.

        Of what is not counted one by one, the amount.
        """
        if self._known[name].unit != 1:
            return f"{amount:.0f}" if amount == int(amount) else str(amount)
        named = self._known[name].ids
        return ",".join(named[i] if i < len(named) else str(i) for i in units)

    @contextlib.contextmanager
    def take(
        self,
        needs: Needs,
        budget: Pool | None,
        who: str,
        waiting: Callable[[str, str, bool], None],
        is_stopping: Callable[[], bool],
    ) -> Iterator[Taken | None]:
        """Hold what is needed for a block; None if the run is ended while it waits.

        Args:
            waiting: told once of what is waited for, who has it, and whether nothing is held
                meanwhile that others could use.
        """
        wanted = [(f"mutex-{name}", 1, 1) for name in needs.mutex]
        for name, amount in needs.resources:
            known = self._known[name]
            wanted.append((f"pool-{name}", known.count(amount), known.units))
        wanted.sort()
        if budget is not None:
            # The last of all: who waits for something else does not take a place meanwhile.
            wanted.append((budget.name, 1, budget.units))
        with contextlib.ExitStack() as held:
            taken: dict[str, list[int]] = {}
            with contextlib.ExitStack() as turns:
                for name, count, size in wanted:
                    is_last = budget is not None and name == budget.name

                    def tell(what: str, owner: str, is_idle: bool = not is_last) -> None:
                        waiting(what.partition("-")[2], owner, is_idle)

                    units = _Units(f"{self._folder}/{name}", who, tell, is_stopping)
                    got = units.take(held, count, size) if units.turn(turns) else None
                    if got is None:
                        break
                    taken[name] = got
            yield self._taken(taken, needs, budget) if len(taken) == len(wanted) else None

    def _taken(self, taken: dict[str, list[int]], needs: Needs, budget: Pool | None) -> Taken:
        resources = {name: taken[f"pool-{name}"] for name, _ in needs.resources}
        paths = [f"{self._folder}/{name}/{i}" for name, units in taken.items() for i in units]
        found = [fd for path in paths if (fd := locks.descriptor(path)) is not None]
        return Taken(resources, taken[budget.name][0] if budget is not None else None, tuple(found))


class Limits(Named):
    """What commands share with those of other runs: pools, and a budget of commands at once."""

    slots: Slots
    budget: Pool | None = None


class _Units:
    """One pool, by one who wants some of it."""

    def __init__(
        self,
        folder: str,
        who: str,
        waiting: Callable[[str, str], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._who = who
        self._waiting = waiting
        self._is_stopping = is_stopping
        self._patience = time.monotonic() + 0.5
        self._name = os.path.basename(folder)
        os.makedirs(folder, exist_ok=True)

    def turn(self, held: contextlib.ExitStack) -> bool:
        """Be the one who takes from this pool; False if the run is ended meanwhile."""
        return self._until(lambda: self._try(f"{self._folder}/turn", held), "turn")

    def take(self, held: contextlib.ExitStack, count: int, size: int) -> list[int] | None:
        """Hold so many units; None if the run is ended meanwhile."""
        got: list[int] = []

        def all_there() -> bool:
            for i in range(size):
                is_wanted = len(got) < count and i not in got
                if is_wanted and self._try(f"{self._folder}/{i}", held):
                    got.append(i)
            return len(got) == count

        return sorted(got) if self._until(all_there, "0") else None

    def _try(self, path: str, held: contextlib.ExitStack) -> bool:
        try:
            held.enter_context(locks.hold(path, self._who, timeout=0))
        except Held:
            return False
        return True

    def _until(self, done: Callable[[], bool], holder: str) -> bool:
        while not done():
            if self._is_stopping():
                return False
            if time.monotonic() > self._patience:
                self._patience = math.inf
                self._waiting(self._name, locks.owner(f"{self._folder}/{holder}"))
            time.sleep(LOOK_UP)
        return True
