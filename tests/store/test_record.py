"""Records: whole, or told from what is not."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from dodo_store import record
from dodo_store.errors import Damaged, NewerFormat, TooLarge
from tests.store.kit import thorough

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(max_size=6), inner)
    ),
    max_leaves=20,
)


def framed(payload: bytes, fmt: int = 1, kind: int = record.CACHE, magic: bytes = b"DODO") -> bytes:
    """A frame made by hand, after the page."""
    head = magic + struct.pack(">BBI", fmt, kind, len(payload)) + payload
    return head + xxh3_128_digest(head)


@given(values)
@thorough
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    data = record.encode(record.CACHE, value)
    assert record.decode(record.CACHE, data, "p") == value


@given(values)
@thorough
def test_equal_values_have_equal_bytes(value: Any) -> None:
    again = record.decode(record.RUN, record.encode(record.RUN, value), "p")
    assert record.encode(record.RUN, again) == record.encode(record.RUN, value)


def test_the_frame_is_the_one_on_the_page() -> None:
    assert record.encode(record.RUN, [1, b"x"]) == framed(b"\x92\x01\xc4\x01x", kind=2)
    assert record.decode(record.RUN, framed(b"\x92\x01\xc4\x01x", kind=2), "p") == (1, b"x")


def test_kinds_have_the_numbers_on_the_page() -> None:
    kinds = (record.TREE, record.RUN, record.EXPERIMENT, record.CACHE, record.JOURNAL)
    assert kinds == (1, 2, 3, 4, 5)


@given(st.binary(max_size=40).map(os.fsdecode))
@thorough
def test_text_that_was_a_file_name_comes_back_byte_for_byte(name: str) -> None:
    data = record.encode(record.CACHE, {name: name})
    assert record.decode(record.CACHE, data, "p") == {name: name}


def test_lists_come_back_as_tuples() -> None:
    data = record.encode(record.CACHE, [[1], {"a": [2]}])
    assert record.decode(record.CACHE, data, "p") == ((1,), {"a": (2,)})


def test_lists_come_back_as_lists_where_that_is_asked_for(tmp_path: Path) -> None:
    data = record.encode(record.CACHE, [[1], {"a": [2]}])
    (tmp_path / "r").write_bytes(data)
    assert record.decode(record.CACHE, data, "p", lists=True) == [[1], {"a": [2]}]
    assert record.read(record.CACHE, str(tmp_path / "r"), lists=True) == [[1], {"a": [2]}]


def test_a_record_cut_anywhere_is_damaged() -> None:
    data = record.encode(record.CACHE, {"key": ["value", 1]})
    for end in range(len(data)):
        with pytest.raises(Damaged):
            record.decode(record.CACHE, data[:end], "p")


def test_a_record_with_any_bit_flipped_is_damaged() -> None:
    data = record.encode(record.CACHE, {"key": ["value", 1]})
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            record.decode(record.CACHE, bytes(flipped), "p")


def test_a_record_with_a_byte_after_its_end_is_damaged() -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, record.encode(record.CACHE, 1) + b"\0", "p")


@given(st.binary(max_size=200))
@thorough
def test_foreign_bytes_are_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, data, "p")


def test_a_whole_record_with_another_magic_is_damaged() -> None:
    with pytest.raises(Damaged, match="not a record"):
        record.decode(record.CACHE, framed(b"\x01", magic=b"DOGO"), "p")


def test_a_record_of_zeros_is_damaged() -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, bytes(4096), "p")


def test_a_newer_record_is_told_from_a_torn_one() -> None:
    newer = framed(b"\xc1 not msgpack", fmt=2)
    with pytest.raises(NewerFormat):
        record.decode(record.CACHE, newer, "p")
    with pytest.raises(Damaged):
        record.decode(record.CACHE, newer[:-1], "p")


def test_a_newer_record_of_an_unknown_kind_is_newer_not_damaged() -> None:
    with pytest.raises(NewerFormat):
        record.decode(record.CACHE, framed(b"\x01", fmt=9, kind=77), "p")


def test_a_record_of_another_kind_is_damaged() -> None:
    with pytest.raises(Damaged, match="kind 2, not 1"):
        record.decode(record.TREE, record.encode(record.RUN, []), "p")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x92\x01",
        b"\x01\x01",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x91\x82\xa1a\x01\xa1a\x01",
        b"\xd4\x05x",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\x01",
    ],
    ids="empty never-used torn two twice nested-twice extension bomb deep".split(),
)
def test_a_payload_that_is_not_one_plain_value_is_damaged(payload: bytes) -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, framed(payload), "p")


def test_a_length_that_points_past_the_end_is_damaged() -> None:
    head = b"DODO" + struct.pack(">BBI", 1, record.CACHE, 2**32 - 1) + b"\x01"
    with pytest.raises(Damaged):
        record.decode(record.CACHE, head + xxh3_128_digest(head), "p")


def test_a_record_above_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = framed(msgpack.packb(b"x" * 100), kind=record.RUN)
    monkeypatch.setattr(record, "LIMIT", 50)
    with pytest.raises(Damaged):
        record.decode(record.RUN, data, "p")


def test_a_limit_is_the_one_on_the_page() -> None:
    for kind in (record.TREE, record.RUN, record.EXPERIMENT, record.JOURNAL):
        assert record.limit(kind) == 64 * 1024 * 1024
    assert record.limit(record.CACHE) == 1024 * 1024 * 1024


def test_a_record_is_written_up_to_the_limit_and_not_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record, "LIMIT", 50)
    most = b"x" * 48
    assert record.decode(record.RUN, record.encode(record.RUN, most), "p") == most
    with pytest.raises(TooLarge):
        record.encode(record.RUN, most + b"x")
    assert record.decode(record.CACHE, record.encode(record.CACHE, most * 9), "p") == most * 9


def test_a_record_of_format_0_is_damaged() -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, framed(b"\x01", fmt=0), "p")


@pytest.mark.parametrize("payload", [b"\x81\x91\x01\x01", b"\x81\x80\x01"], ids=["list", "map"])
def test_a_key_that_cannot_be_one_is_damaged(payload: bytes) -> None:
    with pytest.raises(Damaged):
        record.decode(record.CACHE, framed(payload), "p", lists=True)


def test_records_one_after_the_other_are_split() -> None:
    data = record.encode(record.JOURNAL, "one") + record.encode(record.JOURNAL, "two")
    first, middle = record.split(record.JOURNAL, data, "p")
    second, end = record.split(record.JOURNAL, data, "p", middle)
    assert (first, second, end) == ("one", "two", len(data))


def test_a_torn_record_after_a_whole_one_is_damaged_and_the_first_is_read() -> None:
    data = record.encode(record.JOURNAL, "one") + record.encode(record.JOURNAL, "two")[:-1]
    first, middle = record.split(record.JOURNAL, data, "p")
    assert first == "one"
    with pytest.raises(Damaged):
        record.split(record.JOURNAL, data, "p", middle)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(record.encode(record.EXPERIMENT, {"big": b"x" * (3 << 20)}))
    assert record.read(record.EXPERIMENT, str(path)) == {"big": b"x" * (3 << 20)}


def test_a_missing_file_is_missing_and_an_empty_one_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        record.read(record.CACHE, str(tmp_path / "r"))
    (tmp_path / "r").touch()
    with pytest.raises(Damaged) as caught:
        record.read(record.CACHE, str(tmp_path / "r"))
    assert caught.value.path == str(tmp_path / "r")
