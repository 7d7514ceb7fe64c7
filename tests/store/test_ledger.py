"""The ledger: key -> records of what was made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dodo_store import record
from dodo_store.errors import Damaged, NewerFormat, StoreError
from dodo_store.ledger import Ledger
from dodo_store.oid import Oid, of_bytes
from tests.store.kit import Kit, damage, flip, look, oid_of, thorough
from tests.store.test_record import framed

KEY = oid_of("key")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger whose folder is not there yet."""
    return Ledger(str(tmp_path / "runs"))


def files(ledger: Ledger) -> list[Path]:
    """Every file of a ledger."""
    return sorted(path for path in Path(ledger.folder).rglob("*") if path.is_file())


def damaged(ledger: Ledger) -> list[str]:
    """The paths that a walk through all records calls damaged."""
    found = list(ledger.all())
    assert all(error.path == path for path, error in found if isinstance(error, StoreError))
    return [path for path, error in found if isinstance(error, Damaged)]


@given(
    st.binary(min_size=16, max_size=16).map(Oid),
    st.floats(0, 2e9),
    st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.binary(max_size=9)),
)
@thorough
def test_what_is_put_is_got(shared: Kit, key: Oid, at: float, value: Any) -> None:
    shared.store.runs.put(key, at, value)
    assert value in shared.store.runs.get(key)


def test_nothing_is_got_where_nothing_was_put(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.get(KEY) == []
    assert list(ledger.all()) == []
    assert look(tmp_path) == {b"": "folder"}


def test_a_record_is_the_file_on_the_page(ledger: Ledger, tmp_path: Path) -> None:
    ledger.put(KEY, 1.5, "value")
    data = record.encode(record.RUN, [KEY, 1.5, "value"])
    name = KEY.hex()
    path = tmp_path / "runs" / name[:2] / f"{name[2:]}.{of_bytes(data).hex()}"
    assert files(ledger) == [path]
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_key_that_was_made_twice_keeps_both_the_newest_first(ledger: Ledger) -> None:
    for at in (2.0, 3.0, 1.0):
        ledger.put(KEY, at, f"at {at}")
    assert ledger.get(KEY) == ["at 3.0", "at 2.0", "at 1.0"]


def test_values_that_cannot_be_ordered_can_be_made_at_one_time(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, {"a": 1})
    ledger.put(KEY, 1.0, {"b": None})
    got = ledger.get(KEY)
    assert len(got) == 2
    assert {"a": 1} in got


def test_the_same_put_twice_is_one_record(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    ledger.put(KEY, 1.0, "value")
    assert ledger.get(KEY) == ["value"]
    assert len(files(ledger)) == 1


def test_keys_in_one_folder_do_not_mix(ledger: Ledger) -> None:
    one, two = Oid(b"\x07" * 16), Oid(b"\x07" * 15 + b"\x08")
    ledger.put(one, 1.0, "one")
    assert ledger.get(two) == []
    ledger.put(two, 1.0, "two")
    assert (ledger.get(one), ledger.get(two)) == (["one"], ["two"])


def test_a_damaged_record_does_not_hide_the_others(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "older")
    (older,) = files(ledger)
    ledger.put(KEY, 2.0, "newer")
    (newer,) = set(files(ledger)) - {older}
    flip(newer)
    assert ledger.get(KEY) == ["older"]


@pytest.mark.parametrize("data", [b"", b"DODO", b"x" * 100, record.encode(record.TREE, [])])
def test_bytes_that_are_no_run_do_not_count(ledger: Ledger, data: bytes) -> None:
    ledger.put(KEY, 1.0, "value")
    damage(files(ledger)[0], data)
    assert ledger.get(KEY) == []


def test_a_record_cut_anywhere_does_not_count(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    data = path.read_bytes()
    for end in range(len(data)):
        damage(path, data[:end])
        assert ledger.get(KEY) == []


def test_a_record_moved_to_another_key_does_not_count(ledger: Ledger) -> None:
    other = Oid(KEY[:1] + b"\0" * 15)
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    path.rename(path.with_name(path.name.replace(KEY.hex()[2:], other.hex()[2:])))
    assert ledger.get(other) == []
    assert damaged(ledger) == [
        str(path.with_name(path.name.replace(KEY.hex()[2:], other.hex()[2:])))
    ]


def test_temporary_files_do_not_count(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    path.with_name(".dodo-tmp-1-1").write_bytes(b"half")
    assert ledger.get(KEY) == ["value"]
    assert list(ledger.all()) == [(str(path), "value")]


def test_all_gives_every_record_of_every_key(ledger: Ledger) -> None:
    for number in range(20):
        ledger.put(oid_of(str(number)), float(number), number)
    found = dict(ledger.all())
    assert sorted(found.values()) == list(range(20))
    assert sorted(found) == [str(path) for path in files(ledger)]


def test_all_says_which_record_is_damaged(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    flip(path)
    assert damaged(ledger) == [str(path)]


def renamed(ledger: Ledger, key: str, own: str) -> Path:
    """The one record of a ledger, under another name in its folder."""
    (path,) = files(ledger)
    return path.rename(path.with_name(f"{key}{own}"))


def test_a_name_that_does_not_carry_the_record_does_not_count(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    path = renamed(ledger, KEY.hex()[2:], f".{oid_of('other').hex()}")
    assert ledger.get(KEY) == []
    assert damaged(ledger) == [str(path)]


@pytest.mark.parametrize("own", ["", ".", ".00", "~", ".tmp", ".a.b"])
def test_a_name_that_is_none_of_a_record_does_not_count(ledger: Ledger, own: str) -> None:
    ledger.put(KEY, 1.0, "value")
    path = renamed(ledger, KEY.hex()[2:], own)
    assert ledger.get(KEY) == []
    assert damaged(ledger) == [str(path)]


def test_a_damaged_record_does_not_stop_a_walk_through_all(ledger: Ledger) -> None:
    for number in range(9):
        ledger.put(oid_of(str(number)), 1.0, number)
    bad = files(ledger)[::3]
    for path in bad:
        flip(path)
    assert damaged(ledger) == [str(path) for path in bad]
    assert len(list(ledger.all())) == 9


def test_a_newer_record_does_not_hide_the_others(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "older")
    (older,) = files(ledger)
    ledger.put(KEY, 2.0, "newer")
    (newer,) = set(files(ledger)) - {older}
    damage(newer, framed(b"\x01", fmt=2, kind=record.RUN))
    assert ledger.get(KEY) == ["older"]
    assert isinstance(dict(ledger.all())[str(newer)], NewerFormat)


@pytest.mark.parametrize("at", [1, "1", None, True, b"1"])
def test_a_time_that_is_none_is_damage(ledger: Ledger, at: Any) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    data = record.encode(record.RUN, [KEY, at, "value"])
    path = path.rename(path.with_name(f"{KEY.hex()[2:]}.{of_bytes(data).hex()}"))
    damage(path, data)
    assert ledger.get(KEY) == []
    assert damaged(ledger) == [str(path)]


def test_a_whole_number_is_kept_as_a_time(ledger: Ledger) -> None:
    ledger.put(KEY, 1, "value")
    assert ledger.get(KEY) == ["value"]


def test_stray_files_are_told_or_passed_over(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    Path(ledger.folder, "README").write_text("what?")
    stray = path.with_name("stray")
    stray.write_text("what?")
    path.with_name("folder").mkdir()
    assert ledger.get(KEY) == ["value"]
    assert dict(ledger.all())[str(path)] == "value"
    assert str(stray) in damaged(ledger)


def test_a_folder_in_the_place_of_a_record_is_told_or_passed_over(ledger: Ledger) -> None:
    ledger.put(KEY, 1.0, "value")
    (path,) = files(ledger)
    path.with_name(f"{KEY.hex()[2:]}.{oid_of('x').hex()}").mkdir()
    assert ledger.get(KEY) == ["value"]
    assert dict(ledger.all())[str(path)] == "value"


def test_a_file_in_the_place_of_a_keys_folder_is_told_or_passed_over(ledger: Ledger) -> None:
    Path(ledger.folder).mkdir()
    Path(ledger.folder, KEY.hex()[:2]).touch()
    assert list(ledger.all()) == []
    assert ledger.get(KEY) == []
