"""State that the threads of one run share: no update is lost, no reader meets one half-way."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dodo_exp.engine.journal import Journal
from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store.ignore import Ignore
from dodo_store.oid import of_bytes
from dodo_store.stamps import Stamps
from dodo_store.store import Store
from tests.space import Space

THREADS = 6
T = 1_700_000_000_123_456_789


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], None]) -> None:
    """Call *work* in several threads that begin at one moment; what any raises is raised."""
    barrier = threading.Barrier(THREADS)

    def one(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS)))


def test_checkpoints_are_kept_while_many_other_stages_finish(space: Space) -> None:
    space.write(
        "train.py",
        "import os\n"
        "from dodo_exp import make_checkpoint\n"
        "n = 0\n"
        "while n < 20 or not os.path.exists('o249') and n < 1000:\n"
        "    n += 1\n"
        "    open('model', 'w').write(str(n))\n"
        "    make_checkpoint()\n",
    )
    trains = {"cmd": f"{sys.executable} train.py", "outs": [{"model": {"checkpoint": True}}]}
    others = {f"s{n}": {"cmd": f"echo {n} > o{n}", "outs": [f"o{n}"]} for n in range(250)}
    space.write("dvc.yaml", json.dumps({"stages": {"train": trains, **others}}))
    ran = space.exp("-j", "4", "-n", "busy")
    assert set(ran.stages.values()) == {"ran"} and len(ran.stages) == 251
    assert space.dodo("store", "cat", "busy@20:model").out == "20"
    assert space.dodo("store", "cat", "busy:o249").out == "249\n"


def test_two_stages_with_checkpoints_number_their_steps_once_each(space: Space) -> None:
    stages = {}
    for name in ("a", "b"):
        space.write(
            f"{name}.py",
            "from dodo_exp import make_checkpoint\n"
            "for n in range(30):\n"
            f"    open('{name}', 'w').write(str(n))\n"
            "    print(make_checkpoint())\n",
        )
        outs = [{name: {"checkpoint": True}}]
        stages[name] = {"cmd": f"{sys.executable} {name}.py", "outs": outs}
    space.write("dvc.yaml", json.dumps({"stages": stages}))
    told = space.repro("-j", "2").err
    numbers = sorted(int(line.split()[-1]) for line in told.splitlines() if "Kept" in line)
    assert numbers == list(range(1, 61))


def test_a_stat_cache_keeps_what_every_thread_has_written(tmp_path: Path) -> None:
    stamps = Stamps(str(tmp_path / "stamps"))
    oid = of_bytes(b"x")

    def work(number: int) -> None:
        names: dict[str, object] = {}
        for n in range(900):  # more folders than are held unpacked
            names[str(number)] = None
            stamps.set(f"d{n}/{number}", (n, T, T, number), oid, T * 2)
            stamps.keep(f"d{n}", str(number), [n], dict.fromkeys(map(str, range(THREADS))))
            if n % 100 == 0:
                stamps.save()

    together(work)
    for n in range(900):
        for number in range(THREADS):
            assert stamps.get(f"d{n}/{number}", (n, T, T, number)) == oid
            assert stamps.memo(f"d{n}", str(number)) == [n]


def test_rules_of_a_folder_are_whole_when_they_are_seen(tmp_path: Path) -> None:
    folders = [f"d{n}" for n in range(300)]
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".dvcignore").write_text("*.tmp\n")
    ignore = Ignore(os.fspath(tmp_path), (".dvcignore",))

    def work(number: int) -> None:
        for folder in folders:
            assert ignore.mark(folder, [])
            assert ignore.skips(f"{folder}/x.tmp", False)

    together(work)
    assert sorted(set(ignore.sources)) == sorted(
        ["", *folders, *(f"{f}/.dvcignore" for f in folders)]
    )


def test_a_journal_can_be_read_while_stages_finish(tmp_path: Path) -> None:
    store = Store(str(tmp_path / ".dodo"))
    store.create()
    journal = Journal(store, str(tmp_path), ["dvc.yaml"])
    made = StageRecord(of_bytes(b"key"), (Line("cmd", "0", "true"),), ())

    def work(number: int) -> None:
        for n in range(40):
            name = f"s{number}-{n}"
            journal.aside(name, [], set())
            with store.writing():
                journal.finish_stage("dvc.yaml", name, made, [])
            for records in journal.made.values():
                assert all(each == made for each in records.values())

    together(work)
    folded: dict[str, int] = {}
    journal.close(lambda path, found: folded.update({path: len(found)}), keep_edits=True)
    assert folded == {"dvc.yaml": THREADS * 40}
