"""Trees: folders as lists of nodes, and what a reader refuses."""

from __future__ import annotations

import os
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from dodo_store import record, tree
from dodo_store.errors import Damaged
from dodo_store.oid import Oid, of_bytes
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Entries, Member, Node
from tests.store.kit import ODD_NAMES, names, oid_of, thorough

ID = b"i" * 16

oids = st.binary(min_size=16, max_size=16).map(Oid)
nodes = st.builds(
    Node, st.sampled_from((FILE, EXEC, LINK, FOLDER)), oids, st.integers(0, 2**60), oids
)
entries = st.dictionaries(names, nodes, max_size=8).map(
    lambda members: tuple((os.fsdecode(raw), members[raw]) for raw in sorted(members))
)
members = st.dictionaries(
    names, st.tuples(st.sampled_from((b"f", b"l", b"d")), oids), max_size=6
).map(lambda found: [(name, *rest) for name, rest in found.items()])


def crafted(rows: Any) -> tuple[Oid, bytes]:
    """A tree record of any rows, well named and well framed."""
    data = record.encode(record.TREE, rows)
    return of_bytes(data), data


def file(text: str) -> Node:
    """The node of a file with this text."""
    return Node(FILE, oid_of(text), len(text), oid_of(text))


@given(entries)
@thorough
def test_a_tree_comes_back_as_it_was(members: Entries) -> None:
    oid, data = tree.encode(members)
    assert tree.decode(oid, data, "p") == members


def test_odd_names_come_back_as_they_were() -> None:
    members = tuple((os.fsdecode(raw), file("x")) for raw in sorted(ODD_NAMES))
    oid, data = tree.encode(members)
    assert [os.fsencode(name) for name, _ in tree.decode(oid, data, "p")] == sorted(ODD_NAMES)


def test_a_tree_is_the_record_on_the_page() -> None:
    folder = Node(FOLDER, oid_of("tree"), 7, oid_of("seen"))
    _, data = tree.encode((("a", file("text")), ("\udcff", folder)))
    assert msgpack.unpackb(data[10:-16]) == [
        [b"a", 0, xxh3_128_digest(b"text"), 4, None],
        [b"\xff", 3, xxh3_128_digest(b"tree"), 7, xxh3_128_digest(b"seen")],
    ]


def test_a_tree_is_named_for_its_whole_record() -> None:
    oid, data = tree.encode((("a", file("text")),))
    assert oid == xxh3_128_digest(data)


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"/", b"a/b", b"../a", b"/etc", b"a\0b", "a", 1, None]
)
def test_a_name_that_could_reach_outside_is_refused(name: Any) -> None:
    oid, data = crafted([[name, FILE, ID, 1, None]])
    with pytest.raises(Damaged, match="not a file name"):
        tree.decode(oid, data, "p")


@pytest.mark.parametrize("name", [b"..a", b"...", b". ", b"\n", b"\\", b"a\\..\\b", b"\xff"])
def test_a_name_that_only_looks_strange_is_read(name: bytes) -> None:
    oid, data = crafted([[name, FILE, ID, 1, None]])
    assert os.fsencode(tree.decode(oid, data, "p")[0][0]) == name


@pytest.mark.parametrize("pair", [(b"b", b"a"), (b"a", b"a"), (b"\xff", b"a"), (b"ab", b"a")])
def test_names_must_strictly_increase(pair: tuple[bytes, bytes]) -> None:
    oid, data = crafted([[name, FILE, ID, 1, None] for name in pair])
    with pytest.raises(Damaged, match="out of order"):
        tree.decode(oid, data, "p")


@pytest.mark.parametrize("size", [-1, -(2**40), "1", None, 1.5, 1.0, True, b"1", [1]])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    oid, data = crafted([[b"a", FILE, ID, size, None]])
    with pytest.raises(Damaged):
        tree.decode(oid, data, "p")


@pytest.mark.parametrize("kind", [-1, 4, 255, "0", None, 1.0, True, b"\0", [0]])
def test_a_kind_that_is_none_of_the_four_is_refused(kind: Any) -> None:
    oid, data = crafted([[b"a", kind, ID, 1, None]])
    with pytest.raises(Damaged):
        tree.decode(oid, data, "p")


@pytest.mark.parametrize("bad", [b"", b"i" * 15, b"i" * 17, "i" * 16, 7])
def test_an_id_that_is_not_16_bytes_is_refused(bad: Any) -> None:
    for row in ([b"a", FILE, bad, 1, None], [b"a", FILE, ID, 1, bad]):
        oid, data = crafted([row])
        with pytest.raises(Damaged, match="not an id"):
            tree.decode(oid, data, "p")


@pytest.mark.parametrize(
    "row", [[], [b"a"], [b"a", 0, ID, 1], [b"a", 0, ID, 1, None, 0], 5, None, b"a"]
)
def test_an_entry_that_is_no_row_of_five_is_refused(row: Any) -> None:
    oid, data = crafted([row])
    with pytest.raises(Damaged):
        tree.decode(oid, data, "p")


@pytest.mark.parametrize("rows", [None, 0, True, "", b"", "text", {}, {b"a": 1}])
def test_a_payload_that_is_no_list_is_no_tree(rows: Any) -> None:
    oid, data = crafted(rows)
    with pytest.raises(Damaged):
        tree.decode(oid, data, "p")


def test_a_bad_row_after_good_ones_is_refused() -> None:
    oid, data = crafted(
        [[b"a", FILE, ID, 1, None], [b"b", FILE, ID, 1, None], [b"c/", 0, ID, 1, None]]
    )
    with pytest.raises(Damaged):
        tree.decode(oid, data, "p")


def test_a_tree_under_another_name_is_refused() -> None:
    _, data = tree.encode((("a", file("text")),))
    with pytest.raises(Damaged, match="does not match its name"):
        tree.decode(oid_of("other"), data, "p")


def test_a_record_of_another_kind_is_no_tree() -> None:
    data = record.encode(record.RUN, [])
    with pytest.raises(Damaged, match="kind"):
        tree.decode(of_bytes(data), data, "p")


def test_the_digest_is_the_one_on_the_page() -> None:
    one, two, three = oid_of("one"), oid_of("two"), oid_of("three")
    by_hand = b"folder\n" + b"d1:a" + three + b"f1:b" + one + b"l10:" + b"c" * 10 + two
    members = [(b"c" * 10, b"l", two), (b"b", b"f", one), (b"a", b"d", three)]
    assert tree.digest(members) == xxh3_128_digest(by_hand)


def test_a_member_is_a_name_a_letter_and_a_digest() -> None:
    kinds = {FILE: b"f", EXEC: b"f", LINK: b"l", FOLDER: b"d"}
    for kind, letter in kinds.items():
        node = Node(kind, oid_of("oid"), 1, oid_of("seen"))
        assert tree.member("a\udcff", node) == (b"a\xff", letter, oid_of("seen"))


def test_the_digest_leaves_out_empty_folders_at_any_depth() -> None:
    nested = tree.digest([(b"inner", b"d", tree.digest([]))])
    one: Member = (b"a", b"f", oid_of("x"))
    assert nested == tree.digest([]) == tree.EMPTY == xxh3_128_digest(b"folder\n")
    assert tree.digest([one, (b"e", b"d", nested)]) == tree.digest([one])


def test_a_file_that_reads_like_an_empty_folder_counts() -> None:
    posing = tree.member("e", file("folder\n"))
    assert posing[2] == tree.EMPTY
    assert tree.digest([posing]) != tree.EMPTY


def test_a_file_that_reads_like_a_link_is_not_equal_to_it() -> None:
    target = oid_of("X")
    link = Node(LINK, target, 1, tree.link_digest("X"))
    posing = file("link\nX")
    assert posing.digest == link.digest
    assert tree.digest([tree.member("a", posing)]) != tree.digest([tree.member("a", link)])


@given(members, st.randoms())
@thorough
def test_the_digest_does_not_depend_on_the_order(rows: list[Member], random: Any) -> None:
    mixed = list(rows)
    random.shuffle(mixed)
    assert tree.digest(mixed) == tree.digest(rows)


@given(members, members)
@thorough
def test_the_digest_tells_folders_apart(one: list[Member], two: list[Member]) -> None:
    assert (tree.digest(one) == tree.digest(two)) == (sorted(one) == sorted(two))


@pytest.mark.parametrize("letter", [b"f", b"l", b"d"])
def test_a_name_cannot_pose_as_another_entry(letter: bytes) -> None:
    one, two = oid_of("one"), oid_of("two")
    glued = b"a" + one + letter + b"1:b"
    apart: list[Member] = [(b"a", letter, one), (b"b", letter, two)]
    assert tree.digest([(glued, letter, two)]) != tree.digest(apart)


def test_the_digest_of_a_link_is_that_of_its_target() -> None:
    assert tree.link_digest("../a\udcff") == xxh3_128_digest(b"link\n../a\xff")
