"""`dvcyaml`: each key of a dvc.yaml, and each way to get one wrong."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from dodo_exp.errors import BadInput
from dodo_exp.pipeline.model import Out, ParamDep, Stage, pipeline_file_of
from tests.pipeline.kit import compiled as parse
from tests.space import told

FILE = "dvc.yaml"


def stage(body: str, file: str = FILE) -> Stage:
    """The stage `a` with these lines besides `cmd`, which begin on line 4."""
    (made,) = parse(text_of(body), file).stages
    return made


def text_of(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"stages:\n  a:\n    cmd: run\n{lines}"


def out(path: str, role: str = "out", **options: Any) -> Out:
    given: dict[str, Any] = {"cache": True, "persist": False, "checkpoint": False, "plot": {}}
    return Out(path=path, role=role, **{**given, **options})


def refused(text: str, file: str = FILE) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(text, file)
    return caught.value


# -- the whole file ------------------------------------------------------------------------

FULL = """\
metrics: [scores.json]
params: [more.yaml]
plots:
- loss.csv:
    x: step
x-anything: {goes: here}
artifacts:
  model: {path: model.txt}
stages:
  train:
    desc: fits
    cmd:
    - echo one
    - echo two
    wdir: src
    deps: [train.py, ../data]
    params:
    - lr
    - other.yaml: [a, b.c]
    outs:
    - model.txt
    - big:
        cache: false
        persist: true
        checkpoint: true
        remote: r
        push: false
        desc: d
        type: t
        labels: [l]
        meta: {m: 1}
    metrics:
    - m.json: {cache: false}
    plots:
    - p.csv: {x: a, y: b, title: T}
    frozen: true
    always_changed: true
    meta: {who: me}
"""


def test_every_key_of_a_stage_is_read() -> None:
    (made,) = parse(FULL).stages
    assert made == Stage(
        name="train",
        file="dvc.yaml",
        line=10,
        cmds=("echo one", "echo two"),
        wdir="src",
        deps=("src/train.py", "data"),
        params=(ParamDep("src/params.yaml", ("lr",)), ParamDep("src/other.yaml", ("a", "b.c"))),
        outs=(
            out("src/model.txt"),
            out("src/big", cache=False, persist=True, checkpoint=True),
            out("src/m.json", "metric", cache=False),
            out("src/p.csv", "plot", plot={"x": "a", "y": "b", "title": "T"}),
        ),
        frozen=True,
        always=True,
        desc="fits",
        meta={"who": "me"},
    )


def test_every_key_of_the_file_is_read() -> None:
    made = parse(FULL, "sub/dvc.yaml")
    assert made.path == "sub/dvc.yaml"
    assert made.metrics == ("sub/scores.json",)
    assert made.params == ("sub/more.yaml",)
    assert made.plots == ({"loss.csv": {"x": "step"}},)


def test_a_stage_has_defaults() -> None:
    assert stage("") == Stage("a", "dvc.yaml", 2, ("run",), ".", (), (), (), False, False, "", None)


def test_a_pipeline_file_survives_the_cache() -> None:
    made = parse(FULL)
    assert pipeline_file_of(msgpack.unpackb(msgpack.packb(made))) == made


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "stages:\n", "stages: {}\n", "~"])
def test_a_file_without_stages_is_allowed(text: str) -> None:
    assert parse(text).stages == ()


def test_stages_stay_in_the_order_they_are_written_in() -> None:
    text = "stages:\n  b: {cmd: x}\n  a: {cmd: x}\n  c: {cmd: x}\n"
    assert [made.name for made in parse(text).stages] == ["b", "a", "c"]
    assert [made.line for made in parse(text).stages] == [2, 3, 4]


def test_stages_may_share_what_an_anchor_names() -> None:
    text = (
        "x-common: &common\n  deps: [d]\n  frozen: true\n"
        "stages:\n  a:\n    <<: *common\n    cmd: x\n    frozen: false\n"
    )
    (made,) = parse(text).stages
    assert (made.deps, made.frozen) == (("d",), False)


# -- commands ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cmd, cmds",
    [
        ("run it", ("run it",)),
        ("\n    - a\n    - b c", ("a", "b c")),
        ("|\n      one\n\n      two", ("one", "two")),
        (">-\n      one\n      two", ("one two",)),
        ("'yes'", ("yes",)),
        ("echo $HOME", ("echo $HOME",)),
        (r"echo \${x}", ("echo ${x}",)),
        ("['a', ' ']", ("a",)),
    ],
)
def test_a_command_is_a_text_by_its_lines_or_a_list(cmd: str, cmds: tuple[str, ...]) -> None:
    (made,) = parse(f"stages:\n  a:\n    cmd: {cmd}\n").stages
    assert made.cmds == cmds


@pytest.mark.parametrize("cmd", ["''", "[]", "' '", "['', ' ']", "|\n\n"])
def test_an_empty_command_is_refused(cmd: str) -> None:
    assert told(refused(f"stages:\n  a:\n    cmd: {cmd}\n")) == (
        "dvc.yaml:3: stage 'a' has an empty 'cmd'"
    )


@pytest.mark.parametrize("body", ["{}", "{deps: [x]}", "\n    frozen: true"])
def test_a_stage_without_a_command_is_refused(body: str) -> None:
    assert told(refused(f"x-a: 1\nstages:\n  a: {body}\n")) == (
        "dvc.yaml:3: stage 'a' has no 'cmd'"
    )


# -- paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, path",
    [
        ("a", "a"),
        ("./a", "a"),
        ("a/", "a"),
        ("b/../a", "a"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a/b/..", "a"),
        ("/tmp/./a", "/tmp/a"),
        ("//tmp/a", "/tmp/a"),
        ("a b", "a b"),
        ("ä/雪", "ä/雪"),
        (".", "."),
        ("..a", "..a"),
    ],
)
def test_a_path_is_tidied(written: str, path: str) -> None:
    assert stage(f"deps: ['{written}']").deps == (path,)


@pytest.mark.parametrize(
    "file, wdir, folder, dep",
    [
        ("dvc.yaml", None, ".", "x"),
        ("dvc.yaml", ".", ".", "x"),
        ("dvc.yaml", "src/", "src", "src/x"),
        ("sub/dvc.yaml", None, "sub", "sub/x"),
        ("sub/dvc.yaml", "deep", "sub/deep", "sub/deep/x"),
        ("sub/dvc.yaml", "..", ".", "x"),
        ("sub/dvc.yaml", "../other", "other", "other/x"),
    ],
)
def test_paths_are_relative_to_wdir_and_wdir_to_the_file(
    file: str, wdir: str | None, folder: str, dep: str
) -> None:
    head = "" if wdir is None else f"wdir: {wdir}\n"
    made = stage(f"{head}deps: [x]\nouts: [y]\nparams: [lr, {{p.yaml: }}]", file)
    beside = folder + "/" if folder != "." else ""
    assert made.wdir == folder
    assert made.deps == (dep,)
    assert made.outs == (out(f"{beside}y"),)
    assert made.params == (
        ParamDep(f"{beside}params.yaml", ("lr",)),
        ParamDep(f"{beside}p.yaml", ()),
    )


@pytest.mark.parametrize(
    "file, wdir", [("dvc.yaml", ".."), ("dvc.yaml", "/tmp"), ("sub/dvc.yaml", "../../x")]
)
def test_a_wdir_outside_the_project_is_refused(file: str, wdir: str) -> None:
    assert told(refused(text_of(f"wdir: {wdir}"), file)) == (
        f"{file}:4: 'wdir' leads outside the project: {wdir!r}"
    )


def test_the_same_dependency_twice_counts_once() -> None:
    assert stage("deps: [x, ./x, y, z/../x]").deps == ("x", "y")


@pytest.mark.parametrize("url", ["s3://b/x/../y.dvc", "https://h/x", "remote://r/x", "ds://x"])
def test_a_dependency_elsewhere_is_taken_as_written(url: str) -> None:
    assert stage(f"wdir: sub\ndeps:\n- x\n- {url}").deps == ("sub/x", url)


def test_an_output_elsewhere_is_refused() -> None:
    assert "is not a path" in told(refused(text_of("outs:\n- s3://b/x")))


@pytest.mark.parametrize("key", ["deps", "outs", "metrics", "plots"])
def test_an_empty_path_is_refused(key: str) -> None:
    assert told(refused(text_of(f"{key}: ['']"))) == "dvc.yaml:4: an empty path"


@pytest.mark.parametrize("path", ["x" * 256, "d/" + "ä" * 128, "d/" * 2001])
def test_a_path_that_no_file_system_takes_is_refused(path: str) -> None:
    assert told(refused(text_of(f"outs: ['{path}']"))).startswith(
        "dvc.yaml:4: a path that no file system takes: "
    )


# -- outputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["cache", "persist", "checkpoint"])
@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key, role", [("outs", "out"), ("metrics", "metric"), ("plots", "plot")])
def test_each_output_has_options_of_its_own(option: str, value: bool, key: str, role: str) -> None:
    made = stage(f"{key}:\n- x\n- y: {{{option}: {str(value).lower()}}}\n- z")
    assert made.outs == (out("x", role), out("y", role, **{option: value}), out("z", role))


def test_one_item_may_hold_several_outputs() -> None:
    made = stage("outs:\n- x: {cache: false}\n  y: {persist: true}")
    assert made.outs == (out("x", cache=False), out("y", persist=True))


def test_a_plot_keeps_its_options_as_written() -> None:
    options = {"template": "t", "x": "a", "y": "b", "x_label": "A", "y_label": "B", "title": "T"}
    given = ", ".join(f"{key}: {value}" for key, value in options.items())
    made = stage(f"plots: [p.csv: {{{given}, header: false, cache: false}}]")
    assert made.outs == (out("p.csv", "plot", cache=False, plot={**options, "header": False}),)


@pytest.mark.parametrize("option", ["x", "y", "template", "header"])
def test_a_plot_option_on_another_output_is_refused(option: str) -> None:
    error = refused(text_of(f"outs:\n- o:\n    {option}: a"))
    assert told(error) == f"dvc.yaml:6: unknown key {option!r} in output 'o'"


@pytest.mark.parametrize("key", ["metrics", "plots"])
def test_an_output_in_two_lists_of_a_stage_is_refused(key: str) -> None:
    assert "'x'" in told(refused(text_of(f"outs: [x]\n{key}: [./x]")))


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
@pytest.mark.parametrize("key", ["outs", "metrics", "plots"])
def test_an_output_outside_the_project_is_refused_unless_only_watched(path: str, key: str) -> None:
    error = refused(text_of(f"{key}:\n- {path}"))
    assert told(error) == f"dvc.yaml:5: output {path!r} lies outside the project"
    assert error.hint is not None and "cache: false" in error.hint
    (watched,) = stage(f"{key}:\n- {path}: {{cache: false}}").outs
    assert watched.path in ("../x", "/x")


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "./",
        "a/..",
        "dvc.yaml",
        "sub/dvc.yaml",
        "dvc.lock",
        "dodo.lock",
        ".dvcignore",
        ".gitignore",
        ".dodoignore",
        "data.dvc",
        ".dodo",
        ".dodo/objects",
        ".git/hooks/x",
        ".dvc/config",
        ".hg",
        ".svn/x",
        "x/../.git/y",
    ],
)
def test_a_protected_path_is_not_an_output(path: str) -> None:
    assert told(refused(text_of(f"outs:\n- {path}"))) == (
        f"dvc.yaml:5: output {path!r} is a protected path"
    )


@pytest.mark.parametrize("path", [".gitx", "git/x", "..x", "dvc.yaml.txt", "my.dvc/x", ".env"])
def test_a_path_that_only_looks_protected_is_an_output(path: str) -> None:
    assert stage(f"outs: [{path}]").outs == (out(path),)


# -- params --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, deps",
    [
        ("[lr]", [("params.yaml", ("lr",))]),
        ("[lr, train.opt, layers.0]", [("params.yaml", ("lr", "train.opt", "layers.0"))]),
        ("[lr, lr]", [("params.yaml", ("lr",))]),
        ("[p.yaml: [a], q.yaml: [b]]", [("p.yaml", ("a",)), ("q.yaml", ("b",))]),
        ("[p.yaml: [a], ./p.yaml: [b]]", [("p.yaml", ("a", "b"))]),
        ("[{p.yaml: [a], q.yaml: }]", [("p.yaml", ("a",)), ("q.yaml", ())]),
        ("[p.yaml: ]", [("p.yaml", ())]),
        ("[p.yaml: []]", [("p.yaml", ())]),
        ("[p.yaml: {}]", [("p.yaml", ())]),
        ("[p.yaml: ~]", [("p.yaml", ())]),
        ("[lr, params.yaml: ]", [("params.yaml", ())]),
        ("[params.yaml: , lr]", [("params.yaml", ())]),
        ("[lr, params.yaml: [seed]]", [("params.yaml", ("lr", "seed"))]),
        ("['on', 'p.yaml:a']", [("params.yaml", ("on", "p.yaml:a"))]),
        ("[]", []),
    ],
)
def test_params_are_keys_of_a_file_or_the_whole_file(
    written: str, deps: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert stage(f"params: {written}").params == tuple(ParamDep(*dep) for dep in deps)


# -- wrong types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("- a\n", "dvc.yaml:1: dvc.yaml must be a mapping"),
        ("text\n", "dvc.yaml:1: dvc.yaml must be a mapping"),
        ("stages: [a]\n", "dvc.yaml:1: 'stages' must be a mapping"),
        ("stages: 5\n", "dvc.yaml:1: 'stages' must be a mapping"),
        ("stages:\n  a: 5\n", "dvc.yaml:2: stage 'a' must be a mapping"),
        ("stages:\n  a:\n", "dvc.yaml:2: stage 'a' must be a mapping"),
        ("stages:\n  a: [x]\n", "dvc.yaml:2: stage 'a' must be a mapping"),
        ("x-y: 1\nmetrics: m\n", "dvc.yaml:2: 'metrics' must be a list"),
        ("x-y: 1\nmetrics:\n- 5\n", "dvc.yaml:3: an item of 'metrics' must be text, not '5'"),
        ("params: {a: b}\n", "dvc.yaml:1: 'params' must be a list"),
        ("params:\n", "dvc.yaml:1: 'params' must be a list"),
        ("plots: {a: b}\n", "dvc.yaml:1: 'plots' must be a list"),
        ("plots:\n", "dvc.yaml:1: 'plots' must be a list"),
        ("stages:\n  a:\n    cmd: 5\n", "dvc.yaml:3: 'cmd' must be text, not '5'"),
        ("stages:\n  a:\n    cmd: true\n", "dvc.yaml:3: 'cmd' must be text, not 'true'"),
        ("stages:\n  a:\n    cmd: {x: y}\n", "dvc.yaml:3: 'cmd' must be text, not a mapping"),
        (
            "stages:\n  a:\n    cmd:\n    - x\n    - 5\n",
            "dvc.yaml:5: an item of 'cmd' must be text, not '5'",
        ),
        (
            "stages:\n  a:\n    cmd:\n    - [x]\n",
            "dvc.yaml:4: an item of 'cmd' must be text, not a list",
        ),
    ],
)
def test_a_wrong_type_is_refused_with_its_line(text: str, message: str) -> None:
    assert told(refused(text)) == message


@pytest.mark.parametrize(
    "body, message",
    [
        ("wdir: 5", "4: 'wdir' must be text, not '5'"),
        ("wdir: [x]", "4: 'wdir' must be text, not a list"),
        ("deps: x", "4: 'deps' must be a list"),
        ("deps:", "4: 'deps' must be a list"),
        ("deps: {x: y}", "4: 'deps' must be a list"),
        ("deps:\n- 5", "5: an item of 'deps' must be text, not '5'"),
        ("deps:\n- x: y", "5: an item of 'deps' must be text, not a mapping"),
        ("deps:\n- [x]", "5: an item of 'deps' must be text, not a list"),
        ("params: lr", "4: 'params' must be a list"),
        ("params: {p.yaml: [a]}", "4: 'params' must be a list"),
        ("params:\n- 5", "5: an item of 'params' must be text, not '5'"),
        ("params:\n- [lr]", "5: an item of 'params' must be a mapping"),
        ("params:\n- p.yaml: a", "5: the params of 'p.yaml' must be a list of keys"),
        ("params:\n- p.yaml: {a: 1}", "5: the params of 'p.yaml' must be a list of keys"),
        ("params:\n- p.yaml:\n  - a\n  - 5", "7: a params key must be text, not '5'"),
        ("params:\n- 5: [a]", "5: a params file's name must be text, not '5'"),
        ("outs: x", "4: 'outs' must be a list"),
        ("outs: {x: {cache: false}}", "4: 'outs' must be a list"),
        ("metrics: x", "4: 'metrics' must be a list"),
        ("plots: x", "4: 'plots' must be a list"),
        ("outs:\n- 5", "5: an output's path must be text, not '5'"),
        ("outs:\n- [x]", "5: an item of 'outs' must be a mapping"),
        ("outs:\n- x: 5", "5: output 'x' must be a mapping"),
        ("outs:\n- x: [cache]", "5: output 'x' must be a mapping"),
        ("outs:\n- x:\n    cache: 1", "6: 'cache' must be true or false, not 1"),
        ("outs:\n- x:\n    cache: yes", "6: 'cache' must be true or false, not 'yes'"),
        ("outs:\n- x:\n    persist:", "6: 'persist' must be true or false, not None"),
        (
            "outs:\n- x:\n    checkpoint: 'true'",
            "6: 'checkpoint' must be true or false, not 'true'",
        ),
        ("frozen: on", "4: 'frozen' must be true or false, not 'on'"),
        ("frozen:", "4: 'frozen' must be true or false, not None"),
        ("always_changed: 1", "4: 'always_changed' must be true or false, not 1"),
        ("desc: 5", "4: 'desc' must be text, not '5'"),
        ("desc: [x]", "4: 'desc' must be text, not a list"),
    ],
)
def test_a_wrong_type_in_a_stage_is_refused_with_its_line(body: str, message: str) -> None:
    assert told(refused(text_of(body))) == f"dvc.yaml:{message}"


def test_a_key_that_is_no_list_comes_with_a_hint() -> None:
    assert refused(text_of("deps: x")).hint == "begin each item with '- '"


# -- unknown keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("stage: {}\n", "dvc.yaml:1: unknown key 'stage' in dvc.yaml", "did you mean 'stages'?"),
        (
            "metrics: []\nzzz: 1\n",
            "dvc.yaml:2: unknown key 'zzz' in dvc.yaml",
            "known: artifacts, datasets, metrics, params, plots, stages, vars",
        ),
        ("5: 1\n", "dvc.yaml:1: unknown key 5 in dvc.yaml", None),
        (text_of("outz: [x]"), "dvc.yaml:4: unknown key 'outz' in stage 'a'", "outs"),
        (
            text_of("deps: [x]\nparam: [x]"),
            "dvc.yaml:5: unknown key 'param' in stage 'a'",
            "params",
        ),
        (text_of("x-mine: 1"), "dvc.yaml:4: unknown key 'x-mine' in stage 'a'", None),
        (
            text_of("outs:\n- o:\n    push: true\n    cachee: 1"),
            "dvc.yaml:7: unknown key 'cachee' in output 'o'",
            "did you mean 'cache'?",
        ),
        (
            text_of("plots:\n- p:\n    xlabel: a"),
            "dvc.yaml:6: unknown key 'xlabel' in output 'p'",
            "did you mean 'x_label'?",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(
    text: str, message: str, hint: str | None
) -> None:
    error = refused(text)
    assert told(error) == message
    assert hint is None or (error.hint is not None and hint in error.hint)


def test_a_duplicate_key_is_refused_naming_both_lines() -> None:
    assert told(refused(text_of("deps: [x]\ndeps: [y]"))) == (
        "dvc.yaml:5: duplicate key 'deps', first on line 4"
    )
    assert told(refused("stages:\n  a: {cmd: x}\n  b: {cmd: x}\n  a: {cmd: y}\n")) == (
        "dvc.yaml:4: duplicate key 'a', first on line 2"
    )


# -- stage names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("train", "a.b", "a-b", "a_b", "'5'", "é", "a b", "x" * 120),
        *("a/b", "a:b", r"'a\b'", "'-a'", ".a", "..", "../x", "dvc.yaml", "'a:'", "':a'"),
    ],
)
def test_a_stage_name_may_be(name: str) -> None:
    (made,) = parse(f"stages:\n  {name}: {{cmd: x}}\n").stages
    assert made.name == name.strip("'")


@pytest.mark.parametrize(
    "name",
    [
        "a@b",
        r'"a\nb"',
        r'"a\u202eb"',
        "''",
        "5",
        "true",
        "~",
    ],
)
def test_a_stage_name_may_not_be(name: str) -> None:
    assert told(refused(f"stages:\n  ok: {{cmd: x}}\n  {name}: {{cmd: x}}\n")).startswith(
        "dvc.yaml:3: "
    )


# -- what follows from a stage -------------------------------------------------------------


def test_a_stage_of_another_file_is_called_by_its_file() -> None:
    assert stage("").address == "a"
    assert stage("", "sub/dvc.yaml").address == "sub/dvc.yaml:a"


@pytest.mark.parametrize(
    "body, always",
    [
        ("", True),
        ("deps: [x]", False),
        ("outs: [x]", False),
        ("params: [x]", False),
        ("outs: [x]\nalways_changed: true", True),
    ],
)
def test_a_stage_with_nothing_to_compare_always_runs(body: str, always: bool) -> None:
    assert stage(body).runs_always is always


@pytest.mark.parametrize(
    "body, cacheable",
    [
        ("deps: [x]\nouts: [y]", True),
        ("params: [x]\nouts: [y]", True),
        ("outs: [y]", False),
        ("deps: [x]", False),
        ("deps: [x]\nouts: [y: {cache: false}]", False),
        ("deps: [x]\nouts: [y]\nmetrics: [m: {cache: false}]", True),
        ("deps: [x]\nouts: [y]\nplots: [p: {cache: false}]", True),
        ("deps: [x]\nouts: [y: {persist: true}]", False),
        ("deps: [x]\nouts: [y: {checkpoint: true}]", False),
        ("deps: [x]\nouts: [y]\nalways_changed: true", False),
        ("deps: [x]\nouts: [y]\nfrozen: true", True),
    ],
)
def test_a_result_is_kept_by_dvcs_rules(body: str, cacheable: bool) -> None:
    assert stage(body).is_cacheable is cacheable
