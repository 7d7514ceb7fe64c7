"""Refs: the mutable names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from dodo_store.errors import Damaged
from dodo_store.oid import Oid
from dodo_store.refs import Refs
from tests.store.kit import Kit, flip, look, oid_of, thorough


@pytest.fixture
def refs(tmp_path: Path) -> Refs:
    """A folder of refs that is not there yet."""
    return Refs(str(tmp_path / "exps"))


@given(st.binary(min_size=16, max_size=16).map(Oid))
@thorough
def test_a_ref_names_what_it_was_set_to(shared: Kit, oid: Oid) -> None:
    shared.store.experiments.set("name", oid)
    assert shared.store.experiments.get("name") == oid


def test_a_ref_is_the_line_on_the_page(refs: Refs, tmp_path: Path) -> None:
    oid = oid_of("x")
    refs.set("name", oid)
    check = xxh3_128_digest(b"ref " + oid).hex()[:8]
    assert (tmp_path / "exps" / "name").read_text() == f"{oid.hex()} {check}\n"


def test_a_ref_that_is_not_there_names_nothing(refs: Refs) -> None:
    assert refs.get("name") is None
    assert list(refs.names()) == []


def test_looking_for_a_ref_makes_no_folder(refs: Refs, tmp_path: Path) -> None:
    refs.get("name")
    list(refs.names())
    assert look(tmp_path) == {b"": "folder"}


def test_a_ref_can_be_pointed_elsewhere(refs: Refs, tmp_path: Path) -> None:
    refs.set("name", oid_of("x"))
    refs.set("name", oid_of("y"))
    assert refs.get("name") == oid_of("y")
    assert os.listdir(tmp_path / "exps") == ["name"]


def test_refs_do_not_touch_each_other(refs: Refs) -> None:
    refs.set("a", oid_of("x"))
    refs.set("a.b", oid_of("y"))
    refs.delete("a")
    assert refs.get("a") is None
    assert refs.get("a.b") == oid_of("y")


@pytest.mark.parametrize("name", ["a", "a-b_c.d", "n" * 255, "HEAD", "0", "\u00e4", "\udcff"])
def test_a_ref_may_have_any_name_a_file_may(refs: Refs, name: str) -> None:
    refs.set(name, oid_of(name.encode(errors="replace").decode()))
    assert list(refs.names()) == [name]
    assert refs.get(name) == oid_of(name.encode(errors="replace").decode())


def test_temporary_files_are_no_refs(refs: Refs, tmp_path: Path) -> None:
    refs.set("a", oid_of("x"))
    (tmp_path / "exps" / ".dodo-tmp-1-1").write_text("half")
    assert list(refs.names()) == ["a"]


def test_deleting_what_is_not_there_is_said(refs: Refs) -> None:
    with pytest.raises(FileNotFoundError):
        refs.delete("name")


def test_a_ref_cut_anywhere_before_its_last_digit_is_damaged(refs: Refs, tmp_path: Path) -> None:
    refs.set("name", oid_of("x"))
    path = tmp_path / "exps" / "name"
    for end in reversed(range(len(path.read_bytes()) - 1)):
        os.truncate(path, end)
        with pytest.raises(Damaged):
            refs.get("name")


def test_a_ref_with_any_bit_of_its_digits_flipped_is_damaged(refs: Refs, tmp_path: Path) -> None:
    refs.set("name", oid_of("x"))
    path = tmp_path / "exps" / "name"
    data = path.read_bytes()
    for bit in range(41 * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with path.open("r+b") as file:  # in place: a file written anew waits for the disk
            file.write(flipped)
        if flipped.split() != data.split():
            with pytest.raises(Damaged):
                refs.get("name")


def test_damage_is_said_of_the_file(refs: Refs, tmp_path: Path) -> None:
    refs.set("name", oid_of("x"))
    flip(tmp_path / "exps" / "name")
    with pytest.raises(Damaged) as caught:
        refs.get("name")
    assert caught.value.path == str(tmp_path / "exps" / "name")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 42,
        b"ref: refs/heads/main\n",
        oid_of("x").hex().encode() + b"\n",
        oid_of("x").hex().encode() + b" 00000000\n",
        oid_of("x").hex().upper().encode() + b" 00000000\n",
        b"\xff" * 32 + b" 00000000\n",
        b"../" * 10 + b".. 00000000\n",
        b"x" * 100_000,
    ],
)
def test_foreign_bytes_are_no_ref(refs: Refs, tmp_path: Path, data: bytes) -> None:
    refs.set("name", oid_of("x"))
    (tmp_path / "exps" / "name").write_bytes(data)
    with pytest.raises(Damaged):
        refs.get("name")


def test_the_check_of_another_ref_does_not_pass(refs: Refs, tmp_path: Path) -> None:
    refs.set("a", oid_of("x"))
    refs.set("b", oid_of("y"))
    one, two = ((tmp_path / "exps" / name).read_text().split() for name in "ab")
    (tmp_path / "exps" / "a").write_text(f"{one[0]} {two[1]}\n")
    with pytest.raises(Damaged):
        refs.get("a")


def test_a_damaged_ref_can_be_set_again(refs: Refs, tmp_path: Path) -> None:
    refs.set("name", oid_of("x"))
    (tmp_path / "exps" / "name").write_bytes(b"")
    refs.set("name", oid_of("y"))
    assert refs.get("name") == oid_of("y")


def test_a_folder_in_the_place_of_a_ref_is_damage(refs: Refs, tmp_path: Path) -> None:
    (tmp_path / "exps" / "name").mkdir(parents=True)
    with pytest.raises(Damaged) as caught:
        refs.get("name")
    assert caught.value.path == str(tmp_path / "exps" / "name")
