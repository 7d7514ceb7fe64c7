"""The stages of dvc.yaml on doit's own command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.doing import BESIDE, LOADER, doit, marks, start, states
from tests.space import Space, wait_for

ALL = ("prepare", "train", "evaluate")
OUTS = ("data.txt", "model.txt", "metrics.json")

GROUPS = """\
stages:
  train:
    foreach: [a, b]
    do:
      cmd: cp raw.txt ${item}.txt; echo train-${item} >> ../runs.log
      deps: [raw.txt]
      outs: ["${item}.txt"]
  fit:
    matrix: {lr: [1, 2], kind: [x, y]}
    cmd: cp raw.txt ${item.lr}${item.kind}; echo fit-${item.lr}-${item.kind} >> ../runs.log
    deps: [raw.txt]
    outs: ["${item.lr}${item.kind}"]
  sum:
    cmd: cat a.txt b.txt > sum.txt; echo sum >> ../runs.log
    deps: [a.txt, b.txt]
    outs: [sum.txt]
"""

PLAIN = """\
import sys
import doit.plugin
doit.plugin.entry_points_impl = lambda: lambda group: ()
from doit.doit_cmd import DoitMain
DoitMain.BIN_NAME = "doit"
sys.exit(DoitMain().run(sys.argv[1:]))
"""
"""doit as it is without any plugin that is installed."""


@pytest.fixture
def loaded(project: Space) -> Space:
    """The three stages, loaded by doit.cfg."""
    project.write("doit.cfg", LOADER)
    return project


@pytest.fixture
def beside(project: Space) -> Space:
    """The three stages between two tasks of a dodo.py; raw.txt is made by the first."""
    project.write("dodo.py", BESIDE)
    project.remove("raw.txt")
    return project


def no_database(space: Space) -> bool:
    return not [path.name for path in space.root.iterdir() if path.name.startswith(".doit")]


# -- the loader ----------------------------------------------------------------------------


def test_it_runs_the_stages_in_order_once(loaded: Space) -> None:
    assert marks(doit(loaded)) == dict.fromkeys(ALL, ".")
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")
    assert loaded.runs == list(ALL)
    assert no_database(loaded)


def test_pyproject_names_the_loader_as_well(project: Space) -> None:
    project.write("pyproject.toml", '[tool.doit]\nloader = "dodo"\n')
    assert marks(doit(project)) == dict.fromkeys(ALL, ".")
    assert no_database(project)


def test_list_shows_stages_and_what_they_make(loaded: Space) -> None:
    expected = [
        ["evaluate", "Makes metrics.json"],
        ["prepare", "Makes data.txt"],
        ["train", "Makes model.txt"],
    ]
    for more in ((), ("--all",)):
        lines = doit(loaded, "list", *more).out.splitlines()
        assert [line.split(maxsplit=1) for line in lines] == expected
    assert loaded.runs == []
    assert no_database(loaded)


def test_list_shows_a_stages_own_description(loaded: Space) -> None:
    text = loaded.read("dvc.yaml").replace("  train:\n", "  train:\n    desc: Learns.\n")
    loaded.write("dvc.yaml", text)
    assert "Learns." in doit(loaded, "list").out


def test_list_s_follows_what_dodo_sees(loaded: Space) -> None:
    assert states(doit(loaded, "list", "-s")) == dict.fromkeys(ALL, "R")
    doit(loaded)
    assert states(doit(loaded, "list", "-s")) == dict.fromkeys(ALL, "U")
    loaded.write("params.yaml", "train: {lr: 9}\n")
    assert states(doit(loaded, "list", "-s")) == {"prepare": "U", "train": "R", "evaluate": "U"}
    assert loaded.dodo("status", "--json").json.keys() >= {"train"}


@pytest.mark.parametrize("words", [("run", "train"), ("train",), ("model.txt",)])
def test_one_stage_runs_with_what_comes_before(loaded: Space, words: tuple[str, ...]) -> None:
    assert marks(doit(loaded, *words)) == {"prepare": ".", "train": "."}
    assert not loaded.exists("metrics.json")
    assert loaded.runs == ["prepare", "train"]


def test_info_says_why_a_stage_is_out_of_date(loaded: Space) -> None:
    assert "not run yet" in doit(loaded, "info", "train", code=1).out
    doit(loaded)
    assert "up-to-date" in doit(loaded, "info", "train").out
    loaded.write("params.yaml", loaded.read("params.yaml").replace("0.1", "0.5"))
    told = doit(loaded, "info", "train", code=1).out
    assert "params.yaml:train.lr: 0.1 -> 0.5" in told
    assert "params.yaml" in told.split("meta")[1]


@pytest.mark.parametrize("how", [("-n", "4", "-P", "thread"), ("-n", "2")])
def test_several_at_a_time(loaded: Space, how: tuple[str, ...]) -> None:
    loaded.write("dvc.yaml", GROUPS)
    doit(loaded, *how)
    assert len(loaded.runs) == len(set(loaded.runs)) == 7
    assert loaded.runs[-1] == "sum" or loaded.runs.index("sum") > loaded.runs.index("train-b")
    assert set(marks(doit(loaded, *how)).values()) == {"--"}
    assert len(loaded.runs) == 7


def test_stages_that_need_not_wait_do_run_at_the_same_time(space: Space) -> None:
    meet = "for i in $(seq 200); do [ -e ../{} ] && break; sleep 0.05; done; [ -e ../{} ]"
    space.write(
        "dvc.yaml",
        "stages:\n"
        f"  a: {{cmd: 'touch ../a; {meet.format('b', 'b')}; echo > oa', outs: [oa]}}\n"
        f"  b: {{cmd: 'touch ../b; {meet.format('a', 'a')}; echo > ob', outs: [ob]}}\n",
    )
    space.write("doit.cfg", LOADER)
    assert marks(doit(space, "-n", "2")) == {"a": ".", "b": "."}


def test_always_runs_what_is_up_to_date(loaded: Space) -> None:
    doit(loaded)
    for more in ((), ("-n", "2")):
        loaded.forget_runs()
        assert marks(doit(loaded, "-a", *more)) == dict.fromkeys(ALL, ".")
        assert loaded.runs == list(ALL)


def test_what_a_stage_writes_is_shown(loaded: Space) -> None:
    loaded.write("dvc.yaml", "stages: {a: {cmd: 'echo hällo; echo oh >&2', deps: [raw.txt]}}\n")
    ran = doit(loaded)
    assert "hällo" in ran.out
    assert "oh" in ran.out + ran.err


# -- one record ----------------------------------------------------------------------------


def test_what_dodo_ran_is_up_to_date_for_doit_and_the_other_way_round(loaded: Space) -> None:
    loaded.dodo("repro")
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")
    loaded.exp("-S", "train.lr=0.7")
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")
    loaded.write("params.yaml", loaded.read("params.yaml").replace("0.7", "0.9"))
    assert marks(doit(loaded))["train"] == "."
    assert loaded.dodo("status").out == "Data and pipelines are up to date.\n"
    assert loaded.dodo("repro").out == "Data and pipelines are up to date.\n"
    assert loaded.runs.count("train") == 3


@pytest.mark.soak
def test_an_experiment_of_what_doit_ran_runs_nothing(loaded: Space) -> None:
    doit(loaded)
    assert set(loaded.exp().stages.values()) == {"unchanged"}


@pytest.mark.soak
def test_a_state_that_was_run_before_comes_from_the_run_cache(loaded: Space) -> None:
    doit(loaded)
    first = loaded.read("params.yaml")
    loaded.write("params.yaml", first.replace("0.1", "0.25"))
    doit(loaded)
    loaded.write("params.yaml", first)
    loaded.forget_runs()
    doit(loaded)
    assert loaded.runs == []
    assert "0.1" in loaded.read("model.txt")


def test_a_stage_that_makes_the_same_bytes_ends_the_chain(loaded: Space) -> None:
    doit(loaded)
    text = loaded.read("dvc.yaml").replace("cat raw.txt > data.txt", "cat < raw.txt > data.txt")
    loaded.write("dvc.yaml", text)
    assert marks(doit(loaded)) == {"prepare": ".", "train": "--", "evaluate": "--"}


def test_dumpdb_says_what_is_on_record(loaded: Space) -> None:
    assert doit(loaded, "dumpdb").out == ""
    doit(loaded, "train")
    told = doit(loaded, "dumpdb").out
    assert "prepare -> " in told and "train -> " in told and "evaluate -> " not in told
    assert "'param params.yaml:train.lr': '0.1'" in told and "model.txt" in told
    assert no_database(loaded)


# -- clean, forget, ignore -----------------------------------------------------------------


def test_outputs_that_were_cleaned_come_back_without_a_run(loaded: Space) -> None:
    doit(loaded)
    before = loaded.tree()
    doit(loaded, "clean")
    assert not any(map(loaded.exists, OUTS))
    loaded.forget_runs()
    doit(loaded)
    assert loaded.runs == []
    assert loaded.tree() == before


def test_clean_n_only_says_it(loaded: Space) -> None:
    doit(loaded)
    before = loaded.tree()
    told = doit(loaded, "clean", "-n").out
    assert all(name in told for name in OUTS)
    assert loaded.tree() == before


def test_clean_of_one_stage_leaves_the_others(loaded: Space) -> None:
    doit(loaded)
    doit(loaded, "clean", "train")
    assert [loaded.exists(name) for name in OUTS] == [True, False, True]
    loaded.dodo("undo")
    assert loaded.exists("model.txt")
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")


def test_one_undo_takes_back_one_clean(loaded: Space) -> None:
    doit(loaded)
    before = loaded.tree()
    doit(loaded, "clean")
    loaded.dodo("undo")
    assert loaded.tree() == before


@pytest.mark.soak
def test_undo_after_undo_takes_a_clean_back(loaded: Space) -> None:
    doit(loaded)
    before = loaded.tree()
    doit(loaded, "clean")
    for _ in range(3):
        if loaded.tree() != before:
            loaded.dodo("undo")
    assert loaded.tree() == before


def test_what_the_user_changed_in_an_output_survives_a_clean(loaded: Space) -> None:
    doit(loaded)
    loaded.remove("model.txt")
    loaded.write("model.txt", "precious\n")
    doit(loaded, "clean", "train")
    loaded.dodo("undo")
    assert loaded.read("model.txt") == "precious\n"


@pytest.mark.soak
def test_clean_touches_nothing_that_is_no_output(loaded: Space) -> None:
    doit(loaded)
    loaded.write("mine.txt", "mine")
    doit(loaded, "clean", "-a")
    assert loaded.read("mine.txt") == "mine"
    assert all(map(loaded.exists, ("raw.txt", "params.yaml", "dvc.yaml", "doit.cfg")))


def test_clean_removes_a_folder_that_is_an_output(loaded: Space) -> None:
    text = "stages: {make: {cmd: 'mkdir -p d/e; echo > d/e/f; echo > d/g', outs: [d]}}\n"
    loaded.write("dvc.yaml", text)
    doit(loaded)
    doit(loaded, "clean")
    assert not loaded.exists("d")


def test_clean_names_what_it_removes_and_nothing_else(loaded: Space) -> None:
    loaded.dodo("init")
    text = "stages: {make: {cmd: echo > ../far, outs: [../far: {cache: false}]}}\n"
    loaded.write("dvc.yaml", text)
    doit(loaded)
    told = doit(loaded, "clean").out
    assert ("../far" in told) != (loaded.base / "far").exists()


def test_clean_with_nothing_there_is_fine(loaded: Space) -> None:
    assert doit(loaded, "clean").out == ""
    doit(loaded)
    doit(loaded, "clean")
    assert doit(loaded, "clean").out == ""


def test_clean_forget_makes_stages_really_run(loaded: Space) -> None:
    doit(loaded)
    doit(loaded, "clean", "--forget")
    loaded.forget_runs()
    doit(loaded)
    assert loaded.runs == list(ALL)


def test_a_forgotten_stage_really_runs_again(loaded: Space) -> None:
    doit(loaded)
    loaded.forget_runs()
    assert doit(loaded, "forget", "train").out == "forgetting train\n"
    found = states(doit(loaded, "list", "-s"))
    assert (found["prepare"], found["train"]) == ("U", "R")
    doit(loaded)
    assert loaded.runs == ["train"]
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")


def test_forget_all_runs_all_again(loaded: Space) -> None:
    doit(loaded)
    loaded.forget_runs()
    doit(loaded, "forget", "-a")
    assert states(doit(loaded, "list", "-s")) == dict.fromkeys(ALL, "R")
    doit(loaded)
    assert loaded.runs == list(ALL)


@pytest.mark.soak
def test_forget_of_what_never_ran_is_fine(loaded: Space) -> None:
    doit(loaded, "forget", "train")
    doit(loaded, "forget", "-a")
    doit(loaded)
    assert loaded.runs == list(ALL)


def test_a_forgotten_stage_runs_after_dodo_as_well(loaded: Space) -> None:
    doit(loaded)
    loaded.forget_runs()
    doit(loaded, "forget", "train")
    assert loaded.repro().stages["train"] == "ran"
    assert loaded.runs == ["train"]


def test_forget_can_be_undone(loaded: Space) -> None:
    doit(loaded)
    doit(loaded, "forget", "train")
    loaded.dodo("undo")
    assert states(doit(loaded, "list", "-s")) == dict.fromkeys(ALL, "U")


def test_forget_leads_to_no_word_of_outputs_that_nobody_made(loaded: Space) -> None:
    doit(loaded)
    doit(loaded, "forget", "train")
    assert "no recorded run" not in doit(loaded).err


def test_a_failure_does_not_make_doit_forget_a_stages_last_good_run(loaded: Space) -> None:
    doit(loaded)
    first = loaded.read("dvc.yaml")
    loaded.write("dvc.yaml", first.replace("cat data.txt", "false && cat data.txt"))
    doit(loaded, code=1)
    loaded.write("dvc.yaml", first)
    loaded.forget_runs()
    doit(loaded)
    assert loaded.runs == []


def test_an_ignored_stage_does_not_run_until_it_is_forgotten(loaded: Space) -> None:
    doit(loaded, "ignore", "train")
    assert marks(doit(loaded)) == {"prepare": ".", "train": "!!", "evaluate": "!!"}
    assert states(doit(loaded, "list", "-s"))["train"] == "I"
    assert loaded.runs == ["prepare"]
    doit(loaded, "forget", "train")
    assert marks(doit(loaded)) == {"prepare": "--", "train": ".", "evaluate": "."}


@pytest.mark.soak
def test_dodo_runs_a_stage_that_doit_ignores(loaded: Space) -> None:
    doit(loaded, "ignore", "train")
    assert set(loaded.repro().stages.values()) == {"ran"}


# -- experiments ---------------------------------------------------------------------------


def test_exp_run_and_show(loaded: Space) -> None:
    ran = doit(loaded, "exp", "run", "-S", "train.lr=0.5", "-n", "half")
    assert "half" in ran.out
    assert "lr: 0.5" in loaded.read("params.yaml")
    shown = doit(loaded, "exp", "show").out
    assert "half" in shown and "0.5" in shown
    assert marks(doit(loaded)) == dict.fromkeys(ALL, "--")


@pytest.mark.parametrize("words", [("-S", "seed=1"), ("-Sseed=1",), ("--set-param", "seed=1")])
def test_exp_gets_the_words_with_an_equals_sign(loaded: Space, words: tuple[str, ...]) -> None:
    doit(loaded, "exp", "run", *words, "-S", "train.lr=3", "train")
    text = loaded.read("params.yaml")
    assert "seed: 1" in text and "lr: 3" in text
    assert loaded.runs == ["prepare", "train"]


def test_exp_ends_with_dodos_code(loaded: Space) -> None:
    assert "nosuch" in doit(loaded, "exp", "apply", "nosuch", code=2).err
    assert "nosuch" in doit(loaded, "exp", "nosuch", code=2).err


def test_help_exp(loaded: Space) -> None:
    told = doit(loaded, "help", "exp").out
    assert "doit exp" in told and "experiments" in told
    assert "Commands:" in doit(loaded, "exp", "--help").out


# -- faults of the user's ------------------------------------------------------------------

COMMANDS = [(), ("list",), ("forget", "-a"), ("dumpdb",), ("-n", "2")]


@pytest.mark.parametrize("words", COMMANDS)
def test_what_is_wrong_in_dvc_yaml_is_told_with_its_line(
    space: Space, words: tuple[str, ...]
) -> None:
    space.write("doit.cfg", LOADER)
    space.write("dvc.yaml", "stages:\n  a:\n    cmdd: x\n")
    ran = doit(space, *words, code=3)
    assert ran.err.startswith("ERROR: dvc.yaml:2")
    assert "dvc.yaml:3" in ran.err and "cmdd" in ran.err


@pytest.mark.parametrize("words", COMMANDS[:2])
def test_no_dvc_yaml(space: Space, words: tuple[str, ...]) -> None:
    space.write("doit.cfg", LOADER)
    assert doit(space, *words, code=3).err.startswith("ERROR: no dvc.yaml")
    assert not space.exists(".dodo")


def test_no_dvc_yaml_any_more(loaded: Space) -> None:
    doit(loaded)
    loaded.remove("dvc.yaml")
    assert doit(loaded, code=3).err.startswith("ERROR: no dvc.yaml")


def test_a_lock_file_that_cannot_be_read_is_told_without_a_traceback(loaded: Space) -> None:
    loaded.write("dodo.lock", "{{{\n")
    ran = doit(loaded, code=3)
    assert "dodo.lock:1" in ran.err


def test_a_failure_is_told_with_the_stages_message(loaded: Space) -> None:
    loaded.write("dvc.yaml", "stages: {a: {cmd: 'echo oops; exit 7', deps: [raw.txt], outs: [o]}}")
    ran = doit(loaded, code=1)
    assert "TaskFailed - taskid:a" in ran.out + ran.err
    assert "exited with 7" in ran.out + ran.err and "oops" in ran.out


def test_an_input_that_is_not_there_is_told_with_its_line(loaded: Space) -> None:
    loaded.remove("raw.txt")
    ran = doit(loaded, code=1)
    assert "TaskFailed - taskid:prepare" in ran.out + ran.err
    assert "dvc.yaml:2: stage 'prepare' needs 'raw.txt'" in ran.out + ran.err


def test_c_goes_on_with_what_does_not_need_what_failed(space: Space) -> None:
    space.write("doit.cfg", LOADER)
    space.write(
        "dvc.yaml",
        """\
        stages:
          a: {cmd: exit 1, outs: [a.txt]}
          b: {cmd: cp a.txt b.txt; echo b >> ../runs.log, deps: [a.txt], outs: [b.txt]}
          c: {cmd: echo > c.txt; echo c >> ../runs.log, outs: [c.txt]}
        """,
    )
    assert doit(space, code=1) and space.runs == []
    ran = doit(space, "-c", code=2)
    assert "UnmetDependency - taskid:b" in ran.out
    assert space.runs == ["c"]
    assert states(doit(space, "list", "-s")) == {"a": "R", "b": "R", "c": "U"}


def test_json_tells_of_each_stage(loaded: Space) -> None:
    told = json.loads(doit(loaded, "-r", "json").out)
    assert [(t["name"], t["result"]) for t in told["tasks"]] == [(n, "success") for n in ALL]
    told = json.loads(doit(loaded, "-r", "json").out)
    assert {t["result"] for t in told["tasks"]} == {"up-to-date"}
    loaded.write("dvc.yaml", "stages: {a: {cmd: 'echo oops; exit 7', deps: [raw.txt]}}")
    (task,) = json.loads(doit(loaded, "-r", "json", code=1).out)["tasks"]
    assert (task["result"], task["out"]) == ("fail", "oops\n")
    assert "exited with 7" in task["error"]


def test_what_takes_dependencies_as_they_are_is_refused(loaded: Space) -> None:
    assert "dodo commit" in doit(loaded, "reset-dep", code=3).err


@pytest.mark.parametrize("section", ["", "[run]\n"])
def test_verbosity_in_doit_cfg_counts(loaded: Space, section: str) -> None:
    loaded.write("doit.cfg", f"{LOADER}{section}verbosity = 0\n")
    loaded.write("dvc.yaml", "stages: {a: {cmd: echo loud, deps: [raw.txt]}}\n")
    assert "loud" not in doit(loaded).out


def test_a_stage_may_look_but_not_run_or_change(loaded: Space) -> None:
    loaded.write(
        "dvc.yaml",
        """\
        stages:
          a:
            cmd: doit list -s && ! doit && echo ok > o && ! doit clean && ! doit forget -a
            deps: [raw.txt]
            outs: [o]
        """,
    )
    ran = doit(loaded)
    assert (ran.out + ran.err).count("ERROR: a stage cannot change its own project") == 3
    assert loaded.read("o") == "ok\n"


def test_a_second_run_waits_for_the_first(loaded: Space) -> None:
    loaded.write(
        "dvc.yaml",
        """\
        stages:
          a: {cmd: touch ../up; sleep 1.5; echo > o; echo a >> ../runs.log, outs: [o]}
          b: {cmd: cp o p; echo b >> ../runs.log, deps: [o], outs: [p]}
        """,
    )
    first = start(loaded)
    wait_for((loaded.base / "up").exists)
    second = doit(loaded, "-n", "2")
    third = loaded.dodo("repro")
    out, _ = first.communicate(timeout=20)
    assert first.returncode == 0 and ".  b" in out
    assert "waiting for the workspace, held by pid" in second.err
    assert "up to date" in third.out
    assert loaded.runs == ["a", "b"]


# -- groups, several files -----------------------------------------------------------------


def test_groups_are_groups_of_doit(loaded: Space) -> None:
    loaded.write("dvc.yaml", GROUPS)
    assert doit(loaded, "list").out.split() == [
        "fit", "stages", "fit@...", "sum", "Makes", "sum.txt", "train", "stages", "train@...",
    ]  # fmt: skip
    every = {"fit@1-x", "fit@1-y", "fit@2-x", "fit@2-y", "train@a", "train@b"}
    assert states(doit(loaded, "list", "--all", "-s")).keys() == every | {"fit", "train", "sum"}
    assert marks(doit(loaded, "train")) == {"train@a": ".", "train@b": "."}
    assert marks(doit(loaded, "train@b")) == {"train@b": "--"}
    assert marks(doit(loaded, "fit@2*")) == {"fit@2-x": ".", "fit@2-y": "."}
    assert marks(doit(loaded, "sum.txt")) == {"train@a": "--", "train@b": "--", "sum": "."}


def test_a_group_is_cleaned_and_forgotten_whole(loaded: Space) -> None:
    loaded.write("dvc.yaml", GROUPS)
    doit(loaded)
    doit(loaded, "clean", "train")
    assert not loaded.exists("a.txt") and not loaded.exists("b.txt") and loaded.exists("1x")
    loaded.forget_runs()
    doit(loaded, "train")
    assert loaded.runs == []
    doit(loaded, "forget", "train")
    doit(loaded)
    assert sorted(loaded.runs) == ["train-a", "train-b"]


def test_a_stage_may_be_called_like_a_command_of_doit(space: Space) -> None:
    space.write("doit.cfg", LOADER)
    space.write("dvc.yaml", "stages: {list: {cmd: echo > o; echo list >> ../runs.log, outs: [o]}}")
    assert states(doit(space, "list", "-s")) == {"list": "R"}
    assert marks(doit(space, "run", "list")) == {"list": "."}
    assert space.runs == ["list"]


def two_files(space: Space) -> None:
    space.write(
        "sub/dvc.yaml",
        """\
        stages:
          last:
            cmd: cat ../metrics.json > last.txt; echo last >> ../../runs.log
            deps: [../metrics.json]
            outs: [last.txt]
          train:
            cmd: cp last.txt other.txt; echo sub-train >> ../../runs.log
            deps: [last.txt]
            outs: [other.txt]
        """,
    )
    space.write("sub/doit.cfg", LOADER)


def test_by_default_the_stages_of_the_folders_own_file_run(loaded: Space) -> None:
    two_files(loaded)
    assert marks(doit(loaded)) == dict.fromkeys(ALL, ".")
    assert marks(doit(loaded, "sub/dvc.yaml:last")) == {
        **dict.fromkeys(ALL, "--"),
        "sub/dvc.yaml:last": ".",
    }
    assert marks(doit(loaded, "sub/other.txt"))["sub/dvc.yaml:train"] == "."
    assert loaded.runs == [*ALL, "last", "sub-train"]


def test_names_are_as_seen_from_the_current_folder(loaded: Space) -> None:
    loaded.dodo("init")
    two_files(loaded)
    above = {f"../dvc.yaml:{name}" for name in ALL}
    assert states(doit(loaded, "list", "-s", cwd="sub")).keys() == above | {"last", "train"}
    assert marks(doit(loaded, cwd="sub")) == dict.fromkeys([*above, "last", "train"], ".")
    assert marks(doit(loaded, "../model.txt", cwd="sub")).keys() == {
        "../dvc.yaml:prepare", "../dvc.yaml:train",
    }  # fmt: skip
    assert set(states(doit(loaded, "list", "-s")).values()) == {"U"}
    doit(loaded, "clean", "train", cwd="sub")
    assert not loaded.exists("sub/other.txt") and loaded.exists("model.txt")
    loaded.forget_runs()
    doit(loaded, "forget", "train", cwd="sub")
    doit(loaded, cwd="sub")
    assert loaded.runs == ["sub-train"]
    assert no_database(loaded) and not list((loaded.root / "sub").glob(".doit*"))


def test_a_dodo_py_in_a_subfolder_goes_with_that_folders_stages(project: Space) -> None:
    project.dodo("init")
    two_files(project)
    (project.root / "sub" / "doit.cfg").unlink()
    project.write(
        "sub/dodo.py",
        """\
        from dodo_exp.doit import stages

        DOIT_CONFIG = {"backend": "dodo"}


        def task_report():
            return {
                "actions": ["cat other.txt ../model.txt > r; echo report >> ../../runs.log"],
                "file_dep": ["other.txt", "../model.txt"],
                "targets": ["r"],
            }


        def task_pipeline():
            yield from stages()
        """,
    )
    ran = marks(doit(project, cwd="sub"))
    assert list(ran)[-1] == "report" and len(ran) == 6
    assert set(marks(doit(project, cwd="sub")).values()) == {"--"}
    assert len(project.runs) == 6


def test_stages_of_another_folder(project: Space) -> None:
    (project.base / "dodo.py").write_text(
        "from dodo_exp.doit import stages\n"
        "def task_report():\n"
        "    return {'actions': ['cp project/model.txt r'], 'file_dep': ['project/model.txt']}\n"
        "def task_pipeline():\n"
        "    yield from stages('project')\n"
    )
    order = list(marks(doit(project, cwd="..")))
    assert order.index("report") > order.index("project/dvc.yaml:train")
    assert set(marks(doit(project, cwd="..")).values()) == {"--"}


# -- beside tasks of one's own -------------------------------------------------------------

HOWS = [(), ("-n", "4"), ("-n", "4", "-P", "thread")]


@pytest.mark.parametrize("how", HOWS)
def test_tasks_and_stages_follow_each_other_by_their_files(
    beside: Space, how: tuple[str, ...]
) -> None:
    names = ["download", *ALL, "report"]
    assert marks(doit(beside, *how)) == dict.fromkeys(names, ".")
    assert beside.runs == names
    assert marks(doit(beside, *how)) == dict.fromkeys(names, "--")
    assert beside.runs == names
    assert no_database(beside)
    beside.forget_runs()
    doit(beside, *how, "-a")
    assert beside.runs == names


@pytest.mark.parametrize("how", HOWS[1:2])
def test_a_task_runs_again_when_the_stage_made_something_else(
    beside: Space, how: tuple[str, ...]
) -> None:
    doit(beside)
    beside.write("dvc.yaml", beside.read("dvc.yaml").replace("(wc -c", "(echo 1 && wc -c"))
    beside.forget_runs()
    doit(beside, *how)
    assert beside.runs == ["evaluate", "report"]


@pytest.mark.parametrize("how", HOWS[1:2])
def test_without_our_backend_stages_work_as_well(beside: Space, how: tuple[str, ...]) -> None:
    beside.write("dodo.py", BESIDE.replace('"backend": "dodo"', ""))
    names = ["download", *ALL, "report"]
    assert marks(doit(beside, *how)) == dict.fromkeys(names, ".")
    assert marks(doit(beside, *how)) == dict.fromkeys(names, "--")
    assert beside.runs == names
    beside.write("params.yaml", beside.read("params.yaml").replace("0.1", "0.15"))
    doit(beside, *how)
    assert beside.runs[5:] == ["train", "evaluate", "report"]


def test_forget_without_our_backend_does_not_reach_stages(beside: Space) -> None:
    beside.write("dodo.py", BESIDE.replace('"backend": "dodo"', ""))
    doit(beside)
    doit(beside, "forget", "train", "report")
    assert marks(doit(beside)) == {
        **dict.fromkeys(["download", *ALL], "--"),
        "report": ".",
    }


def test_a_failure_of_a_stage_ends_what_follows(beside: Space) -> None:
    beside.write("dvc.yaml", beside.read("dvc.yaml").replace("cat data.txt", "exit 4; cat"))
    for how in HOWS[:2]:
        ran = doit(beside, *how, code=1)
        assert "exited with 4" in ran.out + ran.err
    assert not beside.exists("report.txt")
    assert beside.runs == ["download", "prepare"]


def test_a_failure_of_a_task_ends_the_stages_that_follow(beside: Space) -> None:
    beside.write("dodo.py", BESIDE.replace("echo raw >", "exit 9; echo raw >"))
    for how in HOWS[:2]:
        doit(beside, *how, code=1)
    assert beside.runs == []


@pytest.mark.soak
def test_forget_and_ignore_of_both_kinds(beside: Space) -> None:
    doit(beside)
    beside.forget_runs()
    doit(beside, "forget", "train", "report")
    doit(beside)
    assert beside.runs == ["train", "report"]
    doit(beside, "ignore", "report", "prepare")
    assert marks(doit(beside)) == {
        "download": "--", "prepare": "!!", "train": "!!", "evaluate": "!!", "report": "!!",
    }  # fmt: skip
    doit(beside, "forget", "-a")
    beside.forget_runs()
    doit(beside)
    assert [name for name in beside.runs if name != "download"] == [*ALL, "report"]


def test_dumpdb_shows_tasks_beside_stages(beside: Space) -> None:
    doit(beside)
    told = doit(beside, "dumpdb").out
    assert "train -> " in told and "report -> " in told


def test_task_dep_lets_stages_follow_tasks(beside: Space) -> None:
    beside.write("raw.txt", "there\n")
    beside.write(
        "dodo.py",
        """\
        from dodo_exp.doit import stages


        def task_pipeline():
            yield from stages(task_dep={"prepare": ["download"]})


        def task_download():
            return {"actions": ["echo download >> ../runs.log"]}
        """,
    )
    for how in HOWS[:2]:
        beside.forget_runs()
        doit(beside, *how, "-a")
        assert beside.runs == ["download", *ALL]


def test_task_dep_takes_the_name_of_a_group(space: Space) -> None:
    space.write("dvc.yaml", GROUPS)
    space.write("raw.txt", "x")
    space.write(
        "dodo.py",
        """\
        from dodo_exp.doit import stages


        def task_pipeline():
            yield from stages(task_dep={"train": ["download"]})


        def task_download():
            return {"actions": ["echo download >> ../runs.log"]}
        """,
    )
    doit(space, "train@b")
    assert space.runs == ["download", "train-b"]


def test_task_dep_of_no_stage_is_told(beside: Space) -> None:
    beside.write(
        "dodo.py",
        "from dodo_exp.doit import stages\n"
        "def task_p():\n    yield from stages(task_dep={'prepar': ['x']})\n",
    )
    assert "did you mean 'prepare'" in doit(beside, "list", code=3).err


def test_a_dodo_py_with_a_bad_dvc_yaml_is_told_with_its_line(beside: Space) -> None:
    beside.write("dvc.yaml", "stages:\n  a: 5\n")
    for words in ((), ("list",), ("-n", "4")):
        assert doit(beside, *words, code=3).err.startswith("ERROR: dvc.yaml:2")
    beside.remove("dvc.yaml")
    assert doit(beside, code=3).err.startswith("ERROR: no dvc.yaml")


@pytest.mark.soak
def test_a_group_beside_tasks(beside: Space) -> None:
    beside.write("dvc.yaml", GROUPS)
    beside.write("dodo.py", BESIDE.replace("metrics.json", "b.txt"))
    for how in HOWS[:2]:
        doit(beside, *how)
    fits = ["fit-1-x", "fit-1-y", "fit-2-x", "fit-2-y"]
    assert sorted(beside.runs) == ["download", *fits, "report", "sum", "train-a", "train-b"]
    assert beside.runs.index("report") > beside.runs.index("train-b")
    assert marks(doit(beside, "train")).keys() == {"download", "train@a", "train@b"}


def test_result_dep_on_a_stage_notices_its_new_output(beside: Space) -> None:
    beside.write(
        "dodo.py",
        BESIDE.replace('"file_dep": ["metrics.json"]', '"uptodate": [result_dep("train")]').replace(
            "import stages\n", "import stages\nfrom doit.tools import result_dep\n", 1
        ),
    )
    doit(beside)
    assert marks(doit(beside))["report"] == "--"
    beside.exp("-S", "train.lr=0.4")
    for expected in (".", "--"):
        assert marks(doit(beside))["report"] == expected


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("backend", ["dodo", "sqlite3", "dbm"])
def test_result_dep_on_a_group_notices_a_new_output_of_a_member(
    space: Space, backend: str, how: tuple[str, ...]
) -> None:
    space.write(
        "dvc.yaml",
        """        vars: [{word: old}]
        stages:
          prep:
            foreach: [a, b]
            do: {cmd: "echo ${word} ${item} > ${item}.txt", outs: ["${item}.txt"]}
        """,
    )
    space.write(
        "dodo.py",
        f"""        from doit.tools import result_dep
        from dodo_exp.doit import stages

        DOIT_CONFIG = {{"backend": "{backend}"}}


        def task_pipeline():
            yield from stages()


        def task_after():
            return {{
                "actions": ["cat a.txt b.txt > all.txt"],
                "uptodate": [result_dep("prep")],
            }}
        """,
    )
    assert marks(doit(space, *how))["after"] == "."
    assert marks(doit(space, *how))["after"] == "--"
    space.write("dvc.yaml", space.read("dvc.yaml").replace("echo ${word} ${item}", "echo new"))
    assert marks(doit(space, *how, "after"))["after"] == "."
    assert space.read("all.txt") == "new\nnew\n"
    assert marks(doit(space, *how))["after"] == "--"


def test_a_task_that_reads_in_the_folder_of_a_stage_names_the_stage(space: Space) -> None:
    space.write("dvc.yaml", "stages: {make: {cmd: mkdir out; echo 1 > out/m, outs: [out]}}\n")
    space.write(
        "dodo.py",
        "from dodo_exp.doit import stages\n"
        "def task_first():\n"
        "    return {'actions': ['cp out/m r'], 'file_dep': ['out/m'], 'task_dep': ['make']}\n"
        "def task_p():\n    yield from stages()\n",
    )
    assert list(marks(doit(space))) == ["make", "first"]
    space.write("dvc.yaml", space.read("dvc.yaml").replace("echo 1", "echo 2"))
    assert marks(doit(space)) == {"make": ".", "first": "."}
    assert space.read("r") == "2\n"


# -- projects that are none of ours --------------------------------------------------------

OTHER = """\
def task_a():
    return {"actions": ["echo hi > a"], "targets": ["a"], "file_dep": ["in"]}


def task_b():
    for name in "xy":
        yield {"name": name, "actions": ["echo loud; cat a"], "file_dep": ["a"], "verbosity": 2}


def task_c():
    return {"actions": ["false"], "task_dep": ["b"]}
"""


def as_without(space: Space, *words: str) -> None:
    """`doit WORDS` says the same, ends the same and leaves the same as without our package."""
    with_us, without = space.base / "with", space.base / "without"
    started = []
    for folder, command in ((with_us, ["doit"]), (without, [sys.executable, "-c", PLAIN])):
        if not folder.exists():
            folder.mkdir()
            (folder / "dodo.py").write_text(OTHER)
            (folder / "in").write_text("in")
        process = subprocess.Popen(
            [*command, *words],
            cwd=folder,
            env={**space.env, "PYTHONHASHSEED": "0"},  # doit writes sets
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append((folder, process))
    seen = []
    for folder, process in started:
        out, err = process.communicate(timeout=30)
        files = sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")
        told = sorted(re.sub(r"\d+\.\d+", "TIME", out).replace("without", "with").splitlines())
        # Subtasks come in any order, and the frames of a traceback may differ.
        seen.append((process.returncode, told, err.splitlines()[-1:], files))
    assert seen[0] == seen[1]


def test_another_project_is_as_without_us(space: Space) -> None:
    for words in (
        "dumpdb",
        "list --all -s",
        "-c",
        "dumpdb",
        "ignore b:x",
        "a",
        "forget a",
        "clean",
    ):
        as_without(space, *words.split())
    assert not (space.base / "with" / ".dodo").exists()


def test_another_project_has_no_task_called_exp(space: Space) -> None:
    space.write("dodo.py", "def task_exp():\n    return {'actions': ['echo hi > out']}\n")
    assert "'exp' because this is a command name" in doit(space, code=3).err
    space.write("dodo.py", "def task_x():\n    return {'basename': 'exp', 'actions': ['ls']}\n")
    assert marks(doit(space)) == {"exp": "."}


def test_our_backend_without_a_project_is_told_without_a_traceback(space: Space) -> None:
    space.write(
        "dodo.py",
        "DOIT_CONFIG = {'backend': 'dodo'}\n"
        "def task_a():\n    return {'actions': ['echo > a'], 'targets': ['a']}\n",
    )
    assert "no dvc.yaml" in doit(space, code=3).err


def test_help_lists_our_command(space: Space) -> None:
    assert "doit exp" in doit(space, "help").out
