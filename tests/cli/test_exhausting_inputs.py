"""Inputs made to take all time or memory: refused, or read, with little of either."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.space import Space

RUN = "echo ran >> ../runs.log; touch o"
SECONDS, MEGABYTES = 5, 400
"""What a command may take at most, of the processor's time and of memory."""

# Between the test and the command: sets the limits, and tells what the command took. That is not
# asked of the test's own process, because a child's peak begins with that of its parent.
LIMITED = """\
import json, os, resource, sys
report, seconds, largest, *command = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
if largest != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
child = os.posix_spawn(command[0], command, os.environ)
_, status, used = os.wait4(child, 0)
took = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]
json.dump(took, open(report, "w"))
"""


class Took(NamedTuple):
    """How a command ended, what it printed, and what it took."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


DODO = (sys.executable, "-m", "dodo_exp")


def limited(
    space: Space,
    *args: str,
    seconds: int = SECONDS,
    largest: int = 0,
    program: Sequence[str] = DODO,
) -> Took:
    """Run `dodo ARGS`, which is ended after so many seconds of work, or of waiting for nothing."""
    report = space.base / "took"
    report.unlink(missing_ok=True)
    limits = [str(report), str(seconds), str(largest)]
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", LIMITED, *limits, *program, *args],
        cwd=space.root,
        env=space.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        start_new_session=True,
    )
    try:
        # Other work on the machine may well make it wait five times as long as it works.
        out, err = process.communicate(timeout=5.0 * seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    code, took, peak = json.loads(report.read_text())
    return Took(code, out, err, took, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def cheap(space: Space, *args: str, code: int, seconds: int = SECONDS) -> str:
    """What `dodo ARGS` says as it ends with *code*, having taken little time and memory."""
    took = limited(space, *args, seconds=seconds)
    assert "Traceback" not in took.err, took.err
    assert took.code == code, f"exit {took.code}\n{took.err}"
    assert took.seconds < seconds
    assert took.megabytes < MEGABYTES
    if code == 2:
        assert space.runs == []
    return took.err


def write_params(space: Space, text: str, *keys: str, file: str = "params.yaml") -> None:
    """A params file of this text, of which a stage reads *keys*."""
    (space.root / file).write_text(text)
    listed = ", ".join(keys)
    space.write(
        "dvc.yaml",
        f"stages: {{s: {{cmd: {RUN}, params: [{file}: [{listed}]], outs: [o]}}}}\n",
    )


# -- YAML that is more than it seems -------------------------------------------------------


def bomb(line: str, first: str) -> str:
    """Each line nine times the one before."""
    return first + "".join(line.format(i, ", ".join([f"*a{i - 1}"] * 9)) for i in range(1, 20))


BOMBS = {
    "aliases": (bomb("a{0}: &a{0} [{1}]\n", "a0: &a0 [x]\n"), "7:5: aliases that expand to more"),
    "merges": (
        bomb("a{0}: &a{0} {{<<: [{1}], k{0}: v}}\n", "a0: &a0 {k: v}\n"),
        "7:14: aliases that expand to more than 1,000,000 values",
    ),
    "list in itself": ("a: &a [*a]\n", "1:4: an alias that contains itself"),
    "mapping in itself": ("a: &a {b: *a}\n", "1:4: an alias that contains itself"),
    "merged into itself": ("a: &a {<<: *a}\n", "1:4: an alias that contains itself"),
    "file in itself": ("&a {a: *a}\n", "1:1: an alias that contains itself"),
    "deep lists": ("a: " + "[" * 100_000, r"1:\d+: nested more than 64 levels deep"),
    "deep mappings": ("a: " + "{a: " * 3000, "1:256: nested more than 64 levels deep"),
    "deep blocks": (
        "".join(" " * i + f"k{i}:\n" for i in range(3000)),
        "65:65: nested more than 64 levels deep",
    ),
    "deep dashes": ("a:\n  " + "- " * 100_000 + "x\n", "2:129: nested more than 64 levels deep"),
    "deep keys": ("? " * 100_000 + "x\n", "1:129: nested more than 64 levels deep"),
}


@pytest.mark.soak
@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_stands_for_a_large_one_is_refused(
    space: Space, file: str, name: str
) -> None:
    text, told = BOMBS[name]
    write_params(space, "", "a")
    (space.root / file).write_text(text)
    assert re.match(f"error: {file}:{told}", cheap(space, "repro", code=2, seconds=2))


@pytest.mark.soak
def test_what_is_nested_as_deep_as_may_be_is_read(space: Space) -> None:
    write_params(space, "a: " + "[" * 63 + "]" * 63, "a")
    cheap(space, "repro", code=0, seconds=2)


@pytest.mark.soak
def test_more_aliases_than_anyone_writes_are_refused(space: Space) -> None:
    write_params(space, "x: &x 1\na: [" + "*x," * 1_000_000 + "]\n", "a")
    assert "more than 1000 aliases" in cheap(space, "repro", code=2, seconds=2)


@pytest.mark.soak
@pytest.mark.parametrize(
    "text, told",
    [
        ("a: " + "x" * (10 << 20), "params.yaml: larger than 10 MiB"),
        ("a:\n" + "- &a\n" * 1_900_000, "more than 1,000,000 values"),
        ("a: [" + "&a x," * 1_100_000 + "]\n", "more than 1,000,000 values"),
        ("a: [" + "1," * 1_100_000 + "]\n", "more than 1,000,000 values"),
    ],
    ids=["text", "anchors", "anchors in a line", "numbers"],
)
def test_a_file_beyond_the_limits_is_refused(space: Space, text: str, told: str) -> None:
    write_params(space, text, "a")
    assert told in cheap(space, "repro", code=2, seconds=4)


@pytest.mark.soak
@pytest.mark.parametrize(
    "text",
    [
        "a: " + "x" * 10_000_000 + "\n",
        "a: |\n" + ("  " + "x" * 98 + "\n") * 95_000,
        "#" + "x" * 10_000_000 + "\na: 1\n",
        "a:\n" + "".join(f"- &a{i} x\n" for i in range(600_000)),
        "#\n" * 4_000_000 + "a: 1\n",
    ],
    ids=["text", "block", "comment", "anchors", "comments"],
)
def test_a_file_within_the_limits_is_read(space: Space, text: str) -> None:
    write_params(space, text, "a")
    cheap(space, "repro", code=0, seconds=3)


@pytest.mark.parametrize(
    "file, lines",
    [
        ("params.yaml", "\n" * 40),
        ("params.yaml", "# a licence\n\n" * 30),
        ("dvc.yaml", "# a line\n\n\n\n" * 12),
    ],
)
def test_blank_lines_at_the_top_are_passed_over(space: Space, file: str, lines: str) -> None:
    write_params(space, "a: 1\n", "a")
    (space.root / file).write_text(lines + space.read(file))
    cheap(space, "status", code=0, seconds=2)


@pytest.mark.soak
def test_many_params_are_read_in_a_moment(space: Space) -> None:
    write_params(space, "".join(f"k{i}: {i}\n" for i in range(300_000)), "k5")
    cheap(space, "repro", code=0)
    cheap(space, "repro", code=0, seconds=2)


@pytest.mark.soak
@pytest.mark.parametrize(
    "keys, args", [("k5", ["exp", "run", "-S", "k5=-1"]), ("", ["repro"])], ids=["set", "whole"]
)
def test_many_params_are_set_and_compared_in_a_moment(
    space: Space, keys: str, args: list[str]
) -> None:
    write_params(space, "".join(f"k{i}: {i}\n" for i in range(100_000)), keys)
    cheap(space, *args, code=0, seconds=4)


@pytest.mark.soak
def test_a_param_among_very_many_is_set_with_one_load_of_work(space: Space) -> None:
    """PyYAML's own C loader is the measure: reading, editing and recording take no more."""
    write_params(space, "".join(f"k{i}: {i}\n" for i in range(300_000)), "k5")
    load = "import yaml; yaml.load(open('params.yaml'), yaml.CSafeLoader)"
    measured = limited(space, load, seconds=30, program=[sys.executable, "-c"])
    took = limited(space, "exp", "run", "-S", "k5=-1", seconds=30)
    assert took.code == 0, took.err
    assert took.seconds < 1.5 * measured.seconds
    assert took.megabytes < MEGABYTES


# -- JSON, TOML and Python -----------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize(
    "file, text",
    [
        ("p.json", '{"a": ' + "[" * 100_000),
        ("p.json", '{"a": ' + "[" * 900 + "]" * 900 + "}"),
        ("p.toml", "a = " + "[" * 100_000),
        ("p.py", "a = " + "-" * 100_000 + "1\n"),
        ("p.py", "a = " + "(" * 100_000),
        ("p.py", "a = " + "1 + " * 100_000 + "1\n"),
        ("p.py", "#" * (1 << 20) + "\n"),
        ("p.toml", "a" + ".a" * 20_000 + " = 1\n"),
    ],
    ids=["json", "json whole", "toml", "py -", "py (", "py +", "py large", "toml dots"],
)
def test_what_is_nested_too_deep_is_refused(space: Space, file: str, text: str) -> None:
    write_params(space, text, "a", file=file)
    assert cheap(space, "repro", code=2, seconds=2).startswith(f"error: {file}:")


@pytest.mark.soak
@pytest.mark.parametrize(
    "file, text",
    [
        ("p.json", '{"a": [' + "1, " * 300_000 + "1]}"),
        ("p.toml", "".join(f"k{i} = {i}\n" for i in range(50_000)) + "a = 1\n"),
        ("p.py", "a=1;" * 120_000),
    ],
    ids=["json", "toml", "py"],
)
def test_a_large_file_of_another_format_is_read(space: Space, file: str, text: str) -> None:
    write_params(space, text, "a", file=file)
    cheap(space, "status", code=0, seconds=4)


# -- dvc.yaml ------------------------------------------------------------------------------

MANY = 5000


def chain() -> str:
    """Many stages, each reading what the one before makes."""
    return "stages:\n" + "".join(
        f"  s{i}:\n    cmd: cp f{i} f{i + 1}\n    deps: [f{i}]\n    outs: [f{i + 1}]\n"
        for i in range(MANY)
    )


def group() -> str:
    """Many stages of one group."""
    return (
        f"stages:\n  g:\n    foreach: [{', '.join(map(str, range(MANY)))}]\n"
        "    do: {cmd: 'touch f${item}', outs: ['f${item}']}\n"
    )


@pytest.mark.soak
@pytest.mark.parametrize("text", [chain, group])
def test_thousands_of_stages_are_read_in_a_moment(space: Space, text: Callable[[], str]) -> None:
    space.write("dvc.yaml", text())
    took = limited(space, "stage", "list", "--name-only")
    assert len(took.out.splitlines()) == MANY
    assert took.seconds < 2
    assert took.megabytes < 100


@pytest.mark.soak
@pytest.mark.parametrize(
    "over, told",
    [
        (
            f"foreach: [{','.join(map(str, range(100_001)))}]\n    do: {{cmd: ls}}",
            "3:14: more than 100,000 stages from 'g'",
        ),
        (
            f"matrix: {{{', '.join(f'a{i}: [1, 2, 3, 4, 5]' for i in range(60))}}}\n    cmd: ls",
            f"3:13: a matrix of {5**60:,} stages; at most 100,000",
        ),
    ],
    ids=["foreach", "matrix"],
)
def test_a_group_of_more_stages_than_anyone_runs_is_refused(
    space: Space, over: str, told: str
) -> None:
    space.write("dvc.yaml", f"stages:\n  g:\n    {over}\n")
    assert cheap(space, "repro", code=2) == f"error: dvc.yaml:{told}\n"


@pytest.mark.soak
def test_groups_of_more_stages_together_than_anyone_runs_are_refused(space: Space) -> None:
    space.write("params.yaml", f"x: [{', '.join(map(str, range(10_000)))}]\n")
    space.write(
        "dvc.yaml",
        "stages:\n"
        + "".join(f"  g{i}: {{foreach: '${{x}}', do: {{cmd: ls}}}}\n" for i in range(50)),
    )
    cheap(space, "repro", code=2, seconds=3)


@pytest.mark.soak
def test_texts_that_templates_make_too_long_together_are_refused(space: Space) -> None:
    space.write("params.yaml", f"x: {'y' * 1_000_000}\n")
    space.write(
        "dvc.yaml",
        f"stages: {{g: {{foreach: {list(range(700))}, do: {{cmd: 'echo ${{x}} ${{item}}'}}}}}}\n",
    )
    cheap(space, "repro", "--dry", code=2)


@pytest.mark.parametrize(
    "command", ["${a" + " .b" * 40 + " .}", "${x " * 30_000], ids=["spaces", "not closed"]
)
def test_a_template_that_is_none_is_refused_at_once(space: Space, command: str) -> None:
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: '{command}'\n")
    assert cheap(space, "repro", code=2, seconds=2).startswith("error: dvc.yaml:3:10: ")


@pytest.mark.soak
def test_very_many_templates_in_a_text_are_filled(space: Space) -> None:
    space.write("params.yaml", "x: 1\n")
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: 'echo {'${x}' * 100_000}'\n")
    cheap(space, "stage", "list", "--name-only", code=0)


@pytest.mark.soak
def test_very_many_unknown_names_are_told_in_a_moment(space: Space) -> None:
    space.write("params.yaml", "".join(f"key{i}: 1\n" for i in range(20_000)))
    stages = "".join(f"  s{i}: {{cmd: 'echo ${{kye{i}}}'}}\n" for i in range(300))
    space.write("dvc.yaml", f"stages:\n{stages}")
    assert cheap(space, "repro", code=2, seconds=2).startswith("error: dvc.yaml:2:")


@pytest.mark.soak
def test_very_many_faults_are_told_in_a_moment(space: Space) -> None:
    lines = "".join(f"  s{i}: {{cmdd: 5, outs: [o], deps: [{i}]}}\n" for i in range(3000))
    space.write("dvc.yaml", f"stages:\n{lines}")
    assert len(cheap(space, "repro", code=2).splitlines()) < 100


# -- patterns of files ---------------------------------------------------------------------


def for_each(pattern: str) -> str:
    """A dvc.yaml with a stage for each file that matches."""
    return f'stages:\n  g:\n    foreach: ${{glob("{pattern}")}}\n    do: {{cmd: {RUN}}}\n'


@pytest.mark.soak
@pytest.mark.parametrize("pattern", ["/etc/*", "~/*"])
def test_a_pattern_outside_the_project_is_refused(space: Space, pattern: str) -> None:
    space.write("dvc.yaml", for_each(pattern))
    assert refused_at(space, "3:14")


@pytest.mark.soak
def test_a_pattern_leads_to_other_folders_of_the_project(space: Space) -> None:
    space.write("data/x.csv", "")
    space.write("sub/dvc.yaml", for_each("../data/*.csv"))
    space.dodo("init")
    listed = space.dodo("stage", "list", "--all", "--name-only").out
    assert listed == "sub/dvc.yaml:g@x\n"


@pytest.mark.soak
@pytest.mark.parametrize("pattern", ["../*", "../../*", "*/../../*"])
def test_a_pattern_that_leads_outside_is_refused(space: Space, pattern: str) -> None:
    (space.base / "outside").touch()
    space.write("sub/x", "")
    space.write("dvc.yaml", for_each(pattern))
    assert refused_at(space, "3:14")


def refused_at(space: Space, place: str) -> bool:
    """Whether the dvc.yaml is refused with this place."""
    return cheap(space, "repro", code=2, seconds=2).startswith(f"error: dvc.yaml:{place}: ")


def names(space: Space) -> list[str]:
    """What `dodo stage list` lists, with little time and memory."""
    took = limited(space, "stage", "list", "--name-only", seconds=2)
    assert took.code == 0, took.err
    return took.out.splitlines()


@pytest.mark.soak
@pytest.mark.parametrize(
    "pattern",
    [
        "d/*.csv",
        "d/*",
        "./d/*.csv",
        "d//*.csv",
        "e/../d/*.csv",
    ],
)
def test_a_key_is_what_the_wildcards_stand_for(space: Space, pattern: str) -> None:
    for name in ("abc", "abd"):
        space.write(f"d/{name}.csv", "")
    space.write("dvc.yaml", for_each(pattern))
    ending = "" if pattern.endswith(".csv") else ".csv"
    assert names(space) == [f"g@abc{ending}", f"g@abd{ending}"]


@pytest.mark.soak
@pytest.mark.parametrize(
    "pattern",
    [
        "*" * 500,
        "*/" * 500 + "*",
        "?" * 500,
        "*[a]" * 12 + "[b]",
        "*a" * 12 + "b",
        "[" * 500,
        "**/" * 10 + "*",
    ],
    ids=["stars", "folders", "marks", "classes", "letters", "brackets", "any folders"],
)
def test_a_pattern_of_many_wildcards_is_matched_at_once(space: Space, pattern: str) -> None:
    (space.root / "/".join(["a"] * 25)).mkdir(parents=True)
    (space.root / ("a" * 200)).touch()
    space.write("dvc.yaml", for_each(pattern))
    assert all(name.startswith("g@") for name in names(space))


@pytest.mark.soak
def test_links_are_matched_and_not_followed_into_folders(space: Space) -> None:
    space.write("d/f", "")
    (space.root / "d" / "loop").symlink_to(".")
    (space.root / "d" / "up").symlink_to("..")
    (space.root / "d" / "self").symlink_to("self")
    (space.root / "d" / "link").symlink_to("f")
    space.write("dvc.yaml", for_each("d/**/*"))
    assert names(space) == ["g@f", "g@link"]


ODD = [b"a\nb", b"-rf", b" ", b"'", b"$(touch pwned)", b"${x}", b"\\", b"#", b"\x1b[31m", b"~"]


@pytest.mark.soak
def test_files_of_any_name_may_be_read_by_pattern(space: Space) -> None:
    (space.root / "d").mkdir()
    for name in ODD:
        Path(os.fsdecode(bytes(space.root) + b"/d/" + name)).touch()
    space.write(
        "dvc.yaml", f"stages: {{a: {{cmd: {RUN}, deps: ['${{glob(\"d/*\")}}'], outs: [o]}}}}\n"
    )
    cheap(space, "exp", "run", code=0)
    assert limited(space, "status").out == "Data and pipelines are up to date.\n"
    assert not space.exists("pwned")


def test_a_dependency_whose_name_is_not_utf_8_is_refused(space: Space) -> None:
    (space.root / "d").mkdir()
    Path(os.fsdecode(bytes(space.root) + b"/d/\xff")).touch()
    space.write(
        "dvc.yaml", f"stages: {{a: {{cmd: {RUN}, deps: ['${{glob(\"d/*\")}}'], outs: [o]}}}}\n"
    )
    told = "error: dvc.yaml:1:60: the name of the file 'd/\\xff' is not UTF-8\nhint: rename it\n"
    assert cheap(space, "exp", "run", code=2) == told
    space.write("dvc.yaml", f"stages: {{a: {{cmd: {RUN}, deps: [d], outs: [o]}}}}\n")
    space.dodo("exp", "run")
    assert "the name 'd/\\xff' is not UTF-8" in space.dodo("add", "d/\udcff", code=2).err


@pytest.mark.soak
@pytest.mark.parametrize("odd", [b"a\nb", b"\x1b[31m", b"\xff\xfe", "\u202e".encode(), b"a@b"])
def test_a_file_whose_name_no_stage_can_bear_is_refused(space: Space, odd: bytes) -> None:
    (space.root / "d").mkdir()
    Path(os.fsdecode(bytes(space.root) + b"/d/" + odd)).touch()
    space.write("dvc.yaml", for_each("d/*"))
    told = cheap(space, "repro", code=2)
    assert told.startswith("error: dvc.yaml:3:14: ")
    assert "cannot be part of a stage's name: " in told
    assert told.isprintable() or told.replace("\n", "").isprintable()


# -- files beside them ---------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("file", ["dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config"])
def test_a_file_as_large_as_a_disk_is_not_read(space: Space, file: str) -> None:
    write_params(space, "a: {b: 1}\n", "a")
    space.write("dvc.yaml", space.read("dvc.yaml").replace(RUN, f'"{RUN} ${{a}}"'))
    (space.root / file).parent.mkdir(exist_ok=True)
    os.truncate(os.open(space.root / file, os.O_CREAT | os.O_RDWR), 1 << 40)
    args = ("snapshot",) if file == ".dvcignore" else ("repro",)
    code = 1 if file == ".dvcignore" else 2
    assert cheap(space, *args, code=code, seconds=2).startswith(f"error: {file}: larger than ")


def test_a_pipe_among_the_ignore_files_is_not_opened(space: Space) -> None:
    write_params(space, "a: 1\n", "a")
    for file in (".dvcignore", ".gitignore"):
        os.mkfifo(space.root / file)
    limited(space, "exp", "run", seconds=1)


@pytest.mark.parametrize("pattern", ["*a" * 15 + "b", "**/" * 10 + "b"])
def test_an_ignore_pattern_of_many_wildcards_is_matched_at_once(space: Space, pattern: str) -> None:
    (space.root / "d" / "/".join(["a"] * 30)).mkdir(parents=True)
    (space.root / "d" / ("a" * 200)).touch()
    space.write(".dvcignore", f"{pattern}\n")
    space.write("dvc.yaml", f"stages: {{a: {{cmd: {RUN}, deps: [d], outs: [o]}}}}\n")
    cheap(space, "status", code=0, seconds=2)


# -- outputs -------------------------------------------------------------------------------


def with_holes(space: Space, size: int) -> None:
    """A stage whose output is a file of this size, nearly all of it a hole."""
    with (space.base / "holes").open("wb") as file:
        file.write(b"begin")
        file.truncate(size)
    space.write("dvc.yaml", "stages: {a: {cmd: mv ../holes o, outs: [o]}}\n")


@pytest.mark.soak
def test_an_output_larger_than_the_disk_is_refused(space: Space) -> None:
    with_holes(space, 2 * shutil.disk_usage(space.base).free)
    took = limited(space, "repro", seconds=2, largest=1 << 26)
    assert took.code == 1
    assert re.search(r"error: stage 'a': .*/o: no space left: [\d,]+ bytes are needed", took.err)


def test_the_holes_of_an_output_are_kept(space: Space) -> None:
    with_holes(space, 1 << 27)
    space.dodo("repro")
    kept = [path for path in (space.root / ".dodo" / "objects").rglob("*") if path.is_file()]
    assert sum(path.stat().st_blocks * 512 for path in kept) < 1 << 20


@pytest.mark.soak
def test_an_output_of_many_files_is_kept_in_little_memory(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "stages: {a: {cmd: mkdir o; cd o; seq 10000 | xargs touch, outs: [o]}}\n",
    )
    took = limited(space, "repro")
    assert took.code == 0, took.err
    assert took.megabytes < 60
