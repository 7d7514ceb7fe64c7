"""What runs, what is restored, what is left alone: the semantics that users of DVC know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.space import Space, wait_for


def one_stage(space: Space, **more: object) -> None:
    """in.txt -> out.txt; each run leaves a line in runs.log."""
    stage = {
        "cmd": "cat in.txt > out.txt; echo copy >> ../runs.log",
        "deps": ["in.txt"],
        "outs": ["out.txt"],
        **more,
    }
    space.write("dvc.yaml", json.dumps({"stages": {"copy": stage}}))
    space.write("in.txt", "one\n")


# -- what counts as a change ---------------------------------------------------------------


def test_touch_and_chmod_change_nothing(project: Space) -> None:
    project.repro()
    os.utime(project.root / "raw.txt", (1, 1))
    (project.root / "raw.txt").chmod(0o755)
    assert project.dodo("status").out == "Data and pipelines are up to date.\n"


def test_the_same_bytes_downstream_stop_the_chain(project: Space) -> None:
    project.repro()
    project.forget_runs()
    command = project.read("dvc.yaml").replace("cat raw.txt > data.txt", "cat raw.txt >data.txt")
    project.write("dvc.yaml", command)
    assert set(project.repro().stages.values()) == {"ran", "unchanged"}
    assert project.runs == ["prepare"]


def test_force_downstream_runs_what_follows_a_stage_that_ran(project: Space) -> None:
    project.repro()
    command = project.read("dvc.yaml").replace("cat raw.txt > data.txt", "cat raw.txt >data.txt")
    project.write("dvc.yaml", command)
    project.forget_runs()
    dry = project.dodo("repro", "--dry", "--force-downstream").out
    assert "train     run        --force-downstream after prepare" in dry
    project.repro("--force-downstream")
    assert project.runs == ["prepare", "train", "evaluate"]


def test_force_runs_everything_that_was_asked_for(project: Space) -> None:
    project.repro()
    project.forget_runs()
    assert set(project.repro("-f").stages.values()) == {"ran"}
    assert project.runs == ["prepare", "train", "evaluate"]


def test_one_and_one_point_nought_and_true_are_three_values(project: Space) -> None:
    project.write("params.yaml", "train: {lr: 1}\n")
    project.repro()
    for value in ("1.0", "true", "'1'"):
        project.write("params.yaml", f"train: {{lr: {value}}}\n")
        assert "train.lr: " in project.dodo("why", "train").out
        project.repro()


def test_nan_equals_nan(project: Space) -> None:
    project.write("params.yaml", "train: {lr: .nan}\n")
    project.repro()
    assert project.dodo("status").out == "Data and pipelines are up to date.\n"


def test_the_order_of_keys_does_not_count_the_order_of_lists_does(project: Space) -> None:
    project.write("params.yaml", "train: {lr: {a: 1, b: [1, 2]}}\n")
    project.repro()
    project.write("params.yaml", "train: {lr: {b: [1, 2], a: 1}}\n")
    assert project.dodo("status", "-q").out == ""
    project.write("params.yaml", "train: {lr: {b: [2, 1], a: 1}}\n")
    project.dodo("status", "-q", code=1)


@pytest.mark.parametrize(
    "change, is_changed",
    [
        ("echo new > data/new.txt", True),
        ("echo x > data/sub/in.txt", True),
        ("mv data/a.txt data/b.txt", True),
        ("mkdir data/empty", False),
        ("touch data/a.txt", False),
        ("echo x > data/skipped.tmp", False),
        ("rm data/sub/in.txt", True),
        ("mkdir data/__pycache__ && touch data/__pycache__/x.pyc", False),
    ],
)
def test_a_folder_as_dependency(space: Space, change: str, is_changed: bool) -> None:
    one_stage(space, cmd="ls -R data > out.txt", deps=["data"])
    space.write("data/a.txt", "a\n")
    space.write("data/sub/in.txt", "in\n")
    space.write(".dvcignore", "*.tmp\n")
    space.repro()
    subprocess.run(change, shell=True, check=True, cwd=space.root)
    assert (space.repro().stages["copy"] != "unchanged") is is_changed


def test_a_renamed_stage_is_restored(space: Space) -> None:
    one_stage(space)
    space.repro()
    space.write("dvc.yaml", space.read("dvc.yaml").replace('"copy":', '"renamed":'))
    assert space.repro().stages == {"renamed": "restored"}


# -- the run-cache -------------------------------------------------------------------------


def test_a_deleted_output_comes_back_without_running(project: Space) -> None:
    project.repro()
    project.remove("model.txt")
    project.remove("metrics.json")
    assert project.repro().stages == {
        "prepare": "unchanged",
        "train": "restored",
        "evaluate": "restored",
    }
    assert len(project.runs) == 3


def test_without_the_lock_file_everything_is_restored(project: Space) -> None:
    project.repro()
    lock = project.read("dodo.lock")
    project.remove("dodo.lock")
    assert set(project.repro().stages.values()) == {"restored"}
    assert project.read("dodo.lock") == lock
    assert len(project.runs) == 3


def test_a_hand_edited_output_is_restored_and_what_was_there_is_kept(project: Space) -> None:
    project.repro()
    model = project.read("model.txt")
    project.write("model.txt", "mine\n")
    ran = project.repro()
    assert ran.stages["train"] == "restored"
    assert project.read("model.txt") == model
    assert "are kept in .dodo/replaced/train/" in ran.err
    project.write("model.txt", "mine again\n")
    project.repro()
    kept = (project.root / ".dodo/replaced/train").rglob("model.txt")
    assert sorted(path.read_text() for path in kept) == ["mine\n", "mine again\n"]


@pytest.mark.parametrize(
    "more",
    [
        {"outs": [{"out.txt": {"persist": True}}], "cmd": "cat in.txt > out.txt"},
        {"always_changed": True},
        {"outs": [{"out.txt": {"cache": False}}]},
    ],
)
def test_what_is_not_restored_from_the_run_cache(space: Space, more: dict[str, object]) -> None:
    one_stage(space, **more)
    space.repro()
    space.write("in.txt", "two\n")
    space.repro()
    space.write("in.txt", "one\n")
    assert space.repro().stages == {"copy": "ran"}


def test_no_run_cache_runs_instead_of_restoring(space: Space) -> None:
    one_stage(space)
    space.repro()
    space.write("in.txt", "two\n")
    space.repro()
    space.write("in.txt", "one\n")
    assert space.repro("--no-run-cache").stages == {"copy": "ran"}


def test_a_damaged_object_is_made_again(space: Space) -> None:
    one_stage(space)
    space.repro()
    node = json.loads(space.read("dodo.lock"))["stages"]["copy"]["outs"]["out.txt"]
    path = space.root / ".dodo" / "objects" / node["oid"][:2] / node["oid"][2:]
    path.chmod(0o644)
    path.write_text("ONE\n")
    space.remove("out.txt")
    ran = space.repro()
    assert ran.stages == {"copy": "ran"}
    assert "does not match its name; it will be made again" in ran.err
    assert space.read("out.txt") == "one\n"
    assert space.runs == ["copy", "copy"]


def test_of_two_results_for_one_key_the_newest_is_restored(space: Space) -> None:
    one_stage(space, cmd="cat in.txt > out.txt; date +%N >> out.txt")
    space.repro()
    space.repro("-f")
    newest = space.read("out.txt")
    space.remove("out.txt")
    assert space.repro().stages == {"copy": "restored"}
    assert space.read("out.txt") == newest


# -- inputs that change while a stage runs -------------------------------------------------


def edit_while_running(space: Space, path: str, text: str) -> str:
    """Start a run, change *path* once the stage is under way; return what the run said."""
    process = space.start("exp", "run")
    wait_for((space.base / "started").exists)
    space.write(path, text)
    (space.base / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    (space.base / "started").unlink()
    return err


SLOW = (
    "cat data/in.txt params.yaml > out.txt; touch ../started;"
    " while [ ! -e ../go ]; do sleep 0.01; done; echo slow >> ../runs.log"
)


@pytest.mark.parametrize(
    "path, text",
    [("data/in.txt", "new\n"), ("data/more.txt", "x\n"), ("params.yaml", "lr: 2\n")],
)
def test_a_stage_whose_input_changed_meanwhile_runs_again(
    space: Space, path: str, text: str
) -> None:
    one_stage(space, cmd=SLOW, deps=["data"], params=["lr"])
    space.write("data/in.txt", "old\n")
    space.write("params.yaml", "lr: 1\n")
    told = edit_while_running(space, path, text)
    assert "changed while stage 'copy' ran: its result is not recorded" in told
    assert list((space.root / ".dodo" / "runs").rglob("*.*")) == []
    assert not space.exists("dodo.lock")
    assert space.repro().stages == {"copy": "ran"}
    assert space.runs == ["slow", "slow"]


# -- failures ------------------------------------------------------------------------------

BRANCHES = """\
stages:
  bad: {cmd: "exit 3", deps: [in.txt], outs: [bad.txt]}
  after_bad: {cmd: "touch after.txt", deps: [bad.txt], outs: [after.txt]}
  good: {cmd: "cp in.txt good.txt", deps: [in.txt], outs: [good.txt]}
  after_good: {cmd: "cp good.txt fine.txt", deps: [good.txt], outs: [fine.txt]}
"""


def test_without_keep_going_nothing_starts_after_a_failure(space: Space) -> None:
    space.write("dvc.yaml", BRANCHES)
    space.write("in.txt", "x\n")
    ran = space.repro(code=1)
    assert ran.stages == {
        "bad": "failed",
        "after_bad": "skipped",
        "good": "skipped",
        "after_good": "skipped",
    }
    assert "error: stage 'bad' failed: 'exit 3' exited with 3" in ran.err


def test_keep_going_leaves_out_what_depends_on_the_failure(space: Space) -> None:
    space.write("dvc.yaml", BRANCHES)
    space.write("in.txt", "x\n")
    assert space.repro("-k", code=1).stages == {
        "bad": "failed",
        "after_bad": "skipped",
        "good": "ran",
        "after_good": "ran",
    }


def test_ignore_errors_tries_everything_and_ends_with_0(space: Space) -> None:
    space.write("dvc.yaml", BRANCHES.replace("deps: [bad.txt]", "deps: [good.txt]"))
    space.write("in.txt", "x\n")
    assert space.repro("--ignore-errors").stages == {
        "bad": "failed",
        "good": "ran",
        "after_bad": "ran",
        "after_good": "ran",
    }


@pytest.mark.parametrize(
    "stage, says",
    [
        ({"cmd": "true"}, "did not make its output 'out.txt'"),
        ({"cmd": "mkfifo out.txt"}, "is not a regular file or folder"),
        ({"cmd": "ln -s /etc/passwd out.txt"}, "a link with an absolute target"),
        ({"cmd": "ln -s ../home out.txt"}, "a link that leads outside the project"),
        ({"cmd": "mkdir out.txt; mkfifo out.txt/p"}, "neither a file, a folder nor a link"),
        ({"cmd": "kill -9 $$"}, "was ended by SIGKILL"),
        ({"cmd": "no-such-command-here"}, "exited with 127"),
    ],
)
def test_a_stage_that_does_not_keep_its_promise_fails(
    space: Space, stage: dict[str, object], says: str
) -> None:
    one_stage(space, **stage)
    ran = space.repro(code=1)
    assert says in ran.err
    assert not space.exists("out.txt")


def test_a_missing_input_is_told_before_anything_runs(project: Space) -> None:
    text = project.read("dvc.yaml").replace("deps: [model.txt]", "deps: [model.txt, lables.csv]")
    project.write("dvc.yaml", text)
    project.write("labels.csv", "x\n")
    ran = project.repro(code=2)
    assert ran.err == (
        "error: dvc.yaml:11: stage 'evaluate' needs 'lables.csv', but no stage makes it and it is"
        " not there\nhint: did you mean 'labels.csv'?\n"
    )
    assert project.runs == []


def test_a_missing_param_is_told_before_anything_runs(project: Space) -> None:
    project.write("params.yaml", "train: {rate: 1}\n")
    ran = project.repro(code=2)
    assert ran.err == (
        "error: dvc.yaml:6: stage 'train' reads 'train.lr', which is not in params.yaml\n"
        "hint: did you mean 'train.rate'?\n"
    )
    assert project.runs == []


# -- targets -------------------------------------------------------------------------------


def monorepo(space: Space) -> None:
    """Two pipelines in folders, the second of which reads from the first."""
    space.write(
        "a/dvc.yaml",
        "stages:\n  make: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}\n",
    )
    space.write("a/in.txt", "x\n")
    space.write(
        "b/dvc.yaml",
        "stages:\n  use: {cmd: cp ../a/out.txt b.txt, deps: [../a/out.txt], outs: [b.txt]}\n"
        "  alone: {cmd: touch alone.txt, outs: [alone.txt]}\n",
    )
    space.dodo("init")


@pytest.mark.parametrize(
    "cwd, args, ran",
    [
        ("b", [], {"a/dvc.yaml:make", "b/dvc.yaml:use", "b/dvc.yaml:alone"}),
        ("b", ["use"], {"a/dvc.yaml:make", "b/dvc.yaml:use"}),
        ("b", [":use"], {"a/dvc.yaml:make", "b/dvc.yaml:use"}),
        (".", ["b/dvc.yaml:use"], {"a/dvc.yaml:make", "b/dvc.yaml:use"}),
        ("a", ["../b/dvc.yaml"], {"a/dvc.yaml:make", "b/dvc.yaml:use", "b/dvc.yaml:alone"}),
        (".", ["a/dvc.yaml"], {"a/dvc.yaml:make"}),
        (".", ["-P"], {"a/dvc.yaml:make", "b/dvc.yaml:use", "b/dvc.yaml:alone"}),
        ("a", ["-p"], {"a/dvc.yaml:make", "b/dvc.yaml:use"}),
        (".", ["-R", "a"], {"a/dvc.yaml:make"}),
        (".", ["-R", "."], {"a/dvc.yaml:make", "b/dvc.yaml:use", "b/dvc.yaml:alone"}),
        ("b", ["--glob", "al*"], {"b/dvc.yaml:alone"}),
        ("a", ["--downstream", "make"], {"a/dvc.yaml:make", "b/dvc.yaml:use"}),
        ("b", ["-s", "alone"], {"b/dvc.yaml:alone"}),
        ("b", ["--single-stage", "alone"], {"b/dvc.yaml:alone"}),
    ],
)
def test_targets_and_how_far_they_reach(
    space: Space, cwd: str, args: list[str], ran: set[str]
) -> None:
    monorepo(space)
    assert set(space.dodo("repro", "--json", *args, cwd=cwd).stages) == ran


def test_a_project_inside_a_project_is_left_alone(space: Space) -> None:
    monorepo(space)
    space.dodo("init", cwd="b")
    assert set(space.dodo("repro", "--json", "-P").stages) == {"a/dvc.yaml:make"}


@pytest.mark.parametrize(
    "args, says",
    [
        ([""], "error: a target is empty"),
        (["a"], "hint: 'a' is a folder: -R a"),
        (["a/out.txt"], "hint: 'a/out.txt' is made by stage 'a/dvc.yaml:make'"),
        (["mak*"], "hint: patterns of names need --glob"),
        (["make"], "hint: did you mean 'a/dvc.yaml:make'?"),
        (["nodir/dvc.yaml"], "error: there is no nodir/dvc.yaml"),
        (["-s", "-p", "make"], "error: --single-item and --pipeline contradict each other"),
        (["-R", "a/dvc.yaml"], "error: -R takes folders, and 'a/dvc.yaml' is none"),
        ([], "hint: name one: a/dvc.yaml, b/dvc.yaml"),
    ],
)
def test_a_target_that_means_nothing_is_met_with_what_may_be_meant(
    space: Space, args: list[str], says: str
) -> None:
    monorepo(space)
    assert says in space.dodo("repro", *args, code=2).err


def test_a_target_may_be_said_as_it_is_shown_or_in_full(space: Space) -> None:
    monorepo(space)
    for target in ("a/dvc.yaml:make", f"{space.root}/a/dvc.yaml:make"):
        assert set(space.dodo("repro", "--json", target, cwd="b").stages) == {"a/dvc.yaml:make"}


def test_single_item_does_not_run_what_it_needs(space: Space) -> None:
    monorepo(space)
    ran = space.dodo("repro", "-s", "use", cwd="b", code=2)
    assert ran.err == (
        "error: dvc.yaml:2: stage 'b/dvc.yaml:use' needs 'a/out.txt', which is not there\n"
        "hint: stage 'a/dvc.yaml:make' makes it: run that first\n"
    )


# -- marks on stages -----------------------------------------------------------------------


def test_a_frozen_stage_is_never_run_and_its_missing_output_is_restored(project: Space) -> None:
    project.repro()
    frozen = project.read("dvc.yaml").replace(
        "    deps: [data.txt]", "    frozen: true\n    deps: [data.txt]"
    )
    project.write("dvc.yaml", frozen)
    project.write("raw.txt", "changed\n")
    project.write("params.yaml", "train: {lr: 9}\n")
    project.forget_runs()
    project.remove("model.txt")
    assert project.repro("train").stages == {"train": "restored"}
    assert project.runs == []


def test_what_reads_an_edited_output_of_a_frozen_stage_is_out_of_date(project: Space) -> None:
    project.repro()
    text = project.read("dvc.yaml").replace("deps: [raw.txt]", "deps: [raw.txt]\n    frozen: true")
    project.write("dvc.yaml", text)
    project.write("data.txt", "by hand\n")
    assert project.dodo("why", "train").out == "train:\n  data.txt changed\n"
    ran = project.repro()
    assert ran.stages == {"prepare": "unchanged", "train": "ran", "evaluate": "ran"}
    assert "stage 'prepare' is frozen: its dependencies are not looked at" in ran.err
    assert project.read("data.txt") == "by hand\n"


def test_a_frozen_stage_without_its_output_is_told_before_anything_runs(project: Space) -> None:
    text = project.read("dvc.yaml").replace("deps: [raw.txt]", "deps: [raw.txt]\n    frozen: true")
    project.write("dvc.yaml", text)
    ran = project.repro(code=2)
    assert "stage 'prepare' is frozen, its output 'data.txt' is missing" in ran.err


def test_names_that_are_not_utf_8_come_back_byte_for_byte(space: Space) -> None:
    command = r"""mkdir out; touch "$(printf 'out/a\377b')" "$(printf 'out/x\ny')" """
    one_stage(space, cmd=command, outs=["out"])
    space.repro()
    before = sorted(os.listdir(os.fsencode(space.root / "out")))
    shutil.rmtree(space.root / "out")
    assert space.repro().stages == {"copy": "restored"}
    assert sorted(os.listdir(os.fsencode(space.root / "out"))) == before == [b"a\xffb", b"x\ny"]
    assert space.dodo("status").out == "Data and pipelines are up to date.\n"


def test_a_stage_without_inputs_and_outputs_runs_every_time(space: Space) -> None:
    space.write("dvc.yaml", "stages: {hello: {cmd: echo hello}}\n")
    assert space.repro().stages == {"hello": "ran"}
    assert space.repro().stages == {"hello": "ran"}


def test_a_persistent_output_is_there_when_its_stage_runs_again(space: Space) -> None:
    one_stage(space, cmd="cat in.txt >> out.txt", outs=[{"out.txt": {"persist": True}}])
    space.repro()
    space.write("in.txt", "two\n")
    space.repro()
    assert space.read("out.txt") == "one\ntwo\n"


def test_other_outputs_are_gone_when_their_stage_runs_again(space: Space) -> None:
    one_stage(space, cmd="cat in.txt >> out.txt")
    space.repro()
    space.write("in.txt", "two\n")
    space.repro()
    assert space.read("out.txt") == "two\n"


def listing(space: Space, folder: str) -> dict[str, tuple[int, str]]:
    """Path -> mode, and where a link leads to."""
    top = space.root / folder
    return {
        str(path.relative_to(top)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else "",
        )
        for path in top.rglob("*")
    }


def test_an_output_folder_comes_back_as_it_was(space: Space) -> None:
    command = (
        "mkdir -p out/sub out/empty && cp in.txt out/sub/x && ln -s sub/x out/link"
        " && touch 'out/a b' && printf y > out/run && chmod +x out/run"
        " && mkdir out/__pycache__ && touch out/__pycache__/x out/pyvenv.cfg"
    )
    one_stage(space, cmd=command, outs=["out"])
    space.repro()
    before = listing(space, "out")
    shutil.rmtree(space.root / "out")
    assert space.repro().stages == {"copy": "restored"}
    assert listing(space, "out") == before
    assert before["empty"] == (0o40755, "") and before["run"][0] & 0o100


def test_a_stage_runs_in_its_working_folder_with_its_params(space: Space) -> None:
    one_stage(space, wdir="sub", deps=[], params=["lr"], cmd="cp params.yaml out.txt")
    space.write("sub/params.yaml", "lr: 1\n")
    space.repro()
    assert space.read("sub/out.txt") == "lr: 1\n"
    space.write("sub/params.yaml", "lr: 2\n")
    assert space.dodo("why", "copy").out == "copy:\n  sub/params.yaml:lr: 1 -> 2\n"


def test_params_that_break_while_a_stage_runs_fail_the_next_one_in_words(project: Space) -> None:
    text = project.read("dvc.yaml").replace(
        "cat raw.txt >", "echo '[' > params.yaml; cat raw.txt >"
    )
    project.write("dvc.yaml", text)
    ran = project.repro(code=1)
    assert ran.stages == {"prepare": "ran", "train": "failed", "evaluate": "skipped"}
    assert "error: params.yaml:2:1: not valid YAML" in ran.err


def test_an_output_folder_that_cannot_be_written_is_told_in_words(project: Space) -> None:
    project.repro()
    shutil.rmtree(project.root / ".dodo" / "journal")
    (project.root / ".dodo" / "journal").write_text("")
    ran = project.dodo("repro", "-f", code=1)
    assert ran.err.startswith("error: ")
    (project.root / ".dodo" / "journal").unlink()
