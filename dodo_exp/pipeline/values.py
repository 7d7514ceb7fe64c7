"""Values: finding a value in nested data, its leaves, and its one canonical text.

Apart from `params`, because every command needs these and few need a parser.
"""

from __future__ import annotations

import math

try:
    from _json import encode_basestring  # that of json.encoder, without what that imports
except ImportError:
    from json.encoder import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ABSENT = "(absent)"
"""Text of a value that is not there; no canonical text begins with a parenthesis."""


class Ambiguous(KeyError):
    """A dotted name is a key with a dot in it and a way through nested mappings at once.

    `quoted` is the name that means the key alone.
    """

    def __init__(self, name: str, quoted: str) -> None:
        super().__init__(name)
        self.quoted = quoted


def parts(name: str) -> tuple[str, ...]:
    """The keys in a dotted name; one with a dot in it is quoted, as in `"a.b".c`."""
    if '"' not in name:
        return tuple(name.split("."))
    import re

    part = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')
    found: list[str] = []
    end = 0
    while match := part.match(name, end):
        end = match.end() + 1
        found.append(match[2] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1]))
        if end > len(name):
            return tuple(found)
        if name[end - 1] != ".":
            break
    return tuple(name.split("."))


def lookup(values: Any, name: str) -> Any:
    """The value at `a.b.0` in nested mappings and lists, else at the key that is so spelled.

    A mapping on the way may have all the rest as one key: `a.b.0` is also `b.0` in `a`.

    Raises:
        KeyError: there is none.
        Ambiguous: there are several.
    """
    return _find(values, name)[0]


def way(values: Any, name: str) -> tuple[str, ...]:
    """The keys that lead to the value that `lookup` finds.

    Raises:
        KeyError, Ambiguous: as `lookup`.
    """
    return _find(values, name)[1]


def _find(values: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    keys = parts(name)
    spelled: list[tuple[Any, tuple[str, ...]]] = []
    found = values
    try:
        for i, part in enumerate(keys):
            if i + 1 < len(keys) and isinstance(found, dict):
                rest = ".".join(keys[i:]) if i else name
                if rest in found:
                    spelled.append((found[rest], (*keys[:i], rest)))
            found = child(found, part)
        spelled.append((found, keys))
    except KeyError:
        if not spelled:
            raise
    if len(spelled) > 1:
        raise Ambiguous(name, dotted(spelled[0][1]))
    return spelled[0]


def dotted(keys: tuple[str, ...]) -> str:
    """The name that `parts` takes apart into these keys."""
    return ".".join([f'"{key}"' if "." in key else key for key in keys])


def matching(values: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and values of all that a name with `*`, `?` or `[` in it matches.

    DVC reads such names so, though of one match only.
    """
    from fnmatch import fnmatchcase

    def below(value: Any, left: tuple[str, ...], way: str) -> Iterator[tuple[str, Any]]:
        if not left:
            yield way, value
        elif isinstance(value, dict | list):
            rows = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in rows:
                if fnmatchcase(str(key), left[0]):
                    part = canonical(key) if "." in str(key) else str(key)
                    yield from below(inner, left[1:], f"{way}.{part}" if way else part)

    if any(char in name for char in "*?["):
        yield from below(values, parts(name), "")


def existing(values: dict[Any, Any], part: Any) -> Any:
    """The key of *values* that *part* names: itself, or the number or word of that spelling."""
    if part in values or not part or not isinstance(part, str):
        return part
    from dodo_exp.pipeline import yaml12

    typed = yaml12.scalar(part)
    if isinstance(typed, str):
        return part
    return next((key for key in values if type(key) is type(typed) and key == typed), part)


def child(value: Any, part: str) -> Any:
    """One step down: a mapping's key (also a numeric one), or a list's index."""
    if isinstance(value, dict):
        key = existing(value, part)
        if key in value:
            return value[key]
    elif isinstance(value, list) and is_index(part.removeprefix("-")):
        index = int(part)
        if -len(value) <= index < len(value):
            return value[index]
    raise KeyError(part)


def is_index(part: str) -> bool:
    """Whether a key's part can be the index of a list's item."""
    return part.isascii() and part.isdecimal() and len(part) < 10


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
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        inner = sorted([(canonical(key), canonical(item)) for key, item in value.items()])
        return "{" + ", ".join([f"{key}: {item}" for key, item in inner]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join([canonical(item) for item in value]) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    raise TypeError(f"no value of a params file: {value!r}")


def is_same(one: Any, other: Any) -> bool:
    """Whether both have one canonical text, without making it."""
    if one is other:
        return True
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(key in other and is_same(value, other[key]) for key, value in one.items())
            and list(map(type, one)) == [type(key) for key in _in_order_of(one, other)]
        )
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(is_same(*pair) for pair in zip(one, other, strict=True))
        )
    return type(one) is type(other) and (
        canonical(one) == canonical(other) if isinstance(one, float) else bool(one == other)
    )


def _in_order_of(one: dict[Any, Any], other: dict[Any, Any]) -> list[Any]:
    """The keys of *other* as it has them, 1 or true, in the order of *one*."""
    own = {key: key for key in other}
    return [own[key] for key in one]


def all_same(values: list[Any]) -> bool:
    """Whether there is one value in several places; one alone has nothing to be compared with."""
    if len(values) < 2:
        return False
    first = values[0]
    kind = type(first)
    is_plain = kind in (int, str, bool, bytes) or (kind is float and first == first)
    if is_plain:  # most are, and there may be thousands; NaN is equal to itself only below
        return all(type(value) is kind and value == first for value in values)
    return all(value is first or is_same(first, value) for value in values)


def finite(value: Any) -> Any:
    """A value that JSON can hold: NaN and infinities, which it cannot, become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
