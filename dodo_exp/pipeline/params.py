"""Params: reading a parameter file, finding values in it, and their canonical text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from typing import Any

from dodo_exp.errors import BadInput
from dodo_exp.pipeline import yaml12

ABSENT = "(absent)"
"""Text of a value that is not there; no canonical text begins with a parenthesis."""


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
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise BadInput(f"{file}:{line}", f"not valid JSON: {error}") from None


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


def lookup(values: Any, dotted: str) -> Any:
    """The value at `a.b.0` in nested mappings and lists.

    Raises:
        KeyError: there is none.
    """
    if isinstance(values, dict) and dotted in values:
        return values[dotted]
    for part in dotted.split("."):
        values = child(values, part)
    return values


def child(value: Any, part: str) -> Any:
    """One step down: a mapping's key (also a numeric one), or a list's index."""
    if isinstance(value, dict):
        if part in value:
            return value[part]
        typed = yaml12.scalar(part)
        if not isinstance(typed, str) and typed in value:
            return value[typed]
    elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    raise KeyError(part)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of all that is not a (non-empty) mapping."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            name = canonical(key) if isinstance(key, str) and "." in key else str(key)
            yield from leaves(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def canonical(value: Any) -> str:
    """The one text of a value: JSON with sorted keys; 1, 1.0 and true differ, NaN equals NaN."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        inner = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(canonical(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
