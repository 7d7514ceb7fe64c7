"""Check: is everything that a store refers to there, and is it what its name says?

Reads from the roots down: records -> trees -> objects. Trees and records are always hashed, objects
all of them, some of them, or only those whose time says that somebody has written to them.
"""

from __future__ import annotations

import os
import random
import stat

from dodo_store import durable
from dodo_store.named import Named
from dodo_store.oid import of_file
from dodo_store.reach import Reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dodo_store.oid import Oid
    from dodo_store.pool import Pool
    from dodo_store.reach import Root
    from dodo_store.store import Store


class Problem(Named):
    """One thing that does not hold, and the file it is about."""

    path: str
    what: str


class Report(Named):
    """What a check saw; `hashed` of the `objects` were read byte by byte."""

    problems: tuple[Problem, ...]
    roots: dict[str, int]
    objects: int
    hashed: int
    bytes: int


def check(
    store: Store,
    roots: Iterable[Root],
    share: float = 1.0,
    progress: Callable[[int], None] = lambda size: None,
) -> Report:
    """Report all that does not hold.

    Args:
        share: how many of the objects to hash, 0 to 1.
        progress: told the size of each file that was read.
    """
    counts: dict[str, int] = {}

    def counted() -> Iterable[Root]:
        for root in roots:
            counts[root.kind] = counts.get(root.kind, 0) + 1
            yield root

    reach = Reach(store)
    reach.follow(counted())
    problems = [Problem(lack.path, lack.what) for lack in reach.lacks]
    told = {problem.path for problem in problems}
    objects = hashed = size = 0
    for pool in (store.objects, store.trees, store.records):
        every = pool is not store.objects or share >= 1
        for oid in pool.oids():
            objects += 1
            is_read = every or random.random() < share
            hashed += is_read
            path = pool.path(oid)
            what, found = _look(pool, oid, is_read)
            size += found
            if is_read:
                progress(found)
            if what and path not in told:
                problems.append(Problem(path, what))
    return Report(tuple(dict.fromkeys(problems)), counts, objects, hashed, size)


def _look(pool: Pool, oid: Oid, is_read: bool) -> tuple[str, int]:
    """What is wrong with a file of a pool, if anything, and its size."""
    path = pool.path(oid)
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return "not a regular file", 0
        size = found.st_size
        is_good = of_file(path) == oid if is_read else pool.has(oid)
    except OSError as error:
        return f"cannot be read ({error.strerror})", 0
    return ("" if is_good else "its content does not match its name"), size


def repair(store: Store, report: Report) -> None:
    """Take what is damaged out of the way, so that it is missing and can be made again."""
    store.lose()
    for path, _ in report.problems:
        if path.startswith(f"{store.folder}/runs/"):
            set_aside(store, path)
            continue
        try:
            pool, oid = store.named(path)
        except ValueError:
            continue
        if os.path.lexists(path) and not (os.path.isfile(path) and pool.verify(oid)):
            pool.set_aside(oid)


def set_aside(store: Store, path: str) -> None:
    folder = f"{store.folder}/quarantine"
    os.makedirs(folder, exist_ok=True)
    if os.path.lexists(path):
        os.rename(path, f"{folder}/{os.path.basename(path)}")
        durable.sync_folder(os.path.dirname(path))
