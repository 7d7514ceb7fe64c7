"""Params that cannot be meant are told by place; those that can are read exactly."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.space import Space

RUN = "echo ran >> ../runs.log; touch o"


def reads(*keys: str, file: str = "params.yaml") -> str:
    """A dvc.yaml whose stage `s` reads *keys* of *file*; what it lacks is told of line 2."""
    listed = ", ".join("'" + key.replace("'", "''") + "'" for key in keys)
    return f"stages:\n  s:\n    cmd: {RUN}\n    params: [{file}: [{listed}]]\n    outs: [o]\n"


def refused(space: Space, *args: str) -> str:
    """What `dodo ARGS` (else `dodo repro`) says as it ends with 2; nothing ran, nothing changed."""
    before = space.tree()
    ran = space.dodo(*(args or ("repro",)), code=2)
    assert ran.out == ""
    assert space.runs == []
    assert space.tree() == before
    return ran.err


def refused_with(space: Space, data: str | bytes, file: str = "params.yaml") -> str:
    """What is said of a file of these contents, of which `a` is read."""
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    (space.root / file).write_bytes(raw)
    space.write("dvc.yaml", reads("a", file=file))
    return refused(space)


def values(space: Space, data: str | bytes, *keys: str, file: str = "params.yaml") -> list[Any]:
    """The values that a stage reads at *keys* of a file of these contents."""
    (space.root / file).write_bytes(data.encode() if isinstance(data, str) else data)
    space.write("dvc.yaml", reads(*keys, file=file))
    (stage,) = space.dodo("stage", "list", "--json").json
    return [stage["params"][file][key] for key in keys]


def same(left: Any, right: Any) -> bool:
    """Whether two values are of the same types and equal, all the way down."""
    return repr(left) == repr(right)


# -- what is not there ---------------------------------------------------------------------


@pytest.mark.parametrize("args", [["repro"], ["repro", "--dry"], ["exp", "run"]])
def test_a_params_file_that_is_missing_is_told_before_anything_runs(
    space: Space, args: list[str]
) -> None:
    space.write("dvc.yaml", f"{reads('a')}  first: {{cmd: {RUN}}}\n")
    assert refused(space, *args) == (
        "error: dvc.yaml:2: stage 's' needs 'params.yaml', but no stage makes it"
        " and it is not there\n"
    )


def test_every_param_that_is_missing_is_told_with_its_neighbour(space: Space) -> None:
    space.write("params.yaml", "train: {lr: 0.1, epochs: 3}\n")
    space.write("dvc.yaml", reads("train.epoch", "train.lr", "zzz"))
    assert refused(space) == (
        "error: dvc.yaml:2: stage 's' reads 'train.epoch', which is not in params.yaml\n"
        "hint: did you mean 'train.epochs'?\n"
        "error: dvc.yaml:2: stage 's' reads 'zzz', which is not in params.yaml\n"
        "hint: in params.yaml: train.epochs, train.lr\n"
    )


@pytest.mark.parametrize(
    "file, text",
    [
        ("p.yaml", ""),
        ("p.yaml", "# a\n"),
        ("p.yaml", "null\n"),
        ("p.json", "null"),
        ("p.py", "5\n"),
    ],
)
def test_of_a_file_without_params_that_is_said(space: Space, file: str, text: str) -> None:
    assert refused_with(space, text, file) == (
        f"error: dvc.yaml:2: stage 's' reads 'a', which is not in {file}\n"
        f"hint: {file} has no params\n"
    )


def test_a_file_that_nobody_reads_may_be_anything(space: Space) -> None:
    space.write("params.yaml", "a: [\n")
    space.write("dvc.yaml", f"stages: {{s: {{cmd: {RUN}, outs: [o]}}}}\n")
    assert space.dodo("repro").out == "1 ran\n"


# -- what is not YAML, JSON, TOML or Python ------------------------------------------------


@pytest.mark.parametrize(
    "file, text, place",
    [
        ("p.yaml", "b: 1\na: [\n", "3:1: not valid YAML: "),
        ("p.yaml", "a: 1\n b: 2\n", "2:3: not valid YAML: "),
        ("p.yaml", "a: 1\n---\na: 2\n", "2:1: not valid YAML: "),
        ("p.json", '{"a": 1,\n}', "2:1: not valid JSON: "),
        ("p.json", '{"a": 1}}', "1:9: not valid JSON: "),
        ("p.json", '{"a": 01}', "1:8: not valid JSON: "),
        ("p.json", "{'a': 1}", "1:2: not valid JSON: "),
        ("p.json", '// no\n{"a": 1}', "1:1: not valid JSON: "),
        ("p.toml", "b = 1\na = \n", "2:5: not valid TOML: "),
        ("p.toml", "a = 1\na = 2\n", "2:6: not valid TOML: "),
        ("p.toml", "[a]\nb = 1\n[a]\nc = 2\n", "3:3: not valid TOML: "),
        ("p.py", "b = 1\na = (\n", "2:5: not valid Python: "),
        ("p.py", "b = 1\na = = 2\n", "2:5: not valid Python: "),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_place(
    space: Space, file: str, text: str, place: str
) -> None:
    assert refused_with(space, text, file).startswith(f"error: {file}:{place}")


@pytest.mark.parametrize(
    "file, text, what",
    [
        ("p.yaml", "- a\n", "a list"),
        ("p.yaml", "5\n", "5"),
        ("p.yaml", "text\n", "'text'"),
        ("p.json", "[1]", "a list"),
        ("p.json", '"x"', "'x'"),
    ],
)
def test_a_file_of_anything_but_a_mapping_is_refused(
    space: Space, file: str, text: str, what: str
) -> None:
    assert refused_with(space, text, file) == (
        f"error: {file}: must be a mapping of names to values, not {what}\n"
    )


@pytest.mark.parametrize(
    "data, told",
    [
        (b"a: \xff\n", "params.yaml:1: not UTF-8 text"),
        (b"b: 1\na: caf\xe9\n", "params.yaml:2: not UTF-8 text"),
        ("a: 1\n".encode("utf-16"), "params.yaml:1: not UTF-8 text"),
        ("a: 1\n".encode("utf-16-le"), "params.yaml:1: a NUL byte in the text"),
        ("b: 1\na: \ud800\n", "params.yaml:2: not UTF-8 text"),
        ("b: 1\na: x\u2028y\n", "params.yaml:2: the invisible character U+2028 in the text"),
    ],
)
def test_what_is_no_text_is_refused(space: Space, data: str | bytes, told: str) -> None:
    assert refused_with(space, data) == f"error: {told}\n"


@pytest.mark.parametrize(
    "file, data",
    [
        ("p.yaml", b"\xef\xbb\xbfb: 1\r\na: 2\r\n"),
        ("p.json", b'\xef\xbb\xbf{"b": 1,\r\n"a": 2}\r\n'),
        ("p.toml", b"\xef\xbb\xbfb = 1\r\na = 2\r\n"),
        ("p.py", b"\xef\xbb\xbfb = 1\r\na = 2\r\n"),
    ],
)
def test_a_byte_order_mark_and_any_line_end_are_read(space: Space, file: str, data: bytes) -> None:
    assert values(space, data, "a", file=file) == [2]


@pytest.mark.parametrize(
    "file, text", [("p.json", '{"a": "\\ud800"}'), ("p.py", "a = '\\ud800'\n")]
)
def test_half_a_character_is_refused(space: Space, file: str, text: str) -> None:
    assert refused_with(space, text, file).startswith(f"error: {file}:1")


# -- keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, told",
    [
        ("a: 1\na: 2\n", "2:1: duplicate key 'a', first on line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "4:3: duplicate key 'b', first on line 2"),
        ("a: 1\n? a\n: 2\n", "2:3: duplicate key 'a', first on line 1"),
        ("1: x\n01: y\n", "2:1: duplicate key '01', first on line 1"),
        ("~: x\nnull: y\n", "2:1: duplicate key 'null', first on line 1"),
        ("a: {b: 1, b: 1}\n", "1:11: duplicate key 'b', first on line 1"),
        ("[1, 2]: x\na: 1\n", "1:1: a key must be a word or a number"),
        ("{a: b}: x\na: 1\n", "1:1: a key must be a word or a number"),
        ("a: {<<: 5}\n", "1:9: '<<' takes a mapping, or a list of them"),
    ],
)
def test_a_key_given_twice_is_told_with_both_lines(space: Space, text: str, told: str) -> None:
    assert refused_with(space, text) == f"error: params.yaml:{told}\n"


def test_a_key_given_twice_in_json_is_refused(space: Space) -> None:
    assert "duplicate key 'a'" in refused_with(space, '{"b": 1,\n"a": 1,\n"a": 2}', "p.json")


def test_a_key_given_twice_in_json_is_told_by_place(space: Space) -> None:
    assert refused_with(space, '{"b": 1,\n"a": 1,\n"a": 2}', "p.json").startswith("error: p.json:3")


def test_of_a_name_assigned_twice_in_python_the_last_counts(space: Space) -> None:
    assert values(space, "a = 1\na = 2\n", "a", file="p.py") == [2]


def test_keys_that_are_no_text_are_read_by_their_spelling(space: Space) -> None:
    text = "2: two\ntrue: yes it is\nnull: nothing\n1.5: half\na: {3: three}\n'4': four\n"
    keys = ["2", "true", "null", '"1.5"', "a.3", "4"]
    assert values(space, text, *keys) == ["two", "yes it is", "nothing", "half", "three", "four"]


def test_a_key_that_is_a_number_stays_one_when_it_is_set(space: Space) -> None:
    space.write("params.yaml", "2: two  # kept\na: 1\n")
    space.write("dvc.yaml", reads("2"))
    space.exp("-S", "2=zwei")
    assert space.read("params.yaml") == "2: zwei  # kept\na: 1\n"


@pytest.mark.parametrize(
    "text, told",
    [
        ("1: one\ntrue: so\n", "2:1: duplicate key: 'true' equals '1' on line 1"),
        ("a: {1.0: x, 1: y}\n", "1:13: duplicate key: '1' equals '1.0' on line 1"),
    ],
)
def test_one_and_true_are_the_same_key(space: Space, text: str, told: str) -> None:
    assert refused_with(space, text) == f"error: params.yaml:{told}\n"


def test_a_key_with_a_dot_is_reached_by_quoting_it(space: Space) -> None:
    text = "a.b: 1\nc.d: {e: 2}\n"
    assert values(space, text, "a.b", '"a.b"', '"c.d".e') == [1, 1, 2]


def test_a_name_that_is_a_key_and_a_way_at_once_is_refused(space: Space) -> None:
    space.write("params.yaml", "a.b: 1\na: {b: 2}\n")
    space.write("dvc.yaml", reads("a.b"))
    assert refused(space) == (
        "error: dvc.yaml:2: stage 's' reads 'a.b', which params.yaml has as a key"
        " and as nested keys\n"
        "hint: for the key write '\"a.b\"'\n"
    )
    assert refused(space, "exp", "run", "-S", "a.b=3") == (
        "error: -S a.b: params.yaml has both a key 'a.b' and nested keys a -> b\n"
        "hint: for the key quote it: -S '\"a.b\"=...'\n"
    )
    assert values(space, "a.b: 1\na: {b: 2}\n", '"a.b"') == [1]


def test_a_name_that_is_a_key_and_a_way_below_the_top_is_refused(space: Space) -> None:
    space.write("params.yaml", "a: {b.c: 1, b: {c: 2}}\n")
    space.write("dvc.yaml", reads("a.b.c"))
    assert refused(space) == (
        "error: dvc.yaml:2: stage 's' reads 'a.b.c', which params.yaml has as a key"
        " and as nested keys\n"
        "hint: for the key write 'a.\"b.c\"'\n"
    )
    assert refused(space, "exp", "run", "-S", "a.b.c=3") == (
        "error: -S a.b.c: params.yaml has both a key 'b.c' and nested keys a -> b -> c\n"
        "hint: for the key quote it: -S 'a.\"b.c\"=...'\n"
    )


def test_a_key_with_a_dot_below_the_top_is_read_and_set_by_its_spelling(space: Space) -> None:
    assert values(space, "a: {b.c: 1}\n", "a.b.c", 'a."b.c"') == [1, 1]
    space.exp("-S", "a.b.c=2")
    assert space.read("params.yaml") == "a: {b.c: 2}\n"


def test_an_item_of_a_list_is_reached_by_its_index(space: Space) -> None:
    assert values(space, "a: [10, 20, {b: 30}]\nm: {0: zero}\n", "a.0", "a.-1.b", "m.0") == [
        10,
        30,
        "zero",
    ]


@pytest.mark.parametrize(
    "key", ["a.3", "a.-4", "a.x", "a.99999999999999999999", "a.²", "a.٠", "a."]
)
def test_an_item_that_is_not_there_is_missing(space: Space, key: str) -> None:
    space.write("params.yaml", "a: [10, 20, 30]\n")
    space.write("dvc.yaml", reads(key))
    assert refused(space).startswith(
        f"error: dvc.yaml:2: stage 's' reads {key!r}, which is not in params.yaml\n"
    )


def test_an_item_that_is_not_there_is_not_set(space: Space) -> None:
    space.write("params.yaml", "a: [10, 20]\n")
    space.write("dvc.yaml", reads("a.0"))
    assert "there is no item 5 in a list of 2" in refused(space, "exp", "run", "-S", "a.5=1")
    assert "a list's item is written with a dot" in refused(space, "exp", "run", "-S", "a[0]=1")


# -- values --------------------------------------------------------------------------------

WORDS = {
    "yes": "yes", "on": "on", "NO": "NO", "y": "y", "=": "=", "12:30": "12:30", "tRUE": "tRUE",
    "010": 10, "1_000": 1000, "0x1F": 31, "0o17": 15, "0b11": 3, "+1": 1, "-0": 0, "0x": "0x",
    "1e3": 1000.0, "1e-4": 0.0001, "1E+3": 1000.0, ".5": 0.5, "5.": 5.0, "1.0": 1.0, "-0.0": -0.0,
    "0.30000000000000004": 0.30000000000000004, "0.1": 0.1, "1e22": 1e22, "5e-324": 5e-324,
    "1180591620717411303424": 2**70, "-9223372036854775809": -(2**63) - 1,
    "True": True, "TRUE": True, "false": False, "~": None, "null": None, "Null": None, "": None,
    "2020-01-01": "2020-01-01", "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "!!timestamp 2020-01-01": "2020-01-01", "!!binary aGVsbG8=": "aGVsbG8=", "!!str 5": "5",
    "!!set {x, y}": ["x", "y"], "!!omap [x: 1, y: 2]": {"x": 1, "y": 2}, "!!float 1": 1.0,
    "!!int '5'": 5, "<<": "<<", "'1'": "1", "\"\\u00e9\\t\"": "é\t",
}  # fmt: skip


def test_every_spelling_is_what_yaml_1_2_and_dvc_make_of_it(space: Space) -> None:
    text = "".join(f"k{i}: {word}\n" for i, word in enumerate(WORDS))
    read = values(space, text, *(f"k{i}" for i in range(len(WORDS))))
    assert {w: v for w, v in zip(WORDS, read, strict=True) if not same(v, WORDS[w])} == {}


def test_numbers_beyond_all_bounds_have_one_text_each(space: Space) -> None:
    text = "a: .nan\nb: .inf\nc: -.inf\nd: 1e400\ne: -1e400\nf: -0.0\ng: 1180591620717411303424\n"
    space.write("params.yaml", text)
    space.write("dvc.yaml", reads(*"abcdefg"))
    space.repro()
    space.write("params.yaml", "".join(f"{key}: 0\n" for key in "abcdefg"))
    (asked,) = space.dodo("why", "s", "--json").json
    assert {reason["name"][-1]: reason["old"] for reason in asked["reasons"]} == {
        "a": "NaN",
        "b": "Infinity",
        "c": "-Infinity",
        "d": "Infinity",
        "e": "-Infinity",
        "f": "-0.0",
        "g": "1180591620717411303424",
    }


def test_a_number_that_is_none_equals_itself(space: Space) -> None:
    space.write("params.yaml", "a: .nan\nb: [.nan, {c: .NaN}]\n")
    space.write("dvc.yaml", reads("a", "b"))
    assert space.exp().stages == {"s": "ran"}
    space.write("params.yaml", "a: .NAN\nb: [.NaN, {c: .nan}]\n")
    assert space.exp().stages == {"s": "unchanged"}


def test_one_as_number_fraction_truth_and_text_is_four_values(space: Space) -> None:
    space.write("dvc.yaml", reads("a"))
    for written in ("1", "1.0", "true", "'1'"):
        space.write("params.yaml", f"a: {written}\n")
        assert space.repro().stages == {"s": "ran"}
    for written in ("01", "+1", "0x1"):
        space.write("params.yaml", f"a: {written}\n")
        assert space.repro().stages == {"s": "restored" if written == "01" else "unchanged"}


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "a: !!python/object/apply:os.system ['touch pwned']\n",
            "1:4: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed:",
        ),
        ("b: 1\na: !ENV HOME\n", "2:4: the tag '!ENV' is not allowed:"),
        ("b: !custom {x: 1}\na: 1\n", "1:4: the tag '!custom' is not allowed:"),
        ("!!python/object:os.x {}\n", "1:1: the tag 'tag:yaml.org,2002:python/object:os.x' is"),
        ("a: !!int abc\n", "1:4: 'abc' is not a"),
        ("a: !!bool 1\n", "1:4: '1' is not a"),
    ],
)
def test_a_tag_that_is_no_plain_data_is_refused(space: Space, text: str, told: str) -> None:
    assert refused_with(space, text).startswith(f"error: params.yaml:{told}")


@pytest.mark.parametrize(
    "text, place",
    [
        ("stages:\n  a:\n    cmd: !!python/name:os.system\n", "3:10"),
        ("stages:\n  a:\n    cmd: !ENV ls\n", "3:10"),
        ("stages:\n  !x a: {cmd: ls}\n", "2:3"),
        ("stages:\n  a: !x {cmd: ls}\n", "2:6"),
        ("stages:\n  a: {cmd: ls, outs: !x [o]}\n", "2:22"),
        ("vars:\n- a: &a !x {b: 1}\n- c: *a\nstages: {}\n", "2:6"),
    ],
)
def test_a_tag_in_a_dvc_yaml_is_refused(space: Space, text: str, place: str) -> None:
    space.write("dvc.yaml", text)
    assert refused(space).startswith(f"error: dvc.yaml:{place}: the tag '")


PYTHON = """\
import os
os.system("touch pwned")
print("hello")
a = 1
b: float = 2.5
c = [1, "x", None, True, -3]
d = {"e": (1, 2), "f": {3}}
class Train:
    lr = 0.1
    def __init__(self):
        self.epochs = 3
called = os.getcwd()
joined = "x" + "y"
m, n = 1, 2
if True:
    hidden = 1
raise SystemExit(5)
"""


def test_of_python_literals_are_read_and_nothing_is_run(space: Space) -> None:
    keys = ["a", "b", "c", "d", "Train"]
    assert values(space, PYTHON, *keys, file="p.py") == [
        *(1, 2.5, [1, "x", None, True, -3], {"e": [1, 2], "f": [3]}),
        {"lr": 0.1, "epochs": 3},
    ]
    assert not space.exists("pwned")


@pytest.mark.parametrize("key", ["called", "joined", "m", "hidden", "os"])
def test_what_is_no_literal_in_python_is_no_param(space: Space, key: str) -> None:
    space.write("p.py", PYTHON)
    space.write("dvc.yaml", reads(key, file="p.py"))
    assert refused(space).startswith(
        f"error: dvc.yaml:2: stage 's' reads {key!r}, which is not in p.py\nhint: "
    )
    assert not space.exists("pwned")


def test_toml_and_json_have_values_of_the_same_types(space: Space) -> None:
    text = "a = 1979-05-27T07:32:00Z\nb = 07:32:00\nc = 1_000\nd = 1e3\ne = true\nf = [1, 'x']\n"
    assert same(
        values(space, text, *"abcdef", file="p.toml"),
        ["1979-05-27T07:32:00+00:00", "07:32:00", 1000, 1000.0, True, [1, "x"]],
    )
    text = '{"a": 1, "b": 1.0, "c": 1E3, "d": true, "e": null, "f": ["\\u00e9"]}'
    assert same(values(space, text, *"abcdef", file="p.json"), [1, 1.0, 1000.0, True, None, ["é"]])


LONG = "Exceeds the limit (4300 digits)"


@pytest.mark.parametrize(
    "file, text",
    [
        ("p.json", '{"a": ' + "9" * 5000 + "}"),
        ("p.toml", "a = " + "9" * 5000 + "\n"),
        ("p.py", "a = " + "9" * 5000 + "\n"),
    ],
)
def test_a_number_of_very_many_digits_is_refused(space: Space, file: str, text: str) -> None:
    assert refused_with(space, text, file).startswith(f"error: {file}:")


@pytest.mark.parametrize(
    "file, text", [("p.toml", "b = 1\na = 0x{}\n"), ("p.py", "b = 1\na = 0x{}\n")]
)
def test_a_number_of_very_many_digits_in_base_16_is_refused(
    space: Space, file: str, text: str
) -> None:
    assert refused_with(space, text.format("f" * 4000), file) == (
        f"error: {file}:2: a number of more than 4,300 digits\n"
    )


def test_a_number_of_very_many_digits_in_yaml_is_text(space: Space) -> None:
    text = f"a: {'9' * 5000}\nb: {'9' * 4300}\nc: 0x{'f' * 4000}\n"
    assert values(space, text, "a", "b", "c") == [
        "9" * 5000,
        int("9" * 4300),
        "0x" + "f" * 4000,
    ]


# -- what is no file -----------------------------------------------------------------------


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [a_folder, a_pipe, a_socket, a_device, a_loop])
@pytest.mark.parametrize("args", [["repro"], ["exp", "run", "-S", "a=1"]])
def test_a_params_file_that_is_none_is_told_and_not_opened(
    space: Space, make: Callable[[Path], None], args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.root)
    make(space.root / "params.yaml")
    space.write("dvc.yaml", reads("a"))
    assert refused(space, *args) == "error: params.yaml: not a regular file\n"


def test_a_link_to_nothing_is_called_one(space: Space) -> None:
    (space.root / "params.yaml").symlink_to("nowhere")
    space.write("dvc.yaml", reads("a"))
    assert refused(space) == (
        "error: dvc.yaml:2: stage 's' needs 'params.yaml', a link to 'nowhere',"
        " which is not there\n"
    )


# -- edits ---------------------------------------------------------------------------------

CROWDED = """\
# The top.
%YAML_is_not_here: 1   # a key like any other


base: &base   {lr: 0.1,   'momentum': "0.9"}   # flow
train:
    <<: *base
    layers:   # indented as someone liked it
      - 64
      -   32   # odd
    note: |
      Several lines,
        kept as they are.
    path: 'it''s'\t# after a tab
other: [1,2,   3]
# The end, without a newline."""
