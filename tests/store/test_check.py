"""Check: it finds all that does not hold, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dodo_store import record
from dodo_store.check import Report, check
from dodo_store.errors import StoreError
from dodo_store.reach import Root
from dodo_store.store import Store
from dodo_store.tree import FILE, FOLDER, LINK, Node
from tests.store.kit import Kit, damage, flip, look, oid_of
from tests.store.test_record import framed


def roots(store: Store) -> Iterator[Root]:
    """Records of these tests are lists of nodes."""
    for name in sorted(store.experiments.names()):
        path = store.experiments.path(name)
        try:
            oid = store.experiments.get(name)
            assert oid is not None
            rows = store.get_record(record.EXPERIMENT, oid)
            nodes = tuple(Node(*row) for row in rows)
            yield Root("experiment", name, path, (oid,), nodes)
        except StoreError as error:
            yield Root("experiment", name, error.path, problem=str(error))
        except TypeError as error:
            yield Root("experiment", name, path, problem=str(error))
    for path in store.runs.paths():
        found = store.runs.read(path)
        try:
            if isinstance(found, StoreError):
                raise found
            yield Root("run", path, path, nodes=tuple(Node(*row) for row in found[1]))
        except (StoreError, TypeError) as error:
            yield Root("run", path, path, problem=str(error))


class Filled(NamedTuple):
    """A store with one experiment `e` of a folder, and a run of a file."""

    kit: Kit
    folder: Node
    file: Node
    run: Node

    def check(self) -> Report:
        """Check this store."""
        return check(self.kit.store, roots(self.kit.store))

    def found(self) -> list[Path]:
        """The files that a check complains of."""
        return [Path(problem.path) for problem in self.check().problems]

    @property
    def record(self) -> Path:
        """The experiment's record."""
        oid = self.kit.store.experiments.get("e")
        assert oid is not None
        return Path(self.kit.store.records.path(oid))

    @property
    def run_record(self) -> Path:
        """The run's record."""
        return Path(next(self.kit.store.runs.paths()))


@pytest.fixture
def filled(kit: Kit) -> Filled:
    """A sound store."""
    file, run = kit.put(b"in a folder"), kit.put(b"of a run")
    inner = kit.put_tree((("f", file), ("l", kit.put(b"f", LINK))))
    folder = kit.put_tree((("s", inner),))
    kit.store.experiments.set("e", kit.store.put_record(record.EXPERIMENT, [folder]))
    kit.store.runs.put(oid_of("key"), 1.0, [run])
    return Filled(kit, folder, file, run)


def test_a_sound_store_has_no_problems_and_is_counted(filled: Filled) -> None:
    stored = [p for n in ("objects", "trees", "records") for p in pooled(filled.kit, n)]
    size = sum(path.stat().st_size for path in stored)
    assert len(stored) == 6
    assert filled.check() == Report((), {"experiment": 1, "run": 1}, 6, 6, size)


def pooled(kit: Kit, name: str) -> list[Path]:
    """The files of a pool."""
    return [path for path in (kit.base / ".dodo" / name).rglob("*") if path.is_file()]


def test_an_empty_store_is_sound(kit: Kit) -> None:
    assert check(kit.store, roots(kit.store)) == Report((), {}, 0, 0, 0)


def test_checking_changes_nothing(filled: Filled) -> None:
    flip(filled.kit.object_path(filled.file))
    before = look(filled.kit.base)
    filled.check()
    assert look(filled.kit.base) == before


def test_what_nobody_refers_to_is_no_problem(filled: Filled) -> None:
    filled.kit.put(b"left by a crash")
    filled.kit.put_tree((("gone", Node(FILE, oid_of("gone"), 4, oid_of("gone"))),))
    filled.kit.store.put_record(record.EXPERIMENT, [])
    assert filled.found() == []


def test_a_missing_object_is_found(filled: Filled) -> None:
    filled.kit.object_path(filled.file).unlink()
    assert filled.found() == [filled.kit.object_path(filled.file)]


def test_a_missing_object_of_a_run_is_found(filled: Filled) -> None:
    filled.kit.object_path(filled.run).unlink()
    assert filled.found() == [filled.kit.object_path(filled.run)]


def test_a_missing_target_of_a_link_is_found(filled: Filled) -> None:
    path = filled.kit.object_path(filled.kit.put(b"f", LINK))
    path.unlink()
    assert filled.found() == [path]


def test_a_flipped_object_is_found(filled: Filled) -> None:
    flip(filled.kit.object_path(filled.file))
    assert filled.found() == [filled.kit.object_path(filled.file)]


@pytest.mark.parametrize("data", [b"", b"in a folde", b"in a folder+"])
def test_an_object_of_another_size_is_found(filled: Filled, data: bytes) -> None:
    damage(filled.kit.object_path(filled.file), data)
    assert set(filled.found()) == {filled.kit.object_path(filled.file)}


def test_a_flipped_object_that_nobody_refers_to_is_found(filled: Filled) -> None:
    path = filled.kit.object_path(filled.kit.put(b"nobody's"))
    flip(path)
    assert filled.found() == [path]


def test_a_truncated_tree_is_found(filled: Filled) -> None:
    path = filled.kit.tree_path(filled.kit.members(filled.folder)["s"])
    damage(path, path.read_bytes()[:-1])
    assert set(filled.found()) == {path}


@pytest.mark.parametrize("data", [b"", b"foreign", record.encode(record.TREE, [])])
def test_a_tree_of_other_bytes_is_found(filled: Filled, data: bytes) -> None:
    path = filled.kit.tree_path(filled.folder)
    damage(path, data)
    assert set(filled.found()) == {path}


def test_a_missing_tree_is_found(filled: Filled) -> None:
    path = filled.kit.tree_path(filled.kit.members(filled.folder)["s"])
    path.unlink()
    assert filled.found() == [path]


def test_a_damaged_tree_does_not_hide_what_is_beside_it(filled: Filled) -> None:
    kit, gone = filled.kit, Node(FILE, oid_of("gone"), 4, oid_of("gone"))
    beside = kit.put_tree((("bad", filled.folder), ("gone", gone)))
    kit.store.runs.put(oid_of("other"), 1.0, [beside])
    flip(kit.tree_path(filled.folder))
    assert set(filled.found()) == {kit.tree_path(filled.folder), kit.object_path(gone)}


def test_a_tree_that_names_a_path_outside_is_found(filled: Filled) -> None:
    kit = filled.kit
    node = kit.put_tree((("..", filled.file),))
    kit.store.runs.put(oid_of("other"), 1.0, [node])
    assert filled.found() == [kit.tree_path(node)]


@pytest.mark.parametrize("data", [b"", b"\0" * 42, b"x", b"0" * 32 + b" 00000000\n"])
def test_a_damaged_ref_is_found(filled: Filled, data: bytes) -> None:
    path = filled.kit.base / ".dodo" / "exps" / "e"
    path.write_bytes(data)
    assert filled.found() == [path]


def test_a_missing_record_is_found(filled: Filled) -> None:
    path = filled.record
    path.unlink()
    assert filled.found() == [path]


def test_a_flipped_record_is_found(filled: Filled) -> None:
    path = filled.record
    flip(path)
    assert set(filled.found()) == {path}


def test_a_ref_to_a_record_of_another_kind_is_found(filled: Filled) -> None:
    kit = filled.kit
    oid = kit.store.put_record(record.RUN, [])
    kit.store.experiments.set("odd", oid)
    assert filled.found() == [Path(kit.store.records.path(oid))]


def test_a_damaged_run_record_is_found(filled: Filled) -> None:
    path = filled.run_record
    flip(path)
    assert filled.found() == [path]


@pytest.mark.parametrize("data", [b"", b"DODO", b"foreign" * 9])
def test_a_run_record_of_other_bytes_is_found(filled: Filled, data: bytes) -> None:
    path = filled.run_record
    damage(path, data)
    assert filled.found() == [path]


def test_a_record_that_names_a_missing_tree_is_found(filled: Filled) -> None:
    gone = Node(FOLDER, oid_of("gone"), 4, oid_of("gone"))
    filled.kit.store.runs.put(oid_of("other"), 1.0, [gone])
    assert filled.found() == [filled.kit.tree_path(gone)]


def test_everything_is_found_at_once(filled: Filled) -> None:
    kit = filled.kit
    kit.store.experiments.set("other", oid_of("no record"))
    ref = kit.base / ".dodo" / "exps" / "third"
    ref.write_bytes(b"")
    flip(kit.object_path(filled.file))
    kit.object_path(filled.run).unlink()
    missing = Path(kit.store.records.path(oid_of("no record")))
    wanted = {missing, ref, kit.object_path(filled.file), kit.object_path(filled.run)}
    assert set(filled.found()) == wanted


def test_a_mended_store_is_sound_again(filled: Filled) -> None:
    flip(filled.kit.object_path(filled.file))
    filled.kit.store.objects.set_aside(filled.file.oid)
    assert filled.found() == [filled.kit.object_path(filled.file)]
    filled.kit.put(b"in a folder")
    assert filled.found() == []


def test_what_two_records_share_is_told_once(filled: Filled) -> None:
    kit = filled.kit
    kit.store.runs.put(oid_of("other"), 1.0, [filled.folder])
    kit.object_path(filled.file).unlink()
    assert filled.found() == [kit.object_path(filled.file)]


def test_a_record_that_two_refs_miss_is_told_once(filled: Filled) -> None:
    for name in ("one", "two"):
        filled.kit.store.experiments.set(name, oid_of("no record"))
    assert filled.found() == [Path(filled.kit.store.records.path(oid_of("no record")))]


def test_a_size_that_is_not_the_recorded_one_is_found(filled: Filled) -> None:
    odd = filled.kit.put(b"sound")._replace(size=6)
    filled.kit.store.runs.put(oid_of("other"), 1.0, [odd])
    assert filled.found() == [filled.kit.object_path(odd)]


def test_every_damaged_run_is_found(filled: Filled) -> None:
    kit = filled.kit
    for number in range(5):
        kit.store.runs.put(oid_of(str(number)), 1.0, [])
    paths = [Path(path) for path in kit.store.runs.paths()]
    for path in paths[::2]:
        flip(path)
    assert set(filled.found()) == set(paths[::2])
    assert filled.check().roots["run"] == len(paths) == 6


def test_a_run_under_a_name_that_is_not_its_own_is_found(filled: Filled) -> None:
    path = filled.run_record
    moved = path.rename(path.with_name(path.name[:31] + "0" * 32))
    assert filled.found() == [moved]


def test_a_newer_run_is_found(filled: Filled) -> None:
    path = filled.run_record
    damage(path, framed(b"\x01", fmt=2, kind=record.RUN))
    assert filled.found() == [path]


@pytest.mark.parametrize("value", [None, 5, [5], [[1]], {"a": 1}])
def test_a_record_that_its_reader_trips_over_is_found(filled: Filled, value: Any) -> None:
    kit = filled.kit
    kit.store.runs.put(oid_of("odd"), 1.0, value)
    kit.store.experiments.set("odd", kit.store.put_record(record.EXPERIMENT, value))
    run = next(Path(path) for path, found in kit.store.runs.all() if found != _rows(filled.run))
    assert set(filled.found()) == {run, kit.base / ".dodo" / "exps" / "odd"}


def _rows(*nodes: Node) -> tuple[tuple[object, ...], ...]:
    """Nodes as a run's record gives them back."""
    return tuple(tuple(node) for node in nodes)


def test_an_object_and_a_tree_of_one_oid_are_told_apart(filled: Filled) -> None:
    kit, tree = filled.kit, filled.folder
    posing = Node(FILE, tree.oid, kit.tree_path(tree).stat().st_size, tree.oid)
    kit.store.runs.put(oid_of("other"), 1.0, [tree, posing])
    assert filled.found() == [kit.object_path(posing)]
    kit.put(kit.tree_path(tree).read_bytes())
    assert filled.found() == []
    kit.tree_path(tree).unlink()
    assert set(filled.found()) == {kit.tree_path(tree)}


@pytest.mark.parametrize("more", [1, -1])
def test_a_folder_that_is_not_of_the_recorded_size_is_found(filled: Filled, more: int) -> None:
    kit = filled.kit
    inner = kit.members(filled.folder)["s"]
    odd = inner._replace(size=inner.size + more)
    kit.store.runs.put(oid_of("other"), 1.0, [kit.put_tree((("s", odd),))])
    assert filled.found() == [kit.tree_path(inner)]


def test_a_folder_in_the_place_of_a_ref_is_found(filled: Filled) -> None:
    path = filled.kit.base / ".dodo" / "exps" / "d"
    path.mkdir()
    assert filled.found() == [path]


@pytest.mark.parametrize("pool", ["objects", "trees", "records"])
def test_stray_files_in_a_pool_are_no_problem(filled: Filled, pool: str) -> None:
    folder = filled.kit.base / ".dodo" / pool
    (folder / "README").write_text("what?")
    (folder / "zz").mkdir()
    (folder / "zz" / ("0" * 30)).touch()
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / ".dodo-tmp-1-1").write_text("half")
    (folder / "00" / "folder").mkdir()
    assert filled.found() == []


def test_stray_files_among_runs_do_not_stop_a_check(filled: Filled) -> None:
    runs = filled.kit.base / ".dodo" / "runs"
    (runs / "README").write_text("what?")
    (runs / "zz").mkdir()
    (runs / "zz" / "stray").touch()
    flip(filled.kit.object_path(filled.file))
    assert filled.kit.object_path(filled.file) in filled.found()


@pytest.mark.parametrize("pool", ["objects", "trees", "records"])
def test_a_folder_in_the_place_of_a_pools_file_does_not_stop_a_check(
    filled: Filled, pool: str
) -> None:
    path = filled.kit.base / ".dodo" / pool / "00" / ("0" * 30)
    path.mkdir(parents=True)
    flip(filled.kit.object_path(filled.file))
    assert filled.kit.object_path(filled.file) in filled.found()


def test_a_folder_in_the_place_of_a_tree_is_found(filled: Filled) -> None:
    path = filled.kit.tree_path(filled.folder)
    path.unlink()
    path.mkdir()
    assert path in filled.found()
