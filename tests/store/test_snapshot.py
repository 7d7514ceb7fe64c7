"""Snapshots: taken into the store, brought back from it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dodo_store import restore, snapshot
from dodo_store.errors import Damaged, Missing, NotStorable
from dodo_store.ignore import Ignore
from dodo_store.oid import of_bytes
from dodo_store.stamps import mark
from dodo_store.store import Store
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Node
from tests.store.kit import LATER, ODD_NAMES, Kit, damage, flip, look, names, oid_of, thorough

leaves = (
    st.tuples(st.just("file"), st.booleans(), st.binary(max_size=30))
    | st.tuples(st.just("link"), names)
)  # fmt: skip
folders = st.recursive(
    st.dictionaries(names, leaves, max_size=4),
    lambda inner: st.dictionaries(names, leaves | inner, max_size=4),
    max_leaves=8,
)


def grow(at: bytes, what: Any) -> None:
    """Put on disk what a strategy made up."""
    if isinstance(what, dict):
        os.mkdir(at)
        for name, inner in what.items():
            grow(os.path.join(at, name), inner)
    elif what[0] == "link":
        os.symlink(what[1], at)
    else:
        with open(at, "wb") as file:
            file.write(what[2])
        os.chmod(at, 0o755 if what[1] else 0o644)


@given(folders)
@thorough
def test_any_folder_comes_back_as_it_was(shared: Kit, what: dict[bytes, Any]) -> None:
    with tempfile.TemporaryDirectory(dir=shared.root) as temporary:
        inside = Path(temporary)
        grow(os.fsencode(inside / "d"), what)
        path = inside.relative_to(shared.root)
        node = shared.take(str(path / "d"))
        shared.restore(node, str(path / "back"))
        assert look(inside / "back") == look(inside / "d")
        assert shared.take(str(path / "back")) == node


@given(folders)
@thorough
def test_the_digest_is_the_one_that_is_seen_without_storing(
    shared: Kit, what: dict[bytes, Any]
) -> None:
    with tempfile.TemporaryDirectory(dir=shared.root) as temporary:
        grow(os.fsencode(Path(temporary) / "d"), what)
        path = str(Path(temporary).relative_to(shared.root) / "d")
        assert shared.take(path).digest == shared.seen(path, follow=False).digest


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_come_back_as_they_were(kit: Kit, name: bytes) -> None:
    grow(os.fsencode(kit.root / "d"), {name: ("file", False, name), b"s": {name: {}}})
    kit.restore(kit.take("d"), "back")
    assert look(kit.root / "back") == look(kit.root / "d")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_can_itself_be_taken_and_restored(kit: Kit, name: bytes) -> None:
    path = os.fsdecode(name)
    (kit.root / path).write_text("x")
    node = kit.take(path)
    (kit.root / path).unlink()
    kit.restore(node, path)
    assert look(kit.root) == {b"": "folder", name: ("file", False, b"x")}


def test_a_file_is_named_for_its_content(kit: Kit) -> None:
    (kit.root / "f").write_bytes(b"text")
    assert kit.take("f") == Node(FILE, of_bytes(b"text"), 4, of_bytes(b"text"))


def test_kinds_are_told_apart(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"x"), b"x": ("file", True, b"x")})
    (kit.root / "d" / "l").symlink_to("f")
    (kit.root / "d" / "s").mkdir()
    kinds = {name: node.kind for name, node in kit.members(kit.take("d")).items()}
    assert kinds == {"f": FILE, "x": EXEC, "l": LINK, "s": FOLDER}


def test_the_size_of_a_folder_is_the_sum(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", 0, b"12"), b"s": {b"g": ("file", 0, b"345")}})
    assert kit.take("d").size == 5


def test_empty_folders_come_back(kit: Kit) -> None:
    (kit.root / "d" / "a" / "b").mkdir(parents=True)
    (kit.root / "d" / "c").mkdir()
    kit.restore(kit.take("d"), "back")
    assert look(kit.root / "back") == dict.fromkeys((b"", b"a", b"a/b", b"c"), "folder")


def test_a_folder_of_nothing_comes_back(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    kit.restore(kit.take("d"), "back")
    assert look(kit.root / "back") == {b"": "folder"}


@pytest.mark.parametrize(
    "mode, kept", [(0o755, True), (0o700, True), (0o644, False), (0o400, False)]
)
def test_the_exec_bit_of_the_owner_comes_back(kit: Kit, mode: int, kept: bool) -> None:
    (kit.root / "f").write_text("x")
    (kit.root / "f").chmod(mode)
    kit.restore(kit.take("f"), "back")
    assert bool((kit.root / "back").stat().st_mode & 0o100) is kept


def test_what_is_restored_can_be_written_to(kit: Kit) -> None:
    (kit.root / "f").write_text("x")
    (kit.root / "f").chmod(0o444)
    kit.restore(kit.take("f"), "back")
    assert (kit.root / "back").stat().st_mode & 0o200


@pytest.mark.parametrize(
    "target", ["f", "./f", "s/../f", "nowhere", "l", "s", "/etc/hostname", "../.."]
)
def test_links_come_back_as_they_were(kit: Kit, target: str) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"x"), b"s": {}})
    (kit.root / "d" / "l").symlink_to(target)
    kit.restore(kit.take("d"), "back")
    assert os.readlink(kit.root / "back" / "l") == target


def test_a_link_is_taken_as_a_link_and_not_as_what_it_leads_to(kit: Kit) -> None:
    (kit.root / "s").mkdir()
    (kit.root / "l").symlink_to("s")
    node = kit.take("l")
    assert (node.kind, kit.store.objects.read(node.oid)) == (LINK, b"s")


@pytest.mark.parametrize("target", ["f", "../f", "nowhere", "../d/f", "l", "../..f", "..."])
def test_strict_keeps_a_link_that_stays_inside(kit: Kit, target: str) -> None:
    (kit.root / "d").mkdir()
    (kit.root / "d" / "l").symlink_to(target)
    assert kit.members(kit.take("d", strict=True))["l"].kind == LINK


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "..//../x", "a/../../../x", "../.."])
def test_strict_refuses_a_link_that_leads_outside(kit: Kit, target: str) -> None:
    (kit.root / "d").mkdir()
    (kit.root / "d" / "l").symlink_to(target)
    with pytest.raises(NotStorable) as caught:
        kit.take("d", strict=True)
    assert caught.value.path == "d/l"


def test_strict_refuses_an_absolute_target_even_inside(kit: Kit) -> None:
    (kit.root / "f").touch()
    (kit.root / "l").symlink_to(kit.root / "f")
    with pytest.raises(NotStorable, match="absolute"):
        kit.take("l", strict=True)
    assert kit.take("l").kind == LINK


def test_strict_follows_links_to_see_whether_one_leads_outside(kit: Kit) -> None:
    inner = kit.root / "a" / "b"
    inner.mkdir(parents=True)
    (kit.base / "secret").touch()
    (inner / "up").symlink_to("../..")
    (inner / "l").symlink_to("up/../secret")
    with pytest.raises(NotStorable) as caught:
        kit.take("a", strict=True)
    assert caught.value.path == "a/b/l"


def test_strict_follows_links_to_see_whether_one_stays_inside(kit: Kit) -> None:
    (kit.root / "a" / "b").mkdir(parents=True)
    (kit.root / "s").symlink_to("a/b")
    (kit.root / "l").symlink_to("s/../..")
    assert kit.take("l", strict=True).kind == LINK
    (kit.root / "m").symlink_to("s/../../..")
    with pytest.raises(NotStorable):
        kit.take("m", strict=True)


def test_a_fifo_is_refused_or_passed_over_and_never_opened(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    os.mkfifo(kit.root / "d" / "p")
    assert kit.members(kit.take("d")) == {}
    with pytest.raises(NotStorable):
        kit.take("d", strict=True)
    with pytest.raises(NotStorable):
        kit.take("d/p")


def test_names_are_sorted_by_their_bytes(kit: Kit) -> None:
    raw = [b"\xff", "\U0001f600".encode(), b"a", b"a.b", b"a-b"]
    grow(os.fsencode(kit.root / "d"), dict.fromkeys(raw, ("file", False, b"")))
    assert [os.fsencode(n) for n in kit.members(kit.take("d"))] == sorted(raw)


def test_taking_again_gives_the_same_and_adds_nothing(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", True, b"x"), b"s": {b"l": ("link", b"f")}})
    first = kit.take("d")
    before = look(kit.base / ".dodo")
    assert kit.take("d") == first
    assert look(kit.base / ".dodo") == before


def test_a_change_deep_down_leaves_the_trees_beside_its_path(kit: Kit) -> None:
    inner = {b"f": ("file", False, b"x")}
    grow(os.fsencode(kit.root / "d"), {b"a": {b"b": inner}, b"c": {b"e": inner}})
    before = kit.members(kit.take("d"))
    (kit.root / "d" / "a" / "b" / "f").write_text("y")
    after = kit.members(kit.take("d"))
    assert before["a"] != after["a"]
    assert before["c"] == after["c"]


def test_a_mode_is_kept_but_not_seen(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"x")})
    before = kit.take("d")
    (kit.root / "d" / "f").chmod(0o755)
    after = kit.take("d")
    assert before.oid != after.oid
    assert before.digest == after.digest


def test_an_empty_folder_is_kept_but_not_seen(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"x")})
    before = kit.take("d")
    (kit.root / "d" / "e" / "e").mkdir(parents=True)
    after = kit.take("d")
    assert before.oid != after.oid
    assert before.digest == after.digest


# -- restoring over something ---------------------------------------------------------------

THINGS: list[Any] = [
    ("file", False, b"new"),
    ("file", True, b"new"),
    ("link", b"elsewhere"),
    {},
    {b"a": ("file", False, b"1"), b"s": {b"b": ("link", b"a")}},
]


@pytest.mark.parametrize("old", THINGS, ids="file exec link empty folder".split())
@pytest.mark.parametrize("new", THINGS, ids="file exec link empty folder".split())
def test_anything_is_restored_over_anything(kit: Kit, old: Any, new: Any) -> None:
    grow(os.fsencode(kit.root / "new"), new)
    node, wanted = kit.take("new"), look(kit.root / "new")
    restore.remove(str(kit.root / "new"))
    grow(os.fsencode(kit.root / "x"), old)
    kit.restore(node, "x")
    assert look(kit.root / "x") == wanted
    assert os.listdir(kit.root) == ["x"]


def test_a_folder_is_replaced_and_not_merged(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"x")})
    node = kit.take("d")
    (kit.root / "d" / "later").write_text("later")
    kit.restore(node, "d")
    assert os.listdir(kit.root / "d") == ["f"]


@pytest.mark.parametrize("new", THINGS, ids="file exec link empty folder".split())
def test_restoring_over_a_link_leaves_what_it_led_to(kit: Kit, new: Any) -> None:
    outside = kit.base / "outside"
    grow(os.fsencode(outside), {b"mine": ("file", False, b"mine")})
    grow(os.fsencode(kit.root / "new"), new)
    before = look(outside)
    (kit.root / "x").symlink_to(outside)
    kit.restore(kit.take("new"), "x")
    assert look(kit.root / "x") == look(kit.root / "new")
    assert look(outside) == before


def test_folders_on_the_way_are_made(kit: Kit) -> None:
    kit.restore(kit.put(b"x"), "a/b/c")
    assert (kit.root / "a" / "b" / "c").read_bytes() == b"x"


def test_a_linked_folder_inside_the_project_may_be_restored_through(kit: Kit) -> None:
    (kit.root / "real").mkdir()
    (kit.root / "link").symlink_to("real")
    kit.restore(kit.put(b"x"), "link/f")
    assert (kit.root / "real" / "f").read_bytes() == b"x"
    assert (kit.root / "link").is_symlink()


def test_a_project_that_is_itself_reached_by_a_link_may_be_restored_to(kit: Kit) -> None:
    (kit.base / "way").symlink_to(kit.root)
    kit.restore(kit.put(b"x"), "s/f", kit.base / "way")
    assert (kit.root / "s" / "f").read_bytes() == b"x"


@pytest.mark.parametrize("path", ["link/f", "link/s/f", "a/link/f"])
def test_a_restore_through_a_link_that_leads_outside_is_refused(kit: Kit, path: str) -> None:
    outside = kit.base / "outside"
    (outside / "s").mkdir(parents=True)
    (outside / "f").write_text("mine")
    (kit.root / "a").mkdir()
    (kit.root / "a" / "link").symlink_to(outside)
    (kit.root / "link").symlink_to("../outside")
    before = look(outside)
    with pytest.raises(NotStorable):
        kit.restore(kit.put(b"x"), path)
    assert look(outside) == before


def test_a_neighbour_whose_name_begins_like_the_project_is_outside(kit: Kit) -> None:
    (kit.base / "project-2").mkdir()
    (kit.root / "link").symlink_to("../project-2")
    with pytest.raises(NotStorable):
        kit.restore(kit.put(b"x"), "link/f")
    assert os.listdir(kit.base / "project-2") == []


def test_a_path_that_leads_outside_by_its_text_is_refused(kit: Kit) -> None:
    before = sorted(os.listdir(kit.base))
    for path in ("../f", f"{kit.base}/f"):
        with pytest.raises(NotStorable):
            kit.restore(kit.put(b"x"), path)
    assert sorted(os.listdir(kit.base)) == before


@pytest.mark.parametrize("path", ["link/new/f", "link/new/deep/f"])
def test_a_refused_restore_makes_no_folder_outside(kit: Kit, path: str) -> None:
    (kit.base / "outside").mkdir()
    (kit.root / "link").symlink_to("../outside")
    with pytest.raises(NotStorable):
        kit.restore(kit.put(b"x"), path)
    assert os.listdir(kit.base / "outside") == []


@pytest.mark.parametrize("path", ["f/x", "f/x/y", "l/x"])
def test_a_file_in_the_way_of_a_folder_is_refused_and_stays(kit: Kit, path: str) -> None:
    (kit.root / "f").write_text("mine")
    (kit.root / "l").symlink_to("f")
    before = look(kit.root)
    with pytest.raises(NotStorable):
        kit.restore(kit.put(b"x"), path)
    assert look(kit.root) == before


@pytest.mark.parametrize("new", THINGS, ids="file exec link empty folder".split())
def test_a_swap_that_fails_puts_the_old_folder_back(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, new: Any
) -> None:
    grow(os.fsencode(kit.root / "new"), new)
    grow(os.fsencode(kit.root / "d"), {b"mine": ("file", False, b"mine")})
    node, before, rename, failed = kit.take("new"), look(kit.root), os.rename, list[str]()

    def rename_or_fail(one: str, two: str, **fds: int) -> None:
        if two == "d" and not failed:
            failed.append(two)
            raise OSError(errno.ENOSPC, "no space")
        rename(one, two, **fds)

    with kit.store.scratch() as scratch:
        monkeypatch.setattr(os, "rename", rename_or_fail)
        monkeypatch.setattr(restore, "_exchange", lambda *names: False)
        with pytest.raises(OSError, match="no space"):
            restore.restore(kit.store, node, str(kit.root), "d", scratch)
        assert os.listdir(scratch) == []
    assert failed
    assert look(kit.root) == before


def test_an_executable_file_gets_what_the_umask_leaves(kit: Kit) -> None:
    node = kit.put(b"x", EXEC)
    old = os.umask(0o027)
    try:
        kit.store = Store(kit.store.folder)
        kit.restore(node, "x")
    finally:
        os.umask(old)
    assert (kit.root / "x").stat().st_mode & 0o777 == 0o750


# -- damage ---------------------------------------------------------------------------------


def test_a_flipped_object_is_not_restored_and_the_old_file_stays(kit: Kit) -> None:
    node = kit.put(b"content")
    (kit.root / "f").write_text("old")
    flip(kit.object_path(node))
    with pytest.raises(Damaged):
        kit.restore(node, "f")
    assert look(kit.root) == {b"": "folder", b"f": ("file", False, b"old")}


@pytest.mark.parametrize("kind", [FILE, EXEC, LINK])
@pytest.mark.parametrize("data", [b"", b"conten", b"content+", b"cOntent"])
def test_nothing_is_left_where_a_damaged_object_was_to_go(kit: Kit, kind: int, data: bytes) -> None:
    node = kit.put(b"content", kind)
    damage(kit.object_path(node), data)
    with pytest.raises(Damaged):
        kit.restore(node, "f")
    assert look(kit.root) == {b"": "folder"}


def test_one_damaged_object_in_a_folder_leaves_the_old_folder(kit: Kit) -> None:
    what = {b"a": ("file", False, b"a"), b"s": {b"b": ("file", False, b"b")}}
    grow(os.fsencode(kit.root / "d"), what)
    node = kit.take("d")
    (kit.root / "d" / "a").write_text("newer")
    before = look(kit.root)
    flip(Path(kit.store.objects.path(of_bytes(b"b"))))
    with pytest.raises(Damaged):
        kit.restore(node, "d")
    assert look(kit.root) == before


def test_a_missing_object_or_tree_leaves_the_target(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"f"), b"s": {}})
    node, before = kit.take("d"), look(kit.root)
    kit.tree_path(kit.members(node)["s"]).unlink()
    for what in (node, Node(FILE, oid_of("none"), 4, oid_of("none"))):
        with pytest.raises(Missing):
            kit.restore(what, "d")
        assert look(kit.root) == before


def test_a_tree_of_another_size_of_file_is_not_restored(kit: Kit) -> None:
    file = kit.put(b"content")
    node = kit.put_tree((("f", file._replace(size=6)),))
    with pytest.raises(Damaged):
        kit.restore(node, "d")
    assert look(kit.root) == {b"": "folder"}


@pytest.mark.parametrize("size", [0, 1, 3, 99])
def test_a_link_whose_target_is_of_another_size_is_not_restored(kit: Kit, size: int) -> None:
    with pytest.raises(Damaged):
        kit.restore(kit.put(b"ab", LINK)._replace(size=size), "l")
    assert look(kit.root) == {b"": "folder"}


@pytest.mark.parametrize("target", [b"\0", b"a\0b"])
def test_a_link_whose_target_holds_a_nul_is_not_restored(kit: Kit, target: bytes) -> None:
    with pytest.raises(Damaged):
        kit.restore(kit.put(target, LINK), "l")
    assert look(kit.root) == {b"": "folder"}


# -- grafts, ignore, stamps -----------------------------------------------------------------


def test_a_graft_stands_in_for_what_the_disk_holds(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"disk"), b"g": ("file", False, b"g")})
    other = kit.put(b"graft")
    node = kit.take("", graft={"d/f": other})
    assert kit.store.find(node, "d/f") == other
    assert kit.store.find(node, "d/g") == kit.put(b"g")


def test_a_graft_of_nothing_leaves_a_path_out(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": ("file", False, b"disk"), b"g": ("file", False, b"g")})
    node = kit.take("", graft={"d/f": None, "e/none": None})
    assert list(kit.members(node)) == ["d"]
    assert list(kit.members(kit.members(node)["d"])) == ["g"]


def test_a_graft_may_be_where_the_disk_has_no_folder(kit: Kit) -> None:
    other = kit.put(b"graft")
    node = kit.take("", graft={"a/b/c": other})
    assert kit.store.find(node, "a/b/c") == other
    assert node.size == 5


def test_a_grafted_snapshot_is_the_one_of_a_disk_that_holds_it(kit: Kit) -> None:
    grow(os.fsencode(kit.root / "a"), {b"b": {b"c": ("file", False, b"x")}, b"d": ("link", b"b")})
    whole, inner = kit.take(""), kit.take("a/b")
    restore.remove(str(kit.root / "a" / "b"))
    assert kit.take("", graft={"a/b": inner}) == whole


def test_a_graft_of_a_folder_wins_over_one_inside_it(kit: Kit) -> None:
    folder, file = kit.put_tree(()), kit.put(b"x")
    assert snapshot.graft_of({"a/b": file, "a": folder}) == {"a": folder}


def test_a_graft_is_kept_though_its_folder_is_ignored(kit: Kit) -> None:
    (kit.root / ".dodoignore").write_text("d/\n")
    (kit.root / "d").mkdir()
    other = kit.put(b"graft")
    ignore = Ignore(str(kit.root), (".dodoignore",))
    assert kit.store.find(kit.take("", graft={"d/f": other}, ignore=ignore), "d/f") == other


def test_an_ignored_folder_with_a_graft_below_holds_only_the_graft(kit: Kit) -> None:
    (kit.root / ".dodoignore").write_text("d/\n")
    file = ("file", False, b"disk")
    grow(os.fsencode(kit.root / "d"), {b"f": file, b"g": file, b"s": {b"h": file}})
    other = kit.put(b"graft")
    ignore = Ignore(str(kit.root), (".dodoignore",))
    node = kit.take("", graft={"d/f": other, "d/s/i": other}, ignore=ignore)
    inner = kit.members(kit.members(node)["d"])
    assert sorted(inner) == ["f", "s"]
    assert inner["f"] == other
    assert kit.members(inner["s"]) == {"i": other}


@pytest.mark.parametrize("thing", [("file", False, b"disk"), ("link", b"s"), ("link", b"gone")])
def test_what_is_in_the_way_of_a_graft_below_it_gives_way(kit: Kit, thing: Any) -> None:
    grow(os.fsencode(kit.root / "d"), {b"f": thing, b"s": {}})
    other = kit.put(b"graft")
    node = kit.take("", graft={"d/f/x": other})
    assert kit.store.find(node, "d/f/x") == other


def test_what_is_ignored_is_not_taken(kit: Kit) -> None:
    file = ("file", False, b"")
    grow(os.fsencode(kit.root / "d"), {b"f": file, b"f.tmp": file, b"s": {b"g.tmp": file}})
    (kit.root / "d" / ".dodoignore").write_text("*.tmp\n")
    node = kit.take("d", ignore=Ignore(str(kit.root), (".dodoignore",)))
    assert list(kit.members(node)) == [".dodoignore", "f", "s"]
    assert kit.members(kit.members(node)["s"]) == {}


def test_a_file_whose_stamp_stands_still_is_not_read(kit: Kit) -> None:
    (kit.root / "f").write_text("text")
    other = kit.put(b"fake")
    kit.stamps.set("f", mark(os.stat(kit.root / "f")), other.oid, LATER)
    assert kit.take("f") == other


def test_a_stamp_whose_object_is_gone_is_not_believed(kit: Kit) -> None:
    (kit.root / "f").write_text("text")
    kit.stamps.set("f", mark(os.stat(kit.root / "f")), oid_of("gone"), LATER)
    node = kit.take("f")
    assert kit.store.objects.read(node.oid) == b"text"


def test_removing_takes_away_anything_and_minds_nothing(kit: Kit) -> None:
    (kit.root / "d" / "s").mkdir(parents=True)
    (kit.root / "f").touch()
    (kit.root / "l").symlink_to("d")
    for name in ("l", "nothing", "f"):
        restore.remove(str(kit.root / name))
    assert look(kit.root) == {b"": "folder", b"d": "folder", b"d/s": "folder"}
    restore.remove(str(kit.root / "d"))
    assert os.listdir(kit.root) == []
