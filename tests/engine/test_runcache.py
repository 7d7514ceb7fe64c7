"""The run-cache and its claims."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

from dodo_exp.engine import runcache
from dodo_exp.engine.fingerprint import key_of
from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.store import Store
from dodo_store.tree import FILE, Node

LINES = (Line("cmd", "0", "true"), Line("dep", "in", "ab"), Line("out", "out", ""))


def made(folder: Path) -> Store:
    """A store ready for writing."""
    store = Store(str(folder / ".dodo"))
    store.create()
    return store


def result(store: Store, content: bytes, started: float) -> runcache.Run:
    """A run whose one output is in the store."""
    oid = of_bytes(content)
    with store.scratch() as scratch:
        batch = Batch(scratch)
        batch.add_bytes(store.objects, oid, content)
        batch.commit()
    node = Node(FILE, oid, len(content), oid)
    record = StageRecord(key_of(LINES), LINES, (("out", node),))
    return runcache.Run(record, "stage", started, 1.0, "here")


def test_what_was_saved_is_found(tmp_path: Path) -> None:
    store = made(tmp_path)
    run = result(store, b"x", 5.0)
    with store.writing():
        runcache.save(store, run)
    assert runcache.find(store, key_of(LINES)) == run
    assert runcache.find(store, key_of(LINES[1:])) is None


def test_a_result_whose_objects_are_gone_does_not_hide_an_older_one(tmp_path: Path) -> None:
    store = made(tmp_path)
    old, new = result(store, b"old", 1.0), result(store, b"new", 2.0)
    with store.writing():
        runcache.save(store, old)
        runcache.save(store, new)
    Path(store.objects.path(new.record.outs[0][1].oid)).unlink()
    assert runcache.find(store, key_of(LINES)) == old


def _work(folder: str, started: float) -> None:
    """One of many that want the same result: claim, look, make it if it is not there."""
    store = Store(f"{folder}/.dodo")
    with runcache.claim(store, key_of(LINES), "a worker", lambda owner: None, lambda: False):
        if runcache.find(store, key_of(LINES)) is None:
            time.sleep(0.2)
            with open(f"{folder}/made", "a") as file:
                file.write("x")
            with store.writing():
                runcache.save(store, result(store, b"x", started))


def test_of_many_that_want_it_one_makes_it(tmp_path: Path) -> None:
    made(tmp_path)
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=_work, args=(str(tmp_path), float(i))) for i in range(4)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "made").read_text() == "x"
