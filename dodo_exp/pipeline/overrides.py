"""Overrides: what stands behind `-S`: `[file:]key=value`, several with commas.

Values follow the override grammar that DVC takes from Hydra: numbers, true/false, null, quoted
text, [lists], {mappings}; anything else is text. `a=1,b=2` means two overrides, as DVC's guide has
it. Spec: https://hydra.cc/docs/advanced/override_grammar/basic/
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from dodo_exp.errors import UsageError
from dodo_exp.pipeline.model import PARAMS_FILE

_INT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)\Z")
_FLOAT = re.compile(
    r"[+-]?(?:(?:(?:0|[1-9](?:_?\d)*)?\.\d(?:_?\d)*|(?:0|[1-9](?:_?\d)*)\.)(?:[eE][+-]?\d(?:_?\d)*)?"
    r"|(?:0|[1-9](?:_?\d)*)[eE][+-]?\d(?:_?\d)*|inf|nan)\Z",
    re.IGNORECASE,
)
_KEY = re.compile(r"""\s*([^\s=,'"\[\]{}()$]+)\s*=\s*""")
_SPECIAL = "\\()[]{}:=, \t"
MAX_DEPTH = 64
MAX_DIGITS = 4000
"""Python converts no more digits than 4,300; such a number is taken for text."""
EXAMPLE = "for example: -S train.lr=0.01 -S 'layers=[64, 32]'"


class Change(NamedTuple):
    """One parameter to set: the file as the user wrote it, the key's parts, the value."""

    file: str
    keys: tuple[str, ...]
    value: Any

    @property
    def name(self) -> str:
        """The key as written."""
        return ".".join(self.keys)


def parse(text: str) -> list[Change]:
    """Read what one `-S` was given.

    Raises:
        UsageError: not an assignment, or a sweep of several values.
    """
    reader = _Reader(text)
    changes: list[Change] = []
    while True:
        file, keys = reader.key(text if not changes else None)
        changes.append(Change(file, keys, reader.value()))
        if reader.at_end():
            return changes
        reader.comma(changes[-1])


class _Reader:
    """A cursor over one argument."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.i = 0
        self.depth = 0
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            raise self.fault("a character that no file can hold")

    def fault(self, message: str) -> UsageError:
        return UsageError(f"-S {self.text!r}: {message}", EXAMPLE)

    def at_end(self) -> bool:
        self.skip_spaces()
        return self.i >= len(self.text)

    def peek(self) -> str:
        return self.text[self.i : self.i + 1]

    def skip_spaces(self) -> None:
        while self.peek() in (" ", "\t") and self.peek():
            self.i += 1

    def key(self, whole: str | None) -> tuple[str, tuple[str, ...]]:
        match = _KEY.match(self.text, self.i)
        if match is None:
            if re.match(r"[^=]*[\[\]][^=]*=", self.text[self.i :]):
                raise self.fault("a list's item is written with a dot, as in layers.0=64")
            if self.text[self.i :].lstrip()[:1] == "~":
                raise self.fault("deleting with '~' is not run yet")
            missing = (
                "no '=' in it" if whole is not None and "=" not in whole else "no key before '='"
            )
            raise self.fault(missing)
        self.i = match.end()
        file, colon, key = _split(match[1])
        if key[:1] in "+~":
            raise self.fault("adding and deleting with '+', '++' and '~' are not run yet")
        parts = tuple(key.split("."))
        if not all(parts) or (colon and not file):
            raise self.fault(f"not a parameter name: {match[1]!r}")
        return file or PARAMS_FILE, parts

    def comma(self, last: Change) -> None:
        """After a value: a comma that begins another assignment. A bare value would be a sweep."""
        if self.peek() != ",":
            raise self.fault(f"what is {self.text[self.i :]!r} after the value?")
        self.i += 1
        if _KEY.match(self.text, self.i) is None:
            raise UsageError(
                f"-S {self.text!r}: several values for {last.name!r} are a sweep",
                f"a list is written with brackets: -S '{last.name}=[1, 2]'",
            )

    def value(self) -> Any:
        """The value at the cursor, up to a comma or the end."""
        self.skip_spaces()
        return "" if self.i >= len(self.text) else self.element(",")

    def element(self, stop: str) -> Any:
        self.skip_spaces()
        if self.depth > MAX_DEPTH:
            raise self.fault(f"nested more than {MAX_DEPTH} levels deep")
        char = self.peek()
        if char in ("'", '"') and char:
            value: Any = self.quoted()
        elif char in ("[", "{") and char:
            self.depth += 1
            value = self.sequence() if char == "[" else self.mapping()
            self.depth -= 1
        else:
            return self.bare(stop)
        self.skip_spaces()
        return value

    def sequence(self) -> list[Any]:
        items: list[Any] = []
        self.i += 1
        self.skip_spaces()
        if self.peek() == "]":
            self.i += 1
            return items
        while True:
            items.append(self.element(",]"))
            if self.closes("]"):
                return items

    def mapping(self) -> dict[Any, Any]:
        items: dict[Any, Any] = {}
        self.i += 1
        self.skip_spaces()
        if self.peek() == "}":
            self.i += 1
            return items
        while True:
            self.skip_spaces()
            key = self.quoted() if self.peek() in ("'", '"') else self.bare(":,}")
            self.skip_spaces()
            if key in items:
                raise self.fault(f"the key {key!r} is there twice")
            if self.peek() != ":":
                raise self.fault(f"expected ':' at {self.rest()}")
            self.i += 1
            items[key] = self.element(",}")
            if self.closes("}"):
                return items

    def closes(self, end: str) -> bool:
        """Step over a comma or the closing bracket; say which."""
        char = self.peek()
        if char not in (",", end) or not char:
            raise self.fault(f"expected ',' or {end!r} at {self.rest()}")
        self.i += 1
        return char == end

    def rest(self) -> str:
        return repr(self.text[self.i :]) if self.i < len(self.text) else "the end"

    def quoted(self) -> str:
        """Quoted text; a backslash only counts before the quote, or before backslashes there."""
        quote, start = self.peek(), self.i
        end = start + 1
        while True:
            end = self.text.find(quote, end)
            if end < 0:
                raise self.fault(f"the quote {quote} is not closed")
            slashes = len(self.text[start + 1 : end]) - len(self.text[start + 1 : end].rstrip("\\"))
            if slashes % 2 == 0:
                break
            end += 1
        self.i = end + 1
        inner = self.text[start + 1 : end]
        return re.sub(r"(\\+)(" + quote + r"|\Z)", lambda m: "\\" * (len(m[1]) // 2) + m[2], inner)

    def bare(self, stop: str) -> Any:
        """Unquoted text up to one of *stop*: a number, a word, or text with inner spaces kept."""
        out, spaces, escaped = "", "", False
        while (char := self.peek()) and char not in stop:
            following = self.text[self.i + 1 : self.i + 2]
            if char == "\\" and following and following in _SPECIAL:
                out, spaces, escaped, self.i = out + spaces + following, "", True, self.i + 2
            elif char in " \t":
                spaces, self.i = spaces + char, self.i + 1
            elif char in "[]{}()":
                raise self.fault(
                    f"a value with {char!r} in it needs quotes of its own: 'k=\"a(b)\"'"
                )
            else:
                out, spaces, self.i = out + spaces + char, "", self.i + 1
        text = out
        if not text:
            raise self.fault(f"a value is missing at {self.rest()}")
        return text if escaped else word(text)


def _split(name: str) -> tuple[str, str, str]:
    """`file:key` at the first colon, as DVC does."""
    file, colon, key = name.partition(":")
    return (file, colon, key) if colon else ("", "", name)


def word(text: str) -> Any:
    """The typed value of an unquoted word."""
    lower = text.lower()
    if lower in ("true", "false"):
        return lower == "true"
    if lower == "null":
        return None
    if len(text) > MAX_DIGITS:
        return text
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
