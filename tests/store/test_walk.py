"""The digest of a file or folder, without storing anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dodo_store import walk
from dodo_store.errors import Changing, NotStorable
from dodo_store.ignore import Ignore
from dodo_store.oid import Oid, of_bytes, of_file
from dodo_store.stamps import mark
from dodo_store.tree import EMPTY, digest, link_digest
from dodo_store.walk import Digest as Seen
from tests.store.kit import LATER, Kit, look, oid_of


@pytest.fixture
def folder(kit: Kit) -> Path:
    """A folder `d` with a file `f` and a file `s/g`."""
    made = kit.root / "d"
    (made / "s").mkdir(parents=True)
    (made / "f").write_text("f")
    (made / "s" / "g").write_text("g")
    return made


def test_the_digest_of_a_file_is_its_oid(kit: Kit) -> None:
    (kit.root / "f").write_text("text")
    assert kit.seen("f") == Seen(of_bytes(b"text"), True)


def test_what_is_not_there_has_no_digest(kit: Kit) -> None:
    (kit.root / "f").touch()
    assert kit.seen("nothing").digest is None
    assert kit.seen("no/thing").digest is None
    assert kit.seen("f/below").digest is None


def test_a_folder_without_files_is_an_empty_one(kit: Kit) -> None:
    (kit.root / "d" / "a" / "b").mkdir(parents=True)
    assert kit.seen("d") == Seen(EMPTY, True)


def test_a_file_that_reads_like_an_empty_folder_is_seen(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    (kit.root / "d" / "f").write_text("folder\n")
    assert kit.seen("d").digest not in (None, EMPTY)


def test_a_file_that_reads_like_a_link_is_not_taken_for_it(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    (kit.root / "d" / "l").symlink_to("X")
    before = kit.seen("d").digest
    (kit.root / "d" / "l").unlink()
    (kit.root / "d" / "l").write_text("link\nX")
    assert kit.seen("d").digest != before


def chmod(folder: Path) -> None:
    (folder / "f").chmod(0o755)


def mkdir(folder: Path) -> None:
    (folder / "s" / "empty" / "inner").mkdir(parents=True)


def touch(folder: Path) -> None:
    os.utime(folder / "f", (1, 1))


def rewrite(folder: Path) -> None:
    (folder / "f").unlink()
    (folder / "f").write_text("f")


@pytest.mark.parametrize("change", [chmod, mkdir, touch, rewrite])
def test_what_no_reader_sees_is_no_change(
    kit: Kit, folder: Path, change: Callable[[Path], None]
) -> None:
    before = kit.seen("d")
    change(folder)
    assert kit.seen("d") == before


def rename(folder: Path) -> None:
    (folder / "f").rename(folder / "F")


def write(folder: Path) -> None:
    (folder / "s" / "g").write_text("h")


def move(folder: Path) -> None:
    (folder / "s" / "g").rename(folder / "g")


def swap(folder: Path) -> None:
    (folder / "f").write_text("g")
    (folder / "s" / "g").write_text("f")


def add(folder: Path) -> None:
    (folder / "s" / "new").touch()


def delete(folder: Path) -> None:
    (folder / "f").unlink()


def rename_folder(folder: Path) -> None:
    (folder / "s").rename(folder / "t")


def to_folder(folder: Path) -> None:
    (folder / "f").unlink()
    (folder / "f").mkdir()
    (folder / "f" / "f").write_text("f")


@pytest.mark.parametrize(
    "change", [rename, write, move, swap, add, delete, rename_folder, to_folder]
)
def test_what_a_reader_sees_is_a_change(
    kit: Kit, folder: Path, change: Callable[[Path], None]
) -> None:
    before = kit.seen("d").digest
    change(folder)
    after = kit.seen("d").digest
    assert after is not None
    assert after != before


def test_looking_changes_nothing(kit: Kit, folder: Path) -> None:
    before = look(kit.base)
    kit.seen("d")
    assert look(kit.base) == before


def test_an_inputs_links_are_followed(kit: Kit, folder: Path) -> None:
    (kit.root / "e" / "s").mkdir(parents=True)
    (kit.root / "e" / "f").symlink_to(folder / "f")
    (kit.root / "e" / "s" / "g").symlink_to("../../d/s/g")
    (kit.root / "l").symlink_to("d")
    assert kit.seen("e") == Seen(kit.seen("d").digest, False)
    assert kit.seen("l") == Seen(kit.seen("d").digest, False)


def test_an_inputs_linked_folder_is_walked(kit: Kit, folder: Path) -> None:
    before = kit.seen("d").digest
    (folder / "s").rename(kit.root / "away")
    (folder / "s").symlink_to("../away")
    assert kit.seen("d").digest == before
    (kit.root / "away" / "g").write_text("other")
    assert kit.seen("d").digest != before


def test_an_outputs_links_are_taken_as_they_are(kit: Kit, folder: Path) -> None:
    (folder / "l").symlink_to("f")
    before = kit.seen("d", follow=False)
    (folder / "f").write_text("other")
    (kit.root / "top").symlink_to("d")
    assert not before.is_same_for_both
    assert kit.seen("d", follow=False) != before
    assert kit.seen("top", follow=False) == Seen(link_digest("d"), False)


def test_an_outputs_link_is_another_when_it_leads_elsewhere(kit: Kit, folder: Path) -> None:
    (folder / "l").symlink_to("f")
    before = kit.seen("d", follow=False)
    (folder / "l").unlink()
    (folder / "l").symlink_to("./f")
    assert kit.seen("d", follow=False) != before


def test_a_folder_without_links_is_the_same_to_inputs_and_outputs(kit: Kit, folder: Path) -> None:
    assert kit.seen("d") == kit.seen("d", follow=False)
    assert kit.seen("d").is_same_for_both


@pytest.mark.parametrize("target", ["nowhere", "l", "/nowhere/at/all", "m", "f/below"])
def test_a_link_that_leads_nowhere_counts_by_its_target(
    kit: Kit, folder: Path, target: str
) -> None:
    (folder / "m").symlink_to("l")
    (folder / "l").symlink_to(target)
    first = kit.seen("d").digest
    (folder / "l").unlink()
    (folder / "l").symlink_to("other")
    assert kit.seen("d").digest not in (None, first)


@pytest.mark.parametrize("target", [".", "..", "../../d", "../s"])
def test_a_link_back_into_the_folder_being_walked_ends(kit: Kit, folder: Path, target: str) -> None:
    (folder / "s" / "back").symlink_to(target)
    seen = kit.seen("d")
    assert seen == kit.seen("d")
    assert not seen.is_same_for_both
    (folder / "f").write_text("other")
    assert kit.seen("d") != seen


def test_a_link_back_into_the_folder_being_walked_is_taken_as_it_is(kit: Kit, folder: Path) -> None:
    (folder / "s" / "back").symlink_to("..")
    inner = digest([(b"g", b"f", of_bytes(b"g")), (b"back", b"l", link_digest(".."))])
    assert kit.seen("d").digest == digest([(b"f", b"f", of_bytes(b"f")), (b"s", b"d", inner)])


def test_a_link_inside_that_leads_to_itself_is_taken_as_it_is(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    (kit.root / "d" / "l").symlink_to("l")
    assert kit.seen("d").digest == digest([(b"l", b"l", link_digest("l"))])


@pytest.mark.parametrize("path", ["l", "m", "l/below"])
def test_a_path_that_is_a_link_to_itself_is_refused(kit: Kit, path: str) -> None:
    (kit.root / "l").symlink_to("m")
    (kit.root / "m").symlink_to("l")
    with pytest.raises(NotStorable):
        kit.seen(path)


def test_an_output_that_is_a_link_to_itself_is_taken_as_it_is(kit: Kit) -> None:
    (kit.root / "l").symlink_to("l")
    assert kit.seen("l", follow=False) == Seen(link_digest("l"), False)


def test_two_folders_that_link_to_each_other_end(kit: Kit) -> None:
    for one, two in (("a", "b"), ("b", "a")):
        (kit.root / "d" / one).mkdir(parents=True)
        (kit.root / "d" / one / "to").symlink_to(f"../{two}")
    before = kit.seen("d").digest
    (kit.root / "d" / "a" / "new").touch()
    assert kit.seen("d").digest not in (None, before)


@pytest.mark.parametrize("follow", [True, False])
def test_a_fifo_is_refused_and_never_opened(kit: Kit, folder: Path, follow: bool) -> None:
    os.mkfifo(folder / "p")
    for path in ("d", "d/p"):
        with pytest.raises(NotStorable):
            kit.seen(path, follow=follow)


def test_a_link_to_a_device_is_refused_where_links_are_followed(kit: Kit, folder: Path) -> None:
    (folder / "l").symlink_to("/dev/null")
    with pytest.raises(NotStorable):
        kit.seen("d")
    assert kit.seen("d", follow=False).digest is not None


def test_what_is_ignored_is_not_seen(kit: Kit, folder: Path) -> None:
    ignore = Ignore(str(kit.root), (".dvcignore",))
    (kit.root / ".dvcignore").write_text("*.tmp\nskip/\n")
    before = kit.seen("d", ignore=ignore)
    (folder / "s" / "x.tmp").touch()
    (folder / "skip").mkdir()
    (folder / "skip" / "y").touch()
    assert kit.seen("d", ignore=ignore) == before
    assert kit.seen("d") != before


@pytest.mark.parametrize("follow", [True, False])
def test_a_link_to_a_folder_is_no_folder_to_an_ignore_rule(
    kit: Kit, folder: Path, follow: bool
) -> None:
    (kit.root / ".dodoignore").write_text("l/\n")
    ignore = Ignore(str(kit.root), (".dodoignore",))
    before = kit.seen("d", follow=follow, ignore=ignore).digest
    (folder / "l").symlink_to("s")
    assert kit.seen("d", follow=follow, ignore=ignore).digest != before
    (folder / "l").unlink()
    (folder / "l").mkdir()
    (folder / "l" / "x").touch()
    assert kit.seen("d", follow=follow, ignore=ignore).digest == before


def test_an_output_with_what_inputs_pass_over_is_not_the_same_to_both(
    kit: Kit, folder: Path
) -> None:
    everything = Ignore(str(kit.root), (), defaults=False)
    assert kit.seen("d", ignore=everything).is_same_for_both
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").touch()
    made = kit.seen("d", follow=False, ignore=everything)
    assert not made.is_same_for_both
    assert kit.seen("d", ignore=Ignore(str(kit.root), ())).digest != made.digest


def test_an_odd_name_is_seen_by_its_bytes(kit: Kit) -> None:
    (kit.root / "d").mkdir()
    digests = set()
    for name in (b"\xff", b"\xfe", b"a\nb", b"n" * 255):
        path = os.path.join(os.fsencode(kit.root), b"d", name)
        with open(path, "wb"):
            digests.add(kit.seen("d").digest)
        os.unlink(path)
    assert len(digests) == 4


def test_a_file_whose_stamp_stands_still_is_not_read(kit: Kit, folder: Path) -> None:
    kit.stamps.set("d/f", mark(os.stat(folder / "f")), oid_of("fake"), LATER)
    assert kit.seen("d/f").digest == oid_of("fake")
    (folder / "f").write_text("longer")
    assert kit.seen("d/f").digest == of_bytes(b"longer")


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of files that are read from now on, in order."""
    read = list[str]()

    def of_file_noted(path: str) -> Oid:
        read.append(path)
        return of_file(path)

    monkeypatch.setattr(walk, "of_file", of_file_noted)
    return read


def test_a_file_once_read_is_not_read_again(
    kit: Kit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "now", lambda: LATER)
    read = recorded(monkeypatch)
    first = kit.seen("d")
    assert kit.seen("d") == first
    assert sorted(read) == [str(folder / "f"), str(folder / "s" / "g")]


def test_a_file_that_is_racy_is_read_again(
    kit: Kit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "now", lambda: os.stat(folder / "f").st_mtime_ns)
    read = recorded(monkeypatch)
    kit.seen("d/f")
    kit.seen("d/f")
    assert read == [str(folder / "f")] * 2


@pytest.mark.parametrize("times, data", [(2, b"f++"), (99, None)])
def test_a_file_that_is_being_written_to_is_waited_for_three_times(
    kit: Kit, folder: Path, monkeypatch: pytest.MonkeyPatch, times: int, data: bytes | None
) -> None:
    read = list[str]()

    def of_file_late(path: str) -> bytes:
        oid = of_file(path)
        read.append(path)
        if len(read) <= times:
            Path(path).write_bytes(Path(path).read_bytes() + b"+")
        return oid

    monkeypatch.setattr(walk, "of_file", of_file_late)
    if data is not None:
        assert kit.seen("d/f").digest == of_bytes(data)
    else:
        with pytest.raises(Changing):
            kit.seen("d/f")
    assert len(read) == 3


def test_a_folder_that_is_moved_away_meanwhile_is_there_or_not(
    kit: Kit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kit.seen("d")
    away, real, calls = kit.root / "away", os.lstat, [0]

    def lstat(path: str, *args: int, **more: int) -> os.stat_result:
        found = real(path, *args, **more)
        if str(path) == str(folder) and calls[0] < 2:  # between the look at it and its listing
            calls[0] += 1
            folder.rename(away)
            if calls[0] == 2:
                away.rename(folder)
        return found

    monkeypatch.setattr(os, "lstat", lstat)
    assert kit.seen("d").digest is None
    away.rename(folder)
    assert kit.seen("d") == whole


Look = Callable[[], bytes | None]


@pytest.fixture(params=["seen", "take", "graft"])
def look_at(kit: Kit, request: pytest.FixtureRequest) -> Look:
    """Three ways to read the folder `d`: only named, stored, stored with something laid over it."""

    def look() -> bytes | None:
        if request.param == "seen":
            return kit.seen("d", follow=False).digest
        path = "d" if request.param == "take" else ""
        return kit.take(path, graft={"d/s/new": None}).digest

    return look


@contextmanager
def disturbed(
    folder: Path, before: Callable[[], object], after: Callable[[], object]
) -> Iterator[None]:
    """Call *before* once *folder* has been listed, and *after* once its files have been statted."""
    scandir = os.scandir

    @contextmanager
    def listed(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as entries:
            found = list(entries)
        if path == str(folder):
            before()
        yield iter(found)
        if path == str(folder):
            after()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "scandir", listed)
        yield


def nothing() -> None:
    """Does nothing."""


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("name", ["f", "s", "l"])
def test_what_is_removed_after_the_folder_was_listed_is_left_out(
    kit: Kit, folder: Path, look_at: Look, name: str, is_before: bool
) -> None:
    """Nobody is kept from removing files while the workspace is read."""
    (folder / "l").symlink_to("f")
    (folder / "kept").write_text("kept")
    away = kit.base / "away"

    def remove() -> None:
        (folder / name).rename(away)

    with disturbed(folder, *((remove, nothing) if is_before else (nothing, remove))):
        without = look_at()
    assert look_at() == without
    away.rename(folder / name)
    assert look_at() != without


def test_a_folder_that_a_file_replaces_after_it_was_listed_is_left_out(
    kit: Kit, folder: Path, look_at: Look
) -> None:
    def replace() -> None:
        (folder / "s").rename(kit.base / "away")
        (folder / "s").write_text("a file")

    with disturbed(folder, nothing, replace):
        without = look_at()
    assert look_at() != without
    (folder / "s").unlink()
    assert look_at() == without
