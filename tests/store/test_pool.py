"""Pools and the batches that fill them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dodo_store import durable, pool
from dodo_store.errors import Changing, Damaged, Missing
from dodo_store.oid import CHUNK, Hasher, of_bytes, of_file, parse
from dodo_store.pool import Batch
from tests.store.kit import Kit, damage, flip, look, oid_of, thorough


@given(st.binary(max_size=5000))
@thorough
def test_bytes_come_out_as_they_went_in(shared: Kit, data: bytes) -> None:
    node = shared.put(data)
    out = shared.base / "out"
    shared.store.objects.copy_out(node.oid, node.size, str(out))
    assert out.read_bytes() == data == shared.store.objects.read(node.oid)
    out.unlink()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_files_of_any_size_come_out_as_they_went_in(kit: Kit, size: int) -> None:
    (kit.root / "f").write_bytes(os.urandom(size))
    node = kit.take("f")
    kit.store.objects.copy_out(node.oid, size, str(kit.root / "g"))
    assert (kit.root / "g").read_bytes() == (kit.root / "f").read_bytes()


def test_an_object_is_kept_under_its_hash_and_never_to_be_written(kit: Kit) -> None:
    node = kit.put(b"content")
    name = of_bytes(b"content").hex()
    path = kit.base / ".dodo" / "objects" / name[:2] / name[2:]
    assert path == kit.object_path(node)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_file_that_is_copied_in_is_named_as_if_it_were_hashed(kit: Kit) -> None:
    (kit.root / "f").write_bytes(b"x" * (2 * CHUNK + 1))
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        oid, found = batch.add_file(kit.store.objects, str(kit.root / "f"))
        batch.commit()
    assert (oid, found.st_size) == (of_file(str(kit.root / "f")), 2 * CHUNK + 1)
    assert kit.store.objects.has(oid, found.st_size)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_full_disk_refuses_only_content_that_the_store_lacks(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    known, other = kit.root / "known", kit.root / "other"
    known.write_bytes(b"x" * (2 * CHUNK))
    other.write_bytes(b"y" * (2 * CHUNK))
    node = kit.take("known")

    def no_room(source: int, target: int, hasher: object) -> None:
        os.read(source, 100)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pool, "_copy", no_room)
    if is_damaged:
        kit.object_path(node).chmod(0o644)
        kit.object_path(node).write_bytes(b"z" * (2 * CHUNK))
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        if is_damaged:
            with pytest.raises(OSError, match="No space left"):
                batch.add_file(kit.store.objects, str(known))
        else:
            assert batch.add_file(kit.store.objects, str(known))[0] == node.oid
        with pytest.raises(OSError, match="No space left"):
            batch.add_file(kit.store.objects, str(other))
        assert os.listdir(scratch) == []


def test_nothing_is_visible_before_the_commit(kit: Kit) -> None:
    (kit.root / "f").write_text("file")
    before = look(kit.base / ".dodo" / "objects")
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        batch.add_file(kit.store.objects, str(kit.root / "f"))
        batch.add_bytes(kit.store.objects, of_bytes(b"b"), b"b")
        assert look(kit.base / ".dodo" / "objects") == before
        batch.commit()
        assert kit.store.objects.has(of_bytes(b"file"), 4)


def test_a_dropped_batch_leaves_nothing(kit: Kit) -> None:
    (kit.root / "f").write_text("file")
    before = look(kit.base / ".dodo" / "objects")
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        batch.add_file(kit.store.objects, str(kit.root / "f"))
        batch.drop()
        assert os.listdir(scratch) == []
        batch.commit()
    assert look(kit.base / ".dodo" / "objects") == before


def test_content_that_comes_twice_is_kept_once(kit: Kit) -> None:
    for name in "fg":
        (kit.root / name).write_text("same")
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        for name in "fg":
            batch.add_file(kit.store.objects, str(kit.root / name))
        batch.add_bytes(kit.store.objects, of_bytes(b"same"), b"same")
        assert len(os.listdir(scratch)) == 1
        batch.commit()
    assert kit.store.objects.oids() == [of_bytes(b"same")]


def test_an_object_that_is_there_is_not_written_again(kit: Kit) -> None:
    node = kit.put(b"content")
    inode = kit.object_path(node).stat().st_ino
    kit.put(b"content")
    assert kit.object_path(node).stat().st_ino == inode


def test_a_truncated_object_is_written_again(kit: Kit) -> None:
    node = kit.put(b"content")
    damage(kit.object_path(node), b"cont")
    kit.put(b"content")
    assert kit.store.objects.read(node.oid) == b"content"


@pytest.mark.parametrize("count", [1, durable.MANY, durable.MANY + 1, 300])
def test_a_batch_of_any_size_arrives_whole(kit: Kit, count: int) -> None:
    contents = [b"%d" % number for number in range(count)]
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        for data in contents:
            batch.add_bytes(kit.store.objects, of_bytes(data), data)
        batch.commit()
        assert os.listdir(scratch) == []
    assert sorted(map(kit.store.objects.read, kit.store.objects.oids())) == sorted(contents)


def test_an_object_that_is_not_there_is_missing(kit: Kit) -> None:
    with pytest.raises(Missing):
        kit.store.objects.read(oid_of("x"))
    with pytest.raises(Missing):
        kit.store.objects.copy_out(oid_of("x"), 1, str(kit.root / "out"))
    assert look(kit.root) == {b"": "folder"}


def test_a_flipped_object_is_not_copied_out(kit: Kit) -> None:
    node = kit.put(b"content")
    flip(kit.object_path(node))
    with pytest.raises(Damaged) as caught:
        kit.store.objects.copy_out(node.oid, node.size, str(kit.root / "out"))
    assert caught.value.path == str(kit.object_path(node))
    assert look(kit.root) == {b"": "folder"}


@pytest.mark.parametrize("data", [b"", b"conten", b"content.", bytes(7)])
def test_an_object_with_other_bytes_is_not_copied_out(kit: Kit, data: bytes) -> None:
    node = kit.put(b"content")
    damage(kit.object_path(node), data)
    with pytest.raises(Damaged):
        kit.store.objects.copy_out(node.oid, node.size, str(kit.root / "out"))
    with pytest.raises(Damaged):
        kit.store.objects.read(node.oid)
    assert look(kit.root) == {b"": "folder"}


def test_a_wrong_recorded_size_is_damage_even_if_the_bytes_match(kit: Kit) -> None:
    node = kit.put(b"content")
    with pytest.raises(Damaged, match="size"):
        kit.store.objects.copy_out(node.oid, 8, str(kit.root / "out"))
    assert look(kit.root) == {b"": "folder"}


@pytest.mark.parametrize("target", ["f", "gone"])
def test_an_object_that_is_a_link_is_not_copied_out(kit: Kit, target: str) -> None:
    node = kit.put(b"content")
    (kit.base / "f").write_bytes(b"content")
    kit.object_path(node).unlink()
    kit.object_path(node).symlink_to(kit.base / target)
    with pytest.raises(Damaged):
        kit.store.objects.copy_out(node.oid, node.size, str(kit.root / "out"))
    assert look(kit.root) == {b"": "folder"}


def test_copying_out_does_not_write_over_a_file(kit: Kit) -> None:
    node = kit.put(b"content")
    (kit.root / "out").write_text("mine")
    with pytest.raises(FileExistsError):
        kit.store.objects.copy_out(node.oid, node.size, str(kit.root / "out"))
    assert (kit.root / "out").read_text() == "mine"


def test_what_is_copied_out_can_be_changed_without_changing_the_store(kit: Kit) -> None:
    node = kit.put(b"content")
    kit.store.objects.copy_out(node.oid, node.size, str(kit.root / "out"))
    (kit.root / "out").write_text("changed")
    assert kit.store.objects.read(node.oid) == b"content"


def test_has_asks_for_a_file_of_the_size(kit: Kit) -> None:
    node = kit.put(b"content")
    objects = kit.store.objects
    assert objects.has(node.oid)
    assert objects.has(node.oid, 7)
    assert not objects.has(node.oid, 6)
    assert not objects.has(oid_of("x"))


def test_a_folder_or_link_in_the_place_of_an_object_is_no_object(kit: Kit) -> None:
    node, other = kit.put(b"content"), kit.put(b"other")
    kit.object_path(node).unlink()
    kit.object_path(node).mkdir()
    kit.object_path(other).unlink()
    (kit.root / "f").write_text("other")
    kit.object_path(other).symlink_to(kit.root / "f")
    assert not kit.store.objects.has(node.oid)
    assert not kit.store.objects.has(other.oid)


def test_what_is_set_aside_counts_as_missing_and_can_be_made_again(kit: Kit) -> None:
    node = kit.put(b"content")
    flip(kit.object_path(node))
    kit.store.objects.set_aside(node.oid)
    assert not kit.store.objects.has(node.oid)
    assert os.listdir(kit.base / ".dodo" / "quarantine") == [node.oid.hex()]
    kit.put(b"content")
    assert kit.store.objects.read(node.oid) == b"content"


def test_setting_aside_twice_or_what_is_gone_is_no_error(kit: Kit) -> None:
    node = kit.put(b"content")
    kit.store.objects.set_aside(node.oid)
    kit.store.objects.set_aside(node.oid)
    assert kit.store.objects.oids() == []


def test_names_in_a_pool_are_listed_and_strangers_passed_over(kit: Kit) -> None:
    nodes = [kit.put(data) for data in (b"a", b"b", b"c")]
    (kit.base / ".dodo" / "objects" / "README").write_text("what?")
    kit.object_path(nodes[0]).with_name(".dodo-tmp-1-1").write_text("half")
    assert set(kit.store.objects.oids()) == {node.oid for node in nodes}


@pytest.mark.parametrize(
    "name",
    ["00/" + "0" * 29, "00/" + "0" * 31, "00/" + "A" * 30, "zz/" + "0" * 30, "0/" + "0" * 30],
)
def test_a_name_that_is_not_well_formed_is_not_listed(kit: Kit, name: str) -> None:
    path = kit.base / ".dodo" / "objects" / name
    path.parent.mkdir()
    path.touch()
    assert kit.store.objects.oids() == []


def test_a_file_that_never_holds_still_is_not_taken(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kit.root / "f"
    path.write_bytes(b"x" * CHUNK)
    reads = writing_while_copying(monkeypatch, path, times=99)
    with kit.store.scratch() as scratch:
        with pytest.raises(Changing):
            Batch(scratch).add_file(kit.store.objects, str(path))
        assert os.listdir(scratch) == []
    assert len(reads) == 3


def test_a_file_that_holds_still_at_last_is_taken_as_it_then_is(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kit.root / "f"
    path.write_bytes(b"x" * CHUNK)
    writing_while_copying(monkeypatch, path, times=2)
    node = kit.take("f")
    assert kit.store.objects.read(node.oid) == path.read_bytes() == b"x" * CHUNK + b"++"


def test_a_small_file_that_never_holds_still_is_not_taken(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kit.root / "f"
    path.write_text("x")
    read, count = os.read, list[int]()

    def read_late(fd: int, size: int) -> bytes:
        count.append(fd)
        data = read(fd, size)
        path.write_bytes(path.read_bytes() + b"+")
        return data

    monkeypatch.setattr(os, "read", read_late)
    with kit.store.scratch() as scratch:
        with pytest.raises(Changing):
            Batch(scratch).add_file(kit.store.objects, str(path))
        assert os.listdir(scratch) == []
    assert len(count) == 3


def writing_while_copying(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> list[int]:
    """Have somebody append to *path* the first *times* it is copied; the list grows with each."""
    copy, reads = pool._copy, list[int]()

    def copy_late(source: int, target: int, hasher: Hasher) -> None:
        copy(source, target, hasher)
        reads.append(source)
        if len(reads) <= times:
            path.write_bytes(path.read_bytes() + b"+")

    monkeypatch.setattr(pool, "_copy", copy_late)
    return reads


def test_a_link_is_never_followed_into_the_pool(kit: Kit) -> None:
    (kit.root / "f").write_text("x")
    (kit.root / "l").symlink_to("f")
    with kit.store.scratch() as scratch, pytest.raises(OSError):
        Batch(scratch).add_file(kit.store.objects, str(kit.root / "l"))


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "G" + "0" * 31, "A" * 32, "../" + "0" * 29]
)
def test_text_that_is_no_id_never_becomes_one(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        parse(text)


def test_an_id_is_read_back_from_its_digits() -> None:
    assert parse(oid_of("x").hex()) == oid_of("x")
