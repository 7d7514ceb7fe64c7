"""`params`: parameter files and metrics files."""

from __future__ import annotations

from typing import Any

import pytest

from dodo_exp.errors import BadInput
from dodo_exp.pipeline import params
from tests.space import told


def refused(data: bytes, file: str = "params.yaml") -> str:
    with pytest.raises(BadInput) as caught:
        params.parse(data, file)
    return told(caught.value)


@pytest.mark.parametrize(
    "data, value",
    [
        (b"lr: 1e-3\non: off\n", {"lr": 0.001, "on": "off"}),
        (b"a:\n  b: [1, 2.5, ~]\n", {"a": {"b": [1, 2.5, None]}}),
        (b"2: a\ntrue: b\n", {2: "a", True: "b"}),
        (b"date: 2024-01-02\n", {"date": "2024-01-02"}),
        (b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("é: 雪\n".encode(), {"é": "雪"}),
        (b"{}", {}),
    ],
)
def test_a_params_file_is_yaml_1_2(data: bytes, value: dict[Any, Any]) -> None:
    assert params.parse(data, "params.yaml") == value


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n", b"\n\n"])
def test_an_empty_params_file_has_no_params(data: bytes) -> None:
    assert params.parse(data, "params.yaml") == {}


@pytest.mark.parametrize("file", ["params.yaml", "p.yml", "p.cfg", "params"])
def test_any_other_ending_than_json_is_yaml(file: str) -> None:
    assert params.parse(b"a: on", file) == {"a": "on"}


def test_a_json_file_is_json() -> None:
    assert params.parse(b'{"a": 1e-3, "b": [true, null]}', "p.json") == {
        "a": 0.001,
        "b": [True, None],
    }
    assert params.parse(b" \n", "p.json") == {}


@pytest.mark.parametrize(
    "data, file, says",
    [
        (b"- a\n- b\n", "params.yaml", "not a list"),
        (b"5\n", "params.yaml", "not 5"),
        (b"text\n", "params.yaml", "not 'text'"),
        (b"[1]", "p.json", "not a list"),
        (b'"x"', "p.json", "not 'x'"),
    ],
)
def test_a_params_file_must_be_a_mapping(data: bytes, file: str, says: str) -> None:
    assert refused(data, file) == f"{file}: must be a mapping of names to values, {says}"


@pytest.mark.parametrize(
    "data, file, start",
    [
        (b"a: 1\nb: [\n", "params.yaml", "params.yaml:3: not valid YAML: "),
        (b"a: 1\na: 2\n", "params.yaml", "params.yaml:2: duplicate key 'a', first on line 1"),
        (b"a: 1\nb: \xff\n", "params.yaml", "params.yaml:2: not UTF-8 text"),
        (b"a: \0\n", "params.yaml", "params.yaml:1: a NUL byte in the text"),
        (b"a: !x {b}\n", "params.yaml", "params.yaml:1: the tag "),
        (b'{"a": 1,\n "b": }', "p.json", "p.json:2: not valid JSON: "),
        (b"{'a': 1}", "p.json", "p.json:1: not valid JSON: "),
        (b"[" * 100_000, "p.json", "p.json:1: not valid JSON: "),
        (b'{"a": \xff}', "p.json", "p.json:1: not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(data: bytes, file: str, start: str) -> None:
    assert refused(data, file).startswith(start)


@pytest.mark.parametrize(
    "data, file, value",
    [
        (b'{"acc": 0.5}', "m.json", {"acc": 0.5}),
        (b"0.5\n", "m.json", 0.5),
        (b"86", "m.json", 86),
        (b"0.5\n", "score.txt", 0.5),
        (b"0.5", "score", 0.5),
        (b"acc: 1e-3\n", "m.yaml", {"acc": 0.001}),
        (b"acc: 1\n", "m.yml", {"acc": 1}),
        (b"7", "m.yaml", 7),
        (b"", "m.json", None),
        (b"", "m.yaml", None),
    ],
)
def test_a_metrics_file_is_a_mapping_or_a_number(data: bytes, file: str, value: Any) -> None:
    assert params.parse_metrics(data, file) == value


@pytest.mark.parametrize(
    "data, file, start",
    [
        (b'{"a":\n}', "m.json", "m.json:2: not valid JSON: "),
        (b"a: 1", "m.json", "m.json:1: not valid JSON: "),
        (b"a: 1\nb: ]", "m.yaml", "m.yaml:2: not valid YAML: "),
        (b"\xff", "m.json", "m.json:1: not UTF-8 text"),
    ],
)
def test_a_damaged_metrics_file_is_refused_with_its_line(
    data: bytes, file: str, start: str
) -> None:
    with pytest.raises(BadInput) as caught:
        params.parse_metrics(data, file)
    assert told(caught.value).startswith(start)
