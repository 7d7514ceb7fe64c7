"""What a verb takes: options and arguments, declared as with click and read without it.

Loading click takes as long as most commands do. So a verb only notes what it takes, and a plain
command line (options that are known, a value for each that needs one, no fault) is read here, as
click would. Everything else, be it help, completion, or a mistake to be explained, goes to click
(`grammar.py`), which is given the same declarations.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

NOTED = "__takes__"
"""Where a function that is being decorated keeps what it takes, the last first."""

UNDERSTOOD = frozenset(
    {
        "default", "flag_value", "help", "hidden", "is_flag", "metavar", "multiple", "nargs",
        "required", "shell_complete", "show_default", "type",
    }
)  # fmt: skip
"""Attributes that a plain line can be read by, or that do not bear on it."""


class Kind:
    """What values of an option or argument are."""

    name = "text"

    def read(self, text: str) -> Any:
        """The value that a word of the command line stands for.

        Raises:
            ValueError: none; its text says what is wanted.
        """
        return text


class Integer(Kind):
    """A whole number, maybe within bounds."""

    name = "integer"

    def __init__(self, least: int | None = None, most: int | None = None) -> None:
        self.least = least
        self.most = most

    def read(self, text: str) -> int:
        """The number."""
        value = int(text)
        below = self.least is not None and value < self.least
        if below or (self.most is not None and value > self.most):
            raise ValueError
        return value


class Choice(Kind):
    """One of some words."""

    name = "choice"

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [*words]

    def read(self, text: str) -> str:
        """The word."""
        if text not in self.words:
            raise ValueError
        return text


class Path(Kind):
    """A path, of what can be read or is not there."""

    name = "path"

    def read(self, text: str) -> str:
        """The path."""
        import os

        if os.path.exists(text) and not os.access(text, os.R_OK):
            raise ValueError
        return text


class Folder(Path):
    """The path of a folder, or of nothing yet."""

    def read(self, text: str) -> str:
        """The path."""
        import os

        if os.path.lexists(text) and not os.path.isdir(text):
            raise ValueError
        return super().read(text)


class Param:
    """An option or argument, by the words and attributes that click takes."""

    def __init__(self, names: tuple[str, ...], attributes: dict[str, Any]) -> None:
        self.names = names
        self.attributes = attributes
        self.get = attributes.get
        self.opts = tuple(name for name in names if name[0] == "-")
        self.key = self._key()

    @property
    def needs_value(self) -> bool:
        """Whether a value follows the option's name."""
        return not self.get("is_flag") and "flag_value" not in self.attributes

    def _key(self) -> str:
        """The function's keyword: the name without dashes, or the one with the most."""
        for name in self.names:
            if name[0] != "-":
                return name
        longest = max(self.opts, key=lambda name: len(name) - len(name.lstrip("-")))
        return longest.lstrip("-").replace("-", "_").lower()

    def unset(self) -> Any:
        """The value where the command line has none."""
        if "default" in self.attributes:
            default = self.attributes["default"]
            return self.read(default) if isinstance(default, str) else default
        if self.get("multiple") or self.get("nargs") == -1:
            return ()
        return False if self.get("is_flag") else None

    def read(self, text: str) -> Any:
        """The value of a word.

        Raises:
            ValueError
        """
        kind = self.get("type")
        return text if kind is None else kind.read(text)


class Command:
    """A verb: what it takes, and the function that is given it.

    Attributes:
        name: the last word of the verb.
        function: takes a keyword argument for each of *params*; its docstring is the help.
        params: options and arguments, in the order of the help.
        attributes: what click's command takes besides.
    """

    def __init__(self, name: str, function: Callable[..., Any], attributes: dict[str, Any]) -> None:
        self.name = name
        self.function = function
        self.params: list[Param] = getattr(function, NOTED, [])[::-1]
        self.attributes = attributes

    def plain(self, words: list[str]) -> dict[str, Any] | None:
        """What a plain command line gives the function; None if click has to read it."""
        if self.attributes.keys() - {"epilog"}:
            return None
        if any(param.attributes.keys() - UNDERSTOOD for param in self.params):
            return None
        try:
            return _read(self.params, words)
        except (_NotPlain, ValueError):
            return None


class _NotPlain(Exception):
    """A line for click."""


def _read(params: list[Param], words: list[str]) -> dict[str, Any]:
    """The values of a plain line.

    Raises:
        _NotPlain, ValueError
    """
    given: dict[str, Any] = {}
    options = {name: param for param in params for name in param.opts}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word[:1] != "-" or word == "-":
            rest.append(word)
            continue
        param, value = _named(options, word)
        if not param.needs_value:
            if value is not None:
                raise _NotPlain
            given[param.key] = param.get("flag_value", True)
            continue
        if value is None:
            value = next(left, "-")
            if value[:1] == "-":
                raise _NotPlain
        if param.get("multiple"):
            given[param.key] = (*given.get(param.key, ()), param.read(value))
        else:
            given[param.key] = param.read(value)
    _place([param for param in params if not param.opts], rest, given)
    for param in params:
        if param.key not in given:
            if param.opts and param.get("required"):
                raise _NotPlain
            given[param.key] = param.unset()
    return given


def _named(options: dict[str, Param], word: str) -> tuple[Param, str | None]:
    """The option that a word names, and the value in the same word: --jobs=2, -j2."""
    if word in options:
        return options[word], None
    name, sign, value = word.partition("=")
    if not word.startswith("--"):
        name, sign, value = word[:2], "-", word[2:]
    param = options.get(name)
    if param is None or not sign or not value or value[0] == "=":
        raise _NotPlain
    return param, value


def _place(arguments: list[Param], rest: list[str], given: dict[str, Any]) -> None:
    """Give words that belong to no option to the arguments, one each; a last one may take many."""
    for i, param in enumerate(arguments):
        is_last = i == len(arguments) - 1
        if param.get("nargs") == -1:
            if not is_last or (param.get("required") and not rest):
                raise _NotPlain
            given[param.key] = tuple(param.read(word) for word in rest)
            return
        if rest:
            given[param.key] = param.read(rest.pop(0))
        elif param.get("required", "default" not in param.attributes):
            raise _NotPlain
    if rest:
        raise _NotPlain


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a verb."""
    return lambda function: Command(name, function, attributes)


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Note an option of a verb, as `click.option`; *type* is a Kind."""
    return _noting(Param(names, attributes))


def argument(name: str, **attributes: Any) -> Callable[[F], F]:
    """Note an argument of a verb, as `click.argument`; *type* is a Kind."""
    return _noting(Param((name,), attributes))


def _noting(param: Param) -> Callable[[F], F]:
    def note(function: F) -> F:
        function.__dict__.setdefault(NOTED, []).append(param)
        return function

    return note


def grouped(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several as one, in their order."""

    def all_of_them(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return all_of_them
