"""What an experiment keeps of the workspace."""

from __future__ import annotations

import json

from dodo_exp.exps.record import load
from dodo_store.tree import FOLDER, Node
from tests.space import Space


def paths(space: Space, node: Node, prefix: str = "") -> set[str]:
    """Every file of a snapshot."""
    found: set[str] = set()
    for name, inner in space.store.tree(node.oid):
        path = f"{prefix}{name}"
        found |= paths(space, inner, path + "/") if inner.kind == FOLDER else {path}
    return found


def kept(space: Space, name: str) -> tuple[set[str], set[str]]:
    """Files before and after the run of an experiment."""
    oid = space.store.experiments.get(name)
    assert oid is not None
    experiment = load(space.store, oid)
    return paths(space, experiment.base), paths(space, experiment.result)


OWN = {"dvc.yaml", "params.yaml", "raw.txt"}
MADE = {"data.txt", "model.txt", "metrics.json", "dodo.lock"}


def test_before_and_after_a_first_run(project: Space) -> None:
    project.exp("-n", "one")
    assert kept(project, "one") == (OWN, OWN | MADE)


def test_a_second_experiment_begins_with_the_outputs_on_record(project: Space) -> None:
    project.exp("-n", "one")
    project.exp("-n", "two", "-S", "train.lr=2")
    before, _ = kept(project, "two")
    assert before == OWN | MADE


def test_untracked_files_are_in_it_and_ignored_ones_are_not(project: Space) -> None:
    project.write("notes/idea.txt", "x")
    project.write("secret.key", "x")
    project.write(".gitignore", "*.key\n")
    project.write("__pycache__/x.pyc", "x")
    project.write("env/pyvenv.cfg", "x")
    project.write(".git/HEAD", "x")
    project.exp("-n", "one")
    assert kept(project, "one")[0] == OWN | {"notes/idea.txt", ".gitignore"}


def test_a_declared_dependency_is_in_it_even_if_ignored(project: Space) -> None:
    project.write(".gitignore", "raw.txt\n/data.txt\n/metrics.json\nother.txt\n")
    project.write("other.txt", "x")
    project.exp("-n", "one")
    before, after = kept(project, "one")
    assert before == OWN | {".gitignore"}
    assert after == OWN | MADE | {".gitignore"}


def test_what_lies_in_an_outputs_place_is_not_taken_for_the_output(project: Space) -> None:
    project.write("model.txt", "left over from another time\n")
    project.exp("-n", "one")
    assert "model.txt" not in kept(project, "one")[0]


def test_an_output_that_the_store_need_not_keep_is_kept_with_the_experiment(space: Space) -> None:
    stage = {"cmd": "echo x > big", "deps": ["in"], "outs": [{"big": {"cache": False}}]}
    space.write("dvc.yaml", json.dumps({"stages": {"a": stage}}))
    space.write("in", "x")
    space.exp("-n", "one")
    assert "big" in kept(space, "one")[1]


def test_a_nested_project_keeps_its_store_to_itself(project: Space) -> None:
    project.write("inner/dvc.yaml", "stages: {z: {cmd: touch z, outs: [z]}}\n")
    project.dodo("init", "inner")
    project.dodo("repro", cwd="inner")
    project.exp("-n", "one")
    files = kept(project, "one")[1]
    assert "inner/dvc.yaml" in files
    assert not any(".dodo/" in path for path in files)
