"""Memo: what was read is not read again, and nothing that has changed is taken for known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dodo_exp.engine.memo import NO_MARK, Memo
from dodo_store.oid import Oid, of_file
from dodo_store.stamps import mark


class Reader:
    """Reads a file of the folder through a memo, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "file"
        self.memo = self.begin()
        self.reads = 0

    def begin(self) -> Memo:
        """A memo as the next command would have it."""
        return Memo(str(self.folder / "memo"))

    def ask(self) -> Any:
        """What the memo says of the file."""
        return self.memo.get("text", "file", str(self.file), self._read)

    def ask_anew(self) -> Any:
        """What the memo of the next command says."""
        self.memo.save()
        self.memo = self.begin()
        return self.ask()

    def _read(self) -> list[str]:
        self.reads += 1
        return [self.file.read_text()]

    def write(self, text: str, *, age: float = 10) -> None:
        """Write the file as if that had been *age* seconds ago."""
        self.file.write_text(text)
        moment = self.file.stat().st_mtime_ns - int(age * 1e9)
        os.utime(self.file, ns=(moment, moment))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """All its files have settled, unless a test says otherwise."""
    monkeypatch.setattr("dodo_exp.engine.memo.is_settled", lambda found, now: True)
    made = Reader(tmp_path)
    made.write("one")
    return made


def test_a_file_is_read_once(reader: Reader) -> None:
    first = reader.ask()
    assert reader.ask() is first
    assert reader.ask_anew() == first == ["one"]
    assert reader.reads == 1


def test_a_file_that_moved_is_read_again(reader: Reader) -> None:
    reader.ask()
    reader.write("two")
    assert reader.ask() == ["two"]
    reader.file.rename(reader.folder / "away")
    with pytest.raises(FileNotFoundError):
        reader.ask()
    assert reader.memo.used["file"] == NO_MARK


def test_what_has_not_settled_is_not_kept(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    reader.write("two", age=0)
    assert reader.ask() == reader.ask() == ["two"]
    assert reader.reads == 2


def _written(reader: Reader, value: Any) -> None:
    data = b"written"
    reader.file.write_bytes(data)
    reader.memo.put("text", "file", str(reader.file), data, value)


def test_what_was_just_written_need_not_be_read(reader: Reader) -> None:
    _written(reader, ["put"])
    assert reader.ask() == reader.ask_anew() == ["put"]
    assert reader.reads == 0


def test_what_was_just_written_and_changed_with_the_same_stat_is_read(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one tick of the clock a second write of the same length moves nothing."""
    _written(reader, ["put"])
    same = mark(os.stat(reader.file))
    reader.file.write_bytes(b"changed")
    monkeypatch.setattr("dodo_exp.engine.memo.mark", lambda found: same)
    assert reader.ask_anew() == ["changed"]


def test_content_is_compared_until_the_clock_can_vouch_for_it(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def counted(path: str) -> Oid:
        hashed.append(path)
        return of_file(path)

    monkeypatch.setattr("dodo_exp.engine.memo.of_file", counted)
    _written(reader, ["put"])
    monkeypatch.setattr("dodo_exp.engine.memo.is_settled", lambda found, now: False)
    reader.ask_anew()
    reader.ask_anew()
    assert len(hashed) == 2
    monkeypatch.setattr("dodo_exp.engine.memo.is_settled", lambda found, now: True)
    reader.ask_anew()
    reader.ask_anew()
    assert len(hashed) == 3


def test_what_was_asked_for_is_told_with_its_mark(reader: Reader) -> None:
    reader.ask()
    assert reader.memo.used == {"file": mark(os.stat(reader.file))}
    assert not reader.memo.is_there("other", str(reader.folder))
    assert reader.memo.used["other"] is None
    (reader.folder / "other").touch()
    assert reader.memo.is_there("other", str(reader.folder))
    assert reader.memo.used["other"] == NO_MARK  # it was not, and then it was


def test_a_value_from_several_files_holds_until_one_of_them_moves(reader: Reader) -> None:
    def read(about_to_look: Callable[[str], None]) -> list[str]:
        reader.reads += 1
        for name in ("file", "other"):
            about_to_look(name)
        return sorted(os.listdir(reader.folder))

    def ask() -> Any:
        return reader.memo.get_watched("names", "", str(reader.folder), read)

    assert ask() is ask()
    reader.memo.save()
    reader.memo = reader.begin()
    ask()
    assert reader.reads == 1
    (reader.folder / "other").touch()
    assert "other" in ask()
    assert reader.reads == 2


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\xc1" * 100])
def test_a_damaged_table_costs_only_time(reader: Reader, data: bytes) -> None:
    reader.ask()
    reader.memo.save()
    (reader.folder / "memo").write_bytes(data)
    reader.memo = reader.begin()
    assert reader.ask() == ["one"]
    assert reader.reads == 2


def test_a_value_that_cannot_be_kept_is_read_each_time(reader: Reader) -> None:
    big = 1 << 80
    for _ in range(2):
        assert reader.memo.get("big", "file", str(reader.file), lambda: [big]) == [big]
    assert reader.ask_anew() == ["one"]
