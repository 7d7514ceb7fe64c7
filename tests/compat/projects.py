"""Projects: small ones, made up at random: variables, templates, groups, paths, and one fault.

A project is first plain data, then text. Values keep to what both sides may read in a YAML, JSON,
TOML or Python file; odd spellings of numbers stand between paragraph signs until the text is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Data = dict[str, Any]

WORDS = ["x", "y z", "", "1", "true", "None", "it's", "$HOME", "é", "a,b", "-", "a/b.c", "k: v"]
ESCAPES = ["${n}", "\\${n}", "{}", "$5"]
SPELLINGS = "§1e-3§ §0x1F§ §010§ §yes§ §.5§ §1_000§ §~§ §TRUE§ §1E5§ §.inf§ §-0.0§ §0o17§".split()
MEMBERS = ["lr", "opt", "layers", "on", "k-1", "b_2", "d.e"]
SCALARS = st.one_of(
    st.sampled_from([0, 1, -7, 10**20, 0.1, 1.0, 1e-7, -2.5e22, True, False, None]),
    st.sampled_from(WORDS),
    st.sampled_from(ESCAPES),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3)
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(MEMBERS), st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4
)
"""Mappings such as a command can be given."""
NAMES = "lr n t s l m train opt data item key a-b".split()
FORMATS = ["yaml", "json", "toml", "py"]
PATHS = ["d", "data/x", "./e", "f/../g", "dir/", "a b", "ünï"]
CONFIGS = [
    f"[parsing]\n    bool = {booleans}\n    list = {lists}\n"
    for booleans in ("store_true", "boolean_optional")
    for lists in ("nargs", "append")
]


class Project(NamedTuple):
    """The files of a project, and what was made wrong in it."""

    files: dict[str, str]
    config: str | None
    fault: str | None

    @property
    def request(self) -> Data:
        """What to ask both sides."""
        config = {} if self.config is None else {"config": self.config}
        return {"op": "stages", "files": self.files, **config}

    def __str__(self) -> str:
        parts = [f"--- {path}\n{text}" for path, text in self.files.items()]
        return "\n".join([*parts, f"--- .dvc/config: {self.config!r}; fault: {self.fault}"])


@st.composite
def projects(draw: Draw) -> Project:
    """A project; about half of them have one fault."""
    files: dict[str, str] = {}
    folders = ["", "sub/"] if draw(st.integers(0, 4)) == 0 else [""]
    documents = {folder: _document(draw, folder, files) for folder in folders}
    fault = None
    if draw(st.booleans()):
        fault = draw(st.sampled_from(sorted(FAULTS)))
        if FAULTS[fault](draw, documents[draw(st.sampled_from(folders))]) is False:
            fault = None
    for folder, document in documents.items():
        files[f"{folder}dvc.yaml"] = spelled(document)
    config = draw(st.sampled_from(CONFIGS)) if draw(st.integers(0, 2)) == 0 else None
    return Project(files, config, fault)


def spelled(data: Any) -> str:
    """The data as YAML, in one of the styles that people use."""
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return re.sub("§(.*?)§", r"\1", text)


# -- variables -----------------------------------------------------------------------------


def _document(draw: Draw, folder: str, files: dict[str, str]) -> Data:
    known: Data = {}
    names = draw(st.permutations(NAMES))
    if draw(st.integers(0, 3)):
        own = {name: draw(_variable()) for name in names[:4]}
        files[f"{folder}params.yaml"] = spelled(own)
        known.update(own)
    document: Data = {}
    items = [
        _var(draw, folder, name, files, known) for name in names[4 : 4 + draw(st.integers(0, 3))]
    ]
    if items:
        document["vars"] = items
    document["stages"] = {}
    for i in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(["s", "train_", "a-", "b."])) + str(i)
        document["stages"][name] = _entry(draw, folder, f"{folder[:-1]}{i}", known, files)
    if draw(st.integers(0, 5)) == 0:
        document["metrics"] = ["m" + _text(draw, known, "m")]
        document["plots"] = ["p" + _text(draw, known, "p"), {"q.csv": {"x": "c"}}]
    return document


def _variable() -> st.SearchStrategy[Any]:
    return st.one_of(VALUES, ARGUMENTS, st.sampled_from(SPELLINGS), st.lists(SCALARS, max_size=4))


def _var(draw: Draw, folder: str, name: str, files: dict[str, str], known: Data) -> Any:
    """An item of `vars`: inline, or a file of any format, or some keys of one."""
    value = draw(VALUES)
    known[name] = value
    kind = draw(st.sampled_from(["inline", *FORMATS]))
    if kind == "inline":
        return {name: value}
    identifier = name.replace("-", "_")
    if kind in ("toml", "py"):
        known[identifier] = known.pop(name)
        name = identifier
    other = {f"{name}2": draw(SCALARS), f"{name}3": 1}
    path = f"{name}.{kind}"
    files[folder + path] = WRITERS[kind]({name: value, **other})
    if draw(st.booleans()):
        known.update(other)
        return path
    return f"{path}:{name}"


def _toml(data: Data) -> str:
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in data.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_toml_value(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if value is None:
        return '"null"'
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | str) else repr(value)


def _python(data: Data) -> str:
    return "".join(f"{key} = {value!r}\n" for key, value in data.items())


WRITERS: dict[str, Callable[[Data], str]] = {
    "yaml": spelled,
    "json": json.dumps,
    "toml": _toml,
    "py": _python,
}


def reachable(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within, and the name by which a template reaches it."""
    if prefix:
        yield prefix, value
    if isinstance(value, dict):
        for key, inner in value.items():
            if "." not in str(key):
                yield from reachable(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from reachable(inner, f"{prefix}[{i}]")
            yield from reachable(inner, f"{prefix}.{i - len(value)}")


def _template(draw: Draw, known: Data, kind: type | tuple[type, ...]) -> str | None:
    names = [name for name, value in reachable(known) if isinstance(value, kind)]
    if not names:
        return None
    name: str = draw(st.sampled_from(names))
    spelling = draw(st.integers(0, 11))
    if spelling == 0:
        name = f" {name}  "
    elif spelling == 1:
        name = name.replace(".", " . ")
    elif spelling == 2:
        name = re.sub(r"\.(\w+)", r"[\1]", name)
    return f"${{{name}}}"


SCALAR = (str, int, float, bool, type(None))


def _text(draw: Draw, known: Data, literal: str, kind: Any = SCALAR) -> str:
    """A text, perhaps with templates in it; seldom nothing but a template."""
    shape = draw(st.integers(0, 9))
    first = _template(draw, known, kind)
    if shape < 4 or first is None:
        return literal
    if shape == 4:
        return literal + "\\${esc}" + first
    if shape == 5:
        return first if draw(st.booleans()) else first + literal
    second = _template(draw, known, SCALAR) if shape == 6 else ""
    return f"{literal}{first}{second or ''}"


# -- stages --------------------------------------------------------------------------------


def _entry(draw: Draw, folder: str, i: str, known: Data, files: dict[str, str]) -> Data:
    """A stage, or a group of them."""
    kind = draw(st.sampled_from(["stage", "stage", "foreach", "matrix"]))
    if kind == "stage":
        return _stage(draw, folder, i, known, files, "")
    if kind == "foreach":
        over = _over(draw, known)
        data = _resolve(over, known)
        item: Any = data
        if isinstance(data, dict):
            item = next(iter(data.values()), None)
            inner: Data = {**known, "item": item, "key": "k"}
        else:
            item = data[0] if isinstance(data, list) and data else None
            inner = {**known, "item": item}
        unique = "${key}" if isinstance(data, dict) else "${item}"
        if not isinstance(data, dict) and isinstance(item, list | dict):
            unique = next((f"${{{n}}}" for n, v in reachable({"item": item}) if _plain(v)), "")
        return {"foreach": over, "do": _stage(draw, folder, i, inner, files, unique)}
    axes = draw(st.lists(st.sampled_from(["m", "f", "g-h"]), min_size=1, max_size=2, unique=True))
    matrix = {axis: _axis(draw, known) for axis in axes}
    first = {axis: (_resolve(v, known) or [None])[0] for axis, v in matrix.items()}
    inner = {**known, "item": first, "key": "k"}
    return {"matrix": matrix, **_stage(draw, folder, i, inner, files, "${key}")}


def _plain(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _over(draw: Draw, known: Data) -> Any:
    names = [name for name, value in reachable(known) if not _plain(value)]
    if names and draw(st.integers(0, 2)) == 0:
        return f"${{{draw(st.sampled_from(names))}}}"
    if draw(st.booleans()):
        return draw(st.dictionaries(st.sampled_from(["us", "uk", "1", "a b"]), VALUES, max_size=3))
    return [*draw(st.lists(VALUES, max_size=3)), *_templates(draw, known)]


def _axis(draw: Draw, known: Data) -> Any:
    names = [name for name, value in reachable(known) if isinstance(value, list)]
    if names and draw(st.integers(0, 2)) == 0:
        return f"${{{draw(st.sampled_from(names))}}}"
    return [*draw(st.lists(VALUES, min_size=1, max_size=2)), *_templates(draw, known)]


def _templates(draw: Draw, known: Data) -> list[str]:
    made = _template(draw, known, object) if draw(st.booleans()) else None
    return [made if draw(st.booleans()) else f"i{made}"] if made else []


def _resolve(over: Any, known: Data) -> Any:
    """What a `foreach` or an axis goes over, as far as it is one template."""
    if isinstance(over, str):
        return dict(reachable(known)).get(over[2:-1])
    return over


def _stage(
    draw: Draw, folder: str, i: str, known: Data, files: dict[str, str], unique: str
) -> Data:
    """A stage; *unique* tells the outputs of a group's members apart."""
    some = set(draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=5, unique=True)))
    stage: Data = {}
    if "vars" in some:
        known = dict(known)
        name = f"v{i}"
        wdir = "w" if "wdir" in some else ""
        stage["vars"] = [_var(draw, f"{folder}{wdir}/" if wdir else folder, name, files, known)]
    if "wdir" in some:
        stage["wdir"] = "w" if "vars" in some else _text(draw, known, "w")
    stage["cmd"] = _command(draw, known)
    for part in sorted(some - {"vars", "wdir"}):
        stage[part] = PARTS[part](draw, known, i + unique)
    return stage


def _command(draw: Draw, known: Data) -> Any:
    kinds = (*SCALAR, dict)
    lines = [
        _text(draw, known, "run ", kinds) + draw(st.sampled_from(["", " $x", " '{a}'", " | tee l"]))
        for _ in range(draw(st.integers(1, 2)))
    ]
    return lines if draw(st.booleans()) else "\n".join(lines)


def _deps(draw: Draw, known: Data, i: str) -> Any:
    return [
        _text(draw, known, draw(st.sampled_from(PATHS))) for _ in range(draw(st.integers(0, 3)))
    ]


def _params(draw: Draw, known: Data, i: str) -> Any:
    entries = st.sampled_from(
        [
            *("lr", "train.opt", "layers.0"),
            *({"p.yaml": ["a", "b.c"]}, {"p.json": None}, {"q.toml": []}, {"r.py": {}}),
            *({"params.yaml": None}, {"./params.yaml": ["x"]}, {"p.yaml": ["z"], "q.toml": ["k"]}),
        ]
    )
    found = draw(st.lists(entries, max_size=3))
    if draw(st.booleans()):
        found.append(_text(draw, known, "k"))
        found.append({"f" + _text(draw, known, ".yaml"): [_text(draw, known, "k")]})
    return found


def _outs(draw: Draw, known: Data, i: str) -> Any:
    return _made(
        draw, known, f"o{i}", {"cache": False, "persist": True, "push": False, "desc": "d"}
    )


def _metrics(draw: Draw, known: Data, i: str) -> Any:
    return _made(draw, known, f"m{i}.json", {"cache": False, "persist": False, "labels": ["a"]})


def _plots(draw: Draw, known: Data, i: str) -> Any:
    title = _text(draw, known, "T ")
    return _made(draw, known, f"p{i}.csv", {"x": "a", "title": title, "header": False})


def _made(draw: Draw, known: Data, path: str, options: Data) -> list[Any]:
    found: list[Any] = []
    for n in range(draw(st.integers(1, 2))):
        name = _text(draw, known, f"{path}{n}")
        if not name.startswith(path):
            name = f"{path}{n}"
        chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=2, unique=True))
        if chosen or draw(st.booleans()):
            found.append({name: {key: options[key] for key in chosen}})
        else:
            found.append(name)
        if draw(st.integers(0, 9)) == 0:
            found.append({name: {"cache": draw(st.booleans())}})
    return found


def _desc(draw: Draw, known: Data, i: str) -> Any:
    return _text(draw, known, "what it does ")


def _meta(draw: Draw, known: Data, i: str) -> Any:
    return {"who": _text(draw, known, "m"), _text(draw, known, "k"): [draw(SCALARS)]}


def _flag(draw: Draw, known: Data, i: str) -> Any:
    return draw(st.booleans())


PARTS: dict[str, Callable[[Draw, Data, str], Any]] = {
    "deps": _deps,
    "params": _params,
    "outs": _outs,
    "metrics": _metrics,
    "plots": _plots,
    "desc": _desc,
    "meta": _meta,
    "frozen": _flag,
    "always_changed": _flag,
    "vars": _flag,
    "wdir": _flag,
}


# -- faults --------------------------------------------------------------------------------

Fault = Callable[[Draw, Data], Any]


def _some(draw: Draw, document: Data) -> Data:
    """The body of some stage."""
    entry = draw(st.sampled_from(list(document["stages"].values())))
    body: Data = entry.get("do", entry)
    return body


def _set(key: str, values: list[Any]) -> Fault:
    def fault(draw: Draw, document: Data) -> None:
        _some(draw, document)[key] = draw(st.sampled_from(values))

    return fault


def _set_top(key: str, values: list[Any]) -> Fault:
    def fault(draw: Draw, document: Data) -> None:
        document[key] = draw(st.sampled_from(values))

    return fault


def _add_var(items: list[Any]) -> Fault:
    def fault(draw: Draw, document: Data) -> None:
        where = document if draw(st.booleans()) else _some(draw, document)
        where["vars"] = [*where.get("vars", []), draw(st.sampled_from(items))]

    return fault


def _rename(draw: Draw, document: Data) -> None:
    name = draw(st.sampled_from(list(document["stages"])))
    document["stages"][draw(st.sampled_from([f"{name}@x", "", 5]))] = document["stages"].pop(name)


def _drop(draw: Draw, document: Data) -> Any:
    entry = draw(st.sampled_from(list(document["stages"].values())))
    key = draw(st.sampled_from(sorted({"foreach", "do", "cmd", "matrix"} & set(entry))))
    del entry[key]
    return key != "matrix"


def _redefine(draw: Draw, document: Data) -> bool:
    """Once more what a mapping of `vars` has."""
    again = [item for item in document.get("vars", []) if isinstance(item, dict)]
    if again:
        document["vars"].append(draw(st.sampled_from(again)))
    return bool(again)


def _again(draw: Draw, document: Data) -> bool:
    """A file of `vars` once more, or another part of it."""
    files = [item for item in document.get("vars", []) if isinstance(item, str)]
    if files:
        path = draw(st.sampled_from(files)).partition(":")[0]
        name = path.partition(".")[0]
        document["vars"].append(draw(st.sampled_from([path, f"{path}:{name}", f"{path}:{name}3"])))
    return bool(files)


def _group(draw: Draw, document: Data) -> None:
    """Put another group over a stage."""
    body = _some(draw, document)
    over: Data = draw(
        st.sampled_from(
            [
                *({"foreach": "${nope}"}, {"foreach": "abc"}, {"foreach": 5}, {"foreach": None}),
                *({"foreach": ["a@b"]}, {"foreach": ["x", "x"]}, {"foreach": [1, "1"]}),
                *({"foreach": [""]}, {"foreach": {"": 1}}, {"foreach": {1: "x", "1": "y"}}),
                *({"foreach": "${lr}"}, {"foreach": "x${lr}"}, {"foreach": []}, {"foreach": {}}),
                *({"matrix": {"m": ["x", "x"]}}, {"matrix": {"m": "abc"}}, {"matrix": {}}),
                *({"matrix": {"m": "${lr}"}}, {"matrix": {"m": ["x-y", "x"], "f": ["z", "y-z"]}}),
                *({"matrix": {"m": 5}}, {"matrix": ["x"]}, {"matrix": {"m": ["a@b"]}}),
            ]
        )
    )
    name = draw(st.sampled_from(list(document["stages"])))
    bare = {key: value for key, value in body.items() if key not in ("matrix", "foreach", "do")}
    document["stages"][name] = {**over, **({"do": bare} if "foreach" in over else bare)}


FAULTS: dict[str, Fault] = {
    "unknown key": _set("outz", [["x"]]),
    "unknown key at the top": _set_top("stage", [{}]),
    "unknown option": _set("outs", [[{"o": {"cachee": True}}], [{"o": {"x": "a"}}]]),
    "wrong type of option": _set("outs", [[{"o": {"cache": "no"}}], [{"o": None}], [5], "o"]),
    "wrong type of cmd": _set("cmd", [5, None, {"a": 1}, True]),
    "odd items of cmd": _set("cmd", [[5], [["a"]], [None], [], "", "\n", ["", "x"]]),
    "wrong type of deps": _set("deps", ["x", None, [5], [None], {"a": 1}, [["x"]]]),
    "wrong type of params": _set("params", ["lr", None, [5], [None], [{"p.yaml": "a"}]]),
    "odd params": _set("params", [[{"p.yaml": 5}], [{"p.yaml": {"a": 1}}], [["x"]], [""]]),
    "wrong type of frozen": _set("frozen", ["${t}", "yes", 1, None]),
    "wrong type of wdir": _set("wdir", [5, None, ["x"], {}]),
    "wrong type of desc": _set("desc", [5, None, ["x"], True]),
    "wrong type of vars": _set("vars", ["x.yaml", None, {"a": 1}, [5], [["x"]]]),
    "wrong type at the top": _set_top("stages", [[], "x", 5, {"a": None}, {"a": "x"}]),
    "wrong type of vars at the top": _set_top("vars", ["x.yaml", None, {"a": 1}, [5]]),
    "wrong type of metrics": _set_top("metrics", ["m", None, [5], [{"m": {}}]]),
    "wrong type of plots": _set_top("plots", ["p", {"p": {}}, [5], [{"p": {"xx": "a"}}]]),
    "no such variable": _set("cmd", ["x ${nope}", "${lr.nope}", "x ${l[99]}", "${PATH}"]),
    "no such variable in a path": _set("deps", [["${nope}"], ["d${train.nope}"]]),
    "no variable's name": _set("cmd", ["${}", "${ }", "x ${a..b}", "${l[}", "${l[]}", "${.n}"]),
    "odd braces": _set("cmd", ["x ${lr", "x ${a${n}}", "x $${lr}", "x \\\\${lr}", "x {${lr}}"]),
    "a list in a text": _set("cmd", ["x ${l}", "${l}", "x ${train}", "${train}", ["${train}"]]),
    "a mapping in a path": _set("deps", [["d${train}"], ["${train}"], ["${l}"]]),
    "odd wdir": _set("wdir", ["${lr}", "w${l}", "../..", ".", "", "${nope}", "w/../w"]),
    "odd meta": _set("meta", ["${l}", "${train}", {"a": "${l}"}, "x${l}", "${nope}", ["${n}"]]),
    "odd outputs": _set("outs", [["same"], ["${lr}"], ["x${l}"], [{"${lr}": {}}], ["a", "./a"]]),
    "odd outputs, overlapping": _set("outs", [["a", "a/b"], ["dvc.yaml"], ["x.dvc"], [""]]),
    "metrics that are outputs": _set("metrics", [["same"], [{"same": {"cache": False}}]]),
    "a plot with a list": _set("plots", [[{"p.csv": [{"x": "a"}]}], [{"p.csv": {"x": ["a"]}}]]),
    "a loop": _set("deps", [["same"], ["w/same"]]),
    "no such file of vars": _add_var(["nope.yaml", "nope.json:a", "", "sub"]),
    "a template in vars": _add_var([{"z": "${n}"}, "${n}.yaml", {"${n}": 1}, {"z": ["\\${n}"]}]),
    "reserved variables": _add_var([{"item": 1}, {"key": {"a": 1}}]),
    "variables once more": _add_var([{"lr": 1}, {"train": {"opt": 2}}, {"l": []}, {"n": None}]),
    "some keys of params.yaml": _add_var(["params.yaml", "params.yaml:lr", "./params.yaml"]),
    "a file of vars once more": _again,
    "a variable once more": _redefine,
    "a part left out": _drop,
    "another name": _rename,
    "another group": _group,
}
