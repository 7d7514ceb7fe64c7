"""Edit JSON: set or delete one value and leave every other byte as it is."""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]

from dodo_store.named import Named
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = pattern(r"[ \t\r\n]*")
_WORD = pattern(r"[^\s,\]}]+")


class Span(Named):
    """Where a value stands; `inner` are a list's or a mapping's entries, by index or key."""

    start: int
    end: int
    inner: dict[str, Entry] | None
    is_list: bool


class Entry(Named):
    """An entry of a list or mapping: where it begins, key included, and its value."""

    start: int
    value: Span


def set_value(text: str, keys: tuple[str, ...], value: Any, file: str) -> str:
    """The text with the value at *keys* replaced, or added where it is not there."""
    edit = _Edit(text)
    if not text.strip():
        return edit.emit(_nested(keys, value)) + "\n"
    span = edit.root
    for i, key in enumerate(keys):
        if span.inner is None or (span.is_list is False and key not in span.inner):
            rest = keys[i:]
            if span.inner is None:
                return text[: span.start] + edit.emit(_nested(rest, value)) + text[span.end :]
            return edit.insert(span, rest[0], _nested(rest[1:], value))
        span = span.inner[key].value
    return text[: span.start] + edit.emit(value) + text[span.end :]


def delete_value(text: str, keys: tuple[str, ...], file: str) -> str:
    """The text without the entry at *keys*, which is there."""
    span = _Edit(text).root
    for key in keys[:-1]:
        assert span.inner is not None
        span = span.inner[key].value
    assert span.inner is not None
    entries = list(span.inner.values())
    i = list(span.inner).index(keys[-1])
    if len(entries) == 1:
        return text[: span.start + 1] + text[span.end - 1 :]
    if i + 1 < len(entries):
        return text[: entries[i].start] + text[entries[i + 1].start :]
    return text[: entries[i - 1].value.end] + text[entries[i].value.end :]


def _nested(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def first_duplicate(text: str) -> tuple[int, str]:
    """The offset of the first key that its mapping has already, and the key."""
    try:
        _Edit(text, duplicates=True)
    except _Duplicate as found:
        return found.start, found.key
    except RecursionError:
        return 0, ""
    raise AssertionError("there is no duplicate key")


class _Duplicate(Exception):
    def __init__(self, start: int, key: str) -> None:
        self.start = start
        self.key = key


class _Edit:
    """One text being edited; it was read without fault before."""

    def __init__(self, text: str, duplicates: bool = False) -> None:
        self.text = text
        self.duplicates = duplicates
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.root = self.span(0) if text.strip() else Span(0, 0, None, False)

    def space(self, i: int) -> int:
        match = _SPACE.match(self.text, i)
        return match.end() if match else i

    def span(self, i: int) -> Span:
        start = i = self.space(i)
        char = self.text[i]
        if char == '"':
            return Span(start, scanstring(self.text, i + 1)[1], None, False)
        if char not in "[{":
            match = _WORD.match(self.text, i)
            return Span(start, match.end() if match else i, None, False)
        inner: dict[str, Entry] = {}
        i = self.space(i + 1)
        while self.text[i] not in "]}":
            begin, key = i, str(len(inner))
            if char == "{":
                key, i = scanstring(self.text, i + 1)
                i = self.space(i) + 1
                if self.duplicates and key in inner:
                    raise _Duplicate(begin, key)
            value = self.span(i)
            inner[key] = Entry(begin, value)
            i = self.space(value.end)
            if self.text[i] == ",":
                i = self.space(i + 1)
        return Span(start, i + 1, inner, char == "[")

    def insert(self, span: Span, key: str, value: Any) -> str:
        """Add an entry to a mapping, laid out as its last one is."""
        text = self.text
        item = f"{self.emit(key)}: {self.emit(value)}"
        if not span.inner:
            return f"{text[: span.start]}{{{item}}}{text[span.end :]}"
        last = list(span.inner.values())[-1]
        line = text.rfind("\n", 0, last.start) + 1
        indent = text[line : last.start]
        own_line = not indent.strip() and line > span.start
        gap = f",{self.newline}{indent}" if own_line else ", "
        return text[: last.value.end] + gap + item + text[last.value.end :]

    def emit(self, value: Any) -> str:
        """A value on one line; escaped as the file's own texts are."""
        return json.dumps(value, ensure_ascii="\\u" in self.text and self.text.isascii())
