"""Packs: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dodo_store import oid as oid_module
from dodo_store import pack, pool, record, tree
from dodo_store.errors import Damaged, Missing, NewerFormat
from dodo_store.oid import Oid, of_bytes
from dodo_store.pool import Batch, time_of
from dodo_store.store import Store
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Node
from tests.store.kit import ODD_NAMES, Kit, damage, flip, look, names, thorough


@pytest.fixture
def other(tmp_path: Path) -> Kit:
    """Another store, into which packs are read."""
    (tmp_path / "other").mkdir()
    return Kit(tmp_path / "other")


def root_of(node: Node) -> bytes:
    """A record that names a folder; the store does not mind what an experiment is."""
    return record.encode(record.EXPERIMENT, list(node))


def nodes_of(oid: Oid, data: bytes) -> tuple[Node, ...]:
    return (Node(*record.decode(record.EXPERIMENT, data, "pack")),)


def packed(kit: Kit, node: Node) -> bytes:
    """A pack of one folder."""
    data = root_of(node)
    oid = of_bytes(data)
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        batch.add_bytes(kit.store.records, oid, data)
        batch.commit()
    to = io.BytesIO()
    sha = pack.write(kit.store, [(pack.ROOT, oid)], [node], to, lambda size: None)
    assert to.getvalue().endswith(bytes.fromhex(sha))
    return to.getvalue()


def unpack(kit: Kit, data: bytes, *, keep: bool = True) -> pack.Unpacked:
    """Read a pack; whether or not that works nothing may be left in the way."""
    source = io.BytesIO(data)
    with kit.store.scratch() as scratch:
        batch = Batch(scratch)
        try:
            got = pack.read(kit.store, source, "pack", batch, scratch, nodes_of, lambda size: None)
            if keep:
                batch.commit()
            return got
        finally:
            batch.drop()


def kept(store: Store) -> dict[bytes, object]:
    """All that is in the pools."""
    return {
        name: what
        for name, what in look(Path(store.folder)).items()
        if name.startswith((b"objects", b"trees", b"records", b"tmp")) and what != "folder"
    }


def everything(kit: Kit) -> Node:
    """A folder with all that a folder can hold."""
    root = os.fsencode(kit.root)
    for number, name in enumerate(ODD_NAMES):
        with open(os.path.join(root, name), "wb") as file:
            file.write(b"%d" % number * number)
    (kit.root / "empty").mkdir()
    (kit.root / "deep" / "er" / "empty").mkdir(parents=True)
    (kit.root / "deep" / "run").write_text("#!/bin/sh\n")
    (kit.root / "deep" / "run").chmod(0o755)
    (kit.root / "nothing").write_bytes(b"")
    (kit.root / "big").write_bytes(random.Random(1).randbytes((3 << 20) + 1))
    (kit.root / "twin").write_bytes(b"1")
    os.symlink("deep/run", kit.root / "link")
    os.symlink(b"two\nlines\xff", root + b"/odd link")
    return kit.take()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small pack: a folder in a folder, a link and two files."""
    kit = Kit(tmp_path_factory.mktemp("whole"))
    (kit.root / "d").mkdir()
    (kit.root / "d" / "file").write_text("content\n")
    (kit.root / "other").write_text("other content\n")
    os.symlink("d", kit.root / "link")
    return packed(kit, kit.take())


# -- round trips -----------------------------------------------------------------------------


def test_all_that_a_folder_can_hold_comes_out_as_it_was(kit: Kit, other: Kit) -> None:
    node = everything(kit)
    before = look(kit.root)
    unpack(other, packed(kit, node))
    other.restore(node, "back")
    assert look(other.root / "back") == before


@thorough
@given(st.dictionaries(names, st.binary(max_size=300), max_size=8))
def test_any_names_and_bytes_come_out_as_they_were(shared: Kit, files: dict[bytes, bytes]) -> None:
    entries = tuple((os.fsdecode(n), shared.put(data)) for n, data in sorted(files.items()))
    node = shared.put_tree(entries)
    got = pack.Unpacked({}, {}, 0, 0)
    try:
        got = unpack(shared, packed(shared, node))
    except Damaged as error:  # names of one letter in two cases, or protected ones
        assert "some systems take for one" in str(error) or "may not carry" in str(error)
    else:
        assert [nodes_of(oid, data)[0] for oid, data in got.records.items()] == [node]


def test_a_pack_of_a_pack_is_the_same_bytes(kit: Kit, other: Kit) -> None:
    node = everything(kit)
    data = packed(kit, node)
    unpack(other, data)
    assert packed(other, node) == data


def test_reading_twice_adds_nothing(kit: Kit, other: Kit) -> None:
    data = packed(kit, everything(kit))
    first = unpack(other, data)
    assert first.objects > 5
    before = kept(other.store)
    again = unpack(other, data)
    assert (again.objects, again.bytes) == (0, 0)
    assert kept(other.store) == before


def test_an_object_is_carried_once_however_often_it_is_named(kit: Kit, other: Kit) -> None:
    content = os.urandom(100_000)
    for name in "abcdef":
        (kit.root / name).write_bytes(content)
    assert len(packed(kit, kit.take())) < 110_000


def test_what_was_read_is_not_kept_before_it_is_committed(whole: bytes, other: Kit) -> None:
    unpack(other, whole, keep=False)
    assert kept(other.store) == {}


# -- damage on the way -----------------------------------------------------------------------


def check_refused(kit: Kit, data: bytes) -> None:
    """Not a byte of it is kept."""
    before = kept(kit.store)
    with pytest.raises((Damaged, NewerFormat)):
        unpack(kit, data)
    assert kept(kit.store) == before


def test_cut_short_anywhere_it_is_refused(whole: bytes, other: Kit) -> None:
    for size in range(len(whole)):
        check_refused(other, whole[:size])


def test_one_bit_flipped_anywhere_it_is_refused(whole: bytes, other: Kit) -> None:
    for place in range(len(whole)):
        check_refused(other, flipped(whole, place * 8 + place % 8))


@pytest.mark.soak
def test_any_bit_flipped_it_is_refused(whole: bytes, other: Kit) -> None:
    for bit in range(len(whole) * 8):
        check_refused(other, flipped(whole, bit))


def flipped(data: bytes, bit: int) -> bytes:
    """One bit is another."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_byte_more_or_less_anywhere_and_it_is_refused(whole: bytes, other: Kit) -> None:
    for place in range(0, len(whole) + 1, 3):
        check_refused(other, whole[:place] + b"\0" + whole[place:])
        if place < len(whole):
            check_refused(other, whole[:place] + whole[place + 1 :])


def test_flipped_with_the_whole_summed_anew_it_is_refused(whole: bytes, other: Kit) -> None:
    # What the sum at the end does not tell the two sums of each part do.
    for place in range(len(whole) - 32):
        changed = flipped(whole[:-32], place * 8 + place % 7)
        check_refused(other, changed + hashlib.sha256(changed).digest())


# -- two check sums --------------------------------------------------------------------------


def with_object(data: bytes, oid: Oid, sha: bytes) -> bytes:
    """A pack of one file that is named *oid* and said to have this sha256."""
    rows = [[b"file", FILE, oid, len(data), None]]
    folder = record.encode(record.TREE, rows)
    top = root_of(Node(FOLDER, of_bytes(folder), len(data), of_bytes(folder)))
    parts = [b"DODOPACK\1"]
    for kind, part in ((pack.ROOT, top), (pack.TREE, folder)):
        parts += [pack.ENTRY.pack(kind, of_bytes(part), len(part)), part]
        parts.append(hashlib.sha256(part).digest())
    parts += [pack.ENTRY.pack(pack.OBJECT, oid, len(data)), data, sha]
    parts.append(pack.ENTRY.pack(pack.END, bytes(16), 2))
    made = b"".join(parts)
    return made + hashlib.sha256(made).digest()


def test_both_sums_have_to_be_right(other: Kit) -> None:
    good, bad = b"content", b"another"
    oid, sha = of_bytes(good), hashlib.sha256(good).digest()
    check_refused(other, with_object(good, oid, hashlib.sha256(bad).digest()))
    check_refused(other, with_object(good, of_bytes(bad), sha))
    check_refused(other, with_object(bad, oid, sha))
    unpack(other, with_object(good, oid, sha))
    assert other.store.objects.read(oid) == good


def test_other_content_under_a_name_that_is_taken_is_refused_and_both_stay(other: Kit) -> None:
    # Nobody has two files of one xxh3; a file in the place of another of its size stands for it.
    content, twin = b"content", b"CONTENT"
    oid = other.put(content).oid
    path = Path(other.store.objects.path(oid))
    damage(path, twin)
    os.utime(path, (time_of(oid), time_of(oid)))
    data = with_object(content, oid, hashlib.sha256(content).digest())
    with pytest.raises(Damaged, match="deceive"):
        unpack(other, data)
    assert path.read_bytes() == twin


def test_a_folder_of_one_name_and_other_content_does_not_replace_ours(
    other: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours_file, theirs_file = other.put(b"ours"), b"them"
    ours = tree.encode((("file", ours_file),))[1]
    oid = of_bytes(ours)
    other.put_tree((("file", ours_file),))
    theirs_node = Node(FILE, of_bytes(theirs_file), 4, of_bytes(theirs_file))
    theirs = tree.encode((("file", theirs_node),))[1]

    def colliding(data: bytes) -> Oid:
        return oid if data == theirs else of_bytes(data)

    for module in (pack, pool, tree, oid_module):
        monkeypatch.setattr(module, "of_bytes", colliding)
    top = root_of(Node(FOLDER, oid, 4, oid))
    parts = [b"DODOPACK\1"]
    for kind, name, part in (
        (pack.ROOT, of_bytes(top), top),
        (pack.TREE, oid, theirs),
        (pack.OBJECT, theirs_node.oid, theirs_file),
    ):
        parts += [pack.ENTRY.pack(kind, name, len(part)), part, hashlib.sha256(part).digest()]
    parts.append(pack.ENTRY.pack(pack.END, bytes(16), 2))
    data = b"".join(parts)
    with pytest.raises(Damaged):
        unpack(other, data + hashlib.sha256(data).digest())
    assert Path(other.store.trees.path(oid)).read_bytes() == ours


def test_a_damaged_object_here_is_healed_by_a_pack_that_has_it(whole: bytes, other: Kit) -> None:
    unpack(other, whole)
    oid = of_bytes(b"content\n")
    path = Path(other.store.objects.path(oid))
    flip(path)
    os.utime(path)
    unpack(other, whole)
    assert path.read_bytes() == b"content\n"


# -- writing ---------------------------------------------------------------------------------

Harm = Callable[[Path], None]


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


HARMS: dict[str, Harm] = {
    "flipped": flip,
    "longer": lambda path: damage(path, path.read_bytes() + b"!"),
    "shorter": lambda path: damage(path, path.read_bytes()[:-1]),
    "emptied": lambda path: damage(path, b""),
    "gone": Path.unlink,
    "folder": make_folder,
    "link": make_link,
    "fifo": make_fifo,
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_object_is_never_packed(kit: Kit, harm: str) -> None:
    (kit.root / "file").write_text("content\n")
    node = kit.take()
    HARMS[harm](kit.object_path(kit.members(node)["file"]))
    with pytest.raises((Damaged, Missing)):
        packed(kit, node)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_folder_is_never_packed(kit: Kit, harm: str) -> None:
    (kit.root / "file").write_text("content\n")
    node = kit.take()
    HARMS[harm](kit.tree_path(node))
    with pytest.raises((Damaged, Missing)):
        packed(kit, node)


def test_kinds_come_out_as_they_were(kit: Kit, other: Kit) -> None:
    content = kit.put(b"content")
    entries = tuple(
        (name, content._replace(kind=kind))
        for name, kind in (("exec", EXEC), ("file", FILE), ("link", LINK))
    )
    node = kit.put_tree(entries)
    unpack(other, packed(kit, node))
    assert other.store.tree(node.oid) == entries
