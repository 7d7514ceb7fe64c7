"""Errors of the disk at any call of any verb that writes: what was reported is so, or nothing is.

After an error the files are the old ones, or the new ones with the way back kept; and once the disk
is well again the same command goes well.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator

import pytest

from tests.crash.test_kill_verbs import VERBS, Known, Lab, Place, go_on, look, spread
from tests.space import Space

FAULTS = ["EIO", "ENOSPC+", "EROFS+"]
"""One call fails; the disk is full from that call on; it cannot be written to from that call on."""

ENDS = (1, 5)
"""Exit codes of a command that could not do what it should: a failure, and damage."""


def fail_at(lab: Lab, name: str, fault: str, when: int = 1, where: str = "") -> None:
    """One round: let that call fail, look at what was reported, go on."""
    known = lab.known(name)
    place = lab.copy(known.folder)
    ended = place.dodo(*known.verb.args, fault=fault, when=when, where=where)
    if ended.code == 0:
        assert (place.tree(), place.names(known.before[1])) == known.after
    else:
        assert ended.code in ENDS, ended
        lines = ended.err.splitlines()
        assert len([line for line in lines if line.startswith("error: ")]) == 1, ended
    tree, _ = look(place, known)
    if ended.code != 0 and tree == known.after[0] != known.before[0]:
        assert_can_be_undone(place, known)
    else:
        go_on(place, known)


def assert_can_be_undone(place: Place, known: Known) -> None:
    """The files are the new ones; the old ones come back by undo, also after a collection."""
    if known.verb.piecemeal or known.verb.args[0] == "undo":
        return  # a stage's outputs are in the run-cache; an undone step can be done again
    place.well("gc")
    place.well("undo")
    assert place.tree() == known.before[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by the module's tests: what they do happens in copies."""
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.mark.parametrize("name", VERBS)
def test_after_an_error_all_is_old_or_new_and_the_command_can_be_repeated(
    lab: Lab, name: str
) -> None:
    calls = spread(lab.known(name).calls, 2)
    for fault, when in zip(random.sample(FAULTS, 2), calls, strict=True):
        fail_at(lab, name, fault, when)


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", VERBS)
def test_after_an_error_at_each_call_all_is_old_or_new(lab: Lab, name: str, fault: str) -> None:
    for when in range(1, lab.known(name).calls + 1):
        fail_at(lab, name, fault, when)


@pytest.mark.soak
def test_after_an_error_at_many_calls_all_is_old_or_new_sample(lab: Lab) -> None:
    for name in VERBS:
        for fault in FAULTS:
            for when in spread(lab.known(name).calls, 2):
                fail_at(lab, name, fault, when)


# -- single moments ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["apply", "undo", "checkout"])
def test_files_whose_way_back_cannot_be_written_are_as_before(
    lab: Lab, name: str, fault: str
) -> None:
    fail_at(lab, name, fault, where="open .*/undo/")
    fail_at(lab, name, fault, where="fsync .*/undo/")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["apply", "undo", "checkout"])
def test_a_disk_that_fails_amid_the_files_loses_none(lab: Lab, name: str, fault: str) -> None:
    fail_at(lab, name, fault, where=r"open .*/tmp/.*\.new$")
    fail_at(lab, name, fault, when=2, where=r"rename .*/tmp/.*\.new ")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_undo_whose_names_cannot_be_written_is_not_lost(lab: Lab, fault: str) -> None:
    fail_at(lab, "undo-remove", fault, when=2, where="open .*/exps/")


@pytest.mark.parametrize("fault", ["EIO", "EROFS+"])
def test_a_removal_that_fails_half_way_is_all_or_none(lab: Lab, fault: str) -> None:
    known = lab.known("remove")
    place = lab.copy(known.folder)
    assert place.dodo(*known.verb.args, fault=fault, when=2, where="unlink .*/exps/").code in ENDS
    place.well("snapshot", "-n", "next")
    assert place.names() - {("snapshot", "next")} in (known.before[1], known.after[1])


def test_a_full_disk_is_named_with_what_it_had_no_room_for(space: Space) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    folder = space.base / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder])
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        space.root = folder
        space.write("dvc.yaml", "stages: {a: {cmd: head -c 2000000 /dev/zero > o, outs: [o]}}\n")
        space.dodo("exp", "run", "-q", "-n", "a")
        (folder / "mine").write_bytes(os.urandom(1_500_000))
        ran = space.dodo("snapshot", code=1)
        assert ran.err.startswith(f"error: {folder}/mine: No space left on device\nhint: ")
        assert os.listdir(folder / ".dodo" / "tmp") == []
        space.check()
        (folder / "mine").unlink()
        space.dodo("snapshot")
    finally:
        subprocess.run(["umount", folder], check=True)
