"""Params: reading a parameter file in YAML, JSON, TOML or Python, and a metrics file.

Whatever the format, the values are those that JSON knows: dates are their text, tuples and sets
are lists. A Python file is never executed: only literals are read, by the rules that DVC has.
"""

from __future__ import annotations

import os
from functools import lru_cache

from dodo_exp.errors import BadInput, Location
from dodo_exp.pipeline.text import MAX_DEPTH, decode
from dodo_exp.pipeline.values import canonical
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

MAX_PYTHON = 1 << 19
"""Bytes of a params file in Python: its syntax tree takes up to six hundred times its size."""


def parse(data: bytes, file: str) -> dict[Any, Any]:
    """The contents of a parameter file.

    Raises:
        BadInput: not readable as what its ending says, or not a mapping.
    """
    return load(decode(data, file), file)


@lru_cache(maxsize=2)
def load(text: str, file: str) -> dict[Any, Any]:
    """As `parse`, of text; callers share the result and do not change it.

    A command reads one file several times: before an edit, after it, after a run.

    Raises:
        BadInput
    """
    value = _load(text, file)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(file, f"must be a mapping of names to values, not {_kind(value)}")
    return value


def parse_metrics(data: bytes, file: str) -> Any:
    """A metrics file: a mapping, or a bare number; its format goes by the ending, as with params.

    Raises:
        BadInput
    """
    return _load(decode(data, file), file)


def _load(text: str, file: str) -> Any:
    read = {".json": _json, ".toml": _toml, ".py": _python}.get(suffix(file), _yaml)
    return read(text, file)


def suffix(file: str) -> str:
    """The ending that decides the format; anything but .json, .toml and .py is YAML."""
    return os.path.splitext(file)[1].lower()


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"{value!r:.40}"


def _yaml(text: str, file: str) -> Any:
    from dodo_exp.pipeline import yaml12  # loading it takes as long as reading a small file

    return yaml12.load(text, file)


# -- JSON ----------------------------------------------------------------------------------


def _json(text: str, file: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            from dodo_exp.pipeline import edit_json

            place, key = edit_json.first_duplicate(text)
            raise BadInput(_location(file, text, place), f"duplicate key {key!r}")
        return found

    import json

    try:
        value = json.loads(text, object_pairs_hook=pairs) if text.strip() else None
    except (ValueError, RecursionError) as error:
        where = Location(file, getattr(error, "lineno", 1), getattr(error, "colno", 0))
        words = getattr(error, "msg", error)
        raise BadInput(where, f"not valid JSON: {words}") from None
    _check_depth(value, file)
    if (half := _HALF.search(text)) and (problem := _unwritable(value)):
        raise BadInput(_location(file, text, half.start()), problem)
    return value


_HALF = pattern(r"(?i)\\u(?:0000)?d[89a-f]")


def _unwritable(value: Any) -> str | None:
    """Why the store's records, which are UTF-8 and decimal, cannot hold the value."""
    try:
        canonical(value).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair in a text, which is not a character"
    except ValueError:
        return "a number of more than 4,300 digits"
    return None


def _location(file: str, text: str, offset: int) -> Location:
    """The line and column of a character."""
    start = text.rfind("\n", 0, offset) + 1
    return Location(file, text.count("\n", 0, offset) + 1, offset - start + 1)


def _check_depth(value: Any, file: str) -> None:
    """Levels of mappings and lists, counted without recursion."""
    depth, level = 0, [value]
    while level := [i for v in level if isinstance(v, list | dict) for i in _inner(v)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadInput(file, f"nested more than {MAX_DEPTH} levels deep")


def _inner(value: list[Any] | dict[Any, Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


# -- TOML ----------------------------------------------------------------------------------


def _toml(text: str, file: str) -> Any:
    import re
    import tomllib

    if text.count(".") >= MAX_DEPTH:
        # tomllib takes time and memory that grow with the square of a dotted key's parts.
        bare = _QUOTED.sub(_as_word, text)
        if dots := _DOTTED.search(bare):
            where = Location(file, bare.count("\n", 0, dots.start()) + 1)
            raise BadInput(where, f"nested more than {MAX_DEPTH} levels deep")
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        words = str(error)
        place: Location | str = file
        if match := re.search(r" \(at line (\d+), column (\d+)\)", words):
            place = Location(file, int(match[1]), int(match[2]))
            words = words[: match.start()]
        elif "(at end of document)" in words:
            place = Location(file, text.count("\n") + 1)
        raise BadInput(place, f"not valid TOML: {words}") from None
    _check_depth(value, file)
    value = _plainly(value)
    if (based := re.search(r"0[xob]", text)) and (problem := _unwritable(value)):
        raise BadInput(Location(file, text.count("\n", 0, based.start()) + 1), problem)
    return value


_DOTTED = pattern(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MAX_DEPTH}}}")
_QUOTED = pattern(
    r'''(?s)"""(?:[^\\]|\\.)*?"""|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*'''
)


def _as_word(match: re.Match[str]) -> str:
    """A word on as many lines, in place of a quoted text; nothing in place of a comment."""
    return "" if match[0][0] == "#" else "q" + "\n" * match[0].count("\n")


def _plainly(value: Any) -> Any:
    """The value in JSON's types: dates as text, tuples and sets as lists."""
    if isinstance(value, dict):
        return {_key(key): _plainly(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plainly(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plainly(inner) for inner in value), key=canonical)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def _key(key: Any) -> Any:
    return key if key is None or isinstance(key, bool | int | float | str) else repr(key)


# -- Python --------------------------------------------------------------------------------


def _python(text: str, file: str) -> Any:
    tree = syntax_tree(text, file)
    try:
        return _scope(tree.body, file)
    except RecursionError:
        raise BadInput(file, f"nested more than {MAX_DEPTH} levels deep") from None


def syntax_tree(text: str, file: str) -> Any:
    """The `ast` of a Python file.

    Raises:
        BadInput
    """
    import ast
    import warnings

    if len(text) > MAX_PYTHON:
        raise BadInput(file, f"larger than {MAX_PYTHON >> 10} KiB, the most for Python")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the user's code does is not our business
            return ast.parse(text)
    except SyntaxError as error:
        place = Location(file, error.lineno or 1, max(error.offset or 0, 0))
        raise BadInput(place, f"not valid Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadInput(file, f"not valid Python: {error or 'nested too deep'}") from None


def assignments(body: list[Any], *, of_self: bool) -> list[tuple[str, Any]]:
    """Name and value's node of each assignment, class and `__init__` that DVC takes for params.

    Of a class the node is the class, of `__init__` come the assignments to `self`. A name given
    twice comes twice; the last counts.
    """
    import ast

    found: list[tuple[str, Any]] = []
    for node in body:
        target = None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        elif isinstance(node, ast.ClassDef):
            found.append((node.name, node))
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found += assignments(node.body, of_self=True)
        if isinstance(target, ast.Name) and not of_self:
            found.append((target.id, node.value))
        elif isinstance(target, ast.Attribute) and _is_self(target.value):
            found.append((target.attr, node.value))
    return found


def _is_self(node: Any) -> bool:
    return getattr(node, "id", None) == "self"


def _scope(body: list[Any], file: str) -> dict[str, Any]:
    """Names and literal values of a module's or a class's body; what is no literal is no param."""
    import ast

    found: dict[str, Any] = {}
    for name, node in assignments(body, of_self=False):
        if isinstance(node, ast.ClassDef):
            found[name] = _scope(node.body, file)
            continue
        try:
            found[name] = _plainly(ast.literal_eval(node))
        except (ValueError, TypeError, SyntaxError):
            continue
        if problem := _unwritable(found[name]):
            raise BadInput(Location(file, node.lineno), problem)
    return found
