"""Params: reading a parameter file, and a metrics file."""

from __future__ import annotations

import json
import os
from typing import Any

from dodo_exp.errors import BadInput
from dodo_exp.pipeline import yaml12


def parse(data: bytes, file: str) -> dict[Any, Any]:
    """The contents of a parameter file.

    Raises:
        BadInput: not readable as what its ending says, or not a mapping.
    """
    text = yaml12.decode(data, file)
    value = _json(text, file) if file.endswith(".json") else yaml12.load(text, file)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(file, f"must be a mapping of names to values, not {_kind(value)}")
    return value


def _json(text: str, file: str) -> Any:
    try:
        value = json.loads(text) if text.strip() else None
        if _depth(value) > yaml12.MAX_DEPTH:
            raise BadInput(file, f"nested more than {yaml12.MAX_DEPTH} levels deep")
        return value
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise BadInput(f"{file}:{line}", f"not valid JSON: {error}") from None


def _depth(value: Any) -> int:
    """Levels of mappings and lists, counted without recursion."""
    depth, level = 0, [value]
    while level := [i for v in level if isinstance(v, list | dict) for i in _inner(v)]:
        depth += 1
        if depth > yaml12.MAX_DEPTH:
            break
    return depth


def _inner(value: list[Any] | dict[Any, Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"{value!r:.40}"


def parse_metrics(data: bytes, file: str) -> Any:
    """A metrics file: a mapping, or a bare number.

    Raises:
        BadInput
    """
    text = yaml12.decode(data, file)
    if os.path.splitext(file)[1] in (".yaml", ".yml"):
        return yaml12.load(text, file)
    return _json(text, file)
