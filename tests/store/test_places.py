"""Places are used by one process at a time, and no more of them are kept than is of use."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dodo_store import locks, places

STORE = Path(places.__file__).parent.parent

USER = """\
import contextlib, sys
from dodo_store import places
with contextlib.ExitStack() as held:
    print(places.take(sys.argv[1], held), flush=True)
    sys.stdin.read()
"""
"""Takes a place, says which, and uses it until its input ends."""

CROWD = """\
import contextlib, os, sys, time
from dodo_store import places
folder, rounds = sys.argv[1], int(sys.argv[2])
for _ in range(rounds):
    with contextlib.ExitStack() as held:
        path = places.take(folder, held)
        fd = os.open(path + "/mine", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        time.sleep(0.002)
        os.close(fd)
        os.unlink(path + "/mine")
    places.sweep(folder)
"""
"""Takes places again and again; fails if somebody else is in one, or takes it away."""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where places are to be."""
    return str(tmp_path / "deep" / "places")


@contextlib.contextmanager
def user(folder: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses a place for a block; the process, and the place's path."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, folder],
        env={**os.environ, "PYTHONPATH": str(STORE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.communicate()


def take(folder: str) -> str:
    """The place that one would get now; it is free again."""
    with contextlib.ExitStack() as held:
        return places.take(folder, held)


def test_the_first_place_is_number_one_and_it_is_there(folder: str) -> None:
    with contextlib.ExitStack() as held:
        path = places.take(folder, held)
        assert path == f"{folder}/1"
        assert os.path.isdir(path)
        assert places.numbers(folder) == [1]
        assert places.idle(folder) == []
    assert places.idle(folder) == [1]


def test_a_place_that_is_free_is_used_again_with_what_is_in_it(folder: str) -> None:
    Path(take(folder), "left").write_text("x")
    assert take(folder) == f"{folder}/1"
    assert Path(folder, "1", "left").read_text() == "x"


def test_each_user_has_a_place_of_his_own(folder: str) -> None:
    with user(folder) as (_, one), user(folder) as (_, two), user(folder) as (_, three):
        assert [one, two, three] == [f"{folder}/{n}" for n in (1, 2, 3)]
        assert take(folder) == f"{folder}/4"
        assert places.idle(folder) == [4]
    assert places.idle(folder) == [1, 2, 3, 4]


def test_two_users_in_one_process_have_two_places(folder: str) -> None:
    with contextlib.ExitStack() as held:
        assert places.take(folder, held) != places.take(folder, held)


def test_the_place_of_a_user_who_was_killed_is_free_at_once(folder: str) -> None:
    with user(folder) as (process, path):
        with user(folder):
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert places.idle(folder) == [1]
            assert take(folder) == path == f"{folder}/1"


def test_a_gap_in_the_numbers_is_of_no_matter(folder: str) -> None:
    os.makedirs(f"{folder}/3")
    os.makedirs(f"{folder}/12")
    with user(folder) as (_, one), user(folder) as (_, two), user(folder) as (_, three):
        assert [one, two, three] == [f"{folder}/{n}" for n in (3, 12, 1)]
    assert places.numbers(folder) == [1, 3, 12]


def test_what_is_no_number_is_no_place(folder: str) -> None:
    os.makedirs(f"{folder}/notes")
    Path(folder, "7.lock").touch()
    assert places.numbers(folder) == []
    assert places.numbers(f"{folder}/notes/not there") == []


def test_sweep_keeps_one_that_nobody_uses(folder: str) -> None:
    with user(folder), user(folder), user(folder), user(folder):
        pass
    places.sweep(folder)
    assert places.numbers(folder) == [1]
    assert sorted(os.listdir(folder)) == ["1", "1.lock"]


def test_sweep_removes_all_when_none_is_to_be_kept(folder: str) -> None:
    with user(folder), user(folder):
        pass
    places.sweep(folder, keep=0)
    assert os.listdir(folder) == []


def test_sweep_leaves_those_that_are_used(folder: str) -> None:
    with user(folder) as (_, one), user(folder) as (_, two):
        with user(folder), user(folder):
            pass
        Path(two, "mine").touch()
        places.sweep(folder, keep=0)
        assert places.numbers(folder) == [1, 2]
        assert os.path.exists(f"{two}/mine")
        for path in (one, two):
            assert not locks.is_free(f"{path}.lock")


def test_sweep_removes_locks_without_a_place_and_locked_folders(folder: str) -> None:
    os.makedirs(f"{folder}/1")
    os.makedirs(f"{folder}/2/inner")
    Path(folder, "2", "inner", "file").touch()
    os.chmod(f"{folder}/2/inner", 0o000)
    os.chmod(f"{folder}/2", 0o000)
    Path(folder, "9.lock").touch()
    places.sweep(folder)
    assert sorted(os.listdir(folder)) == ["1"]


def test_sweep_of_nothing_is_nothing(folder: str) -> None:
    places.sweep(folder)
    assert not os.path.exists(folder)


def test_a_crowd_that_takes_and_sweeps_is_never_two_in_a_place(folder: str) -> None:
    command = [sys.executable, "-c", CROWD, folder, "60"]
    env = {**os.environ, "PYTHONPATH": str(STORE)}
    crowd = [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    until = time.monotonic() + 60
    for process in crowd:
        _, err = process.communicate(timeout=until - time.monotonic())
        assert process.returncode == 0, err
    places.sweep(folder)
    assert len(places.numbers(folder)) == 1
