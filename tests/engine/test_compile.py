"""`compile`: stages are kept until a file that they were made from changes, and no longer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dodo_exp.engine import workspace as module
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput
from dodo_store.store import Store

PIPELINE = """\
vars: [more.toml]
stages:
  a:
    foreach: ${glob("data/**/*.txt")}
    do: {cmd: "run ${item} ${x} ${y} ${d}", deps: ["${item}"]}
  b: {cmd: x, deps: ["${glob('[a-c]?.in')}"]}
"""


class Project:
    """A folder whose pipeline is compiled; `again` says whether anything had to be read."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.store = Store(str(root / ".dodo"))
        self.store.create()
        self.reads: list[str] = []
        read = Workspace.read

        def noted(workspace: Workspace, path: str) -> bytes:
            self.reads.append(path)
            return read(workspace, path)

        monkeypatch.setattr(module.Workspace, "read", noted)

    def write(self, path: str, text: str) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)

    def settle(self) -> None:
        """Make every file and folder old enough to be trusted by its times."""
        time.sleep(0.05)
        past = time.time() - 1000
        for path in [self.root, *self.root.rglob("*")]:
            if ".dodo" not in path.parts:
                os.utime(path, (past, past))
        time.sleep(0.05)

    def compile(self) -> dict[str, tuple[str, ...]]:
        """Commands and dependencies by stage, from a fresh look at the folder."""
        self.reads.clear()
        workspace = Workspace(str(self.root), self.store)
        stages = workspace.graph.stages
        workspace.save_caches()
        return {name: (*stage.cmds, *stage.deps) for name, stage in stages.items()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    made.write("dvc.yaml", PIPELINE)
    made.write("params.yaml", "x: 1\n")
    made.write("more.toml", "y = 2\n[d]\nflag = false\nk = 1\n")
    made.write("data/1.txt", "")
    made.write("data/in/2.txt", "")
    made.write("data/in/.hidden.txt", "")
    made.write("data/other.csv", "")
    made.write("a1.in", "")
    made.write("d1.in", "")
    return made


FIRST = {
    "a@1": ("run data/1.txt 1 2 --k 1", "data/1.txt"),
    "a@in/2": ("run data/in/2.txt 1 2 --k 1", "data/in/2.txt"),
    "b": ("x", "a1.in"),
}


def test_what_stood_still_is_not_read_again(project: Project) -> None:
    project.settle()
    assert project.compile() == FIRST
    assert project.reads
    assert project.compile() == FIRST
    assert project.reads == []


@pytest.mark.parametrize(
    "path, text, name, expected",
    [
        ("params.yaml", "x: 9\n", "a@1", "run data/1.txt 9 2 --k 1"),
        ("more.toml", "y = 3\nd = {}\n", "a@1", "run data/1.txt 1 3 "),
        (
            ".dvc/config",
            "[parsing]\nbool = boolean_optional\n",
            "a@1",
            "run data/1.txt 1 2 --no-flag --k 1",
        ),
        ("data/new.txt", "", "a@new", "run data/new.txt 1 2 --k 1"),
        ("data/in/deep/3.txt", "", "a@in/deep/3", "run data/in/deep/3.txt 1 2 --k 1"),
        ("dvc.yaml", "stages: {c: {cmd: y}}\n", "c", "y"),
    ],
)
def test_a_change_of_any_of_its_sources_is_seen(
    project: Project, path: str, text: str, name: str, expected: str
) -> None:
    project.settle()
    project.compile()
    project.write(path, text)
    project.settle()
    assert project.compile()[name][0] == expected


def test_what_goes_away_is_seen(project: Project) -> None:
    project.settle()
    project.compile()
    (project.root / "data/in/2.txt").unlink()
    project.write(".dvcignore", "a1.in\n")
    project.settle()
    assert project.compile() == {"a@1": FIRST["a@1"], "b": ("x",)}


def test_params_that_appear_are_seen(project: Project) -> None:
    project.write("dvc.yaml", "vars: [{y: 1}]\nstages: {a: {cmd: 'run ${y}'}}\n")
    (project.root / "params.yaml").unlink()
    project.settle()
    assert project.compile() == {"a": ("run 1",)}
    project.write("params.yaml", "y: 2\n")
    with pytest.raises(BadInput, match="cannot redefine 'y'"):
        project.compile()


def test_a_file_just_written_is_not_trusted_by_its_times(project: Project) -> None:
    for i in range(20):
        project.write("params.yaml", f"x: {i % 10}\n")
        assert project.compile()["a@1"][0] == f"run data/1.txt {i % 10} 2 --k 1"


def test_faults_of_several_files_are_told_together(project: Project) -> None:
    project.write("dvc.yaml", "stages: {a: {cmd: '${no}'}}\n")
    project.write("sub/dvc.yaml", "stages: {a: {cmd: 5}, b: {cmdd: x}}\n")
    with pytest.raises(BadInput) as caught:
        project.compile()
    assert [str(each) for each in (caught.value, *caught.value.others)] == [
        "dvc.yaml:1:19: '${no}' is not defined",
        "sub/dvc.yaml:1:19: 'cmd' must be text, not '5'",
        "sub/dvc.yaml:1:23: stage 'b' has no 'cmd'",
        "sub/dvc.yaml:1:27: unknown key 'cmdd' in stage 'b'",
    ]


@pytest.mark.parametrize("pattern", ["/etc/*", "~/*"])
def test_a_pattern_outside_is_refused(project: Project, pattern: str) -> None:
    project.write("dvc.yaml", f"stages: {{a: {{cmd: x, deps: ['${{glob(\"{pattern}\")}}']}}}}\n")
    with pytest.raises(BadInput, match="leads outside the project") as caught:
        project.compile()
    assert str(caught.value.hint).startswith("a pattern is relative")


def test_a_pattern_follows_no_link_to_a_folder(project: Project) -> None:
    os.symlink(".", project.root / "data/loop")
    project.settle()
    assert project.compile() == FIRST


def test_settings_that_are_none_are_refused(project: Project) -> None:
    project.write(".dvc/config", "[parsing]\nlist = often\n")
    with pytest.raises(BadInput, match=r"\.dvc/config: parsing.list must be 'nargs' or 'append'"):
        project.compile()
