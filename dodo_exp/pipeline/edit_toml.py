"""Edit TOML by tomlkit, which keeps layout and comments.

A string keeps its kind of quotes, so that setting a value back gives the bytes that were there.
"""

from __future__ import annotations

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Item, String, StringType

from dodo_exp.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_value(text: str, keys: tuple[str, ...], value: Any, file: str) -> str:
    """The text with the value at *keys* replaced, or added where it is not there.

    Raises:
        UsageError: TOML has no such value.
    """
    _check(value, file)
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for i, key in enumerate(keys[:-1]):
            if isinstance(table, list):
                table = table[int(key)]
            elif key in table:
                table = table[key]
            else:
                for part in reversed(keys[i + 1 :]):
                    value = {part: value}
                keys = keys[: i + 1]
                break
        last: Any = int(keys[-1]) if isinstance(table, list) else keys[-1]
        old = table[last] if isinstance(table, list) or last in table else None
        if isinstance(table, AoT) and not isinstance(value, dict):
            raise ValueError("other lines would change too")  # [[headers]] are tables alone
        table[last] = _like(old, value)
        is_small = old is None or isinstance(old, InlineTable) or not isinstance(old, dict | AoT)
        spelled = old.as_string() if isinstance(old, Item) else ""  # true and false are plain
        lines = max(3 if old is None else 1, spelled.count("\n") + 1) if is_small else len(text)
        return _alike(text, tomlkit.dumps(document), lines)
    except (TOMLKitError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{file}: cannot set {'.'.join(keys)}: {error}") from None


def delete_value(text: str, keys: tuple[str, ...], file: str) -> str:
    """The text without the entry at *keys*, which is there."""
    document = tomlkit.parse(text)
    table: Any = document
    for key in keys[:-1]:
        table = table[int(key) if isinstance(table, list) else key]
    del table[int(keys[-1]) if isinstance(table, list) else keys[-1]]
    return _alike(text, tomlkit.dumps(document), len(text))


def _alike(old: str, new: str, lines: int) -> str:
    """The new text, with the line ends of the old.

    Raises:
        ValueError: more than *lines* of the old text would change: tomlkit has laid out others.
    """
    if "\r\n" in old and "\n" not in old.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    before, after = old.split("\n"), new.split("\n")
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    tail = 0
    while tail < min(len(before), len(after)) - same and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    if len(before) - same - tail > lines:
        raise ValueError("other lines would change too")
    return new


def _check(value: Any, file: str) -> None:
    if value is None:
        raise UsageError(f"{file}: TOML has no null", "delete it with ~key")
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        _check(inner, file)


def _like(old: Item | None, value: Any) -> Any:
    """The value as an item; text in the quotes that *old* has, where they can hold it."""
    if isinstance(value, str) and isinstance(old, String):
        kind = old._t
        if kind is StringType.SLL and value.isprintable() and "'" not in value:
            return String(kind, value, value, old.trivia)
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, inner in value.items():
            table[str(key)] = _like(None, inner)
        return table
    if isinstance(value, list) and not isinstance(value, Array):
        array = tomlkit.array()
        for inner in value:
            array.append(_like(None, inner))
        return array
    return value
