"""The journal, entry by entry: whatever was begun when we died is finished or undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dodo_exp.engine import journal, recovery
from dodo_exp.engine.journal import Journal
from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store.oid import of_bytes
from dodo_store.store import Store

MADE = StageRecord(of_bytes(b"key"), (Line("cmd", "0", "true"), Line("out", "o", "")), ())


class Scene:
    """A project folder with a journal that its process will never close."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.store = Store(str(folder / ".dodo"))
        self.store.create()
        self.write("o", "old")
        self.journal = Journal(self.store, str(folder), ["dvc.yaml"])

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def recover(self) -> list[str]:
        locks: journal.Locks = {"dvc.yaml": {}}
        recovery.overlay(self.store, str(self.root), locks)
        notes = recovery.recover(self.store, str(self.root), locks)
        assert not journal.has_leftovers(self.store)
        assert recovery.recover(self.store, str(self.root), locks) == []
        return notes


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A project folder with one output, `o`, whose store is open for writing."""
    scene = Scene(tmp_path)
    with scene.store.writing():
        yield scene


def test_an_output_moved_aside_comes_back_and_the_half_made_one_is_kept(scene: Scene) -> None:
    scene.journal.aside("s", ["o", "p"], set())
    assert not (scene.root / "o").exists()
    scene.write("o", "half")
    scene.write("p", "new")
    assert scene.recover() == ["stage 's' was cut short; its outputs are as they were before"]
    assert scene.read("o") == "old"
    assert not (scene.root / "p").exists()
    assert scene.read(".dodo/partial/s/o") == "half"
    assert scene.read(".dodo/partial/s/p") == "new"


def test_an_output_that_was_not_moved_yet_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dodo_exp.engine.journal.os.rename", killed)
        with pytest.raises(KeyboardInterrupt):
            scene.journal.aside("s", ["o"], {"o"})
    scene.recover()
    assert scene.read("o") == "old"


def test_a_finished_stage_is_folded_into_the_lock_file(scene: Scene) -> None:
    moves = scene.journal.aside("s", ["o"], {"o"})
    scene.write("o", "new")
    scene.journal.finish_stage("dvc.yaml", "s", MADE, moves)
    assert scene.recover() == []
    assert scene.read("o") == "new"
    assert f'"{MADE.key.hex()}"' in scene.read("dodo.lock")


def test_a_lock_file_that_somebody_replaced_meanwhile_wins(scene: Scene) -> None:
    scene.journal.finish_stage("dvc.yaml", "s", MADE, [])
    scene.write("dodo.lock", '{"version": 1, "stages": {}}')
    locks: journal.Locks = {"dvc.yaml": {}}
    recovery.overlay(scene.store, str(scene.root), locks)
    assert locks == {"dvc.yaml": {}}


@pytest.mark.parametrize("before", ["a: 1\n", None])
def test_an_edit_is_taken_back(scene: Scene, before: str | None) -> None:
    if before is not None:
        scene.write("params.yaml", before)
    scene.journal.edit("params.yaml", b"a: 2\n")
    assert scene.read("params.yaml") == "a: 2\n"
    scene.recover()
    path = scene.root / "params.yaml"
    assert (path.read_text() if path.exists() else None) == before


def test_an_edit_that_was_edited_since_stays(scene: Scene) -> None:
    scene.journal.edit("params.yaml", b"a: 2\n")
    scene.write("params.yaml", "a: 3\n")
    assert scene.recover() == [
        "params.yaml was edited during the run, so what the run had set in it was not taken back:"
        " a is 3 (new)"
    ]
    assert scene.read("params.yaml") == "a: 3\n"


def test_a_torn_last_entry_was_never_acted_on(scene: Scene) -> None:
    scene.journal.edit("params.yaml", b"a: 2\n")
    with open(scene.journal.path, "ab") as file:
        file.write(b"DODO\x01\x05\x00\x00\xff\xffhalf")
    assert scene.recover() == ["params.yaml is as it was before the run that was cut short"]


def nothing_to_write(pipeline: str, made: object) -> None:
    raise AssertionError(pipeline)


@pytest.mark.parametrize("keep", [True, False])
def test_a_journal_that_is_closed_leaves_nothing(scene: Scene, keep: bool) -> None:
    scene.write("params.yaml", "a: 1\n")
    scene.journal.edit("params.yaml", b"a: 2\n")
    moves = scene.journal.aside("s", ["o"], {"o"})
    scene.journal.put_back("s", moves)
    scene.journal.close(nothing_to_write, keep_edits=keep)
    assert list((scene.root / ".dodo" / "journal").iterdir()) == []
    assert scene.read("params.yaml") == ("a: 2\n" if keep else "a: 1\n")
    assert scene.read("o") == "old"


def test_several_edits_of_one_file_are_taken_back_to_the_first(scene: Scene) -> None:
    scene.write("params.yaml", "a: 1\n")
    scene.journal.edit("params.yaml", b"a: 2\n")
    scene.journal.edit("params.yaml", b"a: 3\n")
    scene.recover()
    assert scene.read("params.yaml") == "a: 1\n"


@pytest.mark.parametrize("known", [True, False])
def test_a_kill_after_the_record_still_keeps_what_the_store_does_not_know(
    scene: Scene, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = scene.journal.aside("s", ["o"], {"o"} if known else set())
    scene.write("o", "new")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dodo_exp.engine.moved_outputs.let_go", killed)
        with pytest.raises(KeyboardInterrupt):
            scene.journal.finish_stage("dvc.yaml", "s", MADE, moves)
    scene.recover()
    assert scene.read("o") == "new"
    kept = [path.read_text() for path in (scene.root / ".dodo").glob("replaced/s/*/o")]
    assert kept == ([] if known else ["old"])


def test_a_kill_after_the_run_has_ended_well_keeps_its_edits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write("params.yaml", "a: 1\n")
    scene.journal.edit("params.yaml", b"a: 2\n")

    def killed(path: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dodo_exp.engine.journal.os.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            scene.journal.close(nothing_to_write, keep_edits=True)
    assert scene.recover() == []
    assert scene.read("params.yaml") == "a: 2\n"
