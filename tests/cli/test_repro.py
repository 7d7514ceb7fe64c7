"""`dodo repro`: the engine without an experiment."""

from __future__ import annotations

from tests.space import Space


def test_it_keeps_no_experiment(project: Space) -> None:
    assert project.dodo("repro").out == "3 ran\n"
    assert list(project.store.experiments.names()) == []
    assert project.dodo("repro").out == "Data and pipelines are up to date.\n"


def test_an_experiment_after_it_runs_nothing_and_is_kept(project: Space) -> None:
    project.repro()
    ran = project.exp("-n", "after")
    assert set(ran.stages.values()) == {"unchanged"}
    assert ran.json["new"] is True


def test_dry_is_a_plan(project: Space) -> None:
    assert project.dodo("repro", "--dry", "-f").out == (
        "prepare   run        not run yet; --force\n"
        "train     run        not run yet; --force\n"
        "evaluate  run        not run yet; --force\n"
    )
    assert project.runs == []


CHAIN = """\
stages:
  gen:
    cmd: cat in > g; echo gen >> ../runs.log
    deps: [in]
    outs: [g]
  copy:
    cmd: echo copy- >> ../runs.log; sleep ${pause}; cat g > c; echo copy >> ../runs.log
    deps: [g]
    outs: [c]
  other:
    cmd: cat in > o; echo other >> ../runs.log
    deps: [in]
    outs: [o]
"""


def chain(space: Space, pause: float = 0) -> None:
    space.write("dvc.yaml", CHAIN)
    space.write("params.yaml", f"pause: {pause}\n")
    space.write("in", "1\n")


def test_single_stages_run_in_the_order_given(space: Space) -> None:
    chain(space)
    space.repro()
    space.forget_runs()
    space.write("in", "2\n")
    ran = space.repro("-s", "copy", "gen")
    assert list(ran.stages.items()) == [("copy", "unchanged"), ("gen", "ran")]
    assert space.read("c") == "1\n"
    dry = space.dodo("repro", "-s", "--dry", "--json", "-f", "other", "copy", "gen").json
    assert [row["stage"] for row in dry] == ["other", "copy", "gen"]
    space.repro("-s", "gen", "copy")
    assert space.runs == ["gen", "copy-", "copy"]


def test_against_the_order_of_the_pipeline_they_run_one_at_a_time(space: Space) -> None:
    chain(space, 0.3)
    space.repro()
    space.forget_runs()
    ran = space.repro("-s", "-f", "-j", "4", "copy", "gen")
    assert space.runs == ["copy-", "copy", "gen"]
    assert ran.err.count("warning") == 0
    assert space.exp("-s", "-f", "copy", "gen").stages == {"copy": "ran", "gen": "ran"}


def test_a_stage_before_its_maker_needs_its_input_beforehand(space: Space) -> None:
    chain(space)
    assert space.dodo("repro", "-s", "copy", "gen", code=2).err == (
        "error: dvc.yaml:6: stage 'copy' needs 'g', which is not there\n"
        "hint: stage 'gen' makes it: run that first\n"
    )


def test_the_stages_of_one_target_keep_their_order(space: Space) -> None:
    chain(space)
    assert list(space.repro("-s", "dvc.yaml").stages) == ["gen", "copy", "other"]
    space.write("dvc.yaml", CHAIN.replace("  gen:", "  z:\n    cmd: cat c\n    deps: [c]\n  gen:"))
    assert list(space.repro("-s", "dvc.yaml").stages) == ["gen", "copy", "z", "other"]
