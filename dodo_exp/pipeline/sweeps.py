"""Sweeps: several values for one parameter, and the functions of the override grammar.

Spec: https://hydra.cc/docs/advanced/override_grammar/extended/
"""

from __future__ import annotations

from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MAX_VALUES = 10_000


class FunctionError(Exception):
    """A function was given what it does not take."""


class Quoted(str):
    """Text that was quoted, which casts read and others take as it is."""

    __slots__ = ()


class Sweep(Named):
    """Values to try one after another; *is_simple* if written `a,b,c`."""

    values: Sequence[Any]
    is_simple: bool = False


class FilesSweep(Named):
    """The files that match a pattern of *include* and none of *exclude*."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def matching(self, find: Callable[[str], list[str]]) -> list[Any]:
        """The files, in order of name."""
        found = dict.fromkeys(path for pattern in self.include for path in find(pattern))
        from fnmatch import fnmatchcase

        return sorted(p for p in found if not any(fnmatchcase(p, each) for each in self.exclude))

    def __str__(self) -> str:
        return f"glob({', '.join(self.include)})"


def plain(value: Any) -> Any:
    """The value with quoted texts as texts."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Quoted) else value


def _choice(*values: Any) -> Sweep:
    if not values:
        raise FunctionError("nothing to choose from")
    if any(isinstance(value, FilesSweep) for value in values):
        raise FunctionError("glob() is a sweep by itself")
    if len(values) == 1 and isinstance(values[0], Sweep):
        if not values[0].is_simple:
            raise FunctionError("a choice in a choice")
        return Sweep(values[0].values)
    return Sweep(values)


def _range(start: Any, stop: Any = None, step: Any = 1) -> Sweep:
    """start, start + step, ... below stop; in decimals, so that 0.1 + 0.2 is 0.3."""
    if stop is None:
        start, stop = 0, start
    numbers = (start, stop, step)
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise FunctionError("takes numbers")
    if step == 0:
        raise FunctionError("a step of 0 never ends")
    if all(isinstance(n, int) for n in numbers):
        whole = range(start, stop, step)
        # len() of a range beyond the machine's word is an OverflowError: told all the same.
        _check_count(len(whole))
        return Sweep(whole)
    from decimal import ROUND_CEILING, Decimal

    first, last, by = (Decimal(repr(n)) for n in numbers)
    if not all(n.is_finite() for n in (first, last, by)):
        raise FunctionError("takes finite numbers")
    count = max(0, int(((last - first) / by).to_integral_value(ROUND_CEILING)))
    _check_count(count)
    return Sweep(tuple(float(first + by * i) for i in range(count)))


def _check_count(count: int) -> None:
    if count > MAX_VALUES:
        raise FunctionError(f"{count:,} values; at most {MAX_VALUES:,}")
    if count == 0:
        raise FunctionError("no values: the stop is not after the start")


def _interval(start: Any, end: Any) -> Any:
    raise FunctionError("values between two limits have no end; range(start, stop, step) has")


def _tag(*words: Any, sweep: Any = None) -> Any:
    last = sweep if sweep is not None else words[-1] if words else None
    if not isinstance(last, Sweep | FilesSweep):
        raise FunctionError("takes words and then a sweep")
    return last


def _values(given: tuple[Any, ...], sweep: Any, values: Any) -> tuple[list[Any], bool]:
    """The values of a function that takes a list or a sweep, and whether it was a list."""
    if values is not None:
        return list(values), True
    if sweep is not None and not isinstance(sweep, Sweep):
        raise FunctionError(f"{sweep!r} is no sweep")
    if sweep is not None:
        return list(sweep.values), False
    if len(given) == 1 and isinstance(given[0], list):
        return list(given[0]), True
    if len(given) == 1 and isinstance(given[0], Sweep):
        return list(given[0].values), False
    if not given:
        raise FunctionError("nothing in it")
    return list(given), False


def _sort(*given: Any, sweep: Any = None, list: Any = None, reverse: Any = False) -> Any:
    values, was_list = _values(given, sweep, list)
    if len(given) == 1 and not was_list and values == [*given]:
        return given[0]
    values = sorted(values, reverse=bool(reverse))
    return values if was_list else Sweep(tuple(values))


def _shuffle(*given: Any, sweep: Any = None, list: Any = None) -> Any:
    values, was_list = _values(given, sweep, list)
    import random

    random.shuffle(values)
    if len(given) == 1 and not was_list and not isinstance(given[0], Sweep):
        return [*given]
    return values if was_list else Sweep(tuple(values))


def _glob(include: Any, exclude: Any = None) -> FilesSweep:
    def patterns(given: Any) -> tuple[str, ...]:
        given = [] if given is None else given if isinstance(given, list) else [given]
        if not all(isinstance(each, str) for each in given):
            raise FunctionError("takes patterns of file names")
        return tuple(str(each) for each in given)

    return FilesSweep(patterns(include), patterns(exclude))


def _cast(convert: Callable[[Any], Any]) -> Callable[..., Any]:
    def cast(*given: Any, value: Any = None) -> Any:
        if given and value is not None:
            raise FunctionError("takes one value")
        if not given and value is None:
            raise FunctionError("takes a value")
        if len(given) > 1:
            return Sweep(tuple(each(item) for item in given), is_simple=True)
        return each(given[0] if given else value)

    def each(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: each(item) for key, item in value.items()}
        if isinstance(value, list):
            return [each(item) for item in value]
        if isinstance(value, Sweep):
            return Sweep(tuple(each(item) for item in value.values), value.is_simple)
        if value is None or isinstance(value, FilesSweep):
            raise FunctionError(f"cannot convert {value}")
        return convert(value)

    return cast


def _to_bool(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise FunctionError(f"{str(value)!r} is neither true nor false")
        return value.lower() == "true"
    return bool(value)


def _to_str(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "choice": _choice,
    "range": _range,
    "interval": _interval,
    "tag": _tag,
    "sort": _sort,
    "shuffle": _shuffle,
    "glob": _glob,
    "int": _cast(int),
    "float": _cast(float),
    "str": _cast(_to_str),
    "bool": _cast(_to_bool),
}
