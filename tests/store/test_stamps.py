"""Stamps: what need not be read again, and what must."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from dodo_store import durable, record
from dodo_store import stamps as stamps_module
from dodo_store.oid import of_bytes
from dodo_store.stamps import COARSE, FINE, Mark, Stamps, is_settled, mark, now
from tests.store.kit import LATER, ODD_NAMES, Kit, flip, look, oid_of

T = 1_700_000_000_123_456_789
FINE_MARK: Mark = (5, T, T, 1)


@pytest.fixture
def stamps(tmp_path: Path) -> Stamps:
    """An empty table."""
    return Stamps(str(tmp_path / "stamps"))


def test_a_mark_is_size_times_and_inode(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("12345")
    found = os.stat(tmp_path / "f")
    assert mark(found) == (5, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def test_a_mark_moves_with_a_write_that_keeps_size_and_mtime(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one")
    before = mark(os.stat(tmp_path / "f"))
    (tmp_path / "g").write_text("two")
    os.utime(tmp_path / "g", ns=(before[1], before[1]))
    (tmp_path / "g").rename(tmp_path / "f")
    assert mark(os.stat(tmp_path / "f")) != before


def test_a_stamp_is_found_again(stamps: Stamps) -> None:
    stamps.set("a/b", FINE_MARK, oid_of("x"), LATER)
    assert stamps.get("a/b", FINE_MARK) == oid_of("x")


@pytest.mark.parametrize("field", range(4))
def test_a_mark_that_moved_in_any_part_is_not_believed(stamps: Stamps, field: int) -> None:
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    moved = list(FINE_MARK)
    moved[field] += 1
    assert stamps.get("a", (moved[0], moved[1], moved[2], moved[3])) is None


def test_a_stamp_is_of_one_path(stamps: Stamps) -> None:
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    assert stamps.get("b", FINE_MARK) is None


@pytest.mark.parametrize(
    "mtime, ctime, wait",
    [
        (T, T, FINE),
        (T, T - FINE, FINE),
        (T - FINE, T, FINE),
        (T - T % 1_000_000, T, COARSE),
        (T, T - T % 1_000_000, COARSE),
        (T - T % 10**9, T - T % 10**9, COARSE),
        (0, T, COARSE),
    ],
)
def test_a_mark_settles_once_it_is_older_than_a_tick(mtime: int, ctime: int, wait: int) -> None:
    newest = max(mtime, ctime)
    assert not is_settled((1, mtime, ctime, 1), newest)
    assert not is_settled((1, mtime, ctime, 1), newest + wait)
    assert is_settled((1, mtime, ctime, 1), newest + wait + 1)


def test_a_tick_is_what_the_page_says() -> None:
    assert (FINE, COARSE) == (50_000_000, 2_000_000_000)


def test_a_file_from_the_future_is_never_settled() -> None:
    assert not is_settled((1, T + 10**12, T, 1), T + 10**11)


def test_a_racy_stamp_is_not_kept(stamps: Stamps) -> None:
    stamps.set("a", FINE_MARK, oid_of("x"), T + FINE)
    assert stamps.get("a", FINE_MARK) is None
    stamps.set("a", FINE_MARK, oid_of("x"), T + FINE + 1)
    assert stamps.get("a", FINE_MARK) == oid_of("x")


def test_a_file_that_was_just_written_is_racy(tmp_path: Path, stamps: Stamps) -> None:
    (tmp_path / "f").write_text("x")
    seen = mark(os.stat(tmp_path / "f"))
    stamps.set("f", seen, oid_of("x"), seen[1])
    assert stamps.get("f", seen) is None


def test_the_clock_is_the_one_of_file_times(tmp_path: Path) -> None:
    before = now()
    (tmp_path / "f").touch()
    assert abs(os.stat(tmp_path / "f").st_mtime_ns - before) < 60 * 10**9


def test_a_saved_table_is_read_back(tmp_path: Path, stamps: Stamps) -> None:
    paths = ["a", "d/e", *map(os.fsdecode, ODD_NAMES)]
    for path in paths:
        stamps.set(path, FINE_MARK, of_bytes(os.fsencode(path)), LATER)
    stamps.save()
    again = Stamps(str(tmp_path / "stamps"))
    for path in paths:
        assert again.get(path, FINE_MARK) == of_bytes(os.fsencode(path))


def test_a_mark_from_before_1970_or_of_a_huge_inode_is_kept(tmp_path: Path, stamps: Stamps) -> None:
    odd: Mark = (2**50, -T, -T + 1, 2**64 - 1)
    stamps.set("a", odd, oid_of("x"), LATER)
    stamps.save()
    assert Stamps(str(tmp_path / "stamps")).get("a", odd) == oid_of("x")


def test_a_table_that_did_not_change_is_not_written(tmp_path: Path, stamps: Stamps) -> None:
    stamps.get("a", FINE_MARK)
    stamps.set("a", FINE_MARK, oid_of("x"), T)
    stamps.save()
    assert look(tmp_path) == {b"": "folder"}


def test_a_table_is_written_once_a_change(tmp_path: Path, stamps: Stamps) -> None:
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    inode = (tmp_path / "stamps").stat().st_ino
    stamps.save()
    assert (tmp_path / "stamps").stat().st_ino == inode


@pytest.mark.parametrize("data", [b"", b"DODO", b"foreign" * 9, record.encode(record.RUN, {})])
def test_a_table_that_is_not_whole_is_an_empty_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "stamps").write_bytes(data)
    stamps = Stamps(str(tmp_path / "stamps"))
    assert stamps.get("a", FINE_MARK) is None
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    assert Stamps(str(tmp_path / "stamps")).get("a", FINE_MARK) == oid_of("x")


@pytest.mark.parametrize("value", [None, 5, "text", [1], b"x", True])
def test_a_record_that_is_no_map_is_an_empty_table(tmp_path: Path, value: Any) -> None:
    (tmp_path / "stamps").write_bytes(record.encode(record.CACHE, value))
    stamps = Stamps(str(tmp_path / "stamps"))
    assert stamps.get("a", FINE_MARK) is None
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    assert Stamps(str(tmp_path / "stamps")).get("a", FINE_MARK) == oid_of("x")


def test_a_table_beyond_the_limit_is_not_written(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "CACHE_LIMIT", 20)
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    assert look(tmp_path) == {b"": "folder"}
    assert stamps.get("a", FINE_MARK) == oid_of("x")


def test_a_flipped_table_is_an_empty_one(tmp_path: Path, stamps: Stamps) -> None:
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    flip(tmp_path / "stamps")
    assert Stamps(str(tmp_path / "stamps")).get("a", FINE_MARK) is None


def test_where_it_may_not_be_written_only_time_is_lost(tmp_path: Path) -> None:
    stamps = Stamps(str(tmp_path / "no" / "stamps"))
    stamps.set("a", FINE_MARK, oid_of("x"), LATER)
    stamps.save()
    assert look(tmp_path) == {b"": "folder"}
    assert stamps.get("a", FINE_MARK) == oid_of("x")


def test_a_deleted_table_changes_no_digest(kit: Kit) -> None:
    (kit.root / "f").write_text("x")
    before = kit.seen("f")
    kit.stamps.save()
    kit.stamps = Stamps(str(kit.base / "none"))
    assert kit.seen("f") == before


# -- after a power cut -------------------------------------------------------------------------


def hashed(folder: Path, stamps: Stamps, name: str) -> Mark:
    """A file of the folder whose content was just named, long after it was written."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(name)
    found = mark(os.stat(folder / name))
    stamps.set(name, found, oid_of(name), LATER)
    return found


def reboot(monkeypatch: pytest.MonkeyPatch, boot: str = "the next one") -> None:
    monkeypatch.setattr(stamps_module, "boot_id", lambda: boot)


def test_a_file_that_may_not_have_reached_the_disk_is_hashed_again_after_a_reboot(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashed(tmp_path, stamps, "a")
    stamps.save()
    assert Stamps(str(tmp_path / "stamps")).get("a", found) == oid_of("a")
    reboot(monkeypatch)
    assert Stamps(str(tmp_path / "stamps")).get("a", found) is None


def test_a_file_that_was_synced_is_known_after_a_reboot(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = hashed(tmp_path, stamps, "in/old")
    stamps.sync_files(str(tmp_path))
    new = hashed(tmp_path, stamps, "in/new")
    stamps.save()
    reboot(monkeypatch)
    again = Stamps(str(tmp_path / "stamps"))
    assert again.get("in/old", old) == oid_of("in/old")
    assert again.get("in/new", new) is None


def test_a_reboot_is_noted_once(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashed(tmp_path, stamps, "a")
    stamps.save()
    reboot(monkeypatch)
    again = Stamps(str(tmp_path / "stamps"))
    again.set("a", found, oid_of("b"), LATER)
    again.save()
    assert Stamps(str(tmp_path / "stamps")).get("a", found) == oid_of("b")
    reboot(monkeypatch, "one more")
    assert Stamps(str(tmp_path / "stamps")).get("a", found) is None


def test_what_moved_since_it_was_hashed_is_not_taken_for_synced(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashed(tmp_path, stamps, "a")
    (tmp_path / "a").write_text("something else")
    stamps.sync_files(str(tmp_path))
    stamps.save()
    reboot(monkeypatch)
    assert Stamps(str(tmp_path / "stamps")).get("a", found) is None


@pytest.mark.parametrize("level, known", [(durable.OFF, False), (durable.FULL, True)])
def test_nothing_is_taken_for_synced_where_nothing_is_synced(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch, level: str, known: bool
) -> None:
    monkeypatch.setattr(durable, "_level", level)
    found = hashed(tmp_path, stamps, "a")
    stamps.sync_files(str(tmp_path))
    stamps.save()
    reboot(monkeypatch)
    assert (Stamps(str(tmp_path / "stamps")).get("a", found) is not None) == known


def test_a_failed_sync_marks_nothing(
    tmp_path: Path, stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    found = hashed(tmp_path, stamps, "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        stamps.sync_files(str(tmp_path))
    stamps.save()
    reboot(monkeypatch)
    assert Stamps(str(tmp_path / "stamps")).get("a", found) is None


def test_the_memo_of_a_folder_goes_with_what_it_rests_on(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("synced", "fresh"):
        (kit.root / folder).mkdir()
        (kit.root / folder / "f").write_text(folder)
    time.sleep(2 * FINE / 1e9)
    kit.seen("synced")
    kit.stamps.sync_files(str(kit.root))
    kit.seen("fresh")
    kit.stamps.save()
    reboot(monkeypatch)
    kit.stamps = Stamps(str(kit.base / "stamps"))
    assert kit.stamps.memo("synced", "i") is not None
    assert kit.stamps.memo("fresh", "i") is None
