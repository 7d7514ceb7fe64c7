"""Gc: remove what no root leads to.

What is reached is found without any lock. Then, a moment at a time, writers are kept out: roots
that have come meanwhile are followed too, and what is still not reached and has not been touched
lately goes. A writer holds gc off from its first look at the store to its durable record, so what
it found there is either gone before it looks or reached.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from dodo_store import durable
from dodo_store.errors import Damaged
from dodo_store.named import Named
from dodo_store.reach import Reach, Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_store.oid import Oid
    from dodo_store.pool import Pool
    from dodo_store.store import Store

TURN = 0.25
"""Seconds for which writers are kept out at a time."""


class Collected(Named):
    """Bytes and files: what was removed (or would be), what is kept for which kind of root, what
    nothing refers to but was touched lately.
    """

    removed: tuple[int, int]
    kept: dict[str, tuple[int, int]]
    recent: tuple[int, int]


RootsOf = Callable[[set[tuple[str, str, str]]], Iterable[Root]]
"""Yields roots; those whose (kind, name, version) is in the set are known, the others are added."""


def collect(
    store: Store,
    roots: RootsOf,
    *,
    grace: float,
    dry: bool,
    progress: Callable[[int], None] = lambda count: None,
    waiting: Callable[[str], None] | None = None,
) -> Collected:
    """Remove what is not reached and was last touched *grace* seconds ago or earlier.

    Raises:
        Damaged: a root, or a folder below one, cannot be read, so nobody can say what it needs.
    """
    reach = Reach(store, progress)
    known: set[tuple[str, str, str]] = set()
    reach.follow(roots(known))
    _check_clear(store, reach)
    before = time.time() - grace
    kept: dict[str, tuple[int, int]] = {}
    recent = (0, 0)
    idle: list[tuple[Pool, Oid]] = []
    sizes: dict[Oid, int] = {}
    for pool, reached in _pools(store, reach):
        for oid in pool.oids():
            size, touched = _stat(pool, oid)
            if oid in reached:
                kind = reach.kinds[reached[oid]]
                kept[kind] = _plus(kept.get(kind, (0, 0)), size)
            elif touched > before:
                recent = _plus(recent, size)
            else:
                idle.append((pool, oid))
                sizes[oid] = size
    if dry or not idle:
        return Collected((sum(sizes.values()), len(idle)), kept, recent)
    removed = (0, 0)
    for pool, oid in _turns(store, reach, roots, known, idle, before, waiting):
        _unlink(pool, oid)
        removed = _plus(removed, sizes[oid])
    return Collected(removed, kept, recent)


RESULT = "run"
"""The kind of roots whose loss costs a run and nothing else."""


def _check_clear(store: Store, reach: Reach) -> None:
    for lack in reach.lacks:
        is_object = lack.path.startswith(store.objects.folder + "/")
        if lack.root.kind != RESULT and not is_object:
            raise Damaged(lack.path, f"{lack.what}; nothing is removed while this is so")


def _pools(store: Store, reach: Reach) -> Iterable[tuple[Pool, dict[Oid, int]]]:
    # A record goes before the trees it names and those before their objects: whatever is cut short
    # leaves things that nobody refers to.
    return (
        (store.records, reach.records),
        (store.trees, reach.trees),
        (store.objects, reach.objects),
    )


def _turns(
    store: Store,
    reach: Reach,
    roots: RootsOf,
    known: set[tuple[str, str, str]],
    idle: list[tuple[Pool, Oid]],
    before: float,
    waiting: Callable[[str], None] | None,
) -> Iterator[tuple[Pool, Oid]]:
    """What may go, while writers are out."""
    reached = dict(_pools(store, reach))
    place = 0
    while place < len(idle):
        with store.removing(waiting):
            until = time.monotonic() + TURN
            store.lose()
            reach.follow(roots(known))
            _check_clear(store, reach)
            while place < len(idle) and time.monotonic() < until:
                pool, oid = idle[place]
                place += 1
                if oid not in reached[pool] and _stat(pool, oid)[1] <= before:
                    yield pool, oid
        time.sleep(0.001)  # whoever waits has its turn


def _stat(pool: Pool, oid: Oid) -> tuple[int, float]:
    """Size and when it was last touched."""
    try:
        found = os.lstat(pool.path(oid))
    except OSError:
        return 0, 0.0
    return found.st_size, found.st_ctime


def _plus(total: tuple[int, int], size: int) -> tuple[int, int]:
    return total[0] + size, total[1] + 1


def _unlink(pool: Pool, oid: Oid) -> None:
    from contextlib import suppress

    with suppress(FileNotFoundError):
        os.unlink(pool.path(oid))


def sweep(folder: str, older: float, *, dry: bool) -> tuple[int, int]:
    """Remove the files and folders in *folder* that were last touched before *older* (seconds since
    the epoch); return their bytes and their number.
    """
    from contextlib import suppress

    from dodo_store.restore import remove

    total = (0, 0)
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return total
    for entry in entries:
        with suppress(FileNotFoundError):  # somebody else removes it, too
            if entry.stat(follow_symlinks=False).st_ctime > older:
                continue
            total = _plus(total, _bytes(entry))
            if not dry:
                remove(entry.path)
    if total[1] and not dry:
        durable.sync_folder(folder)
    return total


def _bytes(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return entry.stat(follow_symlinks=False).st_size
    with os.scandir(entry.path) as inner:
        return sum(_bytes(each) for each in inner)
