"""`.dodo` and `.git` are never content: not as files, links or folders, at any depth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dodo_exp.engine import history
from dodo_exp.exps.record import keep, load
from dodo_store.delta import Change
from dodo_store.pool import Batch
from dodo_store.snapshot import overlay
from dodo_store.tree import FILE, FOLDER, Node
from tests.space import Space

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_store.walk import Graft

STAGE = "stages: {a: {cmd: cp in out, deps: [in, lib], outs: [out]}}\n"


def paths(space: Space, node: Node, prefix: str = "") -> set[str]:
    """Every path of a snapshot, as it was recorded."""
    found: set[str] = set()
    for name, inner in space.store.recorded_tree(node.oid):
        path = f"{prefix}{name}"
        found |= {path} | (paths(space, inner, path + "/") if inner.kind == FOLDER else set())
    return found


def kept(space: Space, name: str) -> set[str]:
    """The paths that an experiment or snapshot keeps, before and after."""
    store = space.store
    oid = store.experiments.get(name) or store.snapshots.get(name)
    assert oid is not None
    experiment = load(store, oid)
    return paths(space, experiment.base) | paths(space, experiment.result)


@pytest.fixture
def submodule(space: Space) -> Space:
    """A Git worktree with a submodule in `lib`, which the stage depends on."""
    space.write("dvc.yaml", STAGE)
    space.write("in", "1\n")
    space.write("lib/code.py", "1\n")
    space.write(".git", "gitdir: ../main/.git/worktrees/project\n")
    space.write("lib/.git", "gitdir: ../.git/modules/lib\n")
    return space


OWN = {"dvc.yaml", "in", "lib", "lib/code.py", "out", "dodo.lock"}


def test_a_git_file_is_in_no_snapshot(submodule: Space) -> None:
    submodule.exp("-n", "one")
    submodule.dodo("snapshot", "-n", "two")
    assert kept(submodule, "one") == kept(submodule, "two") == OWN


def test_no_rule_includes_a_reserved_name(submodule: Space) -> None:
    submodule.write(".dodoignore", "!.git\n!.dodo\n!**/.git\n")
    submodule.exp("-n", "one")
    assert kept(submodule, "one") == OWN | {".dodoignore"}


def test_a_git_file_is_no_part_of_a_dependency(submodule: Space) -> None:
    submodule.repro()
    submodule.write("lib/.git", "gitdir: elsewhere\n")
    assert submodule.repro().stages == {"a": "unchanged"}


def test_apply_leaves_git_files_as_they_are(submodule: Space) -> None:
    submodule.exp("-n", "one")
    submodule.write("in", "2\n")
    submodule.exp("-n", "two")
    moved = {".git": "gitdir: moved\n", "lib/.git": "gitdir: moved too\n"}
    for path, text in moved.items():
        submodule.write(path, text)
    submodule.dodo("exp", "apply", "one", "--exact")
    assert submodule.read("out") == "1\n"
    assert {path: submodule.read(path) for path in moved} == moved
    submodule.dodo("undo")
    assert submodule.read("in") == "2\n"
    assert {path: submodule.read(path) for path in moved} == moved


def test_a_queued_experiment_runs_without_them(submodule: Space) -> None:
    submodule.write("dvc.yaml", "stages: {a: {cmd: 'ls -A . lib > out', deps: [lib], outs: [out]}}")
    submodule.dodo("exp", "run", "--queue", "-n", "one")
    submodule.dodo("exp", "run", "--run-all")
    submodule.dodo("exp", "apply", "one")
    assert ".git" not in submodule.read("out").split()


def test_an_experiment_of_a_worktree_is_imported_elsewhere(
    submodule: Space, tmp_path: Path
) -> None:
    submodule.exp("-n", "one")
    submodule.dodo("exp", "export", "../one.pack", "one")
    (tmp_path / "there").mkdir()
    other = Space(tmp_path / "there")
    other.write("dvc.yaml", STAGE)
    other.dodo("exp", "import", str(tmp_path / "one.pack"))
    other.dodo("exp", "apply", "one")
    assert other.read("out") == "1\n"


def test_git_goes_on_in_a_worktree_that_was_moved(space: Space) -> None:
    def git(*args: str, cwd: Path = space.base) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *args], cwd=cwd, check=True, capture_output=True)

    git("init", "-q", "main")
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=space.base / "main")
    space.root.rmdir()
    git("worktree", "add", "-q", "../project", cwd=space.base / "main")
    space.write("dvc.yaml", "stages: {a: {cmd: cp in out, deps: [in], outs: [out]}}\n")
    space.write("in", "1\n")
    space.exp("-n", "one")
    (space.base / "main").rename(space.base / "main2")
    git("worktree", "repair", "../project", cwd=space.base / "main2")
    space.write("in", "2\n")
    space.exp("-n", "two")
    space.dodo("exp", "apply", "one", "--exact")
    git("status", cwd=space.root)


# -- the store on another disk ---------------------------------------------------------------


def with_store_elsewhere(space: Space) -> None:
    """`.dodo` is a link."""
    (space.base / "disk").mkdir()
    (space.root / ".dodo").symlink_to("../disk")
    space.write("dvc.yaml", "stages: {a: {cmd: cp in out, deps: [in], outs: [out]}}\n")
    space.write("in", "1\n")


def test_a_linked_store_is_in_no_snapshot_and_stays_where_it_was_moved(space: Space) -> None:
    with_store_elsewhere(space)
    space.exp("-n", "one")
    assert kept(space, "one") == {"dvc.yaml", "in", "out", "dodo.lock"}
    (space.base / "disk").rename(space.base / "disk2")
    (space.root / ".dodo").unlink()
    (space.root / ".dodo").symlink_to("../disk2")
    space.write("in", "2\n")
    space.exp("-n", "two")
    space.dodo("exp", "apply", "one", "--exact")
    assert os.readlink(space.root / ".dodo") == "../disk2"
    assert space.read("out") == "1\n"


def test_queued_experiments_run_with_a_linked_store(space: Space) -> None:
    with_store_elsewhere(space)
    space.dodo("exp", "run", "--queue", "-n", "one")
    space.dodo("exp", "run", "--run-all")
    assert space.dodo("exp", "list", "--name-only").out == "one\n"


# -- what earlier versions recorded ----------------------------------------------------------


def recorded_before(space: Space, name: str, graft: Graft) -> None:
    """Let an experiment be one whose snapshots an earlier version took, *graft* in them."""
    store = space.store
    oid = store.experiments.get(name)
    assert oid is not None
    experiment = load(store, oid)
    with store.writing(), store.scratch() as scratch:
        batch = Batch(scratch)
        base, result = (
            overlay(store, batch, node, graft) for node in (experiment.base, experiment.result)
        )
        batch.commit()
        made = keep(store, experiment._replace(base=base, result=result))
        store.experiments.set(name, made)


def content(space: Space, data: bytes) -> Node:
    """A file in the store."""
    (space.base / "content").write_bytes(data)
    store = space.store
    with store.writing(), store.scratch() as scratch:
        batch = Batch(scratch)
        oid, found = batch.add_file(store.objects, str(space.base / "content"))
        batch.commit()
    return Node(FILE, oid, found.st_size, oid)


@pytest.fixture
def old(submodule: Space) -> Space:
    """`one` was recorded with `.git`, `.dodo` and `lib/.git`; the workspace is at `two`."""
    submodule.exp("-n", "one")
    submodule.write("in", "2\n")
    submodule.exp("-n", "two")
    node = content(submodule, b"gitdir: old\n")
    recorded_before(submodule, "one", {".git": node, ".dodo": node, "lib": {".git": node}})
    return submodule


def test_an_old_snapshot_is_applied_without_its_reserved_names(old: Space) -> None:
    before = old.read(".git"), old.read("lib/.git")
    old.dodo("exp", "apply", "one", "--exact")
    assert (old.read(".git"), old.read("lib/.git")) == before
    assert old.read("out") == "1\n"
    assert old.store.exists


def test_a_folder_of_an_old_snapshot_comes_back_without_them(old: Space) -> None:
    old.remove("lib/.git")
    old.remove("lib/code.py")
    (old.root / "lib").rmdir()
    old.dodo("exp", "apply", "one")
    assert sorted(path.name for path in (old.root / "lib").iterdir()) == ["code.py"]


def test_an_old_snapshot_is_run_in_a_folder_of_its_own_without_them(old: Space) -> None:
    old.write("dvc.yaml", "stages: {a: {cmd: 'ls -A . lib > out', deps: [lib], outs: [out]}}")
    old.dodo("exp", "run", "--temp", "--rev", "one", "-n", "three", "-f")
    old.dodo("exp", "apply", "three")
    assert ".git" not in old.read("out").split()


def test_an_old_experiment_is_not_exported_and_the_way_out_works(old: Space) -> None:
    err = old.dodo("exp", "export", "../x.pack", "two", "one", code=1).err
    assert err == (
        "error: 'one': it holds '.dodo', which no pack may carry\n"
        "hint: it is from an earlier version; apply it and keep it anew with `dodo exp save`\n"
    )
    old.dodo("exp", "apply", "one")
    old.dodo("exp", "save", "-n", "anew")
    old.dodo("exp", "export", "../x.pack", "anew")


def test_an_old_step_is_undone_without_touching_them(old: Space) -> None:
    node = content(old, b"gitdir: older\n")
    old.dodo("exp", "apply", "one")
    store = old.store
    step = next(iter(history.steps(store)))
    old_git = Change(".git", node, None)
    before = old.read(".git")
    with store.writing():
        history.add(store, "dodo exp apply one", (old_git, *step.changes), token="t")
    old.dodo("undo")
    assert old.read(".git") == before
    assert old.read("in") == "2\n"


# -- outputs ---------------------------------------------------------------------------------

CLONE = """\
stages:
  clone:
    cmd: mkdir repo && cp in repo/x && mkdir repo/.git && cp in repo/.git/HEAD
    deps: [in]
    outs: [repo]
"""


def test_a_repository_that_a_stage_makes_is_kept_without_its_git_folder(space: Space) -> None:
    space.write("dvc.yaml", CLONE)
    space.write("in", "1\n")
    space.exp("-n", "one")
    assert kept(space, "one") == {"dvc.yaml", "in", "dodo.lock", "repo", "repo/x"}
    assert space.read("repo/.git/HEAD") == "1\n"


def test_a_git_folder_in_an_output_that_is_replaced_is_set_aside(space: Space) -> None:
    """Nothing could bring it back."""
    space.write("dvc.yaml", CLONE)
    space.write("in", "1\n")
    space.repro()
    space.write("in", "2\n")
    space.repro()
    space.write("in", "1\n")
    assert space.repro().stages == {"clone": "restored"}
    assert (space.read("repo/x"), space.exists("repo/.git")) == ("1\n", False)
    aside = (space.root / ".dodo" / "replaced").rglob("HEAD")
    assert sorted(path.read_text() for path in aside) == ["1\n", "2\n"]


@pytest.mark.parametrize("path", ["sub/.git/hooks/x", "sub/.dodo/x", "sub/.git", ".dodo"])
def test_no_stage_makes_a_reserved_name(space: Space, path: str) -> None:
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: ls\n    outs:\n    - {path}\n")
    err = space.dodo("repro", code=2).err
    assert err == f"error: dvc.yaml:5:7: output {path!r} is a protected path\n"


@pytest.mark.parametrize("key", ["deps:\n    - ", "params:\n    - "])
@pytest.mark.parametrize("path", [".git/HEAD", "sub/.git", ".dodo/config"])
def test_no_stage_depends_on_a_reserved_name(space: Space, path: str, key: str) -> None:
    entry = path if key.startswith("deps") else f"{path}: [x]"
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: ls\n    {key}{entry}\n")
    err = space.dodo("repro", code=2).err
    assert err == (
        f"error: dvc.yaml:5:7: {path!r} cannot be a dependency: it is part of no experiment\n"
        "hint: depend on the files themselves; 'always_changed: true' runs a stage every time\n"
    )


@pytest.mark.parametrize("path", [".git", "lib/.git", ".dodo/VERSION"])
def test_a_reserved_name_is_neither_added_nor_copied(submodule: Space, path: str) -> None:
    submodule.repro()
    assert "belongs to" in submodule.dodo("add", path, code=2).err
    err = submodule.dodo("exp", "run", "--queue", "-C", path, code=2).err
    assert err.startswith(f"error: {path!r}")
