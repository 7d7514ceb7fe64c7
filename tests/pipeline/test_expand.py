"""`expand`: variables, groups of stages and their names, and faults at their own place."""

from __future__ import annotations

from typing import Any

import pytest

from dodo_exp.errors import BadInput
from dodo_exp.pipeline.model import ParamDep, Stage
from dodo_exp.pipeline.template import Arguments
from tests.pipeline.kit import Folder, compiled


def stages(text: str, folder: Folder | None = None, file: str = "dvc.yaml") -> dict[str, Stage]:
    return {stage.name: stage for stage in compiled(text, file, folder).stages}


def refused(text: str, folder: Folder | None = None) -> list[str]:
    """Every fault of a dvc.yaml, in the order in which they are told."""
    with pytest.raises(BadInput) as caught:
        compiled(text, folder=folder)
    return [str(each) for each in (caught.value, *caught.value.others)]


def params(**values: Any) -> Folder:
    return Folder({"params.yaml": values})


# -- variables -----------------------------------------------------------------------------


def test_every_text_of_a_stage_is_filled() -> None:
    text = """
        stages:
          a:
            cmd: run ${x}
            wdir: w${x}
            deps: ["${x}.in"]
            params: ["${x}", "${x}.toml": ["k${x}"]]
            outs: ["${x}.out": {cache: false}]
            metrics: ["m${x}.json"]
            plots: ["p.csv": {x: "${x}"}]
            desc: about ${x}
            meta: {"${x}": ["${x}"]}
    """
    stage = stages(text, params(x="v"))["a"]
    assert (stage.cmds, stage.wdir, stage.deps) == (("run v",), "wv", ("wv/v.in",))
    assert stage.params == (ParamDep("wv/params.yaml", ("v",)), ParamDep("wv/v.toml", ("kv",)))
    assert [out.path for out in stage.outs] == ["wv/v.out", "wv/mv.json", "wv/p.csv"]
    assert stage.outs[2].plot == {"x": "v"}
    assert (stage.desc, stage.meta) == ("about v", {"v": ["v"]})


def test_the_top_of_the_file_is_filled_too() -> None:
    text = "metrics: ['${x}.json']\nparams: ['${x}']\nplots: ['${x}': {y: '${x}'}]\n"
    made = compiled(text, "sub/dvc.yaml", Folder({"sub/params.yaml": {"x": "v"}}))
    assert (made.metrics, made.params) == (("sub/v.json",), ("sub/v",))
    assert made.plots == ({"v": {"y": "v"}},)


def test_variables_come_from_files_and_from_the_stage_itself() -> None:
    folder = Folder(
        {
            "params.yaml": {"a": 1},
            "conf/b.toml": {"b": 2, "hidden": 0},
            "w/c.json": {"c": 3},
        }
    )
    text = """
        vars: [conf/b.toml:b, {d: {e: 4}}]
        stages:
          one: {cmd: "${a} ${b} ${c} ${d.e} ${f}", wdir: w, vars: [c.json, {f: 5}]}
          two: {cmd: "${a}"}
    """
    made = compiled(text, folder=folder)
    assert made.stages[0].cmds == ("1 2 3 4 5",)
    assert made.uses == (
        ParamDep("params.yaml", ("a",)),
        ParamDep("conf/b.toml", ("b",)),
        ParamDep("w/c.json", ("c",)),
    )


def test_a_number_or_a_flag_that_fills_a_path_becomes_its_text() -> None:
    stage = stages(
        "stages: {a: {cmd: x, deps: ['${n}', '${t}'], params: ['${n}']}}", params(n=5, t=True)
    )["a"]
    assert stage.deps == ("5", "true")
    assert stage.params == (ParamDep("params.yaml", ("5",)),)


def test_a_file_without_templates_asks_for_no_variables() -> None:
    class Closed(Folder):
        def params(self, path: str) -> dict[Any, Any] | None:
            raise AssertionError(path)

    assert stages("stages: {a: {foreach: [x], do: {cmd: y}}}", Closed()).keys() == {"a@x"}


@pytest.mark.parametrize(
    "text, faults",
    [
        ("vars: [gone.yaml]\n", ["dvc.yaml:1:8: there is no file gone.yaml"]),
        ("vars: [{x: '${y}'}]\n", ["dvc.yaml:1:12: 'vars' may not hold templates"]),
        ("vars: ['${y}.yaml']\n", ["dvc.yaml:1:8: 'vars' may not hold templates"]),
        (
            "vars: [{a: 2}]\nstages: {}\n",
            ["dvc.yaml:1:8: cannot redefine 'a' from 'vars[0]' as it already exists in"
             " 'params.yaml'"],
        ),
        (
            "stages:\n  s: {cmd: x, vars: [{a: 2}]}\n  t: {cmd: '${b}', deps: ['${c}']}\n# ${}\n",
            [
                "dvc.yaml:2:22: cannot redefine 'a' from 's.vars[0]' as it already exists in"
                " 'params.yaml'",
                "dvc.yaml:3:12: '${b}' is not defined",
                "dvc.yaml:3:27: '${c}' is not defined",
            ],
        ),
    ],
)  # fmt: skip
def test_faults_of_variables_are_told_at_their_place(text: str, faults: list[str]) -> None:
    assert refused(text, params(a=1)) == faults


# -- groups --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "over, names, items",
    [
        ("[x, 1, 2.5, true, null]", ["x", "1", "2.5", "true", "None"], "x 1 2.5 true None"),
        ("${plain}", ["x", "1", "True", "None"], "x 1 true None"),
        ("['${t}', true]", ["True", "true"], "true true"),
        ("{us: 1, 2: b, true: c}", ["us", "2", "true"], "1 b c"),
        ("${mapping}", ["uk", "us"], "1 2"),
        ("[]", [], ""),
    ],
)
def test_a_foreach_names_its_stages_as_dvc_does(over: str, names: list[str], items: str) -> None:
    folder = params(plain=["x", 1, True, None], t=True, mapping={"uk": 1, "us": 2})
    text = f"stages:\n  a:\n    foreach: {over}\n    do: {{cmd: 'run ${{item}}'}}\n"
    made = stages(text, folder)
    assert list(made) == [f"a@{name}" for name in names]
    assert " ".join(stage.cmds[0][4:] for stage in made.values()) == items
    assert all(stage.group == "a" for stage in made.values())


def test_items_that_are_lists_or_mappings_are_numbered() -> None:
    text = "stages: {a: {foreach: [{n: 1}, x], do: {cmd: run}}}"
    assert list(stages(text)) == ["a@0", "a@1"]
    text = "stages: {a: {foreach: '${l}', do: {cmd: 'run ${item.n}'}}}"
    made = stages(text, params(l=[{"n": 1}, {"n": 2}]))
    assert [stage.cmds for stage in made.values()] == [("run 1",), ("run 2",)]


@pytest.mark.parametrize(
    "axes, names",
    [
        ("{m: [cnn, xgb], f: [1, 2]}", ["cnn-1", "cnn-2", "xgb-1", "xgb-2"]),
        ("{m: [{a: 1}, [2]], f: [x]}", ["m0-x", "m1-x"]),
        ("{m: '${l}'}", ["True", "b"]),
        ("{m: '${d}', f: [1]}", ["p-1", "q-1"]),
        ("{m: []}", []),
        ("{}", []),
    ],
)
def test_a_matrix_names_its_stages_as_dvc_does(axes: str, names: list[str]) -> None:
    text = f"stages:\n  a:\n    matrix: {axes}\n    cmd: run ${{key}}\n"
    made = stages(text, params(l=[True, "b"], d={"p": 1, "q": 2}))
    assert list(made) == [f"a@{name}" for name in names]
    assert [stage.cmds[0] for stage in made.values()] == [f"run {name}" for name in names]


def test_an_axis_is_part_of_the_item() -> None:
    text = "stages: {a: {matrix: {m: [{n: 1}], f: [2]}, cmd: 'run ${item.m.n} ${item.f}'}}"
    assert stages(text)["a@m0-2"].cmds == ("run 1 2",)


def test_a_stage_for_each_file_has_for_key_what_the_wildcards_stand_for() -> None:
    text = """
        stages:
          a: {foreach: '${glob("d/*.txt")}', do: {cmd: "${item} ${key}", outs: ["${key}.o"]}}
    """
    made = compiled(text, folder=Folder(names=["d/a.txt", "d/b.c.txt"]))
    assert [stage.name for stage in made.stages] == ["a@a", "a@b.c"]
    assert made.stages[1].cmds == ("d/b.c.txt b.c",)
    assert made.globs == ("a",)


def test_a_pattern_among_dependencies_is_all_that_match() -> None:
    text = "stages: {a: {cmd: x, wdir: w, deps: ['${glob(\"*.in\")}', b]}}"
    made = compiled(text, folder=Folder(names=["1.in", "2.in"]))
    assert made.stages[0].deps == ("w/1.in", "w/2.in", "w/b")
    assert made.matched == ("w/1.in", "w/2.in")


@pytest.mark.parametrize(
    "stage, fault",
    [
        ("{foreach: [x, x], do: {cmd: y}}", "two items would both be the stage 'a@x'"),
        ("{foreach: [1, '1'], do: {cmd: y}}", "1 and '1' would both be the stage 'a@1'"),
        ("{foreach: [x@y], do: {cmd: y}}", "'x@y' cannot be part of a stage's name"),
        ('{foreach: ["x\\ny"], do: {cmd: y}}', "'x\\ny' cannot be part of a stage's name"),
        ("{foreach: abc, do: {cmd: y}}", "'foreach' takes a list or a mapping, not 'abc'"),
        ("{foreach: , do: {cmd: y}}", "'foreach' takes a list or a mapping, not ''"),
        ("{foreach: '${n}', do: {cmd: y}}", "'foreach' takes a list or a mapping, not 5"),
        ("{foreach: [x]}", "stage 'a' has no 'do' to its 'foreach'"),
        ("{do: {cmd: y}}", "stage 'a' has no 'foreach' to its 'do'"),
        ("{foreach: [x], do: {cmd: y}, cmd: z}", "'cmd' cannot stand beside the others"),
        ("{foreach: [x], do: {cmd: y}, matrix: {}}", "'matrix' cannot stand beside the others"),
        ("{matrix: {m: abc}, cmd: y}", "axis 'm' of the matrix must be a list, not 'abc'"),
        ("{matrix: {m: 5}, cmd: y}", "matrix.m must be a list, not '5'"),
        ("{matrix: {m: {x: 1}}, cmd: y}", "matrix.m must be a list, not a mapping"),
        ("{matrix: '${l}', cmd: y}", "'matrix' must be a mapping"),
        ("{matrix: {m: '${n}'}, cmd: y}", "axis 'm' of the matrix must be a list, not 5"),
        ("{matrix: {m: [x-y, x], n: [z, y-z]}, cmd: y}", "would both be the stage 'a@x-y-z'"),
        ("{matrix: {m: '${big}', n: '${big}'}, cmd: y}", "a matrix of 1,000,000 stages"),
    ],
)
def test_a_group_that_cannot_be_is_refused_in_one_line(stage: str, fault: str) -> None:
    (message,) = refused(f"stages:\n  a: {stage}\n", params(n=5, l=[1], big=list(range(1000))))
    assert message.startswith("dvc.yaml:2:")
    assert fault in message


def test_a_fault_in_a_template_is_told_once_for_a_whole_group() -> None:
    text = "stages:\n  a:\n    foreach: [x, y, z]\n    do: {cmd: '${nope}', deps: ['${no}']}\n"
    assert refused(text) == [
        "dvc.yaml:4:15: '${nope}' is not defined",
        "dvc.yaml:4:33: '${no}' is not defined",
    ]


def test_the_body_of_an_empty_group_is_checked_all_the_same() -> None:
    (message,) = refused("stages:\n  a:\n    foreach: []\n    do: {cmd: x, outz: [y]}\n")
    assert message == "dvc.yaml:4:18: unknown key 'outz' in 'do' of stage 'a'"


# -- what is no fault and should be known --------------------------------------------------


@pytest.mark.parametrize(
    "text, note",
    [
        ("stages: {a: {foreach: [], do: {cmd: x}}}", "'a' makes no stages"),
        ("stages: {a: {matrix: {}, cmd: x}}", "'a' makes no stages"),
        ("stages: {a: {foreach: ['${item}'], do: {cmd: x}}}", "the variable 'item' is hidden"),
        (
            "stages: {a: {foreach: {k: '${item}'}, do: {cmd: x}}}",
            "the variables 'item' and 'key' are hidden",
        ),
        ("stages: {a: {foreach: [x], do: {cmd: x, matrix: {}}}}", "'matrix' has no effect"),
        (
            "stages:\n  a:\n    cmd: |\n      for i in 1 2\n      do echo\n      done",
            "'for i in 1 2'",
        ),
        ("stages:\n  a:\n    cmd: |\n      cd x\n      run", "'cd x'"),
        ("stages:\n  a:\n    cmd: |\n      run \\\n        --x", "every line of 'cmd'"),
    ],
)
def test_what_may_surprise_is_noted_with_its_place(text: str, note: str) -> None:
    (found,) = compiled(text, folder=params(item=1, key=2)).notes
    assert found.startswith("dvc.yaml:") and note in found


def test_lines_are_commands_unless_the_stage_asks_for_a_script() -> None:
    text = "stages:\n  a:\n    cmd: |\n      cd x\n      run\n"
    assert stages(text)["a"].cmds == ("cd x", "run")
    script = text + "    meta: {dodo: {script: true}}\n"
    assert stages(script)["a"].cmds == ("cd x\nrun\n",)
    assert compiled(script).notes == ()


def test_settings_of_dvc_say_how_a_mapping_becomes_arguments() -> None:
    folder = Folder({"params.yaml": {"d": {"f": False}}}, arguments=Arguments("boolean_optional"))
    assert stages("stages: {a: {cmd: 'run ${d}'}}", folder)["a"].cmds == ("run --no-f",)


# -- outputs -------------------------------------------------------------------------------


def test_an_output_named_again_the_same_way_adds_its_options() -> None:
    text = "stages: {a: {cmd: x, outs: [o: {cache: false}, o: {persist: true}, o]}}"
    (out,) = stages(text)["a"].outs
    assert (out.cache, out.persist) == (False, True)


def test_an_output_named_in_two_ways_is_refused() -> None:
    assert refused("stages: {a: {cmd: x, outs: [o, ./o]}}") == [
        "dvc.yaml:1:32: output 'o' is named more than once"
    ]
