"""`dodo store check`."""

from __future__ import annotations

import re

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
