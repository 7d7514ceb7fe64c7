"""A mirrored folder is exactly what its tree says, whatever was in it, and costs what differs."""

from __future__ import annotations

import builtins
import contextlib
import os
import random
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dodo_store import forks, walk
from dodo_store import oid as oids
from dodo_store.errors import Damaged, Missing
from dodo_store.mirror import Mirrored, mirror
from dodo_store.stamps import Stamps, now
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, Entries, Node
from tests.store.kit import ODD_NAMES, Kit, damage, flip, look

SIZES = (0, 1, 1, 7, 100, 4096, 70_000)
NAMES = ("a", "b", "c", "data.csv", "deep", *(os.fsdecode(name) for name in ODD_NAMES))


# -- trees and folders -------------------------------------------------------------------------


def random_node(kit: Kit, rng: random.Random, depth: int) -> Node:
    """A file, a link, or a folder of some."""
    kind = rng.random()
    if depth and kind < 0.4:
        return random_tree(kit, rng, depth - 1)
    if kind < 0.5:
        return kit.put(rng.choice([b"a", b"../b", b"nowhere", b"/etc", b"\xff\n"]), LINK)
    data = rng.randbytes(1) * rng.choice(SIZES)
    return kit.put(data, EXEC if rng.random() < 0.3 else FILE)


def random_tree(kit: Kit, rng: random.Random, depth: int = 4, most: int = 6) -> Node:
    """A folder, sometimes an empty one."""
    names = rng.sample(NAMES, rng.randint(0, most))
    return tree_of(kit, {name: random_node(kit, rng, depth) for name in names})


def tree_of(kit: Kit, members: dict[str, Node]) -> Node:
    """A folder of these members."""
    entries: Entries = tuple(sorted(members.items(), key=lambda each: os.fsencode(each[0])))
    return kit.put_tree(entries)


def expected(kit: Kit, node: Node, name: bytes = b"") -> Iterator[tuple[bytes, Any]]:
    """What `look` has to see."""
    if node.kind == FOLDER:
        yield name, "folder"
        for inner, each in kit.store.tree(node.oid):
            yield from expected(kit, each, os.path.join(name, os.fsencode(inner)))
        return
    data = kit.store.objects.read(node.oid)
    yield name, ("link", data) if node.kind == LINK else ("file", node.kind == EXEC, data)


def assert_is(kit: Kit, root: Path, node: Node, *, folders_too: bool = False) -> None:
    """It is byte for byte the tree, and ours to write, also where it came from a mess."""
    assert look(root) == dict(expected(kit, node))
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [*folders, *files, b"."]:
            found = os.lstat(os.path.join(folder, name))
            if stat.S_ISDIR(found.st_mode):
                if folders_too:
                    assert found.st_mode & 0o700 == 0o700, (folder, name, oct(found.st_mode))
            elif stat.S_ISREG(found.st_mode):
                assert found.st_mode & 0o600 == 0o600, (folder, name, oct(found.st_mode))
                assert found.st_nlink == 1, (folder, name)


def everything(root: Path) -> list[bytes]:
    """All paths below a folder, the deepest last."""
    found = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        found += [os.path.join(folder, name) for name in folders + files]
    return found


def is_kind(path: bytes, test: Callable[[int], bool]) -> bool:
    try:
        return test(os.lstat(path).st_mode)
    except OSError:
        return False


def clear(path: bytes) -> None:
    if is_kind(path, stat.S_ISDIR):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def make_mess(root: Path, rng: random.Random, count: int) -> None:
    """Do to a folder what programs and people do to folders."""
    for _ in range(count):
        paths = [path for path in everything(root) if os.path.lexists(path)]
        where = rng.choice([*paths, os.fsencode(root)])
        one_mess(where, os.fsencode(root), paths, rng)


def one_mess(where: bytes, root: bytes, paths: list[bytes], rng: random.Random) -> None:
    if is_kind(where, stat.S_ISDIR):
        act = rng.choice(["new", "mode", "fifo", "file", "link", "hard", "gone", "folder"])
        inner = os.path.join(where, rng.choice([b"extra", b"two\nlines", b"\xfe", b"a", b"b"]))
        if act == "mode":
            os.chmod(where, rng.choice([0o000, 0o400, 0o555, 0o711]))
        elif act in ("file", "gone", "link"):
            if where == root:
                return
            clear(where)
            if act == "file":
                Path(os.fsdecode(where)).write_bytes(b"was a folder")
            elif act == "link":
                os.symlink(b"/etc", where)
        elif not os.path.lexists(inner):
            if act == "fifo":
                os.mkfifo(inner)
            elif act == "folder":
                os.makedirs(os.path.join(inner, b"x", b"y"))
            elif act == "hard":
                files = [path for path in paths if is_kind(path, stat.S_ISREG)]
                if files:
                    os.link(rng.choice(files), inner)
            else:
                Path(os.fsdecode(inner)).write_bytes(b"extra")
        return
    if not is_kind(where, stat.S_ISREG):
        clear(where)
        return
    act = rng.choice(["same size", "append", "mode", "folder", "link", "fifo", "gone", "hard"])
    size = os.lstat(where).st_size
    if act == "same size" and size:
        with open(where, "r+b") as file:
            at = rng.randrange(size)
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
    elif act in ("append", "same size"):
        with open(where, "ab") as file:
            file.write(b"more")
    elif act == "mode":
        os.chmod(where, rng.choice([0o000, 0o400, 0o555, 0o644, 0o755, 0o4755]))
    elif act == "hard":
        with contextlib.suppress(FileExistsError):
            os.link(where, os.path.join(root, b"hard link"))
    else:
        os.unlink(where)
        if act == "folder":
            os.mkdir(where)
        elif act == "link":
            os.symlink(b"a", where)
        elif act == "fifo":
            os.mkfifo(where)


def fresh(kit: Kit) -> Stamps:
    """The table as the next process reads it."""
    return Stamps(str(kit.base / "stamps"))


def mirrored(kit: Kit, node: Node) -> Mirrored:
    """Mirror as a process of its own would, with the table of the one before."""
    stamps = fresh(kit)
    try:
        return mirror(kit.store, node, str(kit.root), stamps)
    finally:
        stamps.save()


def verify(kit: Kit) -> None:
    """Nothing in the store has been touched."""
    for pool in (kit.store.objects, kit.store.trees):
        for folder, _, names in os.walk(pool.folder):
            for name in names:
                path = os.path.join(folder, name)
                assert oids.of_file(path).hex() == os.path.basename(folder) + name
                found = os.lstat(path)
                assert found.st_mode & 0o222 == 0, path
                assert found.st_nlink == 1, path


def settle() -> None:
    """Let the clock move past what is too young to be believed."""
    time.sleep(0.07)


# -- what it makes -----------------------------------------------------------------------------


def run_rounds(base: Path, seed: int, rounds: int = 4) -> None:
    """Trees and messes, one after the other, in one folder."""
    rng = random.Random(seed)
    kit = Kit(base)
    for _ in range(rounds):
        before, after = random_tree(kit, rng), random_tree(kit, rng)
        mirrored(kit, before)
        assert_is(kit, kit.root, before)
        if rng.random() < 0.5:
            settle()
            if rng.random() < 0.5:
                assert mirrored(kit, before) == Mirrored(0, 0)
        make_mess(kit.root, rng, rng.randint(0, 8))
        if rng.random() < 0.2:
            (kit.base / "stamps").unlink(missing_ok=True)
        for node in (rng.choice([before, after]), after):
            mirrored(kit, node)
            assert_is(kit, kit.root, node)
    verify(kit)


@pytest.fixture(params=[1, 3])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Among how many processes work is shared, be it as little as it may."""
    count: int = request.param
    monkeypatch.setattr(walk, "MANY", 1)
    monkeypatch.setattr(forks, "shares", lambda items: count if items > 1 else 1)
    return count


@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_there_it_is_the_tree(tmp_path: Path, seed: int, processes: int) -> None:
    run_rounds(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_whatever_was_there_it_is_the_tree_for_long(tmp_path: Path) -> None:
    for seed in range(1000, 2500):
        base = tmp_path / str(seed)
        base.mkdir()
        run_rounds(base, seed)
        shutil.rmtree(base)


def sample(kit: Kit) -> Node:
    """A tree with one of each."""
    inner = tree_of(kit, {"file": kit.put(b"inner"), "run.sh": kit.put(b"#!", EXEC)})
    return tree_of(
        kit,
        {
            "empty": tree_of(kit, {}),
            "file": kit.put(b"some bytes"),
            "folder": inner,
            "link": kit.put(b"folder/file", LINK),
            "other": kit.put(b"other bytes"),
        },
    )


@pytest.mark.parametrize("what", ["nothing", "file", "link", "fifo", "folder in folders"])
def test_the_folder_itself_may_be_anything_before(kit: Kit, what: str) -> None:
    kit.root.rmdir()
    outside = kit.base / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    if what == "file":
        kit.root.write_text("x")
    elif what == "link":
        kit.root.symlink_to(outside)
    elif what == "fifo":
        os.mkfifo(kit.root)
    elif what == "folder in folders":
        kit.root = kit.base / "x" / "y" / "project"
    node = sample(kit)
    mirrored(kit, node)
    assert_is(kit, kit.root, node)
    assert (outside / "precious").read_text() == "x"


def test_a_link_in_the_place_of_a_folder_is_not_followed(kit: Kit) -> None:
    outside = kit.base / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    node = sample(kit)
    mirrored(kit, node)
    shutil.rmtree(kit.root / "folder")
    (kit.root / "folder").symlink_to(outside)
    mirrored(kit, node)
    assert_is(kit, kit.root, node)
    assert (outside / "file").read_text() == "precious"


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o555])
@pytest.mark.parametrize("name", ["empty", "folder", "."])
def test_a_folder_that_somebody_locked_is_open_again(kit: Kit, name: str, mode: int) -> None:
    node = sample(kit)
    mirrored(kit, node)
    settle()
    mirrored(kit, node)
    (kit.root / name).chmod(mode)
    mirrored(kit, node)
    assert_is(kit, kit.root, node, folders_too=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody who is not root")
@pytest.mark.parametrize("name", ["folder", "folder/deep", "."])
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o555])
def test_one_who_is_not_root_gets_through_locked_folders_too(name: str, mode: int) -> None:
    base = Path(tempfile.mkdtemp(prefix="mirror-"))
    try:
        os.chown(base, 65534, 65534)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                kit = Kit(base)
                deep = tree_of(kit, {"file": kit.put(b"1")})
                node = tree_of(kit, {"folder": tree_of(kit, {"deep": deep, "x": kit.put(b"x")})})
                other = tree_of(kit, {"y": kit.put(b"y"), "folder": deep})
                mirrored(kit, node)
                (kit.root / name / "extra").write_text("x")
                (kit.root / name).chmod(mode)
                mirrored(kit, other)
                assert_is(kit, kit.root, other)
                code = 0
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert status == 0
    finally:
        for folder, names, _ in os.walk(base):
            for each in names:
                os.chmod(os.path.join(folder, each), 0o700, follow_symlinks=True)
        shutil.rmtree(base)


@pytest.mark.parametrize("name", ["file", "folder/file"])
def test_a_file_that_has_a_second_name_is_made_anew(kit: Kit, name: str, processes: int) -> None:
    node = sample(kit)
    mirrored(kit, node)
    elsewhere = kit.base / "elsewhere"
    os.link(kit.root / name, elsewhere)
    data = elsewhere.read_bytes()
    for written in (1, 0):
        settle()
        assert mirrored(kit, node).written == written
    (kit.root / name).write_bytes(b"changed")
    assert elsewhere.read_bytes() == data


def test_a_change_that_keeps_size_and_time_is_seen(kit: Kit) -> None:
    node = sample(kit)
    mirrored(kit, node)
    settle()
    assert mirrored(kit, node) == Mirrored(0, 0)
    path = kit.root / "file"
    found = path.stat()
    path.write_bytes(b"SOME bytes")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert mirrored(kit, node).written == 1
    assert_is(kit, kit.root, node)


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.005, 0.02, 0.045, 0.06])
def test_a_change_right_after_is_seen(kit: Kit, pause: float) -> None:
    node = sample(kit)
    for round_ in range(10):
        mirrored(kit, node)
        time.sleep(pause)
        (kit.root / "file").write_bytes(b"%010d" % round_)
        mirrored(kit, node)
        assert (kit.root / "file").read_bytes() == b"some bytes"


# -- what it costs -----------------------------------------------------------------------------


def test_the_same_again_writes_nothing(kit: Kit) -> None:
    node = random_tree(kit, random.Random(5), depth=5, most=10)
    assert mirrored(kit, node).written > 5
    inodes = {path: os.lstat(path).st_ino for path in everything(kit.root)}
    assert mirrored(kit, node) == Mirrored(0, 0)
    settle()
    assert mirrored(kit, node) == Mirrored(0, 0)
    assert {path: os.lstat(path).st_ino for path in everything(kit.root)} == inodes


@pytest.mark.parametrize("name", ["file", "folder/file", "folder/run.sh"])
def test_one_changed_file_writes_one(kit: Kit, name: str) -> None:
    node = sample(kit)
    mirrored(kit, node)
    inodes = {path: os.lstat(path).st_ino for path in everything(kit.root)}
    (kit.root / name).write_bytes(b"changed")
    assert mirrored(kit, node) == Mirrored(1, 1)
    after = {path: os.lstat(path).st_ino for path in everything(kit.root)}
    changed = os.fsencode(kit.root / name)
    assert {path: ino for path, ino in after.items() if path != changed} == {
        path: ino for path, ino in inodes.items() if path != changed
    }


def test_another_tree_writes_what_differs(kit: Kit) -> None:
    node = sample(kit)
    assert mirrored(kit, node) == Mirrored(5, 0)
    members = kit.members(node)
    members["new"] = kit.put(b"new")
    del members["other"]
    assert mirrored(kit, tree_of(kit, members)) == Mirrored(1, 1)
    members["file"] = kit.put(b"some bytes", EXEC)
    assert mirrored(kit, tree_of(kit, members)).written == 1


def test_what_was_written_and_is_settled_is_not_read(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"f{i}": kit.put(b"%d" % i) for i in range(30)}
    node = tree_of(kit, {**members, "inner": tree_of(kit, members)})
    mirrored(kit, node)
    settle()
    mirrored(kit, node)
    opened = count_reads(monkeypatch, kit.root)
    oids.of_file(str(kit.root / "f0"))
    assert opened.pop() == str(kit.root / "f0")  # it counts
    assert mirrored(kit, node) == Mirrored(0, 0)
    kit.stamps = fresh(kit)
    assert kit.take().oid == node.oid
    assert opened == []


def test_what_was_written_long_before_the_end_is_not_read_by_a_snapshot(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"f{i}": kit.put(b"%d" % i) for i in range(30)}
    node = tree_of(kit, {**members, "inner": tree_of(kit, members)})

    def later() -> int:
        settle()
        return now()

    monkeypatch.setattr("dodo_store.mirror.now", later)
    mirrored(kit, node)
    opened = count_reads(monkeypatch, kit.root)
    kit.stamps = fresh(kit)
    assert kit.take().oid == node.oid
    assert opened == []


def count_reads(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
    """The files below *root* that are opened from here on."""
    opened: list[str] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            if not isinstance(path, int) and os.fsdecode(path).startswith(f"{root}/"):
                opened.append(os.fsdecode(path))
            return function(path, *args, **more)

        return call

    monkeypatch.setattr(os, "open", noting(os.open))
    monkeypatch.setattr(builtins, "open", noting(builtins.open))
    return opened


# -- what can go wrong -------------------------------------------------------------------------


class Stop(BaseException):
    """The process ends here, as far as the code is concerned."""


CALLS = ("open", "mkdir", "symlink", "unlink", "lstat", "scandir", "chmod", "readlink")


@contextlib.contextmanager
def stopping_at(count: int) -> Iterator[list[int]]:
    """Stop at the *count*-th call of the system; how many there were."""
    calls = [0]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] == count:
                raise Stop
            return function(*args, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield calls


@pytest.mark.parametrize("seed", range(6))
def test_a_stop_at_any_moment_and_the_next_is_right(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    kit = Kit(tmp_path)
    before, after = random_tree(kit, rng, 2, 5), random_tree(kit, rng, 2, 5)
    after = tree_of(kit, kit.members(sample(kit)) | kit.members(after))
    count, is_done = 0, False
    step = 1
    while not is_done:
        count += step
        mirrored(kit, before)
        make_mess(kit.root, rng, 2)
        if rng.random() < 0.2:
            settle()
        stamps = fresh(kit)
        try:
            with stopping_at(count):
                mirror(kit.store, after, str(kit.root), stamps)
                is_done = True
        except Stop:
            pass
        if rng.random() < 0.5:
            stamps.save()
        # Either the same is begun again or, by the next, something else.
        target = rng.choice([before, after])
        mirrored(kit, target)
        assert_is(kit, kit.root, target)
        step = rng.choice([1, 1, 2, 3])
    assert count > 10
    verify(kit)


def test_an_object_that_is_missing_is_named(kit: Kit) -> None:
    node = sample(kit)
    lost = kit.members(node)["other"]
    kit.object_path(lost).unlink()
    with pytest.raises(Missing) as told:
        mirrored(kit, node)
    assert told.value.path == str(kit.object_path(lost))
    kit.put(b"other bytes")
    mirrored(kit, node)
    assert_is(kit, kit.root, node)


def test_a_tree_that_is_missing_is_named(kit: Kit) -> None:
    node = sample(kit)
    kit.tree_path(kit.members(node)["folder"]).unlink()
    with pytest.raises(Missing):
        mirrored(kit, node)


@pytest.mark.parametrize("how", ["flip", "longer", "shorter", "empty"])
def test_an_object_that_is_damaged_is_never_handed_out(kit: Kit, how: str) -> None:
    node = sample(kit)
    path = kit.object_path(kit.members(node)["other"])
    data = path.read_bytes()
    if how == "flip":
        flip(path)
    else:
        damage(path, {"longer": data + b"x", "shorter": data[:-1], "empty": b""}[how])
    with pytest.raises(Damaged):
        mirrored(kit, node)
    assert not (kit.root / "other").exists()


def test_a_tree_that_is_damaged_is_told(kit: Kit) -> None:
    node = sample(kit)
    flip(kit.tree_path(kit.members(node)["folder"]))
    with pytest.raises(Damaged):
        mirrored(kit, node)


@pytest.mark.parametrize("target", [b"a\0b", b""])
def test_a_link_that_cannot_be_is_damage(kit: Kit, target: bytes) -> None:
    node = tree_of(kit, {"link": kit.put(target, LINK)})
    with pytest.raises(Damaged):
        mirrored(kit, node)


def test_what_lies_outside_keeps_its_modes(kit: Kit, processes: int) -> None:
    node = sample(kit)
    mirrored(kit, node)
    settle()
    mirrored(kit, node)
    outside = kit.base / "outside"
    (outside / "folder").mkdir(parents=True)
    for path in (outside / "folder", outside):
        path.chmod(0o500)
    (kit.root / "folder").rename(kit.base / "elsewhere")
    (kit.root / "folder").symlink_to(outside / "folder")
    mirrored(kit, node)
    assert_is(kit, kit.root, node)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (outside, outside / "folder")] == [
        0o500
    ] * 2
