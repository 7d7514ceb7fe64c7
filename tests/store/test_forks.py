"""Forks: shares of much small work; whatever becomes of a process, the result is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from dodo_store import forks, locks, tree
from dodo_store.errors import Damaged
from dodo_store.mirror import mirror
from dodo_store.pool import Batch
from dodo_store.stamps import Stamps
from dodo_store.tree import Node
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


def numbered(items: Sequence[int], again: bool) -> list[tuple[int, int]]:
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
def test_the_share_of_a_killed_process_is_done_again_here(number: int) -> None:
    here = os.getpid()

    def work(items: Sequence[int], again: bool) -> list[tuple[int, bool]]:
        if os.getpid() != here and items[0] == forks.SHARE:
            os.kill(os.getpid(), number)
        return [(item, again) for item in items]

    found = forks.each(ITEMS, work)
    assert [item for item, _ in found] == ITEMS
    assert {item for item, again in found if again} == set(ITEMS[forks.SHARE : 2 * forks.SHARE])
    assert no_child_is_left()


def test_what_is_wrong_in_another_process_is_raised_here() -> None:
    def work(items: Sequence[int], again: bool) -> list[int]:
        if ITEMS[-1] in items:
            raise Damaged("there", f"in {os.getpid()}")
        return list(items)

    with pytest.raises(Damaged, match=f"in {os.getpid()}"):
        forks.each(ITEMS, work)
    assert no_child_is_left()


def test_an_error_here_ends_the_others_at_once() -> None:
    here = os.getpid()

    def work(items: Sequence[int], again: bool) -> list[int]:
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
    beside = forks.Aside(lambda: os.read(ready, 1) + b"!")
    assert not beside.is_done()
    os.write(go, b"x")
    assert beside.result() == b"x!"
    assert beside.is_done()
    beside.end()
    assert no_child_is_left()


def test_what_is_not_needed_any_more_ends_at_once() -> None:
    beside: forks.Aside[None] = forks.Aside(signal.pause)
    beside.end()
    assert no_child_is_left()


KILLED = """
import os, signal, sys
from dodo_store import forks, locks
with locks.hold(sys.argv[1], "me"):
    def work():
        os.write(2, b"begun")
        os.close(2)
        signal.pause()
    forks.Aside(work, lets_go=sys.argv[2] == "True")
    signal.pause()
"""


@pytest.mark.parametrize("lets_go", [True, False])
def test_who_works_for_us_keeps_our_locks_when_we_are_killed_unless_it_lets_go(
    tmp_path: Path, lets_go: bool
) -> None:
    path = str(tmp_path / "lock")
    words = [sys.executable, "-c", KILLED, path, str(lets_go)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    assert process.stderr.read(5) == b"begun"
    process.kill()
    process.wait()
    assert locks.is_free(path) is lets_go
    os.killpg(process.pid, signal.SIGKILL)
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
    monkeypatch.setattr(forks, "_count", lambda items: processes if items > 1 else 1)
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

    monkeypatch.setattr(type(full.store.objects), "copy_out", cut)
    full.restore(node, "again")
    mirror(full.store, node, str(tmp_path / "mirror"), Stamps(str(tmp_path / "stamps")))
    for folder in (full.root / "again", tmp_path / "mirror"):
        assert (folder / "650").read_text() == "50\n"
        assert len(os.listdir(folder)) == 700
