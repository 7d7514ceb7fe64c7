"""A dvc.yaml that cannot be meant: told by place, with a way out, before anything runs."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.space import Space

RUN = "echo ran >> ../runs.log"
EMPTY = "There are no stages in this project.\n"
WATCHED = "an output outside is only watched, with 'cache: false'"
DASH = "hint: begin each item with '- '"
PAIR = "hint: write 'key: value'"
QUOTE_5 = 'hint: quote it: "5"'
NAMES = "hint: anything but '@' and control characters"


def one(*lines: str, cmd: str = RUN) -> str:
    """A dvc.yaml with a stage `a`; *lines* follow its `cmd`, from line 4 on."""
    return f"stages:\n  a:\n    cmd: {cmd}\n" + "".join(f"    {line}\n" for line in lines)


def rows(*stages: tuple[str, str, str]) -> str:
    """A dvc.yaml with a stage a line, from line 2 on: name, dependencies, outputs."""
    return "stages:\n" + "".join(
        f"  {name}: {{cmd: {RUN}, deps: [{deps}], outs: [{outs}]}}\n" for name, deps, outs in stages
    )


def refused(space: Space, *args: str) -> str:
    """What `dodo ARGS`, or `dodo repro`, says as it ends with 2; nothing ran or changed."""
    before = space.tree()
    ran = space.dodo(*(args or ("repro",)), code=2)
    assert ran.out == ""
    assert space.runs == []
    assert space.tree() == before
    return ran.err


def refused_each(space: Space, cases: dict[str, str]) -> None:
    """Each text is the dvc.yaml of a folder of its own; all are told at once, in order."""
    (space.root / ".dvc").mkdir()
    for i, text in enumerate(cases):
        space.write(f"f{i:02}/dvc.yaml", text)
    told = [f"error: f{i:02}/dvc.yaml:{each}\n" for i, each in enumerate(cases.values())]
    assert refused(space).splitlines() == "".join(told).splitlines()


def failed(space: Space, *args: str) -> str:
    """The last error that `dodo repro ARGS` tells as it ends with 1."""
    said = space.dodo("repro", *args, code=1).err
    return "".join(line for line in said.splitlines(True) if line.startswith("error: "))


def listed(space: Space) -> list[Any]:
    """Every stage as `dodo stage list` has it."""
    found: list[Any] = space.dodo("stage", "list", "--json").json
    return found


# -- no stages -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "stages:\n", "stages: {}\n"])
def test_a_file_without_stages_is_no_fault(space: Space, text: str) -> None:
    space.write("dvc.yaml", text)
    assert space.dodo("repro").err == ""
    assert space.dodo("status").out == EMPTY


@pytest.mark.parametrize("text", ["", "# the work\nstages:\n"])
def test_a_run_of_no_stages_says_that_there_are_none(space: Space, text: str) -> None:
    space.write("dvc.yaml", text)
    assert space.dodo("repro").out == "There are no stages to run.\n"
    assert "there are no stages to run" in space.dodo("exp", "run").out
    assert space.dodo("exp", "run", "--temp").err.count("error") == 0


# -- what is no dvc.yaml at all ------------------------------------------------------------


def test_a_file_of_another_shape_is_refused(space: Space) -> None:
    refused_each(
        space,
        {
            "- a\n": f"1:1: dvc.yaml must be a mapping\n{PAIR}",
            "42\n": f"1:1: dvc.yaml must be a mapping\n{PAIR}",
            "text\n": f"1:1: dvc.yaml must be a mapping\n{PAIR}",
            "stages: []\n": f"1:9: 'stages' must be a mapping\n{PAIR}",
            "stages:\n- a: {cmd: ls}\n": f"2:1: 'stages' must be a mapping\n{PAIR}",
            "stages:\n  a: ls\n": f"2:6: stage 'a' must be a mapping\n{PAIR}",
        },
    )


@pytest.mark.parametrize(
    "text, place, hint",
    [
        ("stages:\n\ta:\n\t\tcmd: ls\n", "2:1", "indent with spaces: YAML allows no tabs there"),
        ("stages:\n  a:\n    cmd: ls: x\n", "3:12", "text with ': ' in it needs quotes"),
        ("stages:\n  a:\n    cmd: *ls\n", "3:10", "text that begins with '*' needs quotes"),
        ("stages: {}\n---\nstages: {}\n", "2:1", ""),
        ("{% if x %}\nstages: {}\n{% endif %}\n", "1:2", ""),
        (
            f"{one()}<<<<<<< HEAD\n    outs: [o]\n=======\n    outs: [p]\n>>>>>>> other\n",
            "5:9",
            "there are merge conflict markers in it",
        ),
        (
            "stages:\n  a:\n    cmd: 'ls\n    outs: [o]\n",
            *("3:10", "a quote or a bracket is not closed"),
        ),
        (
            "stages:\n  a:\n    outs: [o\n    cmd: ls\n",
            *("3:11", "a bracket is not closed, or a ',' is missing"),
        ),
        (
            "stages:\n  a:\n    outs: [o: {cache: false]\n    cmd: ls\n",
            *("3:15", "a bracket is not closed, or a ',' is missing"),
        ),
    ],
)
def test_what_is_not_yaml_is_told_by_place(space: Space, text: str, place: str, hint: str) -> None:
    space.write("dvc.yaml", text)
    told = refused(space)
    assert told.startswith(f"error: dvc.yaml:{place}: ")
    assert told.count("\n") == (2 if hint else 1)
    assert told.endswith(f"\nhint: {hint}\n" if hint else "\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfstages:\n  a:\n    cmd: echo hi\n    outs:\n    - o\n",
        b"stages:\r\n  a:\r\n    cmd: echo hi\r\n    outs:\r\n    - o\r\n",
        b"stages:\r  a:\r    cmd: echo hi\r    outs:\r    - o\r",
        b"%YAML 1.2\n---\nstages: {a: {cmd: echo hi, outs: [o]}}\n...\n",
    ],
)
def test_a_byte_order_mark_and_any_line_end_are_read(space: Space, data: bytes) -> None:
    (space.root / "dvc.yaml").write_bytes(data)
    (stage,) = listed(space)
    assert (stage["cmd"], stage["outs"][0]["path"]) == (["echo hi"], "o")


def test_text_that_cannot_be_meant_is_refused(space: Space) -> None:
    refused_each(
        space,
        {
            "stages:\n  a:\n    cmd: 'ec\0ho'\n": "3: a NUL byte in the text",
            'stages:\n  a:\n    cmd: "\\0"\n': "3:10: a NUL character in a command",
            one('outs: ["o\\0"]'): "4:12: a NUL character in a path: 'o\\x00'",
            one('wdir: "w\\0"'): "4:11: a NUL character in a path: 'w\\x00'",
            one(cmd="a\u2028b"): "3: the invisible character U+2028 in the text",
            "stages: {}\n# a\u2029b\n": "2: the invisible character U+2029 in the text",
            one(cmd="{{ cookiecutter.cmd }}"): "3:10: 'cmd' must be text, not a mapping",
        },
    )


@pytest.mark.parametrize(
    "data, line", [(b"stages:\n  a:\n    cmd: ec\xffho\n", 3), ("stages: {}".encode("utf-16"), 1)]
)
def test_what_is_not_utf_8_is_refused(space: Space, data: bytes, line: int) -> None:
    (space.root / "dvc.yaml").write_bytes(data)
    assert refused(space) == f"error: dvc.yaml:{line}: not UTF-8 text\n"


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


LOOP = (a_loop, "not a regular file")


@pytest.mark.parametrize(
    "make, told",
    [
        (a_folder, "not a regular file"),
        (a_pipe, "not a regular file"),
        (a_link_to_nothing, "a link that leads nowhere"),
        LOOP,
    ],
)
def test_a_dvc_yaml_that_is_no_file_is_told_and_not_opened(
    space: Space, make: Callable[[Path], None], told: str
) -> None:
    (space.root / ".dvc").mkdir()
    space.write("dvc.yaml", one())
    (space.root / "sub").mkdir()
    make(space.root / "sub" / "dvc.yaml")
    assert refused(space).startswith(f"error: sub/dvc.yaml: {told}")


@pytest.mark.parametrize("make", [a_folder, a_pipe, a_loop, a_link_to_nothing])
def test_a_dvc_yaml_that_is_no_file_is_not_said_to_be_missing(
    space: Space, make: Callable[[Path], None]
) -> None:
    make(space.root / "dvc.yaml")
    assert refused(space).startswith("error: dvc.yaml: ")


# A child of root's is given root's powers anew, unless they are taken from what it may have.
MERE_USER = """\
import ctypes, os, sys
for power in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-m", "dodo_exp", *sys.argv[1:]])
"""
needs_prctl = pytest.mark.skipif(
    os.getuid() == 0 and not hasattr(ctypes.CDLL(None), "prctl"), reason="root may read everything"
)


def as_a_mere_user(space: Space, *args: str) -> subprocess.CompletedProcess[str]:
    """Run `dodo ARGS` without root's power to read what has no permission."""
    return subprocess.run(
        [sys.executable, "-c", MERE_USER, *args],
        cwd=space.root,
        env=space.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


@needs_prctl
@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml"])
def test_a_file_that_may_not_be_read_is_bad_input(space: Space, name: str) -> None:
    space.write("dvc.yaml", one("params: [lr]"))
    space.write("params.yaml", "lr: 1\n")
    (space.root / name).chmod(0)
    done = as_a_mere_user(space, "repro")
    assert done.stderr == f"error: {name}: no permission to read it\n"
    assert done.returncode == 2


# -- keys ----------------------------------------------------------------------------------


def test_a_key_given_twice_is_told_with_both_lines(space: Space) -> None:
    refused_each(
        space,
        {
            f"{one()}  a: {{cmd: ls}}\n": "4:3: duplicate key 'a', first on line 2",
            one("cmd: ls"): "4:5: duplicate key 'cmd', first on line 3",
            one("meta:", "  x: 1", "  x: 2"): "6:7: duplicate key 'x', first on line 5",
            "stages: {}\nstages: {}\n": "2:1: duplicate key 'stages', first on line 1",
            "vars:\n- {x: 1, x: 2}\n": "2:10: duplicate key 'x', first on line 2",
            one("outs:", "- o: {cache: true, cache: true}"): (
                "5:24: duplicate key 'cache', first on line 5"
            ),
        },
    )


TOP = "known: artifacts, datasets, metrics, params, plots, stages, vars"
OUT = "known: cache, checkpoint, desc, labels, meta, persist, push, remote, type"


def test_keys_of_ones_own_and_keys_for_other_tools_are_accepted(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "x-mine: 1\nx-: {y: z}\nplots: [p.csv]\nmetrics: [m.json]\nparams: [p.yaml]\n"
        "artifacts: {model: {path: m}}\ndatasets: [{name: d, type: dc}]\n" + one(),
    )
    assert space.dodo("repro").out == "1 ran\n"


def test_a_forgotten_dash_is_told_where_it_belongs(space: Space) -> None:
    refused_each(
        space,
        {
            one("outs:", "  o"): f"5:7: 'outs' must be a list\n{DASH}",
            one("outs:", "  o:", "    cache: false"): f"5:7: 'outs' must be a list\n{DASH}",
            one("deps:", "  - d", "outs:", "  o: {cache: false}"): (
                f"7:7: 'outs' must be a list\n{DASH}"
            ),
        },
    )


def test_a_stage_without_a_command_is_refused(space: Space) -> None:
    cases = {
        "": "2:3: stage 'a' has no 'cmd'",
        "cmd:": "4:9: 'cmd' must be text, not empty",
        "cmd: ''": "4:10: stage 'a' has an empty 'cmd'",
        "cmd: '  '": "4:10: stage 'a' has an empty 'cmd'",
        "cmd: []": "4:10: stage 'a' has an empty 'cmd'",
        "cmd: ['', '']": "4:10: stage 'a' has an empty 'cmd'",
        "cmd: 5": f"4:10: 'cmd' must be text, not '5'\n{QUOTE_5}",
        "cmd: true": "4:10: 'cmd' must be text, not 'true'\nhint: quote it: \"true\"",
        "cmd: {a: b}": "4:10: 'cmd' must be text, not a mapping",
        "cmd: [[ls]]": "4:11: an item of 'cmd' must be text, not a list",
    }
    refused_each(
        space, {f"stages:\n  a:\n    outs: [o]\n    {line}\n": cases[line] for line in cases}
    )


# -- names of stages -----------------------------------------------------------------------


def test_a_name_that_could_mean_something_else_is_refused(space: Space) -> None:
    names = {"a@b": "a@b", '"a\\nb"': "a\nb", '"a\\u202eb"': "a\u202eb"}
    space.write("dvc.yaml", "stages:\n" + "".join(f"  {each}: {{cmd: {RUN}}}\n" for each in names))
    assert refused(space) == "".join(
        f"error: dvc.yaml:{line}:3: not a stage name: {name!r}\n{NAMES}\n"
        for line, name in enumerate(names.values(), 2)
    )


def test_a_name_that_is_no_word_is_refused(space: Space) -> None:
    names = {"''": "''", "5": "5", "1.5": "1.5", "true": "True", "~": "None"}
    space.write("dvc.yaml", "stages:\n" + "".join(f"  {each}: {{cmd: {RUN}}}\n" for each in names))
    assert refused(space) == "".join(
        f"error: dvc.yaml:{line}:3: a stage name must be a word, not {shown}\n"
        for line, shown in enumerate(names.values(), 2)
    )


def test_a_name_that_is_too_long_is_counted(space: Space) -> None:
    space.write("dvc.yaml", f"stages:\n  ? {'x' * 20_000}\n  : {{cmd: {RUN}}}\n")
    assert refused(space) == (
        "error: dvc.yaml:2:5: a stage name of 20000 characters; at most 10000\n"
    )


def test_names_that_dvc_takes_are_taken(space: Space) -> None:
    names = ["a b", "a-b_c.1", "__proto__", "größe", "x" * 300, "数据", "$(a)", "a*"]
    space.write(
        "dvc.yaml", "stages:\n" + "".join(f"  ? '{name}'\n  : {{cmd: {RUN}}}\n" for name in names)
    )
    assert set(space.repro().stages) == set(names)


@pytest.mark.parametrize("name", ["a ", " a"])
def test_a_name_with_a_space_at_its_end_is_warned_of(space: Space, name: str) -> None:
    space.write("dvc.yaml", f"stages:\n  a: {{cmd: {RUN}}}\n  '{name}': {{cmd: {RUN}}}\n")
    ran = space.repro()
    assert set(ran.stages) == {"a", name}
    told = f"warning: dvc.yaml:3:3: the stage name {name!r} begins or ends with a space\n"
    assert told in ran.err


# -- what stages read ----------------------------------------------------------------------


@pytest.mark.parametrize("args", [["repro"], ["repro", "--dry"], ["exp", "run"], ["repro", "b"]])
def test_what_nobody_makes_is_missed_before_anything_runs(space: Space, args: list[str]) -> None:
    space.write("dvc.yaml", rows(("a", "", "out.txt"), ("b", "raw.tx, out.tx", "o")))
    space.write("raw.txt", "")
    assert refused(space, *args) == (
        "error: dvc.yaml:3: stage 'b' needs 'out.tx', but no stage makes it and it is not there\n"
        "hint: did you mean 'out.txt'?\n"
        "error: dvc.yaml:3: stage 'b' needs 'raw.tx', but no stage makes it and it is not there\n"
        "hint: did you mean 'raw.txt'?\n"
    )


def test_what_is_missing_outside_the_project_is_told_too(space: Space) -> None:
    space.write("dvc.yaml", rows(("a", "/nowhere/x", "o")))
    assert refused(space).startswith(
        "error: dvc.yaml:2: stage 'a' needs '/nowhere/x', but no stage makes it"
    )


def test_a_full_path_into_the_project_is_a_path_of_the_project(space: Space) -> None:
    space.write("dvc.yaml", rows(("a", f"{space.root}/o", "p"), ("b", "", "o")))
    assert space.dodo("dag", "--json").json == {"a": ["b"], "b": []}


@pytest.mark.parametrize(
    "stages, told",
    [
        ([("a", "o", "o")], "stage 'a' reads 'o', which it makes"),
        ([("a", "d/f", "d")], "stage 'a' reads 'd/f', which it makes"),
        ([("a", "x", "y"), ("b", "y", "x")], "stages wait for each other: a <- b <- a"),
        ([("a", "d", "x"), ("b", "x", "d/f")], "stages wait for each other: a <- b <- a"),
        ([("a", "d/f", "x"), ("b", "x", "d")], "stages wait for each other: a <- b <- a"),
        (
            [(f"s{i}", f"f{i}", f"f{(i + 1) % 50}") for i in range(50)],
            "stages wait for each other: "
            + " <- ".join(["s0", *(f"s{i}" for i in range(49, -1, -1))]),
        ),
    ],
)
def test_a_circle_is_told_all_around(
    space: Space, stages: list[tuple[str, str, str]], told: str
) -> None:
    space.write("dvc.yaml", rows(*stages))
    assert refused(space) == f"error: dvc.yaml:2: {told}\n"


def test_a_circle_through_a_group_is_told_all_around(space: Space) -> None:
    space.write(
        "dvc.yaml",
        f"""\
        stages:
          g:
            foreach: [1, 2]
            do: {{cmd: {RUN}, deps: ['f${{item}}'], outs: ['o${{item}}']}}
          h: {{cmd: {RUN}, deps: [o2], outs: [f1]}}
          i: {{cmd: {RUN}, deps: [o1], outs: [f2]}}
        """,
    )
    assert refused(space) == (
        "error: dvc.yaml:2: stages wait for each other: g@1 <- h <- g@2 <- i <- g@1\n"
    )


# -- what stages make ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["o", "./o", "d/../o", "o/", "./d/.././o"])
def test_one_output_of_two_stages_is_refused_however_it_is_spelled(space: Space, path: str) -> None:
    space.write("dvc.yaml", rows(("a", "", "o"), ("b", "", path)))
    assert refused(space) == (
        "error: dvc.yaml:3: 'o' is made by stage 'b' and by 'a' (dvc.yaml:2)\n"
    )


@pytest.mark.parametrize("lines", [("outs: [o, ./o]",), ("metrics: [o, ./o]",)])
def test_one_output_named_twice_in_a_stage_is_refused(space: Space, lines: tuple[str, ...]) -> None:
    space.write("dvc.yaml", one(*lines))
    column = 4 + len(lines[0]) - len("./o]") + 1
    assert refused(space) == f"error: dvc.yaml:4:{column}: output 'o' is named more than once\n"


@pytest.mark.parametrize(
    "stages, line, inner, outer",
    [
        ([("a", "", "d"), ("b", "", "d/f")], 3, "b", "'a' (dvc.yaml:2)"),
        ([("a", "", "d/f"), ("b", "", "d")], 2, "a", "'b' (dvc.yaml:3)"),
        ([("a", "", "d, d/f")], 2, "a", "'a' (dvc.yaml:2)"),
    ],
)
def test_an_output_inside_another_is_refused(
    space: Space, stages: list[tuple[str, str, str]], line: int, inner: str, outer: str
) -> None:
    space.write("dvc.yaml", rows(*stages))
    assert refused(space) == (
        f"error: dvc.yaml:{line}: output 'd/f' of stage {inner!r}"
        f" lies inside an output of {outer}\n"
    )


def test_a_part_of_anothers_output_may_be_read(space: Space) -> None:
    space.write(
        "dvc.yaml",
        """\
        stages:
          b: {cmd: cp d/f g, deps: [d/f], outs: [g]}
          a: {cmd: mkdir d; echo 1 > d/f, outs: [d]}
        """,
    )
    assert space.dodo("repro").out == "2 ran\n"
    assert space.read("g") == "1\n"


def test_two_files_may_not_make_the_same_path(space: Space) -> None:
    (space.root / ".dvc").mkdir()
    space.write("a/dvc.yaml", rows(("s", "", "../c/o")))
    space.write("b/dvc.yaml", rows(("s", "", "../c")))
    assert refused(space) == (
        "error: a/dvc.yaml:2: output 'c/o' of stage 'a/dvc.yaml:s' lies inside an output of"
        " 'b/dvc.yaml:s' (b/dvc.yaml:2)\n"
    )
    space.write("b/dvc.yaml", rows(("s", "", "../c/./o")))
    assert refused(space) == (
        "error: b/dvc.yaml:2: 'c/o' is made by stage 'b/dvc.yaml:s' and by 'a/dvc.yaml:s'"
        " (a/dvc.yaml:2)\n"
    )


TWINS = [("A", "a"), (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))]


@pytest.mark.parametrize("pair", TWINS)
def test_outputs_that_are_one_to_other_systems_are_two_here(
    space: Space, pair: tuple[str, str]
) -> None:
    space.write(
        "dvc.yaml",
        "stages:\n"
        + "".join(f"  s{i}: {{cmd: touch {o}, outs: [{o}]}}\n" for i, o in enumerate(pair)),
    )
    if len({os.path.realpath(space.root / name) for name in pair}) == 2:
        assert space.dodo("repro").out == "2 ran\n"
        assert {path.name for path in space.root.iterdir()} >= set(pair)


def test_an_output_where_none_may_be_is_refused(space: Space) -> None:
    paths = {
        **dict.fromkeys(
            ("../o", "a/../../o", "/o", "//srv/o"),
            "lies outside the project\n"
            f"hint: the project begins in {space.root}, with the dvc.yaml; {WATCHED}",
        ),
        **dict.fromkeys(
            ("s3://bucket/o", "file:///o"), "is not a path: outputs are files and folders"
        ),
        **dict.fromkeys(
            (
                *(".", "d/..", ".git/hooks/post-commit", ".dodo/x", ".dvc/x", ".gitignore"),
                *("dvc.yaml", "sub/dvc.yaml", "dvc.lock", "dodo.lock", "params.yaml"),
                *("dodo.py", "data.dvc"),
            ),
            "is a protected path",
        ),
    }
    space.write("dvc.yaml", one("outs:", *(f"- '{path}'" for path in paths)))
    assert refused(space) == "".join(
        f"error: dvc.yaml:{line}:7: output {path!r} {told}\n"
        for line, (path, told) in enumerate(paths.items(), 5)
    )


@pytest.mark.parametrize("path", ["sub/.git/hooks/x", "sub/.dodo/x"])
def test_what_lies_deeper_is_protected_as_well(space: Space, path: str) -> None:
    space.write("dvc.yaml", one("outs:", f"- '{path}'"))
    assert refused(space) == f"error: dvc.yaml:5:7: output {path!r} is a protected path\n"


def test_a_path_of_another_system_is_refused(space: Space) -> None:
    paths = ["~/o", "~other/o", "C:\\o", "C:/o"]
    space.write("dvc.yaml", one("outs:", *(f"- '{path}'" for path in paths)))
    assert refused(space) == "".join(
        f"error: dvc.yaml:{line}:7: output {path!r}:"
        " '~', drives and shares are not read, paths are relative\n"
        for line, path in enumerate(paths, 5)
    )


def test_a_path_of_another_machine_is_refused(space: Space) -> None:
    space.write("dvc.yaml", one("outs:", r"- '\\srv\share\o'"))
    assert refused(space).startswith("error: dvc.yaml:5:7: output ")


@pytest.mark.parametrize("path", ["{root}/.git/hooks/x", "../project/.git/hooks/x"])
def test_a_way_around_does_not_open_what_is_protected(space: Space, path: str) -> None:
    space.write("dvc.yaml", one("outs:", f"- {path.format(root=space.root)}: {{cache: false}}"))
    assert "is a protected path" in refused(space)


def test_an_output_outside_may_be_watched(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: echo 1 > ../o, outs: [../o: {cache: false}]}}\n")
    assert space.dodo("repro").out == "1 ran\n"
    assert (space.base / "o").read_text() == "1\n"


LONG = ["x" * 256, "é" * 128, "/".join(["y" * 200] * 21), "a/" * 2100 + "b"]


def test_a_working_folder_outside_is_refused(space: Space) -> None:
    wdirs = ["../..", "/tmp", "a/../.."]
    space.write(
        "dvc.yaml",
        "stages:\n" + "".join(f"  s{i}: {{wdir: {w}, cmd: {RUN}}}\n" for i, w in enumerate(wdirs)),
    )
    assert refused(space) == "".join(
        f"error: dvc.yaml:{line}:14: 'wdir' leads outside the project: {wdir!r}\n"
        f"hint: the project begins in {space.root}, with the dvc.yaml\n"
        for line, wdir in enumerate(wdirs, 2)
    )


@pytest.mark.parametrize("make, told", [(None, "is not there"), (Path.touch, "is no folder")])
def test_a_working_folder_that_is_none_is_told_before_anything_runs(
    space: Space, make: Callable[[Path], None] | None, told: str
) -> None:
    if make is not None:
        make(space.root / "w")
    space.write("dvc.yaml", "stages:\n  first: {cmd: " + RUN + "}\n" + one("wdir: w")[8:])
    assert refused(space) == (f"error: dvc.yaml:3: stage 'a': its working folder 'w' {told}\n")


def test_a_working_folder_that_a_link_leads_outside_is_refused(space: Space) -> None:
    (space.root / "w").symlink_to(space.base)
    space.write("dvc.yaml", one("wdir: w", cmd="echo ran >> runs.log"))
    refused(space)


# -- a folder on an output's way that leads outside ----------------------------------------


def with_a_link_outside(space: Space) -> Path:
    """`lnk` leads to a folder outside, in which `o` is precious; stage `a` makes `lnk/o`."""
    away = space.base / "away"
    away.mkdir()
    (away / "o").write_text("precious\n")
    (space.root / "lnk").symlink_to("../away")
    space.write("i", "1\n")
    space.write("dvc.yaml", "stages: {a: {cmd: cat i > lnk/o, deps: [i], outs: [lnk/o]}}\n")
    return away / "o"


def test_an_output_behind_a_link_that_leads_outside_is_refused(space: Space) -> None:
    precious = with_a_link_outside(space)
    assert "'lnk/o'" in refused(space)
    assert precious.read_text() == "precious\n"


def test_nothing_is_removed_through_a_link_that_leads_outside(space: Space) -> None:
    space.write("d/o", "1\n")
    space.write("d/p", "2\n")
    space.write(
        "dvc.yaml",
        """\
        stages:
          g:
            foreach: ${glob("d/*")}
            do: {cmd: 'cp ${item} e/${key}', deps: ['${item}'], outs: ['e/${key}']}
        """,
    )
    (space.root / "e").mkdir()
    space.dodo("repro")
    (space.root / "e").rename(space.base / "away")
    (space.root / "e").symlink_to("../away")
    space.remove("d/o")
    space.start("repro").communicate()
    assert (space.base / "away" / "o").exists()


# -- what a command leaves -----------------------------------------------------------------


def test_an_output_that_is_not_made_fails_its_stage_and_what_follows(space: Space) -> None:
    space.write(
        "dvc.yaml",
        f"""\
        stages:
          a: {{cmd: 'true', outs: [o]}}
          b: {{cmd: {RUN}, deps: [o], outs: [p]}}
          c: {{cmd: '{RUN}; touch c', outs: [c]}}
        """,
    )
    assert failed(space) == "error: dvc.yaml:2: stage 'a' did not make its output 'o'\n"
    assert space.runs == []
    assert space.repro("-k", code=1).stages == {"a": "failed", "b": "skipped", "c": "ran"}
    assert space.runs == ["ran"]


SPECIAL = {
    "pipe": "mkfifo {0}",
    "socket": "python -c \"import socket; socket.socket(socket.AF_UNIX).bind('{0}')\"",
    "device": "mknod {0} c 1 5",
}
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")


@pytest.mark.parametrize("kind", ["pipe", "socket", pytest.param("device", marks=needs_root)])
def test_what_is_no_file_is_no_output_and_is_not_opened(space: Space, kind: str) -> None:
    command = SPECIAL[kind].format("o")
    space.write("dvc.yaml", one("outs: [o]", cmd=f">-\n      {command}"))
    assert failed(space) == "error: dvc.yaml:2: output 'o' is not a regular file or folder\n"
    command = SPECIAL[kind].format("o/x")
    space.write("dvc.yaml", one("outs: [o]", cmd=f">-\n      mkdir o; {command}"))
    assert failed(space) == (
        "error: dvc.yaml:2: output 'o/x': neither a file, a folder nor a link\n"
    )


def test_what_is_no_file_in_an_output_that_is_not_kept_is_named(space: Space) -> None:
    space.write("dvc.yaml", one("outs: [o: {cache: false}]", cmd="mkdir o; mkfifo o/x"))
    assert failed(space).startswith("error: dvc.yaml:2: output 'o/x': neither a file")


def test_a_link_to_nothing_is_kept_as_a_link(space: Space) -> None:
    space.write("i", "")
    space.write("dvc.yaml", one("deps: [i]", "outs: [o]", cmd="ln -s nothing o"))
    space.dodo("repro")
    space.remove("o")
    assert space.repro().stages == {"a": "restored"}
    assert os.readlink(space.root / "o") == "nothing"


@pytest.mark.parametrize(
    "command, told",
    [
        ("ln -s {0}/secret o", "output 'o': a link with an absolute target, '{0}/secret'"),
        ("ln -s ../secret o", "output 'o': a link that leads outside the project, to '../secret'"),
        ("mkdir o; ln -s {0}/secret o/x", "output 'o/x': a link with an absolute target"),
        ("mkdir o; ln -s ../../secret o/x", "output 'o/x': a link that leads outside the project"),
    ],
)
@pytest.mark.parametrize("options", ["", ": {persist: true}"])
def test_a_link_out_of_the_project_is_no_output_and_is_not_followed(
    space: Space, command: str, told: str, options: str
) -> None:
    (space.base / "secret").write_text("a secret\n")
    space.write("dvc.yaml", one(f"outs: [o{options}]", cmd=command.format(space.base)))
    assert failed(space).startswith(f"error: dvc.yaml:2: {told.format(space.base)}")
    kept = (space.root / ".dodo" / "objects").rglob("*")
    assert not any(b"secret" in path.read_bytes() for path in kept if path.is_file())


def test_a_link_back_up_is_kept_and_not_followed(space: Space) -> None:
    space.write("i", "")
    space.write(
        "dvc.yaml",
        one(
            "deps: [i]",
            "outs: [o]",
            cmd="mkdir -p o/d; ln -s . o/loop; ln -s .. o/d/up; ln -s me o/me; echo 1 > o/d/f",
        ),
    )
    assert space.dodo("repro").out == "1 ran\n"
    subprocess.run(["rm", "-r", "o"], cwd=space.root, check=True)
    assert space.repro().stages == {"a": "restored"}
    links = {name: os.readlink(space.root / "o" / name) for name in ("loop", "d/up", "me")}
    assert links == {"loop": ".", "d/up": "..", "me": "me"}
    assert space.read("o/d/f") == "1\n"


ODD_NAMES = [
    *(b"a\nb", b"'", b'"', b"-rf", b" ", b" a ", b"\\", b"$(x)", b"*", b"\x1b[31m", b"\x7f"),
    *(b"z" * 255, b"\xff\xfe", "😀".encode(), "\u202ee".encode(), b"~", b"#"),
]


def test_names_of_any_bytes_come_back_as_they_were(space: Space) -> None:
    space.write("i", "")
    (space.base / "odd").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(bytes(space.base / "odd") + b"/" + name)).write_bytes(name)
    space.write("dvc.yaml", one("deps: [i]", "outs: [o]", cmd="cp -r ../odd o"))
    space.dodo("repro")
    subprocess.run(["rm", "-r", "o"], cwd=space.root, check=True)
    assert space.exp().stages == {"a": "restored"}
    found = {
        path.name.encode(errors="surrogateescape"): path for path in (space.root / "o").iterdir()
    }
    assert {name: path.read_bytes() for name, path in found.items()} == {n: n for n in ODD_NAMES}


def test_an_odd_name_is_shown_escaped(space: Space) -> None:
    name = r"o/a\nb\033[31m\377"
    space.write("dvc.yaml", one("outs: [o]", cmd=f"mkdir o; mkfifo \"$(printf '{name}')\""))
    assert failed(space) == (
        "error: dvc.yaml:2: output 'o/a\\nb\\x1b[31m\\udcff': neither a file, a folder nor a link\n"
    )


def test_an_empty_file_and_an_empty_folder_are_outputs(space: Space) -> None:
    space.write("i", "")
    space.write("dvc.yaml", one("deps: [i]", "outs: [f, d, e]", cmd="touch f; mkdir -p d e/x/y"))
    space.dodo("repro")
    subprocess.run(["rm", "-r", "f", "d", "e"], cwd=space.root, check=True)
    assert space.repro().stages == {"a": "restored"}
    assert space.read("f") == ""
    assert list((space.root / "d").iterdir()) == []
    assert [str(p.relative_to(space.root)) for p in (space.root / "e").rglob("*")] == [
        "e/x",
        "e/x/y",
    ]


def with_odd_modes(space: Space) -> None:
    space.write("i", "")
    space.write(
        "dvc.yaml",
        one(
            "deps: [i]",
            "outs: [x, f, d]",
            cmd="touch x f; chmod 6777 x; chmod 666 f; mkdir d; touch d/m; chmod 1777 d",
        ),
    )


def test_of_a_files_mode_only_that_it_can_be_run_is_kept(space: Space) -> None:
    with_odd_modes(space)
    space.dodo("repro")
    subprocess.run(["rm", "-r", "x", "f", "d"], cwd=space.root, check=True)
    assert space.repro().stages == {"a": "restored"}
    umask = os.umask(0)
    os.umask(umask)
    modes = {name: stat.S_IMODE((space.root / name).stat().st_mode) for name in ("x", "f", "d")}
    assert modes == {"x": 0o777 & ~umask, "f": 0o666 & ~umask, "d": 0o777 & ~umask}


@needs_prctl
@pytest.mark.parametrize(
    "command, path", [("touch o; chmod 0 o", "o"), ("mkdir o; touch o/f; chmod 0 o/f", "o/f")]
)
def test_an_output_that_may_not_be_read_fails_its_stage(
    space: Space, command: str, path: str
) -> None:
    space.write("dvc.yaml", one("outs: [o]", cmd=command))
    done = as_a_mere_user(space, "repro", "-q")
    assert done.returncode == 1
    assert f"/{path}: Permission denied\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_is_still_written_to_fails_its_stage(space: Space) -> None:
    # The writer stops by itself when it is told to, or after a while.
    writer = "(while [ ! -e ../stop ] && kill -0 $PPID; do echo x; done) >> o 2> ../err &"
    space.write(
        "dvc.yaml",
        one("outs: [o]", cmd=f"head -c 30000000 /dev/zero > o; {writer} sleep 0.1"),
    )
    try:
        assert failed(space).endswith("it is still being written to\n")
    finally:
        (space.base / "stop").touch()


def test_hard_links_are_stored_once_and_come_back_as_files(space: Space) -> None:
    space.write("i", "")
    space.write(
        "dvc.yaml",
        one("deps: [i]", "outs: [o]", cmd="mkdir o; echo 1 > o/a; ln o/a o/b; ln o/a o/c"),
    )
    space.dodo("repro")
    subprocess.run(["rm", "-r", "o"], cwd=space.root, check=True)
    assert space.repro().stages == {"a": "restored"}
    assert len({(space.root / "o" / name).stat().st_ino for name in "abc"}) == 3
    objects = [p for p in (space.root / ".dodo" / "objects").rglob("*") if p.is_file()]
    assert [p.read_bytes() for p in objects].count(b"1\n") == 1


# -- templates -----------------------------------------------------------------------------

PARAMS = "lr: 0.1\ntrain: {epochs: 3, layers: [1, 2]}\n"
LITERAL = "hint: for a literal '${' write '\\${'"


def test_a_template_without_any_variables_is_refused(space: Space) -> None:
    space.write("dvc.yaml", one(cmd="echo ${nope}"))
    assert refused(space) == (
        "error: dvc.yaml:3:10: '${nope}' is not defined\n"
        "hint: there is no params.yaml beside the dvc.yaml, and no vars\n"
    )


def test_a_literal_template_reaches_the_shell(space: Space) -> None:
    space.write("dvc.yaml", one(cmd="x=5; echo \\${x} $x > ../said"))
    space.dodo("repro")
    assert (space.base / "said").read_text() == "5 5\n"


def test_a_value_in_a_command_is_shell_as_in_dvc(space: Space) -> None:
    space.write("params.yaml", "x: '1; echo 2'\n")
    space.write("dvc.yaml", one(cmd="(echo ${x}) > ../said"))
    space.dodo("repro")
    assert (space.base / "said").read_text() == "1\n2\n"


def test_shell_in_a_value_from_the_command_line_is_warned_of(space: Space) -> None:
    space.write("params.yaml", "x: a\n")
    space.write("dvc.yaml", one("params: [x]", cmd="echo ${x}"))
    assert "warning: " in space.dodo("exp", "run", "-q", "-S", "x=1; touch pwned").err


MAPPING = """\
d:
  a b: 1
  c;touch P: v;touch Q
  $(touch R): '`touch S`'
  on: true
  off: false
  nothing: null
  list: [1, x y, 2.5]
  none: []
  quote: "it's"
  é: ü
  inner: {x.y: -1, z: '-z'}
"""


def argv(space: Space) -> list[str]:
    """What the command was given after templates and the shell."""
    space.write("dvc.yaml", one(cmd=r"printf '%s\n' ${d} > ../argv"))
    space.dodo("repro")
    return (space.base / "argv").read_text().splitlines()


def test_a_mapping_in_a_command_becomes_arguments_each_quoted(space: Space) -> None:
    space.write("params.yaml", MAPPING)
    given = argv(space)
    assert given == [
        *("--a b", "1", "--c;touch P", "v;touch Q", "--$(touch R)", "`touch S`", "--on"),
        *("--nothing", "None", "--list", "1", "x y", "2.5", "--quote", "it's", "--é", "ü"),
        *("--inner.x.y", "-1", "--inner.z", "-z"),
    ]
    assert not {"P", "Q", "R", "S"} & {path.name for path in space.root.iterdir()}


def test_how_a_mapping_becomes_arguments_is_dvcs_setting(space: Space) -> None:
    space.write(".dvc/config", "[parsing]\n  bool = boolean_optional\n  list = append\n")
    space.write("params.yaml", "d: {on: true, off: false, list: [1, x y]}\n")
    assert argv(space) == ["--on", "--no-off", "--list", "1", "--list", "x y"]


def test_a_value_of_two_lines_is_one_argument(space: Space) -> None:
    space.write("params.yaml", 'd: {text: "two\\nlines", more: "it\'s\\n\\"x\\\\\\n# y", z: 1}\n')
    assert argv(space) == ["--text", "two", "lines", "--more", "it's", '"x\\', "# y", "--z", "1"]


def test_commands_that_a_template_fills_in_are_still_split_by_lines(space: Space) -> None:
    space.write("params.yaml", "d: \"echo 1 # don't\\necho '2\\n3'\"\n")
    space.write("dvc.yaml", one(cmd="|\n      ${d}\n      echo it\\'s 4"))
    assert listed(space)[0]["cmd"] == ["echo 1 # don't", "echo '2\n3'", "echo it\\'s 4"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("[parsing]\nbool = maybe\n", "parsing.bool must be 'store_true' or 'boolean_optional'"),
        ("[parsing\n", "not a configuration file: File contains no section headers."),
        ("bool = x\n", "not a configuration file: File contains no section headers."),
        ("[parsing]\nbool\n", "not a configuration file: Source contains parsing errors"),
    ],
)
def test_a_broken_dvc_config_is_told_where_it_counts(space: Space, text: str, told: str) -> None:
    space.write(".dvc/config", text)
    space.write("params.yaml", "d: {a: 1}\n")
    space.write("dvc.yaml", one(cmd="echo ${d}"))
    assert refused(space).startswith(f"error: .dvc/config: {told}")
    space.write("dvc.yaml", one())
    assert space.dodo("repro").out == "1 ran\n"


def test_variables_that_name_each_other_are_refused(space: Space) -> None:
    space.write("dvc.yaml", "vars:\n- x: ${y}\n- y: a${x}\n" + one())
    assert refused(space) == (
        "error: dvc.yaml:2:6: 'vars' may not hold templates\n"
        "error: dvc.yaml:3:6: 'vars' may not hold templates\n"
    )


def test_a_template_in_a_value_is_not_filled_again(space: Space) -> None:
    space.write("params.yaml", "x: ${y}\ny: ${x}\n")
    space.write("dvc.yaml", one(cmd="echo ${x}"))
    assert listed(space)[0]["cmd"] == ["echo ${y}"]


def test_a_text_that_templates_make_too_long_is_refused(space: Space) -> None:
    space.write("params.yaml", f"x: {'y' * 100_000}\n")
    space.write("dvc.yaml", one(cmd="echo " + "${x}" * 11))
    assert refused(space) == "error: dvc.yaml:3:10: a text of more than 1 MiB\n"


def test_a_command_that_no_shell_can_be_given_is_refused(space: Space) -> None:
    space.write("dvc.yaml", f"{rows(('first', '', 'x'))}  a:\n    cmd: echo {'y' * 140_000}\n")
    assert refused(space).startswith("error: dvc.yaml:4:10: a command of more than 131,071 bytes")
    space.write("dvc.yaml", one(cmd=f"true {'y' * 131_066}"))
    assert space.repro().stages == {"a": "ran"}
    space.write("dvc.yaml", one(cmd="|\n" + f"      true {'y' * 100_000}\n" * 2))
    assert space.repro().stages == {"a": "ran"}


# -- groups --------------------------------------------------------------------------------

VALUES = "s: text\nn: null\ni: 5\nl: []\nm: {}\n"
NO_KEY = "cannot be part of a stage's name: "
KEY = "\nhint: a mapping's key can stand for the value"


def test_a_foreach_that_makes_no_stages_of_their_own_is_refused(space: Space) -> None:
    each = "'foreach' takes a list or a mapping, not"
    cases = {
        **{value: f"{each} '{value}'" for value in ("text", "null", "5", "true", "1.5")},
        "''": f"{each} ''",
        "${s}": f"{each} 'text'",
        "${n}": f"{each} nothing",
        "${i}": f"{each} 5",
        "x${l}": f"{each} 'x[]'",
        "[a, a]": "two items would both be the stage 'g@a'",
        "[1, '1']": "1 and '1' would both be the stage 'g@1'",
        "[true, 'true']": "True and 'true' would both be the stage 'g@true'",
        "[a@b]": f"item 1 of 'g': 'a@b' {NO_KEY}there is an '@' in it{KEY}",
        "{x: 0, a@b: 1}": f"item 2 (1) of 'g': 'a@b' {NO_KEY}there is an '@' in it{KEY}",
        "['']": f"item 1 of 'g': '' {NO_KEY}it is empty{KEY}",
        '["a\\nb"]': f"item 1 of 'g': 'a\\nb' {NO_KEY}there is a control character in it{KEY}",
        '[x, "a\\u202eb"]': (
            f"item 2 of 'g': 'a\\u202eb' {NO_KEY}there is a control character in it{KEY}"
        ),
    }
    for i in range(len(cases)):
        space.write(f"f{i:02}/params.yaml", VALUES)
    refused_each(
        space,
        {
            f"stages:\n  g:\n    foreach: {over}\n    do: {{cmd: {RUN}}}\n": f"3:14: {told}"
            for over, told in cases.items()
        },
    )


@pytest.mark.parametrize(
    "pattern, files",
    [
        ("data/**/x.txt", {"data/x.txt": ".", "data/a/x.txt": "a", "data/a/b/x.txt": "a/b"}),
        ("**/x.txt", {"x.txt": ".", "a/x.txt": "a"}),
        ("./data//*.txt", {"data/a.txt": "a", "data/bc.txt": "bc"}),
        ("data/x*.txt", {"data/x..txt": ".", "data/x1.txt": "1"}),
    ],
)
def test_the_key_of_a_file_is_what_the_wildcards_stand_for(
    space: Space, pattern: str, files: dict[str, str]
) -> None:
    for path in files:
        space.write(path, "")
    space.write(
        "dvc.yaml",
        f"stages: {{g: {{foreach: '${{glob(\"{pattern}\")}}', do: {{cmd: 'ls ${{item}}'}}}}}}\n",
    )
    assert {row["name"]: row["cmd"] for row in listed(space)} == {
        f"g@{key}": [f"ls {path}"] for path, key in files.items()
    }
    assert set(space.repro().stages) == {f"g@{key}" for key in files.values()}


@pytest.mark.parametrize(
    "path, told",
    [
        ("data/x.txt", "item 2 ('data/x.txt') of 'g': '' cannot be part of a stage's name: it is"),
        ("data/x@.txt", "item 2 ('data/x@.txt') of 'g': '@' cannot be part of a stage's name: "),
    ],
)
def test_a_file_that_gives_no_name_is_told(space: Space, path: str, told: str) -> None:
    space.write("data/x!.txt", "")
    space.write(path, "")
    space.write("dvc.yaml", "stages:\n  g: {foreach: '${glob(\"data/x*.txt\")}', do: {cmd: ls}}\n")
    assert refused(space).startswith(f"error: dvc.yaml:2:16: {told}")


def test_a_matrix_that_makes_no_stages_of_their_own_is_refused(space: Space) -> None:
    cases = {
        "null": f"3:13: 'matrix' must be a mapping\n{PAIR}",
        "[a]": f"3:13: 'matrix' must be a mapping\n{PAIR}",
        "{a: 1}": "3:17: matrix.a must be a list, not '1'\nhint: quote it: \"1\"",
        "{a: {x: 1}}": "3:17: matrix.a must be a list, not a mapping",
        "{5: [1]}": f"3:14: an axis of 'matrix' must be text, not '5'\n{QUOTE_5}",
        "{a: '${s}'}": "3:13: axis 'a' of the matrix must be a list, not 'text'",
        "{a: [1, 1]}": "3:13: two items would both be the stage 'g@1'",
        "{a: [x-y, x], b: [z, y-z]}": (
            "3:13: {'a': 'x-y', 'b': 'z'} and {'a': 'x', 'b': 'y-z'} would both be the stage"
            " 'g@x-y-z'"
        ),
    }
    for i in range(len(cases)):
        space.write(f"f{i:02}/params.yaml", VALUES)
    refused_each(
        space,
        {
            f"stages:\n  g:\n    matrix: {axes}\n    cmd: {RUN}\n": told
            for axes, told in cases.items()
        },
    )


def test_a_group_that_is_not_whole_is_refused(space: Space) -> None:
    cases = {
        "foreach: [1]": "2:3: stage 'g' has no 'do' to its 'foreach'",
        "do: {cmd: ls}": "2:3: stage 'g' has no 'foreach' to its 'do'",
        "foreach: [1]\n    do: {}": "2:3: stage 'g' has no 'cmd'",
        "foreach: [1]\n    do: ls": f"4:9: 'do' of stage 'g' must be a mapping\n{PAIR}",
        "foreach: [1]\n    do: {cmd: ls}\n    cmd: ls": (
            "5:5: 'cmd' cannot stand beside the others in stage 'g'"
        ),
    }
    refused_each(space, {f"stages:\n  g:\n    {body}\n": cases[body] for body in cases})


def test_stages_of_a_group_that_make_the_same_path_are_refused(space: Space) -> None:
    space.write("dvc.yaml", "stages: {g: {foreach: [1, 2], do: {cmd: ls, outs: [o]}}}\n")
    assert refused(space) == (
        "error: dvc.yaml:1: 'o' is made by stage 'g@2' and by 'g@1' (dvc.yaml:1)\n"
    )


EMPTY_GROUPS = [
    "foreach: []\n    do: {cmd: ls}",
    "foreach: {}\n    do: {cmd: ls}",
    "matrix: {}\n    cmd: ls",
    "matrix: {a: [1], b: []}\n    cmd: ls",
]


@pytest.mark.parametrize("body", EMPTY_GROUPS)
def test_a_group_without_stages_is_warned_of(space: Space, body: str) -> None:
    space.write("dvc.yaml", f"stages:\n  g:\n    {body}\n")
    for args in (["status"], ["stage", "list"], ["exp", "run"]):
        told = space.dodo(*args).err
        assert told.startswith("warning: dvc.yaml:3:1")
        assert told.endswith(": 'g' makes no stages: there is nothing to make them for\n")


def test_a_group_without_stages_is_warned_of_when_it_is_run(space: Space) -> None:
    space.write("dvc.yaml", f"stages:\n  g:\n    {EMPTY_GROUPS[0]}\n")
    assert "warning: dvc.yaml:3:14: 'g' makes no stages" in space.dodo("repro").err


@pytest.mark.parametrize("key", ["../../../up", "..", ".", "a/b", "x" * 300, "$(touch P)", "-rf"])
def test_a_key_of_a_group_never_names_a_place_on_disk(space: Space, key: str) -> None:
    space.write(
        "dvc.yaml", f"stages:\n  g:\n    foreach: ['{key}']\n    do: {{cmd: echo hi; false}}\n"
    )
    before = {path for path in space.base.rglob("*") if ".dodo" not in path.parts}
    assert failed(space).startswith(f"error: stage 'g@{key}' failed: ")
    assert len(list((space.root / ".dodo" / "logs").iterdir())) == 1
    after = {path for path in space.base.rglob("*") if ".dodo" not in path.parts}
    assert {path.name for path in after - before} <= {"dodo.lock"}


# -- files of variables --------------------------------------------------------------------


@pytest.mark.parametrize(
    "items, files, told",
    [
        (["v.yaml"], {}, "dvc.yaml:2:3: there is no file v.yaml"),
        (
            ["v.yaml:nope"],
            {"v.yaml": "x: 1"},
            "dvc.yaml:2:3: there is no 'nope' in v.yaml\nhint: known: x",
        ),
        (
            ["v.yaml", "w.yaml"],
            {"v.yaml": "x: 1", "w.yaml": "x: 2"},
            "dvc.yaml:3:3: cannot redefine 'x' from 'w.yaml' as it already exists in 'v.yaml'",
        ),
        (
            ["x: 1"],
            {"params.yaml": "x: 1"},
            "dvc.yaml:2:3: cannot redefine 'x' from 'vars[0]' as it already exists in"
            " 'params.yaml'",
        ),
        (
            ["v.yaml:x", "v.yaml"],
            {"v.yaml": "x: 1"},
            "dvc.yaml:3:3: cannot load 'v.yaml' as it's partially loaded already",
        ),
        (["v.yaml"], {"v.yaml": "- x"}, "v.yaml: must be a mapping of names to values, not a list"),
        (["${x}.yaml"], {}, "dvc.yaml:2:3: 'vars' may not hold templates"),
        (["''"], {}, "dvc.yaml:2:3: an empty path"),
    ],
)
def test_variables_that_cannot_be_had_are_refused(
    space: Space, items: list[str], files: dict[str, str], told: str
) -> None:
    for name, text in files.items():
        space.write(name, text)
    space.write("dvc.yaml", "vars:\n" + "".join(f"- {item}\n" for item in items) + one())
    assert refused(space) == f"error: {told}\n"


@pytest.mark.parametrize(
    "make, told", [(a_folder, "not a regular file"), (a_pipe, "not a regular file"), LOOP]
)
def test_a_file_of_variables_that_is_no_file_is_not_opened(
    space: Space, make: Callable[[Path], None], told: str
) -> None:
    make(space.root / "v.yaml")
    space.write("dvc.yaml", "vars: [v.yaml]\n" + one())
    assert refused(space) == f"error: v.yaml: {told}\n"


@pytest.mark.parametrize("path", ["v\\0.yaml", "v" * 300])
def test_a_file_of_variables_that_cannot_be_is_refused(space: Space, path: str) -> None:
    space.write("dvc.yaml", f'vars: ["{path}"]\n' + one())
    assert refused(space).startswith("error: dvc.yaml:1:8: ")


def test_a_file_of_variables_may_name_itself(space: Space) -> None:
    space.write("v.yaml", "vars: [v.yaml]\nx: 1\n")
    space.write("dvc.yaml", "vars: [v.yaml, v.yaml, dvc.yaml:stages]\n" + one(cmd="echo ${x}"))
    assert listed(space)[0]["cmd"] == ["echo 1"]


def test_a_broken_file_of_variables_is_told_by_its_own_place(space: Space) -> None:
    space.write("v.yaml", "x: 1\ny: [\n")
    space.write("dvc.yaml", "vars: [v.yaml]\n" + one())
    assert refused(space).startswith("error: v.yaml:3:1: not valid YAML: ")


def test_what_only_follows_from_a_broken_file_is_not_told(space: Space) -> None:
    space.write("params.yaml", "y: [\n")
    space.write("dvc.yaml", "vars: [x: 1]\n" + one(cmd="echo ${x}"))
    told = refused(space)
    assert told.startswith("error: params.yaml:2:1: not valid YAML: ")
    assert told.count("error: ") == 1


# -- everything at once --------------------------------------------------------------------


def test_all_faults_of_all_files_are_told_in_order_each_with_its_hint(space: Space) -> None:
    (space.root / ".dvc").mkdir()
    space.write(
        "dvc.yaml",
        """\
        stages:
          a:
            outz: [o]
            cmd: 5
          b:
            cmd: echo ${nope}
            outs:
              x
          a@b:
            cmd: ls
          c:
            cmd: ls
            deps: [d, 7]
            outs: [../o, .git/x]
        plot: []
        """,
    )
    space.write("sub/dvc.yaml", "stages:\n  d:\n    deps: [1]\n    cmd: ${x\n  e: {outs: [o]}\n")
    told = (
        "error: dvc.yaml:3:5: unknown key 'outz' in stage 'a'\n"
        "hint: did you mean 'outs'?\n"
        "error: dvc.yaml:4:10: 'cmd' must be text, not '5'\n"
        'hint: quote it: "5"\n'
        "error: dvc.yaml:6:10: '${nope}' is not defined\n"
        "hint: there is no params.yaml beside the dvc.yaml, and no vars\n"
        "error: dvc.yaml:8:7: 'outs' must be a list\n"
        f"{DASH}\n"
        "error: dvc.yaml:9:3: not a stage name: 'a@b'\n"
        f"{NAMES}\n"
        "error: dvc.yaml:13:15: an item of 'deps' must be text, not '7'\n"
        'hint: quote it: "7"\n'
        "error: dvc.yaml:14:12: output '../o' lies outside the project\n"
        f"hint: the project begins in {space.root}, which has .dvc; {WATCHED}\n"
        "error: dvc.yaml:14:18: output '.git/x' is a protected path\n"
        "error: dvc.yaml:15:1: unknown key 'plot' in dvc.yaml\n"
        "hint: did you mean 'plots'?\n"
        "error: sub/dvc.yaml:3:12: an item of 'deps' must be text, not '1'\n"
        'hint: quote it: "1"\n'
        "error: sub/dvc.yaml:4:10: '${' is not closed on its line\n"
        f"{LITERAL}\n"
        "error: sub/dvc.yaml:5:3: stage 'e' has no 'cmd'\n"
    )
    for args in (["repro"], ["exp", "run"], ["status"], ["stage", "list"], ["dag"]):
        assert refused(space, *args) == told


def test_of_very_many_faults_the_first_are_told_and_the_others_counted(space: Space) -> None:
    space.write("dvc.yaml", "stages:\n" + "".join(f"  s{i}: {{cmd: 5}}\n" for i in range(100)))
    told = refused(space).splitlines()
    assert told[0] == "error: dvc.yaml:2:13: 'cmd' must be text, not '5'"
    assert told[-1] == f"... and {100 - len(told) // 2} more"


def test_faults_between_stages_are_told_together(space: Space) -> None:
    space.write("dvc.yaml", rows(("a", "", "o"), ("b", "", "o"), ("c", "", "o/x"), ("d", "p", "p")))
    assert refused(space) == (
        "error: dvc.yaml:3: 'o' is made by stage 'b' and by 'a' (dvc.yaml:2)\n"
        "error: dvc.yaml:4: output 'o/x' of stage 'c' lies inside an output of 'a' (dvc.yaml:2)\n"
        "error: dvc.yaml:5: stage 'd' reads 'p', which it makes\n"
    )
