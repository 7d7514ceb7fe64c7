"""`dodo store check`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dodo_store.oid import of_bytes
from tests.space import Space


def test_a_sound_store(project: Space) -> None:
    project.exp()
    assert re.fullmatch(
        r"1 experiment, 1 lock file, 1 undo step, 3 runs; \d+ objects, \d+ read, [\d,]+ bytes:"
        r" all is well\n",
        project.dodo("store", "check").out,
    )


def test_damage_ends_with_5_and_is_named(project: Space) -> None:
    project.exp()
    path = next(path for path in (project.root / ".dodo" / "objects").rglob("*") if path.is_file())
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[::-1] + b"!")
    ran = project.dodo("store", "check", code=5)
    assert str(path) in ran.out
    path.write_bytes(whole)


def test_content_that_only_an_undo_step_needs_is_checked_and_its_loss_mended(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: cat code.py > o, deps: [code.py], outs: [o]}}\n")
    space.write("code.py", "one\n")
    space.dodo("exp", "run", "-n", "one")
    space.write("code.py", "my own work\n")
    space.dodo("exp", "apply", "one", "--exact")
    lost = of_bytes(b"my own work\n")
    Path(space.store.objects.path(lost)).unlink()
    problem = f"{space.store.objects.path(lost)}: not in the store"
    assert problem in space.dodo("store", "check", code=5).out
    err = space.dodo("undo", code=5).err
    assert "`dodo store check --repair`" in err
    out = space.dodo("store", "check", "--repair").out
    assert "undo step 2 is removed: lost" in out
    assert "all is well" in space.dodo("store", "check").out
    assert "Undone: `exp run -n one`" in space.dodo("undo").out


@pytest.mark.parametrize("args", [["store", "check"], ["exp", "export", "-f", "../pack"]])
def test_what_reads_the_store_waits_while_gc_removes(project: Space, args: list[str]) -> None:
    project.exp("-n", "one")
    with project.store.removing():
        process = project.start(*args)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)


def test_a_check_of_a_project_without_a_store_makes_none(space: Space) -> None:
    space.write("dvc.yaml", "stages: {}\n")
    space.dodo("store", "check")
    assert not space.exists(".dodo")
