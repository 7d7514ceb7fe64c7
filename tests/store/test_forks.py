"""Forks: shares of much small work; whatever becomes of a process, the result is the same."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dodo_store import forks, locks, record, threads, tree, walk
from dodo_store.errors import Damaged
from dodo_store.mirror import mirror
from dodo_store.pool import Batch
from dodo_store.stamps import FINE, Stamps
from dodo_store.tree import Node
from dodo_store.walk import Source, Walk
from tests.store.kit import Kit, flip

ITEMS = list(range(4 * forks.SHARE))


_started: list[int] = []


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has four, in a process without threads that other tests have left."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    others = threading.active_count() - 1
    count = threading.active_count
    monkeypatch.setattr(threading, "active_count", lambda: count() - others)
    fork = os.fork
    _started.clear()

    def noted() -> int:
        pid = fork()
        _started.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noted)


def no_child_is_left() -> bool:
    """Of those that were started, and some were."""
    return bool(_started) and not any(os.path.exists(f"/proc/{pid}") for pid in _started)


def numbered(items: Sequence[int]) -> list[tuple[int, int]]:
    return [(item, os.getpid()) for item in items]


def test_every_processor_does_a_share_and_results_are_in_order() -> None:
    found = forks.each(ITEMS, numbered)
    assert [item for item, _ in found] == ITEMS
    assert len({pid for _, pid in found}) == 4
    assert found[0][1] == os.getpid()
    assert no_child_is_left()


@pytest.mark.parametrize("count", [0, 1, 2 * forks.SHARE - 1])
def test_little_work_is_done_here(count: int) -> None:
    assert forks.each(ITEMS[:count], numbered) == [(i, os.getpid()) for i in range(count)]


def test_beside_another_thread_nothing_is_forked() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert {pid for _, pid in forks.each(ITEMS, numbered)} == {os.getpid()}
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_killed_is_told_of(number: int) -> None:
    here = os.getpid()

    def work(items: Sequence[int]) -> list[int]:
        if os.getpid() != here and items[0] == forks.SHARE:
            os.kill(os.getpid(), number)
        return list(items)

    with pytest.raises(ChildProcessError, match="was killed"):
        forks.each(ITEMS, work)
    assert no_child_is_left()


def test_where_no_process_can_be_had_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refused)
    before = os.listdir("/proc/self/fd")
    assert {pid for _, pid in forks.each(ITEMS, numbered)} == {os.getpid()}
    assert os.listdir("/proc/self/fd") == before


def test_where_children_vanish_by_themselves_nothing_is_amiss() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert [item for item, _ in forks.each(ITEMS, numbered)] == ITEMS
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert no_child_is_left()


def test_a_signal_in_the_middle_of_a_fork_ends_all_that_were_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork = os.fork
    before = len(os.listdir("/proc/self/fd"))

    def disturbed() -> int:
        pid = fork()
        if pid:
            signal.raise_signal(signal.SIGINT)
        return pid

    def work(items: Sequence[int]) -> list[int]:
        signal.pause()
        return []

    monkeypatch.setattr(os, "fork", disturbed)
    with pytest.raises(KeyboardInterrupt):
        forks.each(ITEMS, work)
    assert no_child_is_left()
    assert len(os.listdir("/proc/self/fd")) == before


def test_after_threads_there_may_be_processes() -> None:
    assert threads.each(lambda item: item + 1, [1, 2, 3]) == [2, 3, 4]
    assert forks.shares(len(ITEMS)) == 4


def test_what_is_wrong_in_another_process_is_raised_here() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if ITEMS[-1] in items:
            raise Damaged("there", "it is not what it was")
        return list(items)

    with pytest.raises(Damaged, match="it is not what it was") as caught:
        forks.each(ITEMS, work)
    assert caught.value.path == "there"
    assert no_child_is_left()


def test_an_error_here_ends_the_others_at_once() -> None:
    here = os.getpid()

    def work(items: Sequence[int]) -> list[int]:
        if os.getpid() == here:
            raise KeyboardInterrupt
        signal.pause()
        return []

    with pytest.raises(KeyboardInterrupt):
        forks.each(ITEMS, work)
    assert no_child_is_left()


def test_no_signal_is_blocked_afterwards() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    forks.each(ITEMS, numbered)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before


# -- one thing beside another ---------------------------------------------------------------


def test_what_is_worked_out_aside_is_there_when_it_is_done() -> None:
    ready, go = os.pipe()
    with forks.undisturbed():
        beside = forks.Aside(lambda: os.read(ready, 1) + b"!")
    assert not beside.is_done()
    os.write(go, b"x")
    assert beside.result() == b"x!"
    assert beside.is_done()
    beside.end()
    assert no_child_is_left()


def test_what_is_not_needed_any_more_ends_at_once() -> None:
    with forks.undisturbed():
        beside = forks.Aside(signal.pause)
    beside.end()
    assert no_child_is_left()


KILLED = """
import os, signal, sys
from dodo_store import forks, locks
path, how = sys.argv[1:]
here = os.getpid()
def pause():
    os.write(ready, b"begun")
    signal.pause()
def much(items):
    if os.getpid() == here:
        os.kill(here, signal.SIGKILL)
    return [bytes(1000)] * len(items)
with locks.hold(path, "me"):
    ready = os.dup(2)
    os.set_inheritable(ready, True)
    if how == "each":
        os.sched_getaffinity = lambda pid: {0, 1, 2}
        os.write(ready, b"begun")
        forks.each(range(5000), much)
    with forks.undisturbed():
        beside = forks.Aside(pause, lets_go=how == "lets go")
    signal.pause()
"""


@pytest.mark.parametrize("how", ["each", "aside"])
def test_who_works_for_us_ends_with_us_and_so_do_our_locks(tmp_path: Path, how: str) -> None:
    path = str(tmp_path / "lock")
    words = [sys.executable, "-c", KILLED, path, how]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    assert process.stderr.read(5) == b"begun"
    process.kill()
    process.wait()
    assert process.stderr.read() == b""  # whoever reads what we say is not kept waiting
    until = time.monotonic() + 5
    while not locks.is_free(path):
        assert time.monotonic() < until
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
    process.stderr.close()


# -- what is done so ------------------------------------------------------------------------


@pytest.fixture
def full(kit: Kit) -> Kit:
    """A folder with more files than one process takes."""
    (kit.root / "data").mkdir()
    for number in range(700):
        (kit.root / "data" / str(number)).write_text(f"{number % 300}\n")
    (kit.root / "data/7").chmod(0o755)
    return kit


def taken(kit: Kit, monkeypatch: pytest.MonkeyPatch, processes: int) -> Node:
    monkeypatch.setattr(forks, "shares", lambda items: processes if items > 1 else 1)
    kit.stamps.forget()
    return kit.take("data")


def test_a_folder_comes_to_the_same_however_it_is_read(
    full: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_three, names = taken(full, monkeypatch, 3), full.store.objects.oids()
    assert taken(full, monkeypatch, 1) == by_three
    assert full.store.objects.oids() == names
    assert len(names) == 300
    assert all(full.store.objects.verify(oid) for oid in names)
    assert full.members(by_three)["7"].kind == tree.EXEC
    seen = full.seen("data")
    assert seen.digest == by_three.digest


def test_a_file_that_is_written_to_meanwhile_is_read_again(
    full: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, path = os.getpid(), full.root / "data/650"
    take = Batch.take

    def disturbed(*args: object) -> object:
        if os.getpid() != here and args[2] == str(path):
            path.write_text("longer than it was before\n")
        return take(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Batch, "take", disturbed)
    node = taken(full, monkeypatch, 3)
    oid = full.members(node)["650"].oid
    assert full.store.objects.read(oid) == path.read_bytes() == b"longer than it was before\n"


def test_a_folder_is_brought_back_the_same(
    full: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = taken(full, monkeypatch, 3)
    full.restore(node, "again")
    assert full.seen("again") == full.seen("data")
    stamps = Stamps(str(tmp_path / "mirror-stamps"))
    made = mirror(full.store, node, str(tmp_path / "mirror"), stamps)
    assert made.written == 700
    assert mirror(full.store, node, str(tmp_path / "mirror"), stamps).written == 0
    for name in os.listdir(full.root / "data"):
        for other in (full.root / "again", tmp_path / "mirror"):
            assert (other / name).read_bytes() == (full.root / "data" / name).read_bytes()
    assert os.access(tmp_path / "mirror/7", os.X_OK)


def test_damage_that_another_process_meets_is_told_here(
    full: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = taken(full, monkeypatch, 3)
    oid = full.members(node)["299"].oid
    flip(full.object_path(full.members(node)["299"]))
    with pytest.raises(Damaged, match="does not match its name"):
        full.restore(node, "again")
    assert not (full.root / "again").exists()
    with pytest.raises(Damaged, match="does not match its name"):
        mirror(full.store, node, str(tmp_path / "mirror"), Stamps(str(tmp_path / "stamps")))
    assert oid in full.store.objects.oids()


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_half(
    full: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = taken(full, monkeypatch, 3)
    here, copy_out = os.getpid(), type(full.store.objects).copy_out

    def cut(pool: object, oid: object, size: int, to: str, mode: int = 0o666) -> object:
        if os.getpid() != here and to.endswith("/650"):
            Path(to).write_text("ha")
            os.kill(os.getpid(), signal.SIGKILL)
        return copy_out(pool, oid, size, to, mode)  # type: ignore[arg-type]

    stamps = Stamps(str(tmp_path / "stamps"))
    with monkeypatch.context() as patched:
        patched.setattr(type(full.store.objects), "copy_out", cut)
        with pytest.raises(ChildProcessError):
            full.restore(node, "again")
        with pytest.raises(ChildProcessError):
            mirror(full.store, node, str(tmp_path / "mirror"), stamps)
    assert not (full.root / "again").exists()
    full.restore(node, "again")
    mirror(full.store, node, str(tmp_path / "mirror"), stamps)
    for folder in (full.root / "again", tmp_path / "mirror"):
        assert (folder / "650").read_text() == "50\n"
        assert len(os.listdir(folder)) == 700


def test_names_are_not_wiped_by_others_that_are_the_same_to_the_disk(
    full: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a folder that ignores case: what is there already is told, and stays."""
    node = taken(full, monkeypatch, 3)
    here, copy_out = os.getpid(), type(full.store.objects).copy_out

    def same(pool: object, oid: object, size: int, to: str, mode: int = 0o666) -> object:
        if os.getpid() != here and to.endswith("/650"):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to)
        return copy_out(pool, oid, size, to, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(type(full.store.objects), "copy_out", same)
    with pytest.raises(FileExistsError) as caught:
        full.restore(node, "again")
    assert caught.value.filename.endswith("/650")


# -- folders that are listed ahead -----------------------------------------------------------


@pytest.fixture
def wide(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A folder of folders that was taken before, with a table that was read anew."""
    for number in range(30):
        folder = kit.root / "data" / os.fsdecode(b"\xff%d" % number) / "inner"
        folder.mkdir(parents=True)
        for name in range(number + 1):
            (folder / str(name)).write_text(f"{name}\n")
    time.sleep(2 * FINE / 1e9)
    kit.take("data")
    monkeypatch.setattr(walk, "MANY", 1)
    monkeypatch.setattr(forks, "shares", lambda items: 3 if items > 1 else 1)
    return again(kit)


def again(kit: Kit) -> Kit:
    """As the next command has it."""
    kit.stamps.save()
    kit.stamps = Stamps(str(kit.base / "stamps"))
    return kit


def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders that this very process lists from now on."""
    found: list[str] = []
    look = Walk._look

    def noted(self: Walk, path: str) -> object:
        found.append(path)
        return look(self, path)

    monkeypatch.setattr(Walk, "_look", noted)
    return found


def test_folders_that_are_known_are_listed_once_and_by_all(
    wide: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [name for name, _ in wide.stamps.known("data")]
    assert len(known) == 61 and all(name.startswith("data") for name in known)
    assert len(wide.stamps.known("")) == 61
    assert wide.stamps.known("dat") == wide.stamps.known("data/none") == []
    assert len(wide.stamps.known(known[1])) == 2
    found = looks(monkeypatch)
    node = wide.take("data")
    assert 15 < len(found) < 25  # a third of them
    wide.stamps.forget()
    assert wide.take("data") == node


def test_folders_are_listed_once_by_those_who_share_what_they_have_seen(
    wide: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(str(wide.root), wide.stamps, None, True, listings={})
    first = walk.digest(source, "data", follow=False)
    found = looks(monkeypatch)
    assert walk.digest(source, "data", follow=False) == first
    assert found == []


def grow(folder: Path) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "file").write_text("new\n")


def swap(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file\n")


def point(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def close(folder: Path) -> None:
    shutil.rmtree(folder)


def write(folder: Path) -> None:
    (folder / "0").write_text("else\n")


@pytest.mark.parametrize("move", [grow, swap, point, close, write])
@pytest.mark.parametrize("where", ["inner", ""])
def test_what_has_moved_since_is_seen(
    wide: Kit, monkeypatch: pytest.MonkeyPatch, move: Callable[[Path], None], where: str
) -> None:
    folder = wide.root / "data" / os.fsdecode(b"\xff7") / where
    if where or move is not write:
        move(folder)
    for follow in (False, True):
        seen = again(wide).seen("data", follow=follow)
        taken = again(wide).take("data")
        monkeypatch.setattr(walk, "MANY", 10**9)
        wide.stamps.forget()
        assert wide.seen("data", follow=follow) == seen
        assert wide.take("data") == taken
        monkeypatch.setattr(walk, "MANY", 1)


@pytest.mark.parametrize(
    "name", ["a\0b", "./" * 1500 + "data", "/etc", "../..", "data//x", "data/", ".", "n" * 300]
)
def test_a_name_that_is_no_folder_of_ours_is_not_listed(
    wide: Kit, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    node = wide.take()
    again(wide).stamps.renew()
    wide.stamps._packed[name] = next(iter(wide.stamps._packed.values()))
    found = looks(monkeypatch)
    assert wide.take() == node
    assert name not in found or len(name) == 300
    assert wide.seen("").digest == node.digest


def test_a_table_with_anything_in_it_does_not_end_a_walk(wide: Kit) -> None:
    node = wide.take("data")
    name = os.fsdecode(b"data/\xff7/inner")
    broken = [None, b"", b"\xc1", record.pack(1), record.pack([1, 2]), record.pack([b"\xc1", {}])]
    for each in broken:
        again(wide).stamps.renew()
        for key in (name, "no/such", 7):
            wide.stamps._packed[key] = each  # type: ignore[index,assignment]
        assert wide.take("data") == node
        del wide.stamps._packed[7]  # type: ignore[arg-type]
