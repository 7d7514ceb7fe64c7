"""--allow-missing, --no-commit and --pull: runs where not all data is here, or to be kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dodo_exp import api
from tests.space import Space

STAGES = """\
stages:
  prep:
    cmd: cat raw/a > p.txt && echo prep >> ../runs.log
    deps: [raw]
    outs: [p.txt]
  fit:
    cmd: cat p.txt params.yaml > m.txt && echo fit >> ../runs.log
    deps: [p.txt]
    params: [lr]
    outs: [m.txt]
"""
HINT = "--allow-missing skips finished stages whose data is not here"


@pytest.fixture
def away(space: Space) -> Space:
    """Two stages that have run; then the data that the first one reads goes away."""
    space.write("dvc.yaml", STAGES)
    space.write("params.yaml", "lr: 1\n")
    space.write("raw/a", "1\n")
    space.exp("-n", "first")
    space.forget_runs()
    shutil.rmtree(space.root / "raw")
    return space


@pytest.mark.parametrize("verb", [["repro"], ["exp", "run"]])
def test_a_stage_whose_data_alone_is_missing_is_skipped(away: Space, verb: list[str]) -> None:
    ran = away.dodo(*verb, "--json", "--allow-missing")
    assert ran.stages == {"prep": "unchanged", "fit": "unchanged"}
    assert away.runs == []


@pytest.mark.parametrize("where", [[], ["--temp"]])
def test_what_follows_it_runs(away: Space, where: list[str]) -> None:
    ran = away.exp("--allow-missing", "-S", "lr=2", "-n", "second", *where)
    assert ran.stages == {"prep": "unchanged", "fit": "ran"}
    assert ran.err.count("warning") == 0  # nothing was left out of date
    assert not away.exists("raw")
    away.dodo("exp", "apply", "second")
    assert away.read("m.txt") == "1\nlr: 2\n"


def test_what_follows_it_runs_in_the_queue(away: Space) -> None:
    away.dodo("exp", "run", "--queue", "--allow-missing", "-S", "lr=2,3", "-n", "q")
    away.dodo("exp", "run", "--run-all")
    away.dodo("exp", "apply", "q-2")
    assert away.read("m.txt") == "1\nlr: 3\n"


def test_an_output_that_is_missing_too_comes_back_for_who_reads_it(away: Space) -> None:
    away.remove("p.txt")
    assert away.repro("--allow-missing").stages == {"prep": "unchanged", "fit": "unchanged"}
    assert not away.exists("p.txt")
    away.write("params.yaml", "lr: 2\n")
    dry = away.dodo("repro", "--allow-missing", "--dry", "--json").json
    assert {row["stage"]: row["action"] for row in dry} == {"prep": "restore", "fit": "run"}
    assert away.repro("--allow-missing").stages == {"prep": "restored", "fit": "ran"}
    assert away.read("m.txt") == "1\nlr: 2\n"


def test_a_stage_that_is_not_cached_by_key_comes_back_from_its_record(space: Space) -> None:
    space.write("dvc.yaml", STAGES.replace("outs: [p.txt]", "outs: [p.txt: {persist: true}]"))
    space.write("params.yaml", "lr: 1\n")
    space.write("raw/a", "1\n")
    space.repro()
    shutil.rmtree(space.root / "raw")
    space.remove("p.txt")
    space.write("params.yaml", "lr: 2\n")
    assert space.repro("--allow-missing").stages == {"prep": "restored", "fit": "ran"}


def test_going_back_to_an_earlier_value_restores_though_data_is_missing(space: Space) -> None:
    space.write("dvc.yaml", STAGES.replace("deps: [p.txt]", "deps: [p.txt, raw]"))
    space.write("raw/a", "1\n")
    for value in (1, 2):
        space.write("params.yaml", f"lr: {value}\n")
        space.repro()
    shutil.rmtree(space.root / "raw")
    space.write("params.yaml", "lr: 1\n")
    assert space.repro("--allow-missing").stages == {"prep": "unchanged", "fit": "restored"}
    space.write("params.yaml", "lr: 3\n")
    said = space.dodo("repro", "--allow-missing", code=2).err
    assert said.startswith("error: dvc.yaml:6: stage 'fit' needs 'raw', but no stage makes it")


def test_a_stage_that_has_changed_otherwise_is_not_skipped(away: Space) -> None:
    away.write("dvc.yaml", STAGES.replace("cat raw/a", "head raw/a"))
    said = away.dodo("repro", "--allow-missing", code=2).err
    assert said.startswith("error: dvc.yaml:2: stage 'prep' needs 'raw'")
    assert HINT not in said


def test_a_missing_dependency_is_what_its_maker_made_last(away: Space) -> None:
    away.write("raw/a", "2\n")
    away.repro("-s", "prep")
    shutil.rmtree(away.root / "raw")
    away.remove("p.txt")
    away.forget_runs()
    assert away.repro("--allow-missing").stages == {"prep": "restored", "fit": "ran"}
    assert away.read("m.txt") == "2\nlr: 1\n"


@pytest.mark.parametrize("args", [["repro"], ["exp", "run", "-S", "lr=2"], ["repro", "--dry"]])
def test_without_the_option_a_hint_names_it(away: Space, args: list[str]) -> None:
    said = away.dodo(*args, code=2).err
    assert said == (
        "error: dvc.yaml:2: stage 'prep' needs 'raw', but no stage makes it and it is not there\n"
        f"hint: {HINT}\n"
    )
    away.dodo(*args, "--allow-missing")


def test_there_is_no_such_hint_where_it_would_not_help(space: Space) -> None:
    space.write("dvc.yaml", STAGES)
    space.write("params.yaml", "lr: 1\n")
    assert HINT not in space.dodo("repro", code=2).err


def test_a_clone_without_any_data_and_store_is_up_to_date(away: Space, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("dvc.yaml", "params.yaml", "dodo.lock"):
        shutil.copy(away.root / name, clone)
    away.root = clone
    assert set(away.repro("--allow-missing").stages.values()) == {"unchanged"}
    away.write("params.yaml", "lr: 2\n")
    said = away.dodo("repro", "--allow-missing", code=2).err
    assert said == (
        "error: dvc.yaml:2: stage 'prep' needs 'raw', but no stage makes it and it is not there\n"
        "hint: its output 'p.txt' is missing and the store does not have it\n"
    )


def test_in_a_project_of_dvcs_its_lock_file_vouches(space: Space) -> None:
    space.write("dvc.yaml", STAGES)
    space.write("params.yaml", "lr: 1\n")
    md5 = {"1": "b026324c6904b2a9cb4b88d6d61c81d1", "m": "0" * 32}
    space.write(
        "dvc.lock",
        f"""\
        schema: '2.0'
        stages:
          prep:
            cmd: cat raw/a > p.txt && echo prep >> ../runs.log
            deps: [{{path: raw, hash: md5, md5: 0.dir, size: 2, nfiles: 1}}]
            outs: [{{path: p.txt, hash: md5, md5: {md5["1"]}, size: 2}}]
          fit:
            cmd: cat p.txt params.yaml > m.txt && echo fit >> ../runs.log
            deps: [{{path: p.txt, hash: md5, md5: {md5["1"]}, size: 2}}]
            params: {{params.yaml: {{lr: 1}}}}
            outs: [{{path: m.txt, hash: md5, md5: {md5["m"]}, size: 8}}]
        """,
    )
    assert set(space.repro("--allow-missing").stages.values()) == {"unchanged"}
    space.write("dvc.lock", space.read("dvc.lock").replace(md5["1"], "1" * 32, 1))
    said = space.dodo("repro", "--allow-missing", code=2).err
    assert "hint: its output 'p.txt' is missing and the store does not have it\n" in said
    space.write("dvc.lock", space.read("dvc.lock").replace("1" * 32, md5["1"], 1))
    space.write("p.txt", "1\n")
    space.write("params.yaml", "lr: 2\n")
    assert space.repro("--allow-missing").stages == {"prep": "unchanged", "fit": "ran"}


def test_a_frozen_stage_may_miss_its_outputs_too(away: Space) -> None:
    away.write("dvc.yaml", STAGES.replace("outs: [p.txt]", "outs: [p.txt]\n    frozen: true"))
    away.remove("p.txt")
    assert away.repro("--allow-missing").stages == {"prep": "unchanged", "fit": "unchanged"}
    away.write("params.yaml", "lr: 2\n")
    assert away.repro("--allow-missing").stages == {"prep": "restored", "fit": "ran"}


def test_python_has_the_option_too(away: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(away.root)
    result = api.run({"lr": 2}, allow_missing=True)
    assert result.params == {"lr": 2}
    assert away.runs == ["fit"]


# -- --no-commit -----------------------------------------------------------------------------


def kept(space: Space) -> list[str]:
    """Outputs that are on record and in the store."""
    names = {path.name for path in (space.root / ".dodo/objects").rglob("*") if path.is_file()}
    stages = json.loads(space.read("dodo.lock"))["stages"].values()
    outs = {path: out for stage in stages for path, out in stage["outs"].items()}
    return sorted(path for path, out in outs.items() if out["oid"][2:] in names)


def test_without_a_commit_the_lock_file_is_written_and_the_store_is_not(space: Space) -> None:
    space.three_stages()
    assert set(space.repro("--no-commit").stages.values()) == {"ran"}
    assert kept(space) == []
    assert not any(path.is_file() for path in (space.root / ".dodo/runs").rglob("*"))
    assert set(space.repro().stages.values()) == {"unchanged"}
    assert space.dodo("status").out == "Data and pipelines are up to date.\n"
    lock = space.read("dodo.lock")
    assert space.dodo("commit").out == "Recorded prepare, train, evaluate\n"
    assert space.read("dodo.lock") == lock
    assert kept(space) == ["data.txt", "metrics.json", "model.txt"]
    assert space.dodo("commit").out == "Everything is recorded as it is.\n"
    space.remove("model.txt")
    space.dodo("checkout")
    assert space.exists("model.txt")


def test_a_result_that_was_not_kept_is_kept_when_it_is_replaced(space: Space) -> None:
    space.three_stages()
    space.repro("--no-commit")
    model = space.read("model.txt")
    space.write("params.yaml", space.read("params.yaml").replace("0.1", "0.5"))
    said = space.repro("--no-commit").err
    assert "outputs of 'train' that no recorded run had made are kept in .dodo/replaced/" in said
    (kept,) = (space.root / ".dodo/replaced").rglob("model.txt")
    assert kept.read_text() == model


def test_an_output_folder_is_recorded_as_a_commit_records_it(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "stages: {a: {cmd: mkdir o o/e; echo > o/x; chmod +x o/x, outs: [o]}}\n",
    )
    space.repro("--no-commit")
    lock = space.read("dodo.lock")
    space.dodo("commit")
    assert space.read("dodo.lock") == lock


def test_an_experiment_after_it_holds_the_results(space: Space) -> None:
    space.three_stages()
    space.repro("--no-commit")
    space.exp("-n", "x")
    model = space.read("model.txt")
    space.remove("model.txt")
    space.dodo("exp", "apply", "x")
    assert space.read("model.txt") == model


def test_an_experiment_cannot_do_without_its_outputs(space: Space) -> None:
    space.three_stages()
    assert space.dodo("exp", "run", "--no-commit", code=2).err == (
        "error: --no-commit: an experiment is a snapshot, and its outputs are part of it\n"
        "hint: `dodo repro --no-commit` runs stages without keeping anything\n"
    )
    assert space.runs == []


# -- --pull ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["repro"], ["exp", "run"]])
def test_pull_says_that_there_is_nothing_to_fetch_from(space: Space, verb: list[str]) -> None:
    space.three_stages()
    told = "--pull: no remote storage to fetch from yet; continuing with the data here\n"
    for _ in range(2):  # not only the first time
        assert space.dodo(*verb, "--pull").err.startswith(told)
    assert told not in space.dodo(*verb, "--pull", "-q").err
    assert "there is no remote storage" in " ".join(space.dodo(*verb, "--help").out.split())
