"""Checkpoints where several things come together: nothing is lost, nobody gets another's steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import Any

import pytest

from dodo_exp.exps import steps
from dodo_exp.exps.record import load, of_plain
from dodo_store import pack, record
from tests.cli import trainer
from tests.cli.test_checkpoints import PAIR, down_from, run
from tests.space import Space, wait_for


@pytest.fixture
def training(space: Space) -> Space:
    """The project that trains, three epochs unless told otherwise."""
    trainer.build(space, epochs=3)
    return space


def longer(space: Space, epochs: int) -> None:
    """Let the same code, with the same params, train up to another epoch from now on."""
    text = space.read("train.py")
    if "TO.txt" not in text:
        space.write(
            "train.py",
            text.replace('int(params["epochs"])', f'int(open("{space.base}/TO.txt").read())'),
        )
    (space.base / "TO.txt").write_text(str(epochs))


# -- what the workspace holds ----------------------------------------------------------------


def test_an_applied_snapshot_is_where_it_goes_on(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    training.dodo("exp", "branch", "A@2", "S")
    training.dodo("exp", "apply", "S")
    training.forget_runs()
    name = training.exp().json["experiment"]
    assert name != "A" and trainer.epochs(training) == [3]
    assert trainer.steps(training, "A") == down_from("A", 3)


def test_an_undo_is_where_it_goes_on(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    run(training, "-n", "B", "--reset", "-S", "lr=0.25")
    training.dodo("exp", "apply", "A@2")
    training.dodo("exp", "apply", "B")
    training.dodo("undo")
    training.forget_runs()
    name = training.exp().json["experiment"]
    assert trainer.epochs(training) == [3] and name not in ("A", "B")
    assert trainer.steps(training, name) == [name]
    assert trainer.at_step(training, f"{name}@2") == trainer.at_step(training, "A@2")


def test_undo_of_more_epochs_goes_on_from_before_them(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    longer(training, 5)
    run(training)
    assert trainer.steps(training, "A") == down_from("A", 5)
    training.dodo("undo")
    assert trainer.model(training)["epoch"] == 3
    training.forget_runs()
    run(training, "-n", "again")
    assert trainer.epochs(training) == [4, 5]
    assert trainer.steps(training, "again") == down_from("again", 5, 4)


def test_an_interrupted_run_can_be_undone(training: Space) -> None:
    run(training, "-n", "A")
    before = training.tree()
    longer(training, 9)
    code = training.read("train.py")
    process = training.start("exp", "run", "-n", "B", "-S", "lr=0.25", env={"STOP_AT": "5"})
    wait_for((training.base / "runs.log.waiting").exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert trainer.model(training)["epoch"] == 5 and "lr: 0.25" in training.read("params.yaml")
    training.dodo("undo")
    assert training.tree() == {**before, "train.py": code.encode()}


def test_what_repro_has_trained_is_where_it_goes_on(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    longer(training, 6)
    training.dodo("repro", "-f")
    assert trainer.model(training)["epoch"] == 6
    longer(training, 8)
    run(training, "-n", "B")
    assert trainer.epochs(training) == list(range(1, 9))


def test_a_run_that_is_declined_touches_nothing(training: Space) -> None:
    run(training, "-n", "A")
    training.write("model.json", "my own")
    before = training.tree()
    done = training.dodo("exp", "run", "-i", stdin="n\n", code=1)
    assert "Nothing has run." in done.out and training.tree() == before


def test_another_experiment_of_the_name_is_not_gone_on_with(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    longer(training, 6)
    run(training, "--temp", "--reset", "--replace", "-n", "A")
    longer(training, 7)
    training.forget_runs()
    name = training.exp().json["experiment"]
    assert name != "A" and trainer.epochs(training) == [4, 5, 6, 7]
    assert trainer.at_step(training, "A")["epoch"] == 6


def test_a_label_changes_nothing_of_where_it_goes_on(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    training.dodo("exp", "tag", "good", "A")
    training.dodo("exp", "rename", "A", "B")
    longer(training, 5)
    assert training.exp().json["experiment"] == "B"
    assert trainer.steps(training, "B") == down_from("B", 5)
    assert training.dodo("exp", "list", "--json").json[0]["tags"] == ["good"]


def test_saving_and_later_stages_keep_the_chain(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    run(training, "-s", "evaluate", "-S", "digits=3", "-n", "B")
    training.dodo("exp", "save", "-n", "S")
    longer(training, 5)
    run(training, "-n", "C", "train")
    assert trainer.steps(training, "C")[-1] == "C@4"
    assert trainer.at_step(training, "C@2") == trainer.at_step(training, "A@2")


def test_an_input_of_another_stage_that_cannot_be_read_is_no_reason_to_fail(space: Space) -> None:
    trainer.build(space, epochs=2)
    space.write(
        "dvc.yaml", space.read("dvc.yaml") + "  other:\n    cmd: cat pipe\n    deps: [pipe]\n"
    )
    os.mkfifo(space.root / "pipe")
    run(space, "-n", "A", "train")
    assert trainer.steps(space, "A") == down_from("A", 2)


# -- names -----------------------------------------------------------------------------------


def test_a_new_job_of_an_old_name_begins_anew(training: Space) -> None:
    run(training, "--queue", "-n", "foo")
    run(training, "--run-all", code=1, FAIL_AT="2")
    run(training, "--queue", "-n", "foo", "--replace")
    training.forget_runs()
    run(training, "--run-all")
    assert trainer.epochs(training) == [1, 2, 3]
    assert trainer.steps(training, "foo") == down_from("foo", 3)


def test_a_replacement_takes_the_name_when_it_has_succeeded(training: Space) -> None:
    run(training, "-n", "K")
    run(training, "--temp", "--reset", "-S", "lr=0.25", "-n", "K", "--replace")
    assert training.dodo("exp", "list", "--name-only").out == "K\n"
    assert trainer.at_step(training, "K")["loss"] == 0.25**3
    training.dodo("undo")
    assert trainer.at_step(training, "K")["loss"] == 0.5**3


def test_a_replacement_that_fails_leaves_the_name_and_goes_on(training: Space) -> None:
    run(training, "-n", "K")
    run(training, "--queue", "-S", "lr=0.25", "-n", "K", "--replace")
    run(training, "--run-all", code=1, FAIL_AT="2")
    assert trainer.at_step(training, "K")["loss"] == 0.5**3
    training.forget_runs()
    training.dodo("queue", "retry", "K")
    run(training, "--run-all")
    assert trainer.epochs(training) == [3]
    assert training.dodo("exp", "list", "--name-only").out == "K\n"
    assert trainer.at_step(training, "K")["loss"] == 0.25**3


def test_a_replacement_in_place_can_be_undone(training: Space) -> None:
    run(training, "-n", "A")
    run(training, "--reset", "-S", "lr=0.25", "-n", "A", "--replace")
    training.dodo("undo")
    training.dodo("undo")
    assert trainer.at_step(training, "A")["loss"] == 0.5**3
    training.dodo("undo")


def test_tried_again_it_goes_on_with_what_was_trained_in_place(training: Space) -> None:
    longer(training, 6)
    run(training, "--queue", "-n", "J")
    run(training, "--run-all", code=1, FAIL_AT="2")
    training.dodo("exp", "apply", "J")
    run(training, code=1, FAIL_AT="4")
    assert trainer.steps(training, "J") == down_from("J", 4)
    training.dodo("queue", "retry", "J")
    run(training, "--run-all")
    assert trainer.epochs(training) == [1, 2, 3, 4, 5, 6]
    assert trainer.steps(training, "J") == down_from("J", 6)


def test_all_that_are_named_go_or_none(training: Space) -> None:
    run(training, "-n", "A")
    training.dodo("exp", "remove", "A@2", "nosuch", code=2)
    training.dodo("exp", "remove", "A@1", "A@77", code=2)
    training.dodo("exp", "remove", f"A@{'9' * 5000}", code=2)
    assert trainer.steps(training, "A") == down_from("A", 3)


# -- turns -----------------------------------------------------------------------------------


def test_a_turn_that_asks_and_gets_no_further_is_not_one_more_step(training: Space) -> None:
    """A time slice in which nothing new was kept would otherwise come again for ever."""
    text = training.read("train.py")
    training.write("train.py", text.replace("while model", "make_checkpoint()\nwhile model", 1))
    dvc = training.read("dvc.yaml")
    slow = "    meta: {dodo: {timeout: 1.5}}\n    cmd: python train.py"
    training.write("dvc.yaml", dvc.replace("    cmd: python train.py", slow))
    run(training, "--queue", "-n", "T")
    told = run(training, "--run-all", code=1, STOP_AT="2")
    assert "was ended after its timeout" in told
    assert trainer.steps(training, "T") == down_from("T", 3)  # one before the first epoch, two


def test_steps_of_a_removed_experiment_stay_while_a_run_goes_on_from_them(training: Space) -> None:
    longer(training, 3)
    run(training, "-n", "A")
    longer(training, 5)
    process = training.start("exp", "run", "-n", "B", env={"STOP_AT": "3"})
    wait_for((training.base / "runs.log.waiting").exists)
    training.dodo("exp", "remove", "A")
    training.dodo("gc", "--grace", "0")
    text = training.read("train.py")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert training.read("train.py") == text
    training.check()


def test_a_nested_projects_stage_does_not_ask_at_ours(training: Space) -> None:
    training.write(
        "inner/dvc.yaml", "stages: {one: {cmd: dodo checkpoint && touch out, outs: [out]}}\n"
    )
    code = "import subprocess; subprocess.run('cd inner; dodo init; dodo repro', shell=True)\n"
    training.write("train.py", code + training.read("train.py"))
    told = run(training, "-n", "A")
    assert "no output of stage 'one' has 'checkpoint: true'" in told
    assert trainer.steps(training, "A") == down_from("A", 3)


def test_nothing_of_the_desk_stays_behind(training: Space) -> None:
    process = training.start("exp", "run", "-n", "A", env={"STOP_AT": "2"})
    wait_for((training.base / "runs.log.waiting").exists)
    process.kill()
    process.communicate(timeout=30)
    time.sleep(0.2)
    run(training)
    assert not training.exists(".dodo/checkpoint") and not training.exists(".dvc")


# -- links, and what comes from elsewhere ------------------------------------------------------


def test_what_training_adds_to_shares_nothing_with_the_store(training: Space) -> None:
    training.write("dodo.toml", '[store]\nlink = "hardlink"\n')
    longer(training, 3)
    run(training, "-n", "A")
    training.dodo("exp", "apply", "A@2")
    assert all(os.stat(training.root / name).st_nlink == 1 for name in ("curve.csv", "model.json"))
    shutil.rmtree(training.root / "data.txt", ignore_errors=True)
    run(training, "-n", "B")
    assert trainer.curve(training, "A@2") == [1, 2]
    training.check()


def test_an_output_that_shared_before_it_kept_checkpoints_is_let_go(training: Space) -> None:
    training.write("dodo.toml", '[store]\nlink = "hardlink"\n')
    text = training.read("dvc.yaml")
    training.write("dvc.yaml", text.replace("model.json: {checkpoint: true}", "model.json"))
    run(training, "-n", "plain")
    assert not os.stat(training.root / "model.json").st_mode & 0o222
    training.write("dvc.yaml", text)
    training.write("params.yaml", training.read("params.yaml").replace("epochs: 3", "epochs: 5"))
    run(training, "-n", "on")
    assert trainer.at_step(training, "plain")["epoch"] == 3
    assert trainer.at_step(training, "on")["epoch"] == 5
    training.check()


WRONG: tuple[dict[str, Any], ...] = (
    {"before": [1] * 16},
    {"before": b"short"},
    {"before": bytes(16)},
    {"step": -1},
    {"step": True},
    {"step": 1 << 60},
    {"step": 1},
    {"unfinished": "yes"},
    {"origin": [1]},
    {"by": 7},
)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_steps_in_a_file_that_was_made_to_harm(training: Space, wrong: dict[str, Any]) -> None:
    run(training, "-n", "A")
    store = training.store
    oid = store.experiments.get("A")
    assert oid is not None
    made = of_plain({**load(store, oid)._asdict(), **wrong})
    entries = {oid: (pack.ROOT, made)}
    for step in steps.chain(store, load(store, oid).before):
        entries[step.oid] = (pack.PART, step.experiment)
    nodes = [node for _, each in entries.values() for node in (each.base, each.result)]
    with store.writing():
        changed = store.put_record(record.EXPERIMENT, made._asdict())
    with (training.base / "bad").open("wb") as file:
        oids = [
            (kind, changed if kind == pack.ROOT else each) for each, (kind, _) in entries.items()
        ]
        pack.write(store, oids, nodes, file, lambda size: None)
    training.dodo("exp", "remove", "A")
    err = training.dodo("exp", "import", "../bad", code=2).err
    assert err.startswith("error: ../bad: ") and "nothing of it was kept" in err


def test_records_of_before_there_were_steps_are_read(training: Space) -> None:
    run(training, "-n", "A")
    store = training.store
    oid = store.experiments.get("A")
    assert oid is not None
    row = load(store, oid)._asdict()
    for key in ("step", "before", "unfinished", "origin", "by"):
        del row[key]
    with store.writing():
        store.experiments.set("old", store.put_record(record.EXPERIMENT, {**row, "name": "old"}))
    shown = training.dodo("exp", "show", "--json").json[1]["experiments"]
    assert "old" in [each["name"] for each in shown]
    assert json.loads(training.dodo("store", "cat", "old:model.json").out)["epoch"] == 3


# -- what a newcomer met ----------------------------------------------------------------------


def test_undo_brings_back_what_reset_has_put_aside(training: Space) -> None:
    run(training, "-n", "A")
    before = training.tree()
    run(training, "--reset", "-S", "lr=0.25", "-n", "B")
    training.dodo("undo")
    assert training.tree() == before


def test_undo_of_a_reset_brings_back_a_model_of_ones_own(training: Space) -> None:
    training.write("model.json", '{"epoch": 2, "loss": 9}')
    before = training.tree()
    run(training, "--reset", "-n", "A")
    assert trainer.epochs(training) == [1, 2, 3]
    training.dodo("undo")
    assert training.read("model.json") == before["model.json"].decode()


def test_steps_hold_nothing_of_later_stages_of_other_runs(training: Space) -> None:
    run(training, "-n", "A")
    run(training, "--queue", "-S", "lr=0.25", "-n", "B")
    run(training, "--run-all")
    assert "scores.json" in training.dodo("store", "ls", "B").out
    assert "scores.json" not in training.dodo("store", "ls", "B@2").out
    training.dodo("exp", "apply", "B@2")
    assert not training.exists("scores.json")


def test_a_training_of_its_own_begins_with_its_own_first_step(training: Space) -> None:
    run(training, "-n", "A")
    training.write("sub/t.sh", "echo 1 >> m; dodo checkpoint")
    line = "{cmd: sh t.sh, deps: [t.sh], outs: [m: {checkpoint: true}]}"
    training.write("sub/dvc.yaml", f"stages:\n  t: {line}\n")
    training.dodo("exp", "run", "sub/dvc.yaml", "-n", "other")
    assert trainer.steps(training, "other") == ["other"]
    assert trainer.steps(training, "A") == down_from("A", 3)


def test_it_is_said_from_where_it_goes_on_and_why(training: Space) -> None:
    run(training, "-n", "A", code=1, FAIL_AT="2")
    for command in (["status"], ["why", "train"], ["exp", "run", "--dry"]):
        assert "goes on from A@2" in training.dodo(*command, code=0).out
    assert "Running stage 'train': goes on from A@2\n" in run(training)
    told = run(training, "-S", "lr=0.25")
    assert "Running stage 'train': goes on from A@3; params.yaml:lr: 0.5 -> 0.25" in told


def test_a_step_without_the_model_is_kept_with_a_warning(training: Space) -> None:
    training.write(
        "train.py",
        "from dodo_exp import make_checkpoint\nprint(make_checkpoint())\n"
        + training.read("train.py"),
    )
    assert "A@1 has no model.json: write it before you ask" in run(training, "-n", "A")


def test_sorted_rows_are_counted_one_by_one(training: Space) -> None:
    run(training, "-n", "A")
    rows = training.dodo("exp", "show", "--sort-by", "loss", "-n", "2", "--csv").out.splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["", "A", "A@2"]
    assert "─" not in training.dodo("exp", "show", "--sort-by", "loss").out


# -- turns that get less far than the one before ----------------------------------------------


def test_a_turn_that_fails_before_the_training_leaves_its_last_step(training: Space) -> None:
    text = training.read("dvc.yaml")
    training.write(
        "dvc.yaml",
        text.replace("cmd: cat", 'always_changed: true\n    cmd: test -z "$NO_DATA" && cat', 1),
    )
    run(training, "--queue", "-n", "J")
    run(training, "--run-all", code=1, FAIL_AT="2")
    training.dodo("queue", "retry", "J")
    run(training, "--run-all", code=1, NO_DATA="1")
    assert trainer.steps(training, "J") == down_from("J", 2)
    assert trainer.at_step(training, "J")["epoch"] == 2
    assert "prepare" in training.dodo("exp", "show", "--json").out
    training.dodo("queue", "retry", "J")
    run(training, "--run-all")
    assert trainer.epochs(training) == [1, 2, 3]
    assert trainer.steps(training, "J") == down_from("J", 3)


def test_a_turn_in_which_one_of_two_goes_on_keeps_what_the_other_had(space: Space) -> None:
    space.write(
        "train.sh",
        """\
        for i in 1 2 3 4; do
          test -s m-$1 && test $(wc -l < m-$1) -ge $i && continue
          test $(cat BASE/to-$1) -ge $i || exit 3
          echo $i >> m-$1; echo $1-$i >> BASE/runs.log; dodo checkpoint
        done
        """.replace("BASE", str(space.base)),
    )
    space.write("dvc.yaml", PAIR)

    def may(a: int, b: int) -> None:
        (space.base / "to-a").write_text(str(a))
        (space.base / "to-b").write_text(str(b))

    def far() -> list[int]:
        return [len(space.dodo("store", "cat", f"J:m-{k}").out.split()) for k in "ab"]

    may(1, 0)
    run(space, "--queue", "-n", "J")
    run(space, "--run-all", code=1)
    may(2, 2)
    space.dodo("exp", "apply", "J")
    run(space, "-k", code=1)
    assert far() == [2, 2]
    for a, b, code in [(3, 2, 1), (3, 2, 1), (4, 3, 1), (4, 4, 0)]:
        may(a, b)
        space.dodo("queue", "retry", "J")
        run(space, "--run-all", code=code)
        assert far() == [a, b]
    assert sorted(space.runs) == [f"{k}-{i}" for k in "ab" for i in (1, 2, 3, 4)]


def test_a_training_that_is_declined_is_kept_as_it_lies(training: Space) -> None:
    run(training, "-n", "A")
    longer(training, 4)
    mine = {"epoch": 9, "loss": 0.0}
    training.write("model.json", json.dumps(mine))
    training.write("raw.txt", "other\n")
    training.dodo("exp", "run", "-n", "B", "-i", stdin="y\nn\n")
    assert trainer.model(training) == mine == trainer.at_step(training, "B")
