"""Overrides: what stands behind `-S`: `[file:]key=value`, several with commas, or a sweep.

The grammar is the one that DVC takes from Hydra: `k=v` sets, `+k=v` adds, `++k=v` does either,
`~k` deletes; values are numbers, true/false, null, quoted text, [lists], {mappings}, anything else
is text; `k=1,2,3`, `choice()`, `range()` and `glob()` are sweeps. `a=1,b=2` means two overrides, as
DVC's guide has it. Spec: https://hydra.cc/docs/advanced/override_grammar/basic/
"""

from __future__ import annotations

import re
from itertools import product

from dodo_exp.errors import UsageError
from dodo_exp.pipeline import sweeps
from dodo_exp.pipeline.model import PARAMS_FILE
from dodo_exp.pipeline.sweeps import FUNCTIONS, FilesSweep, FunctionError, Quoted, Sweep
from dodo_exp.pipeline.values import dotted, parts
from dodo_store.named import Named
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

SET, ADD, FORCE, DELETE = "", "+", "++", "~"

_INT = pattern(r"[+-]?(?:0|[1-9](?:_?[0-9])*)\Z")
_FLOAT = pattern(
    r"(?i)[+-]?(?:(?:(?:0|[1-9](?:_?\d)*)?\.\d(?:_?\d)*|(?:0|[1-9](?:_?\d)*)\.)(?:[eE][+-]?\d(?:_?\d)*)?"
    r"|(?:0|[1-9](?:_?\d)*)[eE][+-]?\d(?:_?\d)*|inf|nan)\Z"
)
_NAME = r"""(?:[^\s=,'"\[\]{}()\\]|"(?:[^"\\]|\\.)*")+"""
_KEY = pattern(rf"\s*({_NAME})\s*=\s*")
_DELETED = pattern(rf"\s*((?:[^\s=,:~]+:)?~{_NAME})\s*(?=,|\Z)")
_CALL = pattern(r"([A-Za-z_][\w-]*)[ \t]*\(")
_NAMED = pattern(r"\s*([A-Za-z_][\w-]*)[ \t]*=[ \t]*")
_FILLED = pattern(r"\$\{[^}]+\}")
_SPECIAL = "\\()[]{}:=, \t"
MAX_DEPTH = 64
MAX_DIGITS = 4000
"""Python converts no more digits than 4,300; such a number is taken for text."""
MAX_EXPERIMENTS = 10_000
EXAMPLE = "for example: -S train.lr=0.01 -S 'layers=[64, 32]'"


class Change(Named):
    """One parameter to change: the file as the user wrote it, the key's parts, the value.

    `op` is SET, ADD, FORCE or DELETE; with DELETE a value other than ABSENT has to be there.
    """

    file: str
    keys: tuple[str, ...]
    value: Any
    op: str = SET

    @property
    def name(self) -> str:
        """The key as a dotted name."""
        return dotted(self.keys)


class Absent:
    """No value; distinct from every value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


def parse(text: str) -> list[Change]:
    """Read what one `-S` was given; a sweep's value is a `Sweep`.

    Raises:
        UsageError: not an assignment.
    """
    reader = _Reader(text)
    changes: list[Change] = []
    while True:
        deleted = _DELETED.match(text, reader.i)
        if deleted:
            reader.i = deleted.end()
            changes.append(reader.change(deleted[1], ABSENT))
        else:
            name = reader.key(text if not changes else None)
            changes.append(reader.change(name, reader.values()))
        if reader.at_end():
            return changes
        reader.comma()


def is_sweep(changes: Iterable[Change]) -> bool:
    """Whether they stand for several experiments."""
    return any(isinstance(change.value, Sweep | FilesSweep) for change in changes)


def expand(
    changes: Iterable[Change], find: Callable[[str], list[str]] = lambda pattern: []
) -> list[tuple[Change, ...]]:
    """Every experiment that the sweeps make, in the order of the options; one without sweeps.

    Mappings that are given for one key combine, as single values do; a single value replaces a
    sweep that was given before it.

    Args:
        find: the files that match a pattern, for `glob()`.

    Raises:
        UsageError: too many, a pattern that matches nothing, or a sweep that another one replaces.
    """
    axes: list[list[Change]] = []
    size = 1
    for change in changes:
        values: list[Any] = [change.value]
        if isinstance(change.value, FilesSweep):
            values = change.value.matching(find)
            if not values:
                raise UsageError(f"-S {change.name}: no file matches {change.value}")
        elif isinstance(change.value, Sweep):
            values = sweeps.plain(list(change.value.values))
        if len(values) == 1 and not isinstance(values[0], dict):
            # One value replaces a sweep that was given for it before, with a warning.
            same = change.file, change.keys
            axes = [axis[:1] if (axis[0].file, axis[0].keys) == same else axis for axis in axes]
        axes.append([change._replace(value=value) for value in values])
    for axis in axes:
        size *= len(axis)
    if size > MAX_EXPERIMENTS:
        raise UsageError(f"a sweep of {size:,} experiments; at most {MAX_EXPERIMENTS:,}")
    _check_overlap(axes)
    return list(product(*axes))


def settings(changes: Iterable[Change]) -> dict[str, Any]:
    """What one experiment sets, by name; mappings that are given for one key are merged."""
    found: dict[str, Any] = {}
    for change in changes:
        found[change.name] = _merged(found.get(change.name), change.value)
    return found


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _check_overlap(axes: list[list[Change]]) -> None:
    """Refuse a sweep of values that another `-S` replaces: its experiments would be the same.

    Raises:
        UsageError
    """
    set_by: dict[tuple[str, ...], tuple[Change, int]] = {}
    for axis in axes:
        places = {
            (change.file, *keys): (change, len(axis))
            for change in axis
            for keys in _places(change.keys, change.value)
        }
        for place, (change, count) in places.items():
            for other, (known, times) in set_by.items():
                both = min(len(place), len(other))
                if place[:both] == other[:both] and max(count, times) > 1:
                    name = dotted(place[1:both])
                    raise UsageError(
                        f"-S {change.name}: another -S sets {name}: only one can take effect",
                        f"give all values of it in one: -S {name}=..."
                        if known.name == change.name
                        else f"leave out -S {known.name} or -S {change.name}",
                    )
        set_by |= places


def _places(keys: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    """The keys of every value that is replaced; a mapping merges into one that is there."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _places((*keys, str(key)), inner)
    else:
        yield keys


class _Reader:
    """A cursor over one argument."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.i = 0
        self.depth = 0
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            raise self.fault("a character that no file can hold")

    def fault(self, message: str, hint: str = EXAMPLE) -> UsageError:
        return UsageError(f"-S {self.text!r}: {message}", hint)

    def at_end(self) -> bool:
        self.skip_spaces()
        return self.i >= len(self.text)

    def peek(self) -> str:
        return self.text[self.i : self.i + 1]

    def skip_spaces(self) -> None:
        while self.peek() in (" ", "\t") and self.peek():
            self.i += 1

    def key(self, whole: str | None) -> str:
        """The name before the next `=`; the cursor goes behind it."""
        match = _KEY.match(self.text, self.i)
        if match is None:
            name, equals, _ = self.text[self.i :].partition("=")
            if equals and ("[" in name or "]" in name):
                raise self.fault("a list's item is written with a dot, as in layers.0=64")
            if whole is not None and "=" not in whole:
                raise self.fault("no '=' in it")
            raise self.fault("no key before '='")
        self.i = match.end()
        return match[1]

    def change(self, name: str, value: Any) -> Change:
        file, colon, key = _split(name)
        op = next((op for op in (FORCE, ADD, DELETE) if key.startswith(op)), SET)
        keys = parts(key[len(op) :])
        if not all(keys) or (colon and not file):
            raise self.fault(f"not a parameter name: {name!r}")
        if keys[0][0] in "+~" or file[:1] in ("+", "~"):
            raise self.fault(f"not a parameter name: {name!r}", "write file:+key=value")
        if op == DELETE and isinstance(value, Sweep | FilesSweep):
            raise self.fault("a deletion takes one value")
        return Change(file or PARAMS_FILE, keys, value, op)

    def comma(self) -> None:
        """After a value: a comma that begins another assignment."""
        if self.peek() != ",":
            raise self.fault(f"what is {self.text[self.i :]!r} after the value?")
        self.i += 1

    def begins_another(self) -> bool:
        rest = self.i + 1
        return bool(_KEY.match(self.text, rest) or _DELETED.match(self.text, rest))

    def values(self) -> Any:
        """The value at the cursor; several with commas between them are a sweep."""
        if self.at_end():
            return ""
        if self.peek() == "," and self.begins_another():
            return ""
        found = [self.element(",")]
        while self.peek() == "," and not self.begins_another():
            self.i += 1
            found.append(self.element(","))
        if len(found) == 1:
            return sweeps.plain(found[0])
        self.check_no_sweep(found)
        return Sweep(tuple(found), is_simple=True)

    def check_no_sweep(self, values: list[Any]) -> None:
        if any(isinstance(value, Sweep | FilesSweep) for value in values):
            raise self.fault("a sweep cannot be one value of another")

    def element(self, stop: str) -> Any:
        self.skip_spaces()
        if self.depth > MAX_DEPTH:
            raise self.fault(f"nested more than {MAX_DEPTH} levels deep")
        char = self.peek()
        call = _CALL.match(self.text, self.i)
        if char in ("'", '"') and char:
            value: Any = Quoted(self.quoted())
        elif char in ("[", "{") and char:
            self.depth += 1
            value = self.sequence() if char == "[" else self.mapping()
            self.depth -= 1
        elif call:
            self.depth += 1
            value = self.call(call)
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
            items.append(self.inner(",]"))
            if self.closes("]"):
                return items

    def inner(self, stop: str) -> Any:
        value = self.element(stop)
        if isinstance(value, Sweep | FilesSweep):
            raise self.fault("a sweep cannot be inside a list or a mapping")
        return value

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
            items[key] = self.inner(",}")
            if self.closes("}"):
                return items

    def call(self, match: re.Match[str]) -> Any:
        name = match[1]
        if name not in FUNCTIONS:
            raise self.fault(
                f"there is no function {name!r}",
                f"{', '.join(sorted(FUNCTIONS))}; text with brackets needs quotes: 'k=\"a(b)\"'",
            )
        self.i = match.end()
        given: list[Any] = []
        named: dict[str, Any] = {}
        self.skip_spaces()
        while self.peek() != ")":
            word = _NAMED.match(self.text, self.i)
            if word:
                self.i = word.end()
                named[word[1]] = self.element(",)")
            elif named:
                raise self.fault(f"a value without a name after {next(iter(named))!r}")
            else:
                given.append(self.element(",)"))
            if self.closes(")"):
                self.i -= 1
        self.i += 1
        if len(given) > 1 and name != "tag":
            self.check_no_sweep(given)
        try:
            return FUNCTIONS[name](*given, **named)
        except (FunctionError, ValueError, TypeError, OverflowError) as error:
            words = str(error).replace("_", " ") if isinstance(error, TypeError) else str(error)
            raise self.fault(f"{name}(): {words}") from None

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
            filled = _FILLED.match(self.text, self.i)
            if char == "\\" and following and following in _SPECIAL:
                out, spaces, escaped, self.i = out + spaces + following, "", True, self.i + 2
            elif char in " \t":
                spaces, self.i = spaces + char, self.i + 1
            elif filled:
                out, spaces, self.i = out + spaces + filled[0], "", filled.end()
            elif char in "[]{}()":
                raise self.fault(
                    f"a value with {char!r} in it needs quotes of its own: 'k=\"a(b)\"'"
                )
            else:
                out, spaces, self.i = out + spaces + char, "", self.i + 1
        if not out:
            raise self.fault(f"a value is missing at {self.rest()}")
        return out if escaped else word(out)


def _split(name: str) -> tuple[str, str, str]:
    """`file:key` at the first colon, as DVC does."""
    file, colon, key = name.partition(":")
    return (file, colon, key) if colon and '"' not in file else ("", "", name)


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
