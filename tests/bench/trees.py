"""Large trees taken into the store: for the first time, unchanged, and with one file changed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench.contest import (
    Contender,
    Entry,
    Goal,
    Ground,
    Term,
    Workload,
    expect,
    no_goals,
    settle,
)
from tests.bench.peers import ours
from tests.bench.runner import Took

FAMILY = "trees"
BYTES = {1: 2 << 30, 10_000: 4096, 100_000: 4096, 1_000_000: 1024}
"""How large each file is in a tree of so many."""

DETAIL = {1: " of 2 GiB", 10_000: " of 4 KiB", 100_000: " of 4 KiB", 1_000_000: " of 1 KiB"}
SIZES = (10_000, 100_000)
LARGE = (1, 1_000_000)
LONG = 1200.0
"""Seconds that one command may take."""

WALK = """
import os, sys
waiting = [sys.argv[1]]
while waiting:
    with os.scandir(waiting.pop()) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                entry.stat(follow_symlinks=False)
"""

TAKE = """
import sys
from dodo_store import snapshot
from dodo_store.pool import Batch
from dodo_store.stamps import Stamps
from dodo_store.store import Store
from dodo_store.walk import Source
root, folder = sys.argv[1:]
store = Store(folder)
store.create()
stamps = Stamps(folder + "/stamps", store.generation)
with store.scratch() as scratch:
    batch = Batch(scratch)
    snapshot.take(store, batch, Source(root, stamps, None, False), "")
    batch.commit()
stamps.save()
"""
"""The store's part of `dodo snapshot`, to tell where its time goes."""


def grow(folder: Path, files: int, size: int) -> None:
    """A tree of random files, a thousand in a folder."""
    for number in range(files):
        here = folder / str(number // 1000)
        if number % 1000 == 0:
            here.mkdir(parents=True)
        with (here / str(number)).open("wb") as file:
            for start in range(0, size, 1 << 24):
                file.write(os.urandom(min(1 << 24, size - start)))


def tree(ground: Ground, size: int) -> Path:
    """The folder that is taken in by everybody: `data`, beside a dvc.yaml that names it."""

    def make() -> Path:
        folder = ground.new("tree")
        grow(folder / "data", size, BYTES[size])
        (folder / "dvc.yaml").write_text("stages: {a: {cmd: ls data, deps: [data]}}\n")
        settle()
        return folder

    return ground.once(("tree", size), make)


def place(ground: Ground, size: int, name: str) -> Path:
    """Where a program keeps the tree; dodo has no choice."""
    return tree(ground, size) / ".dodo" if name == "dodo" else ground.folder / f"kept-by-{name}"


def words(ground: Ground, size: int, name: str) -> list[str]:
    """What keeps the tree, run in its folder."""
    if name == "dodo":
        return [ours(), "snapshot"]
    into = place(ground, size, name)
    if name == "store":
        return [sys.executable, "-c", TAKE, "data", str(into)]
    program = ground.peers.program(name)
    if name == "restic":
        return [program, "backup", "-q", "-r", str(into), "data"]
    git = f"{program} --git-dir={into} --work-tree=."
    return ["/bin/sh", "-c", f"{git} add -A data && {git} commit -q --allow-empty -m x"]


def put_away(ground: Ground, size: int, path: Path) -> None:
    """Make room for another one; where two more do not fit on the disk, by removing it.

    Otherwise it stays till the end: a disk that has just lost many files is slow for a while.
    """
    if size in LARGE and path.exists() and not _has_room(ground.folder, size):
        shutil.rmtree(path)
    ground.put_away(path)


def _has_room(folder: Path, size: int) -> bool:
    """Whether two more such trees fit in, each file with a block and an inode of its own."""
    disk = os.statvfs(folder)
    blocks = size * -(-BYTES[size] // disk.f_frsize)
    return disk.f_favail > 2 * size and disk.f_bavail > 2 * blocks


def begin(ground: Ground, size: int, name: str) -> None:
    """Back to before anything was kept."""
    into = place(ground, size, name)
    put_away(ground, size, into)
    if name == "git":
        ground.run([ground.peers.program("git"), "init", "-q", "--bare", str(into)], ground.folder)
        git = [ground.peers.program("git"), f"--git-dir={into}", "config", "core.bare", "false"]
        ground.run(git, ground.folder)
    elif name == "restic":
        ground.run([ground.peers.program("restic"), "init", "-q", "-r", str(into)], ground.folder)


def keep(ground: Ground, size: int, name: str) -> Took:
    """Let a program keep the tree as it is now."""
    return ground.run(words(ground, size, name), tree(ground, size), timeout=LONG)


def kept(ground: Ground, size: int, name: str) -> None:
    """The store has grown by what the files hold: they are random, nothing makes them smaller.

    Raises:
        Failed
    """
    into = place(ground, size, name)
    held = sum(
        (Path(top) / file).stat().st_size for top, _, files in os.walk(into) for file in files
    )
    expect(held >= size * BYTES[size], f"{name} holds {held} bytes of {size * BYTES[size]}")


def first(name: str) -> Contender:
    """Everything is new."""

    def enter(ground: Ground, size: int) -> Entry:
        begin(ground, size, name)

        def before(number: int) -> None:
            begin(ground, size, name)
            settle()

        return Entry(
            lambda number: keep(ground, size, name), before, lambda: kept(ground, size, name)
        )

    return Contender(name, enter, large_rounds=None if name == "dodo" else 1)


def again(name: str, *, change: bool) -> Contender:
    """Kept before; nothing is new, or one file."""

    def enter(ground: Ground, size: int) -> Entry:
        if not place(ground, size, name).exists():
            begin(ground, size, name)
        keep(ground, size, name)
        settle()
        path = tree(ground, size) / "data/0/0"

        def before(number: int) -> None:
            if change:
                with path.open("r+b") as file:
                    file.write(os.urandom(8))
                settle()

        return Entry(lambda number: keep(ground, size, name), before)

    return Contender(name, enter)


COPY = "cp -r"
SYNCED = "cp -r, synced"


def copy(name: str) -> Contender:
    """`cp -r`; one that is *synced* is on the disk when it ends, as a snapshot is."""
    most = 1 if name == SYNCED else None
    return Contender(name, lambda ground, size: _copy(ground, size, name), large_rounds=most)


def _copy(ground: Ground, size: int, name: str) -> Entry:
    program, source = ground.peers.program("cp"), tree(ground, size)
    made = ground.new("copy")
    line = f"{program} -r data {made}" + (f" && sync -f {made}" if name == SYNCED else "")

    def before(number: int) -> None:
        put_away(ground, size, made)
        settle()

    def verify() -> None:
        last = f"{(size - 1) // 1000}/{size - 1}"
        expect((made / last).stat().st_size == BYTES[size], "not copied")

    return Entry(
        lambda number: ground.run(["/bin/sh", "-c", line], source, timeout=LONG),
        before,
        verify,
    )


def hashed(ground: Ground, size: int) -> Entry:
    """xxhsum over every file."""
    line = f"find data -type f -print0 | xargs -0 {ground.peers.program('xxhsum')} -H2"
    return ground.command(["/bin/sh", "-c", line], tree(ground, size))


def walk(ground: Ground, size: int) -> Entry:
    """A Python that lists the folders and looks at every file."""
    return ground.command([sys.executable, "-c", WALK, "data"], tree(ground, size))


def first_goals(size: int) -> Iterable[Goal]:
    """A tree is hashed and copied."""
    for name in (COPY, SYNCED):
        yield Goal(f"1.5 x (xxhsum + {name})", (Term(1.5, "xxhsum"), Term(1.5, name)))
    if size == 1_000_000:
        yield Goal("400 MiB", plus=400, field="peak")


def again_goals(size: int) -> Iterable[Goal]:
    """Every file is looked at."""
    if size > 1:
        yield Goal("2 x the walk", (Term(2, "walk"),))


WALKED = Contender("walk", walk)


def later(name: str, goals: Callable[[int], Iterable[Goal]], *, change: bool) -> Workload:
    """A tree that is known, taken again by everybody."""
    dodo, store, git, restic = (
        again(each, change=change) for each in ("dodo", "store", "git", "restic")
    )
    everybody = (dodo, store, WALKED, git, restic)
    return Workload(FAMILY, name, "files", SIZES, everybody, LARGE, goals, DETAIL)


WORKLOADS = (
    Workload(
        FAMILY,
        "snapshot, first",
        "files",
        SIZES,
        (
            first("dodo"),
            first("store"),
            Contender("xxhsum", hashed),
            copy(COPY),
            copy(SYNCED),
            first("git"),
            first("restic"),
        ),
        LARGE,
        first_goals,
        DETAIL,
    ),
    later("snapshot, nothing changed", again_goals, change=False),
    later("snapshot, one file changed", no_goals, change=True),
)
