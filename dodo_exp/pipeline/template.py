"""Template: `${...}` in a dvc.yaml, and the context of variables that it is filled from.

The rules are DVC's (https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#templating): a
text that is nothing but one template keeps the value's type, in longer texts values become their
text; a mapping in a command becomes its arguments. `${glob("data/*.txt")}` is ours.
"""

from __future__ import annotations

from functools import lru_cache

from dodo_exp.errors import did_you_mean
from dodo_exp.pipeline.values import leaves
from dodo_store.named import Named
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 1 << 20
MAX_HINTS = 20
_TEMPLATE = pattern(r"(?<!\\)\$\{([^}\n]*+)\}")
_OPEN = pattern(r"(?<!\\)\$\{")
_NAME = pattern(r"[^.\[\]]++(?:\s*+(?:\.[^.\[\]]++|\[[^.\[\]]++\]))*+\s*+\Z")
_GLOB = pattern(r"""\s*glob\(\s*(?:"([^"]+)"|'([^']+)')\s*\)\s*\Z""")
RESERVED = ("item", "key")
_SHELL = pattern(r"(?:[A-Z_][A-Z0-9_]*|\w+:?[-=?+#%/].*)\Z")
"""Names that are a shell's: HOME, or X:-default."""
LITERAL = "for a literal '${' write '\\${'"


class TemplateError(ValueError):
    """A template that cannot be read or filled; the caller knows the place."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Name(Named):
    """A variable: the text between the braces, and its keys."""

    text: str
    keys: tuple[str, ...]


class Glob(Named):
    """A pattern of files."""

    pattern: str


class Template(Named):
    """Texts and variables in turn; *exact* if it is one variable and nothing else."""

    pieces: tuple[str | Name | Glob, ...]
    exact: bool


class Arguments(Named):
    """How a mapping becomes arguments: the settings `parsing.bool` and `parsing.list` of DVC."""

    booleans: str = "store_true"
    lists: str = "nargs"


def is_template(text: str) -> bool:
    """Whether filling could change *text*."""
    return "${" in text


def has_variable(text: str) -> bool:
    """Whether there is a template in *text*, well formed or not."""
    return _TEMPLATE.search(text, 0, text.rfind("}") + 1) is not None


@lru_cache(maxsize=20_000)
def parse(text: str) -> Template:
    """Read a text with templates in it.

    Raises:
        TemplateError: one is not closed, or what is in the braces is no name.
    """
    pieces: list[str | Name | Glob] = []
    end = 0
    for match in _TEMPLATE.finditer(text, 0, text.rfind("}") + 1):
        if match.start() > end:
            pieces.append(text[end : match.start()])
        pieces.append(_variable(match[1]))
        end = match.end()
    if _OPEN.search(text, end):
        raise TemplateError("'${' is not closed on its line", LITERAL)
    if end < len(text):
        pieces.append(text[end:])
    return Template(tuple(pieces), len(pieces) == 1 and not isinstance(pieces[0], str))


def _variable(inner: str) -> Name | Glob:
    if match := _GLOB.match(inner):
        return Glob(match[1] or match[2])
    if "${" in inner:
        raise TemplateError(
            f"a template in a template: '${{{inner}}}'", "a name is written out in full"
        )
    if not _NAME.match(inner):
        raise TemplateError(
            f"'${{{inner}}}' is not a variable's name", f"as in ${{train.layers[0]}}; {LITERAL}"
        )
    dotted = inner.replace("[", ".").replace("]", "")
    return Name(inner.strip(), tuple(part.strip() for part in dotted.split(".")))


def unescaped(text: str) -> str:
    """The text with `\\${` as `${`."""
    return text.replace("\\${", "${")


def in_text(value: Any, arguments: Arguments) -> str:
    """What stands for a value in the midst of a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return as_arguments(value, arguments)
    return str(value)


def as_arguments(values: dict[str, Any], how: Arguments) -> str:
    """A mapping as arguments of a command: `--lr 0.1 --layers 1 2 --opt.name adam`.

    Raises:
        TemplateError: a list in a list, or a mapping in one.
    """
    from shlex import quote

    words: list[str] = []
    for name, value in _flat(values):
        flag = quote(f"--{name}")
        if value is True:
            words.append(flag)
        elif value is False:
            if how.booleans == "boolean_optional":
                words.append(quote(f"--no-{name}"))
        elif isinstance(value, list):
            if any(isinstance(item, list | dict) for item in value):
                raise TemplateError(f"{name!r} holds a list of lists, which no argument can be")
            items = [quote(item) if isinstance(item, str) else str(item) for item in value]
            if how.lists == "append":
                words += [f"{flag} {item}" for item in items]
            elif items:
                words.append(f"{flag} {' '.join(items)}")
        else:
            words.append(f"{flag} {quote(value) if isinstance(value, str) else value}")
    return " ".join(words)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def named_only(value: Any) -> Any:
    """The value without entries whose key is no text: no template can name them."""
    if isinstance(value, dict):
        return {key: named_only(inner) for key, inner in value.items() if isinstance(key, str)}
    return [named_only(item) for item in value] if isinstance(value, list) else value


class Context:
    """The variables that templates name. Never changed: adding to it makes another one."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.bound: dict[str, Any] = {}
        self.sources: tuple[tuple[str, dict[str, Any]], ...] = ()
        self.loaded: dict[str, tuple[str, ...] | None] = {}
        self.used: dict[tuple[str, ...], Context] = {}
        """The variables that this context and those made from it were first asked for."""
        self.unknown: list[str] = []
        """Names asked for in vain; shared as `used` is."""

    def _copy(self) -> Context:
        other = Context()
        other.__dict__.update(self.__dict__)
        return other

    def plus(self, values: dict[Any, Any], source: str) -> Context:
        """With the variables of *source* merged in.

        Raises:
            TemplateError: one is there already, or stands for a foreach item.
        """
        values = named_only(values)
        for name in values:
            if name in self.bound:
                raise TemplateError(f"cannot set {name!r}: it stands for the stage's own item")
        other = self._copy()
        other.data = self._merged(self.data, values, source, ())
        other.sources = (*self.sources, (source, values))
        return other

    def _merged(
        self, into: dict[str, Any], update: dict[str, Any], source: str, path: tuple[str, ...]
    ) -> dict[str, Any]:
        merged = dict(into)
        for key, value in update.items():
            old = into.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                merged[key] = self._merged(old, value, source, (*path, key))
            elif key in into:
                where = (*path, key)
                raise TemplateError(
                    f"cannot redefine {'.'.join(where)!r} from {source!r}"
                    f" as it already exists in {self.source(where)!r}"
                )
            else:
                merged[key] = value
        return merged

    def source(self, keys: tuple[str, ...]) -> str | None:
        """Where the variable was first set."""
        for source, values in self.sources:
            found: Any = values
            for key in keys:
                if isinstance(found, list) and key.lstrip("-").isdecimal():
                    break  # within a list there is one source
                if not isinstance(found, dict) or key not in found:
                    found = None
                    break
                found = found[key]
            if found is not None:
                return source
        return None

    def plus_file(self, path: str, keys: tuple[str, ...], values: dict[Any, Any]) -> Context:
        """With a file's variables, or those of its top-level *keys*; a whole file counts once.

        Raises:
            TemplateError
        """
        item = f"{path}:{','.join(keys)}" if keys else path
        if path in self.loaded:
            known = self.loaded[path]
            if not keys and known is None:
                return self
            if known is None:
                raise TemplateError(f"cannot partially load {item!r} as it's already loaded")
            if not keys or set(keys) & set(known):
                raise TemplateError(f"cannot load {item!r} as it's partially loaded already")
        for key in keys:
            if key not in values:
                raise TemplateError(
                    f"there is no {key!r} in {path}", did_you_mean(key, map(str, values))
                )
        chosen = {key: values[key] for key in keys} if keys else values
        other = self.plus(chosen, path)
        before = self.loaded.get(path) or ()
        other.loaded = {**self.loaded, path: (*before, *keys) if keys else None}
        return other

    def bind(self, values: dict[str, Any]) -> Context:
        """With `item` and `key` of one stage of a group; they hide variables of that name."""
        other = self._copy()
        other.bound = {name: named_only(value) for name, value in values.items()}
        return other

    def get(self, name: Name) -> Any:
        """The value of a variable.

        Raises:
            TemplateError: there is none.
        """
        keys = name.keys
        if keys[0] in self.bound:
            value: Any = self.bound
        else:
            value = self.data
            self.used.setdefault(keys, self)
        for key in keys:
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (LookupError, ValueError, TypeError):
                raise self._unknown(name) from None
        return value

    def _unknown(self, name: Name) -> TemplateError:
        message = f"'${{{name.text}}}' is not defined"
        if _SHELL.match(name.text):
            return TemplateError(message, f"for a variable of the shell write '\\${{{name.text}}}'")
        if not self.sources and not self.bound:
            return TemplateError(
                message, "there is no params.yaml beside the dvc.yaml, and no vars"
            )
        self.unknown.append(name.text)
        if len(self.unknown) > MAX_HINTS:
            return TemplateError(message)  # each name is compared with all that are known
        known = [*(key for key, _ in leaves(self.bound)), *(key for key, _ in leaves(self.data))]
        return TemplateError(message, did_you_mean(name.text, known))

    def fill(
        self,
        text: str,
        *,
        in_command: bool = False,
        freely: bool = False,
        arguments: Arguments | None = None,
    ) -> Any:
        """The text with its templates filled.

        Args:
            in_command: mappings may stand for arguments.
            freely: lists and mappings may be the value, as in foreach.

        Raises:
            TemplateError
        """
        template = parse(text)
        if template.exact:
            value = self._value(template.pieces[0])
            if isinstance(value, list | dict) and not freely:
                kind = "list" if isinstance(value, list) else "mapping"
                hint = "write the program before it" if in_command else None
                raise TemplateError(f"{text} is a {kind}, which cannot stand here", hint)
            return value
        filled = []
        for piece, value in self._values(template):
            if isinstance(piece, str):
                filled.append(piece)
                continue
            if not freely and (
                isinstance(value, list) or (isinstance(value, dict) and not in_command)
            ):
                kind = "list" if isinstance(value, list) else "mapping"
                raise TemplateError(f"a {kind} cannot stand in the midst of a text")
            filled.append(in_text(value, arguments or Arguments()))
        if sum(map(len, filled)) > MAX_TEXT:
            raise TemplateError(f"a text of more than {MAX_TEXT >> 20} MiB")
        return unescaped("".join(filled))

    def _values(self, template: Template) -> list[tuple[str | Name | Glob, Any]]:
        """The pieces of a template with their values; all that are not defined are told."""
        found: list[tuple[str | Name | Glob, Any]] = []
        errors: list[TemplateError] = []
        for piece in template.pieces:
            try:
                found.append((piece, piece if isinstance(piece, str) else self._value(piece)))
            except TemplateError as error:
                errors.append(error)
        if errors:
            hints = dict.fromkeys(error.hint for error in errors if error.hint)
            raise TemplateError("; ".join(map(str, errors)), "; ".join(hints) or None)
        return found

    def _value(self, piece: str | Name | Glob) -> Any:
        if isinstance(piece, Name):
            return self.get(piece)
        raise TemplateError("glob() can be all of 'foreach', or all of an item of 'deps'")
