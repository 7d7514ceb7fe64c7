"""A folder that becomes a link while something is restored into it leads nowhere outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dodo_store import restore
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.tree import Node
from tests.store.kit import Kit, look

RACER = """\
import ctypes, os, sys
way, canary = map(os.fsencode, sys.argv[1:])
link = way + b".link"
os.symlink(canary, link)
call = ctypes.CDLL(None).renameat2
print("ready", flush=True)
while True:
    call(-100, way, -100, link, 2)
"""
"""Lets a folder and a link to elsewhere change places, as often as the system can."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no exchange of two names")

Act = Callable[[Kit, Node, Path, str], None]


@contextlib.contextmanager
def racing(way: Path, canary: Path) -> Iterator[None]:
    """Let *way* be now a folder, now a link to *canary*, for a block."""
    racer = subprocess.Popen(
        [sys.executable, "-c", RACER, str(way), str(canary)], stdout=subprocess.PIPE, text=True
    )
    assert racer.stdout is not None
    assert racer.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        racer.kill()
        racer.communicate()


def put_file(kit: Kit, file: Node, root: Path, scratch: str) -> None:
    restore.restore(kit.store, file, str(root), "way/down/file", scratch)


def put_folder(kit: Kit, file: Node, root: Path, scratch: str) -> None:
    folder = kit.put_tree((("file", file), ("inner", kit.put_tree((("file", file),)))))
    restore.restore(kit.store, folder, str(root), "way/down/inner", scratch)


def change(kit: Kit, file: Node, root: Path, scratch: str) -> None:
    other = kit.put(b"other")
    wanted = [Change("way/down/file", None, file), Change("way/down/new/file", None, other)]
    restore.apply(kit.store, wanted, str(root), scratch)


def take_out(kit: Kit, file: Node, root: Path, scratch: str) -> None:
    inner = kit.put_tree((("file", file),))
    folder = kit.put_tree((("file", file), ("inner", inner)))
    restore.apply(kit.store, [Change("way/down", folder, None)], str(root), scratch)


def exchange(kit: Kit, file: Node, root: Path, scratch: str) -> None:
    inner = kit.put_tree((("file", file),))
    folder = kit.put_tree((("file", file), ("inner", inner)))
    for old, new in ((file, folder), (folder, file)):
        restore.apply(kit.store, [Change("way/down/inner", old, new)], str(root), scratch)


ACTS: dict[str, Act] = {
    "file": put_file,
    "folder": put_folder,
    "change": change,
    "take-out": take_out,
    "exchange": exchange,
}


def race(kit: Kit, root: Path, act: Act, seconds: float) -> tuple[int, int]:
    """Restore as often as there is time; how many times it went through, and was refused."""
    canary = kit.base / "canary"
    for folder in (canary, root / "way"):
        (folder / "down" / "inner").mkdir(parents=True)
        (folder / "down" / "file").write_text("old")
        (folder / "down" / "inner" / "file").write_text("old")
    before, inodes = look(canary), inodes_of(canary)
    file = kit.put(b"new")
    done = refused = 0
    with kit.store.scratch() as scratch, racing(root / "way", canary):
        begun = time.monotonic()
        # On a busy machine the other side may come to its turn late.
        while (past := time.monotonic() - begun) < seconds or (
            past < 20 and not (done and refused)
        ):
            try:
                act(kit, file, root, scratch)
                done += 1
            except (StoreError, OSError):
                refused += 1
    assert look(canary) == before
    assert inodes_of(canary) == inodes
    return done, refused


def inodes_of(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells whether a file was made anew, or a folder was written to."""
    return {
        str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("act", ACTS)
def test_nothing_outside_is_ever_touched(kit: Kit, act: str) -> None:
    done, refused = race(kit, kit.root, ACTS[act], 1.0)
    assert done + refused > 20
    assert done
    assert refused


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("act", ACTS)
def test_nothing_outside_is_ever_touched_for_long(kit: Kit, act: str) -> None:
    race(kit, kit.root, ACTS[act], 60)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the store's."""
    shared = "/dev/shm"
    if not os.path.isdir(shared) or os.stat(shared).st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.parametrize("act", ["file", "folder", "exchange"])
def test_nothing_outside_is_touched_where_the_store_is_on_another_file_system(
    kit: Kit, elsewhere: Path, act: str
) -> None:
    race(kit, elsewhere, ACTS[act], 1.0)


def test_a_way_that_is_a_link_to_outside_is_refused(kit: Kit) -> None:
    canary = kit.base / "canary"
    canary.mkdir()
    (kit.root / "way").symlink_to(canary)
    with pytest.raises(StoreError, match="outside"):
        kit.restore(kit.put(b"new"), "way/file")
    assert os.listdir(canary) == []


def test_a_way_that_is_a_link_inside_is_followed(kit: Kit) -> None:
    (kit.root / "real").mkdir()
    (kit.root / "way").symlink_to("real")
    kit.restore(kit.put(b"new"), "way/file")
    assert (kit.root / "real" / "file").read_bytes() == b"new"
    assert (kit.root / "way").is_symlink()
