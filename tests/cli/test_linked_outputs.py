"""An output that is itself a link to a folder outside the project, on a larger disk perhaps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.space import Space

TOLD = (
    "error: dvc.yaml:1: stage 'a': its output 'res' is a link that leads outside the project,"
    " to {target!r}\n"
    "hint: with 'cache: false' the stage writes through it; for stored outputs on another disk make"
    " `.dodo`, or the project, a link to that disk\n"
)


def linked(space: Space, options: str = "", target: str | None = None) -> Path:
    """`res`, the output of stage `a`, is a link to `big`; returns that folder."""
    big = space.base / "big"
    big.mkdir()
    space.write("in", "1\n")
    out = f"{{res: {{{options}}}}}" if options else "res"
    space.write(
        "dvc.yaml",
        f"stages: {{a: {{cmd: mkdir -p res && cp in res/x, deps: [in], outs: [{out}]}}}}\n",
    )
    (space.root / "res").symlink_to(target or str(big))
    return big


@pytest.mark.parametrize("target", ["absolute", "../big", "../nowhere"])
@pytest.mark.parametrize("options", ["", "persist: true", "checkpoint: true"])
@pytest.mark.parametrize("verb", ["repro", "exp run"])
def test_a_stored_output_is_refused_before_anything_is_moved(
    space: Space, target: str, options: str, verb: str
) -> None:
    big = linked(space, options, None if target == "absolute" else target)
    (big / "mine").write_text("precious\n")
    target = os.readlink(space.root / "res")
    assert space.dodo(*verb.split(), code=2).err == TOLD.format(target=target)
    assert os.readlink(space.root / "res") == target
    assert [path.name for path in big.iterdir()] == ["mine"]
    assert not (space.root / ".dodo/replaced").exists()


def test_an_output_that_is_not_stored_is_written_through_its_link(space: Space) -> None:
    big = linked(space, "cache: false")
    for text in ("1\n", "2\n", "3\n"):
        space.write("in", text)
        assert space.repro().stages == {"a": "ran"}
        assert (big / "x").read_text() == text
        assert space.repro().stages == {"a": "unchanged"}
    assert os.readlink(space.root / "res") == str(big)
    assert not (space.root / ".dodo/replaced").exists()


def test_a_link_stays_when_the_stage_fails(space: Space) -> None:
    big = linked(space, "cache: false")
    space.write("dvc.yaml", space.read("dvc.yaml").replace("cp in res/x", "cp nowhere res/x"))
    space.dodo("repro", code=1)
    assert os.readlink(space.root / "res") == str(big)


def test_a_link_that_the_stage_makes_is_made_anew(space: Space) -> None:
    (space.base / "big").mkdir()
    space.write("in", "1\n")
    space.write(
        "dvc.yaml",
        "stages: {a: {cmd: ln -s ../big res, deps: [in], outs: [{res: {cache: false}}]}}\n",
    )
    for text in ("1\n", "2\n"):
        space.write("in", text)
        assert space.repro().stages == {"a": "ran"}
        assert os.readlink(space.root / "res") == "../big"
    assert list((space.base / "big").iterdir()) == []


@pytest.mark.parametrize("verb", [("checkout",), ("exp", "apply", "one"), ("repro",)])
def test_no_command_replaces_the_link_or_writes_through_it(
    space: Space, verb: tuple[str, ...]
) -> None:
    """The content is in the store, from a run in a folder; then it became a link."""
    big = linked(space)
    (space.root / "res").unlink()
    space.exp("-n", "one")
    shutil.rmtree(space.root / "res")
    (space.root / "res").symlink_to(big)
    ran = space.start(*verb)
    _, err = ran.communicate(timeout=60)
    assert ran.returncode in (1, 2)
    assert "is a link that leads outside the project" in err
    assert os.readlink(space.root / "res") == str(big)
    assert list(big.iterdir()) == []
    (space.root / "res").unlink()
    space.dodo(*verb)
    assert space.read("res/x") == "1\n"


def test_a_link_inside_the_project_is_an_output_as_any_other(space: Space) -> None:
    linked(space, target="folder")
    (space.root / "folder").mkdir()
    assert space.repro().stages == {"a": "ran"}
    assert space.read("res/x") == "1\n"
