"""The store as a whole: its folder, version, records and scratch folders."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from dodo_store import durable, record, store
from dodo_store.errors import Damaged, Missing, NewerFormat, TooLarge
from dodo_store.locks import is_free
from dodo_store.store import Store
from dodo_store.tree import FILE, FOLDER, Node
from tests.store.kit import Kit, damage, flip, look, oid_of, thorough

DYING = """\
import os, sys
from dodo_store.store import Store
with Store(sys.argv[1]).scratch() as scratch:
    open(scratch + "/half", "w").close()
    print(scratch, flush=True)
    sys.stdin.read()
"""


def test_opening_creates_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / ".dodo"))
    assert not store.exists
    assert look(tmp_path) == {b"": "folder"}


def test_a_created_store_is_the_one_on_the_page(tmp_path: Path) -> None:
    store = Store(str(tmp_path / ".dodo"))
    store.create()
    found = look(tmp_path / ".dodo")
    assert found[b"VERSION"] == ("file", False, b"1\n")
    assert found[b".gitignore"] == ("file", False, b"*\n")
    for name in (b"objects", b"trees", b"records", b"runs", b"exps", b"locks/run", b"tmp"):
        assert found[name] == "folder"
    assert (tmp_path / ".dodo").stat().st_mode & 0o777 == 0o700
    assert store.exists
    assert Store(str(tmp_path / ".dodo")).exists


def test_creating_leaves_nothing_beside_the_folder(tmp_path: Path) -> None:
    Store(str(tmp_path / ".dodo")).create()
    assert os.listdir(tmp_path) == [".dodo"]
    assert not [name for name in look(tmp_path) if b"tmp-" in name]


def test_creating_again_writes_nothing(kit: Kit) -> None:
    kit.put(b"content")
    before = look(kit.base / ".dodo")
    inode = (kit.base / ".dodo" / "VERSION").stat().st_ino
    kit.store.create()
    Store(kit.store.folder).create()
    assert look(kit.base / ".dodo") == before
    assert (kit.base / ".dodo" / "VERSION").stat().st_ino == inode


def test_a_half_created_store_does_not_exist_and_can_be_created(kit: Kit) -> None:
    (kit.base / ".dodo" / "VERSION").unlink()
    (kit.base / ".dodo" / "trees").rmdir()
    store = Store(kit.store.folder)
    assert not store.exists
    store.create()
    assert Store(kit.store.folder).exists
    assert (kit.base / ".dodo" / "trees").is_dir()


def test_creating_keeps_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        store = Store(str(tmp_path / ".dodo"))
        store.create()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)


@pytest.mark.parametrize("version", ["2", "2\n", "10\n", "99999"])
def test_a_newer_store_is_not_opened(kit: Kit, version: str) -> None:
    (kit.base / ".dodo" / "VERSION").write_text(version)
    with pytest.raises(NewerFormat) as caught:
        Store(kit.store.folder)
    assert caught.value.path == f"{kit.store.folder}/VERSION"


@pytest.mark.parametrize(
    "version", [b"", b"\n", b"x", b"1.0", b"-1", b"0", b"\xff", b"\0" * 99, b"1 1"]
)
def test_a_version_that_is_none_is_damage(kit: Kit, version: bytes) -> None:
    (kit.base / ".dodo" / "VERSION").write_bytes(version)
    with pytest.raises(Damaged):
        Store(kit.store.folder)


def test_a_file_in_the_place_of_the_store_is_no_store(tmp_path: Path) -> None:
    (tmp_path / ".dodo").touch()
    assert not Store(str(tmp_path / ".dodo")).exists


def test_a_folder_in_the_place_of_the_version_is_damage(kit: Kit) -> None:
    (kit.base / ".dodo" / "VERSION").unlink()
    (kit.base / ".dodo" / "VERSION").mkdir()
    with pytest.raises(Damaged):
        Store(kit.store.folder)


# -- records --------------------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.binary(max_size=9)))
@thorough
def test_a_record_comes_back_as_it_was(shared: Kit, value: Any) -> None:
    oid = shared.store.put_record(record.EXPERIMENT, value)
    assert shared.store.get_record(record.EXPERIMENT, oid) == value


def test_a_record_is_named_for_its_whole_file(kit: Kit) -> None:
    oid = kit.store.put_record(record.EXPERIMENT, {"a": 1})
    name = oid.hex()
    path = kit.base / ".dodo" / "records" / name[:2] / name[2:]
    assert path.read_bytes() == record.encode(record.EXPERIMENT, {"a": 1})
    assert xxh3_128_digest(path.read_bytes()) == oid
    assert path.stat().st_mode & 0o777 == 0o444


def test_the_same_record_is_kept_once(kit: Kit) -> None:
    oid = kit.store.put_record(record.EXPERIMENT, {"a": 1})
    assert kit.store.put_record(record.EXPERIMENT, {"a": 1}) == oid
    assert kit.store.records.oids() == [oid]


def test_a_record_that_is_not_there_or_not_whole_is_told(kit: Kit) -> None:
    oid = kit.store.put_record(record.EXPERIMENT, {"a": 1})
    with pytest.raises(Missing):
        kit.store.get_record(record.EXPERIMENT, oid_of("other"))
    with pytest.raises(Damaged, match="kind"):
        kit.store.get_record(record.RUN, oid)
    flip(Path(kit.store.records.path(oid)))
    with pytest.raises(Damaged):
        kit.store.get_record(record.EXPERIMENT, oid)


def test_a_whole_record_under_the_name_of_another_is_damage(kit: Kit) -> None:
    oid = kit.store.put_record(record.EXPERIMENT, {"a": 1})
    damage(Path(kit.store.records.path(oid)), record.encode(record.EXPERIMENT, {"a": 2}))
    with pytest.raises(Damaged):
        kit.store.get_record(record.EXPERIMENT, oid)


def test_a_record_whose_keys_cannot_be_keys_is_damage(kit: Kit) -> None:
    oid = kit.store.put_record(record.EXPERIMENT, {("a",): 1})
    with pytest.raises(Damaged):
        kit.store.get_record(record.EXPERIMENT, oid)


def test_a_record_beyond_the_limit_is_not_kept(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LIMIT", 50)
    with pytest.raises(TooLarge):
        kit.store.put_record(record.EXPERIMENT, b"x" * 50)
    assert kit.store.records.oids() == []


# -- trees ----------------------------------------------------------------------------------


@pytest.fixture
def folder(kit: Kit) -> Node:
    """A kept folder with `f` and `s/g`."""
    inner = kit.put_tree((("g", kit.put(b"g")),))
    return kit.put_tree((("f", kit.put(b"f")), ("s", inner)))


def test_a_node_is_found_by_its_path(kit: Kit, folder: Node) -> None:
    assert kit.store.find(folder, "f") == kit.put(b"f")
    assert kit.store.find(folder, "s/g") == kit.put(b"g")
    found = kit.store.find(folder, "s")
    assert found is not None
    assert found.kind == FOLDER


def test_a_node_without_a_path_is_found_to_be_itself(kit: Kit, folder: Node) -> None:
    assert kit.store.find(folder, "") == folder
    assert kit.store.find(kit.put(b"f"), "") == kit.put(b"f")


@pytest.mark.parametrize("path", ["g", "s/f", "f/g", "s/g/h", "..", ".", "s/../f", "/f"])
def test_what_is_not_in_a_folder_is_not_found(kit: Kit, folder: Node, path: str) -> None:
    assert kit.store.find(folder, path) is None


def test_a_search_through_a_missing_or_damaged_tree_is_told(kit: Kit, folder: Node) -> None:
    inner = kit.members(folder)["s"]
    flip(kit.tree_path(inner))
    with pytest.raises(Damaged):
        kit.store.find(folder, "s/g")
    kit.tree_path(inner).unlink()
    with pytest.raises(Missing):
        kit.store.find(folder, "s/g")
    assert kit.store.find(folder, "f") == kit.put(b"f")


def test_a_folder_is_whole_when_all_below_it_is(kit: Kit, folder: Node) -> None:
    assert kit.store.is_whole(folder)
    kit.object_path(kit.put(b"g")).unlink()
    assert not kit.store.is_whole(folder)
    kit.put(b"g")
    assert kit.store.is_whole(folder)


def test_a_folder_without_a_whole_tree_is_not_whole(kit: Kit, folder: Node) -> None:
    path = kit.tree_path(kit.members(folder)["s"])
    flip(path)
    assert not kit.store.is_whole(folder)
    path.unlink()
    assert not kit.store.is_whole(folder)


def test_an_object_of_another_size_is_not_whole(kit: Kit, folder: Node) -> None:
    damage(kit.object_path(kit.put(b"g")), b"")
    assert not kit.store.is_whole(folder)
    assert not kit.store.is_whole(Node(FILE, kit.put(b"f").oid, 2, kit.put(b"f").oid))


# -- scratch --------------------------------------------------------------------------------


def test_a_scratch_folder_goes_with_its_block(kit: Kit) -> None:
    with kit.store.scratch() as scratch:
        assert Path(scratch).parent == kit.base / ".dodo" / "tmp"
        (Path(scratch) / "half").touch()
    assert os.listdir(kit.base / ".dodo" / "tmp") == []


def test_a_scratch_folder_goes_with_an_error_too(kit: Kit) -> None:
    with pytest.raises(KeyError), kit.store.scratch():
        raise KeyError
    assert os.listdir(kit.base / ".dodo" / "tmp") == []
    with kit.store.scratch() as scratch:
        assert os.path.isdir(scratch)


def test_a_scratch_folder_within_another_is_the_same(kit: Kit) -> None:
    with kit.store.scratch() as outer:
        with kit.store.scratch() as inner:
            assert inner == outer
        assert os.path.isdir(outer)


def test_two_stores_have_two_scratch_folders(kit: Kit) -> None:
    with kit.store.scratch() as one, Store(kit.store.folder).scratch() as two:
        assert one != two


def test_a_scratch_folder_is_empty_and_its_lock_is_beside_it(kit: Kit) -> None:
    with kit.store.scratch() as scratch:
        name = os.path.basename(scratch)
        assert os.listdir(scratch) == []
        assert sorted(os.listdir(kit.base / ".dodo" / "tmp")) == [name, f"{name}.lock"]
        assert not is_free(f"{scratch}.lock")


def test_sweeping_takes_a_folder_that_outlived_its_lock_file(kit: Kit) -> None:
    made = kit.base / ".dodo" / "tmp" / "x"
    made.mkdir()
    kit.store.sweep()
    assert not made.exists()


def test_sweeping_takes_a_folder_whose_lock_is_free_and_the_lock(kit: Kit) -> None:
    tmp = kit.base / ".dodo" / "tmp"
    (tmp / "x" / "s").mkdir(parents=True)
    (tmp / "x.lock").touch()
    (tmp / "alone.lock").touch()
    kit.store.sweep()
    assert os.listdir(tmp) == []


def test_sweeping_leaves_the_scratch_folders_of_the_living(kit: Kit) -> None:
    with kit.store.scratch() as one, Store(kit.store.folder).scratch() as two:
        kit.store.sweep()
        assert os.path.isdir(one)
        assert os.path.isdir(two)


def test_a_sweep_removes_nothing_when_another_one_removes_the_lock_file_meanwhile(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner may be about to make that lock file anew, and then the folder."""
    tmp = kit.base / ".dodo" / "tmp"
    (tmp / "x.lock").touch()

    def flock(fd: int, kind: int) -> None:
        (tmp / "x.lock").unlink()
        (tmp / "x").mkdir()
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", flock)
    kit.store.sweep()
    assert os.listdir(tmp) == ["x"]


def test_sweeping_takes_the_scratch_folders_of_the_dead(kit: Kit) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DYING, kit.store.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        scratch = process.stdout.readline().strip()
        kit.store.sweep()
        assert os.listdir(scratch) == ["half"]
        process.send_signal(signal.SIGKILL)
    kit.store.sweep()
    assert os.listdir(kit.base / ".dodo" / "tmp") == []


def test_what_was_not_made_durable_is_hashed_after_another_start_of_the_machine(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_level", durable.OFF)
    kit.store.create()
    good, torn = kit.put(b"whole"), kit.put(b"torn")
    path = kit.object_path(torn)
    found = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"\0\0\0\0")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    monkeypatch.setattr(durable, "_level", durable.BATCH)
    monkeypatch.setattr(store, "boot_id", lambda: "another")
    kit.store.create()
    assert kit.store.objects.has(good.oid, 5)
    assert not kit.store.objects.has(torn.oid, 4)
    assert not (kit.base / ".dodo" / "unsynced").exists()


def test_without_another_start_everything_is_made_durable_in_one_go(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(1))
    monkeypatch.setattr(durable, "_level", durable.OFF)
    kit.store.create()
    assert (kit.base / ".dodo" / "unsynced").exists()
    monkeypatch.setattr(durable, "_level", durable.BATCH)
    kit.store.create()
    assert synced == [1]
    assert not (kit.base / ".dodo" / "unsynced").exists()
