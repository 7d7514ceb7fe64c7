"""A full or read-only disk: one error that names it, and nothing in the queue is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dodo_exp import api
from dodo_exp.engine import disk
from dodo_exp.errors import NoRoom, StageFailed
from dodo_exp.exps import queue
from dodo_exp.project import Project
from tests.crash.test_kill_verbs import Lab
from tests.crash.test_queue_faults import known, rate, states
from tests.space import Ran, Space, wait_for

SECONDS = 20
"""A command that finds the disk full ends within so many; within one, if nothing else runs."""

VALUES = (2, 3, 4, 5)
JOBS = {f"q-{i}" for i in range(1, len(VALUES) + 1)}


class Disk:
    """A small disk of its own, with a project in which experiments wait."""

    def __init__(self, space: Space, folder: Path) -> None:
        self.space = space
        self.folder = folder
        space.root = folder / "project"
        space.root.mkdir()

    def queue(self, size: int) -> None:
        """Queue four experiments whose output has *size* bytes."""
        cmd = f"head -c {size} /dev/zero > o && echo $${{b}} >> o"
        self.space.write("params.yaml", "b: 1\n")
        self.space.write(
            "dvc.yaml",
            textwrap.dedent(f"""\
                stages:
                  a: {{cmd: "{cmd.replace("$$", "$")}", params: [b], outs: [o]}}
            """),
        )
        self.space.dodo("exp", "run", "-q", "-n", "first")
        values = ",".join(map(str, VALUES))
        self.space.dodo("exp", "run", "-q", "--queue", "-n", "q", "-S", f"b={values}")

    def fill(self, kilobytes: int) -> None:
        """Leave so much free."""
        found = os.statvfs(self.folder)
        size = found.f_bavail * found.f_frsize - kilobytes * 1024
        with open(self.folder / "filler", "wb") as file:
            file.write(bytes(size))

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink()

    def states(self) -> dict[str, str]:
        """Name -> state of what is in the queue."""
        ran = self.space.dodo("queue", "status", "--json")
        return {row["name"]: row["state"] for row in ran.json["experiments"]}

    def refused(self, *args: str) -> Ran:
        """Run a command for which there is no room: one error, which names the disk."""
        started = time.monotonic()
        ran = self.space.dodo(*args, code=1)
        assert time.monotonic() - started < SECONDS
        errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, ran.err
        assert str(self.folder) in errors[0] and os.strerror(errno.ENOSPC) in errors[0]
        assert " free there; " in ran.err
        return ran

    def check_all_waits(self) -> None:
        """Nothing has failed or is lost."""
        assert self.states().items() >= dict.fromkeys(JOBS, queue.QUEUED).items()

    def check_all_runs(self) -> None:
        """With room again everything goes well."""
        self.empty()
        self.space.dodo("exp", "run", "--run-all", "-q")
        assert self.states().items() >= dict.fromkeys(JOBS, queue.SUCCESS).items()


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs for a block; skips the test where none can be mounted."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small(space: Space) -> Iterator[Disk]:
    """A disk of 24 MB; the store on it is sound in the end."""
    with mounted(space.base / "small", "24m") as folder:
        yield Disk(space, folder)
        space.check()
        space.root = space.base


def test_a_copy_for_which_there_is_no_room_is_removed(small: Disk) -> None:
    small.queue(1000)
    (small.space.root / "data.bin").write_bytes(random.randbytes(9_000_000))
    small.space.dodo("exp", "run", "-q", "-n", "there")  # 9 MB more in the store
    before = os.statvfs(small.folder).f_bavail * os.statvfs(small.folder).f_frsize
    err = small.refused("exp", "run", "--temp", "-n", "beside").err
    assert "workspaces/1/project: No space left on device: its files need 9 MB" in err
    after = os.statvfs(small.folder).f_bavail * os.statvfs(small.folder).f_frsize
    assert before - after < 200_000
    assert not list((small.space.root / ".dodo/workspaces").rglob("not-ours*"))
    assert not (small.space.root / ".dodo/workspaces/1/project").exists()
    (small.space.root / "data.bin").unlink()
    small.space.dodo("exp", "run", "--temp", "-n", "later")


def test_what_the_store_has_needs_no_room(small: Disk) -> None:
    small.queue(1000)
    (small.space.root / "data.bin").write_bytes(random.randbytes(9_000_000))
    small.space.dodo("exp", "save", "-n", "there")
    (small.space.root / "data.bin").touch()
    small.space.dodo("exp", "save", "-n", "again")


RUN_ALL = ("exp", "run", "--run-all", "-j", "2")


@pytest.mark.parametrize("free", [0, 20, 50, 100, 200, 400])
def test_run_all_on_a_full_disk_ends_with_one_error_and_all_waits(small: Disk, free: int) -> None:
    small.queue(40_000)
    small.fill(free)
    small.refused(*RUN_ALL)
    small.check_all_waits()
    small.check_all_runs()


@pytest.mark.parametrize("free", [1500, 2500, 3500, 4500])
def test_a_disk_that_is_full_amid_a_run_fails_no_experiment(small: Disk, free: int) -> None:
    small.queue(2_000_000)
    small.fill(free)
    small.refused(*RUN_ALL)
    small.check_all_waits()
    small.check_all_runs()


@pytest.mark.parametrize("free", [0, 50, 2500])
@pytest.mark.parametrize("verb", ["queue worker", "queue start -j 2"])
def test_other_ways_to_run_the_queue_end_the_same(small: Disk, verb: str, free: int) -> None:
    small.queue(2_000_000)
    small.fill(free)
    small.refused(*verb.split())
    small.check_all_waits()
    small.check_all_runs()


@pytest.mark.parametrize("free", [0, 50])
def test_background_workers_are_not_started_on_a_full_disk(small: Disk, free: int) -> None:
    small.queue(2_000_000)
    small.fill(free)
    small.refused("queue", "start", "--detach", "-j", "2")
    small.check_all_waits()
    small.check_all_runs()


def test_queue_status_says_why_background_workers_have_ended(small: Disk) -> None:
    small.queue(2_000_000)
    small.fill(2500)
    small.space.dodo("queue", "start", "--detach", "-j", "2")

    def problem() -> bool:
        ran = small.space.dodo("queue", "status", "--json")
        return not ran.json["workers"] and bool(ran.json["problem"])

    wait_for(problem)
    small.check_all_waits()
    told = small.space.dodo("queue", "status").err
    assert told.startswith("warning: no worker can go on: ") and "No space left" in told
    small.check_all_runs()
    ran = small.space.dodo("queue", "status", "--json")
    assert ran.json["problem"] is None


@pytest.mark.parametrize("free", [0, 50, 400, 2500])
def test_a_run_in_a_folder_of_its_own_names_the_disk(small: Disk, free: int) -> None:
    small.queue(2_000_000)
    small.fill(free)
    small.refused("exp", "run", "--temp", "-S", "b=9", "-n", "t")
    small.check_all_waits()
    small.check_all_runs()
    small.space.dodo("exp", "run", "-q", "--temp", "-S", "b=9", "-n", "t")


@pytest.mark.parametrize("free", [0, 50, 400, 1500, 2500])
def test_a_run_in_place_names_the_disk_and_goes_well_with_room(small: Disk, free: int) -> None:
    small.queue(2_000_000)
    small.fill(free)
    ran = small.space.dodo("exp", "run", "-S", "b=9", "-n", "t", code=1)
    assert os.strerror(errno.ENOSPC) in ran.err and " free there; " in ran.err
    small.check_all_runs()
    small.space.dodo("exp", "run", "-q", "-S", "b=9", "-n", "t")


def test_queueing_on_a_full_disk_queues_all_or_none(small: Disk) -> None:
    small.queue(40_000)
    for free in (0, 4, 8, 16, 32):
        small.fill(free)
        before = small.states()
        args = ("exp", "run", "--queue", "-q", "-n", f"late{free}", "-S", "b=7,8,9")
        process = small.space.start(*args)
        _, err = process.communicate(timeout=SECONDS)
        added = small.states().keys() - before.keys()
        if process.returncode == 0:
            assert len(added) == 3
        else:
            assert (process.returncode, added) == (1, set()), err
            assert err.startswith("error: ") and os.strerror(errno.ENOSPC) in err
        small.empty()
    small.fill(0)
    small.check_all_runs()


def test_python_gets_an_error_of_its_own(small: Disk) -> None:
    small.queue(40_000)
    small.fill(0)
    project = small.space.root
    with pytest.raises(NoRoom, match="No space left on device"):
        api.queue({"b": 7}, project=project)
    with pytest.raises((NoRoom, StageFailed), match=r"No space left on device|exited with"):
        api.run({"b": 7}, project=project)
    handle = api.Handle(Project.find(str(project)), "q-1", 2)
    started = time.monotonic()
    with pytest.raises(NoRoom, match="No space left on device") as caught:
        handle.wait(timeout=60)
    assert time.monotonic() - started < SECONDS
    assert caught.value.hint is not None and "free there" in caught.value.hint
    small.check_all_waits()
    small.empty()
    assert handle.wait(timeout=60).params == {"b": 2}
    small.fill(4000)
    small.check_all_runs()


def test_a_disk_that_becomes_read_only_loses_nothing(small: Disk) -> None:
    small.queue(40_000)

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small.folder)], check=True)

    remount("ro")
    try:
        for verb in ("exp run --run-all -j 2", "queue worker", "queue start --detach"):
            started = time.monotonic()
            ran = small.space.dodo(*verb.split(), code=1)
            assert time.monotonic() - started < SECONDS
            assert ran.err.count("error: ") == 1 and os.strerror(errno.EROFS) in ran.err
        small.check_all_waits()
    finally:
        remount("rw")
    small.fill(4000)
    small.check_all_runs()


# -- faults that need no root ----------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by the module's tests: what they do happens in copies."""
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


FAULTS = ("ENOSPC+", "EDQUOT+", "EROFS+")


def run_all_with(lab: Lab, fault: str, when: int) -> None:
    """Let every call fail from one on, in the command and in each worker."""
    tried = known(lab, "worker")
    place = lab.copy(tried.folder)
    started = time.monotonic()
    ended = place.dodo(*RUN_ALL, "-q", fault=fault, when=when, forks=True)
    assert time.monotonic() - started < SECONDS
    words = os.strerror(getattr(errno, fault.rstrip("+")))
    found = states(place)
    assert found.keys() == tried.verb.wanted
    if ended.code == 0:
        assert set(found.values()) == {queue.SUCCESS}
    else:
        assert ended.code == 1, ended
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and words in errors[0], ended.err
        assert set(found.values()) <= {queue.SUCCESS, queue.QUEUED}, (ended, found)
    place.well("queue", "worker", "-q")
    assert states(place) == dict.fromkeys(tried.verb.wanted, queue.SUCCESS)
    assert all(rate(place, name) for name in tried.verb.wanted)
    assert place.problems() == 0
    assert place.leftovers() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_run_all_meets_a_full_disk_at_any_call_and_fails_nothing(lab: Lab, fault: str) -> None:
    for when in (1, *(random.randint(2, 250) for _ in range(3))):
        run_all_with(lab, fault, when)


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_run_all_meets_a_full_disk_at_each_call(lab: Lab, fault: str) -> None:
    for when in range(1, 250):
        run_all_with(lab, fault, when)


@pytest.mark.soak
def test_run_all_meets_a_full_disk_at_many_calls_sample(lab: Lab) -> None:
    for fault in FAULTS:
        for when in range(random.randint(1, 20), 250, 20):
            run_all_with(lab, fault, when)


# -- what a command's words say ----------------------------------------------------------------


def test_a_command_that_found_another_disk_full_is_its_own_affair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = b"OSError: [Errno 28] No space left on device\n"
    monkeypatch.setattr(disk, "LITTLE", 0)
    found = os.statvfs(tmp_path)
    if found.f_bavail < found.f_blocks // 20:
        pytest.skip("this disk is nearly full")
    assert disk.blame(str(tmp_path), words) is None
    monkeypatch.setattr(disk, "LITTLE", found.f_bavail * found.f_frsize + (1 << 40))
    error = disk.blame(str(tmp_path), words)
    assert error is not None and error.errno == errno.ENOSPC
    assert disk.blame(str(tmp_path), b"OSError: [Errno 2] No such file or directory\n") is None
