"""`hash = "always"`: no stat is believed."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator

import pytest

from tests.space import Ran, Space

ALWAYS = {"DODO_HASH": "always"}


class Mapped:
    """A project whose raw.txt is held open in a shared memory map, and is up to date."""

    def __init__(self, space: Space, data: mmap.mmap) -> None:
        self.space = space
        self._data = data

    def change(self) -> None:
        """Write through the map; the file's stat stays as it is."""
        path = self.space.root / "raw.txt"
        before = os.stat(path)
        self._data[0:3] = b"RAW"
        assert self.space.read("raw.txt") == "RAW\n"
        after = os.stat(path)
        if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
            pytest.skip("this file system moves the times at every write through a map")

    def changed(self, **env: str) -> bool:
        """Whether `dodo status` reports the change."""
        ran: Ran = self.space.dodo("status", env=env)
        assert ("raw.txt" in ran.out) != ("up to date" in ran.out), ran
        return "raw.txt" in ran.out


@pytest.fixture
def mapped(project: Space) -> Iterator[Mapped]:
    """Its page is dirty already, which is what later writes need to move nothing."""
    project.exp()
    with open(project.root / "raw.txt", "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        data[0:3] = b"raw"
        made = Mapped(project, data)
        for _ in range(3):
            time.sleep(0.06)
            assert not made.changed()
        yield made


def test_a_write_through_a_map_is_seen_with_the_setting_alone(mapped: Mapped) -> None:
    mapped.change()
    assert not mapped.changed()
    mapped.space.forget_runs()
    assert mapped.space.exp().stages["prepare"] == "unchanged"
    mapped.space.dodo("exp", "run", "-q", "-n", "seen", env=ALWAYS)
    assert mapped.space.runs == ["prepare", "train", "evaluate"]


def test_the_environment_sets_it_for_one_command(mapped: Mapped) -> None:
    mapped.change()
    assert not mapped.changed()
    assert mapped.changed(**ALWAYS)


def test_dash_f_runs_whatever_the_files_say(mapped: Mapped) -> None:
    mapped.change()
    mapped.space.forget_runs()
    mapped.space.exp("-f")
    assert mapped.space.runs == ["prepare", "train", "evaluate"]
    assert mapped.space.read("data.txt") == "RAW\n"


@pytest.mark.parametrize("place", ["dodo.toml", ".dodo/config"])
def test_the_setting_counts_at_once_wherever_it_is(mapped: Mapped, place: str) -> None:
    mapped.change()
    assert not mapped.changed()
    args = ("config", "store.hash", "always")
    mapped.space.dodo(*args, *(["--local"] if place != "dodo.toml" else []))
    assert "always" in mapped.space.read(place)
    assert not mapped.changed(DODO_HASH="changed")
    assert mapped.changed()


def test_a_folder_of_a_worker_is_read_too(mapped: Mapped) -> None:
    space = mapped.space
    mapped.change()
    space.dodo("exp", "run", "-q", "--queue", "-n", "old")
    space.dodo("exp", "run", "-q", "--queue", "-n", "new", env=ALWAYS)
    space.dodo("exp", "run", "--run-all", "-q", env=ALWAYS)
    for name, text in (("old", "raw\n"), ("new", "RAW\n")):
        assert space.dodo("store", "cat", f"{name}:raw.txt").out == text


def test_an_unknown_value_is_refused(project: Space) -> None:
    project.exp()
    ran = project.dodo("exp", "run", code=2, env={"DODO_HASH": "alway"})
    assert "DODO_HASH: 'alway' is not a valid value" in ran.err
