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
