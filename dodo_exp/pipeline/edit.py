"""Edit: change one value in a params file and leave every other byte as it is.

Each format has an editor that finds the value's place in the text. What it makes is read again and
compared with what was wanted, so that an edit which would change anything else is refused.
"""

from __future__ import annotations

from contextlib import suppress

from dodo_exp.errors import BadInput, UsageError
from dodo_exp.pipeline import params
from dodo_exp.pipeline.values import canonical, existing, is_index, is_same

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_value(text: str, keys: tuple[str, ...], value: Any, file: str, old: Any = None) -> str:
    """The text with `a.b.0` set to *value*; missing mappings on the way are made.

    Args:
        old: what the text says, if that is known.

    Raises:
        BadInput: *text* is not what the file's ending says.
        UsageError: the way leads through a value that is no mapping, or the edit would change more.
    """
    old = params.load(text, file) if old is None else old
    value = with_text_keys(value, file)
    wanted = updated(old, keys, value, f"{file}: cannot set {'.'.join(map(str, keys))}")
    if is_same(wanted, old) and _is_there(old, keys):
        return text
    try:
        new: str = _editor(file).set_value(text, keys, value, file)
    except (ValueError, LookupError, AssertionError):
        new = text  # something that the editor does not know: refused below
    return _checked(text, new, wanted, keys, file)


def delete_value(text: str, keys: tuple[str, ...], file: str) -> str:
    """The text without `a.b.0`, which is there.

    Raises:
        BadInput, UsageError: as `set_value`.
    """
    wanted = without(params.load(text, file), keys)
    try:
        new: str = _editor(file).delete_value(text, keys, file)
    except (ValueError, LookupError, AssertionError):
        new = text
    if params.suffix(file) == ".toml":
        wanted = _without_empty(wanted, keys[:-1], params.load(new, file))
    return _checked(text, new, wanted, keys, file)


def _without_empty(wanted: Any, keys: tuple[str, ...], new: Any) -> Any:
    """*wanted*; without what is empty on the way, where *new* does not have it.

    In TOML the table of a dotted key goes with its last key, a list of tables with its last table.
    """
    for i in range(len(keys), 0, -1):
        if is_same(wanted, new) or not _is_there(wanted, keys[:i]):
            break
        at = wanted
        for part in keys[:i]:
            at = at[int(part)] if isinstance(at, list) else at[existing(at, part)]
        if at not in ({}, []):
            break
        wanted = without(wanted, keys[:i])
    return wanted


def with_text_keys(value: Any, file: str) -> Any:
    """The value; for JSON and TOML, which have no others, with every key as text."""
    if params.suffix(file) not in (".json", ".toml"):
        return value
    if isinstance(value, list):
        return [with_text_keys(inner, file) for inner in value]
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else canonical(key): with_text_keys(inner, file)
            for key, inner in value.items()
        }
    return value


def _editor(file: str) -> Any:
    from importlib import import_module

    name = {".json": "json", ".toml": "toml", ".py": "python"}.get(params.suffix(file), "yaml")
    return import_module(f"dodo_exp.pipeline.edit_{name}")


def _checked(old: str, new: str, wanted: Any, keys: tuple[str, ...], file: str) -> str:
    with suppress(BadInput):  # an anchor that went, say, while others still name it
        if is_same(params.load(new, file), wanted):
            return new
    shared = "&" in old and "*" in old and _editor(file).__name__.endswith("yaml")
    why = "its value is shared through an anchor" if shared else "more than it would change"
    raise UsageError(
        f"{file}: {'.'.join(map(str, keys))} cannot be set alone: {why}", "edit the file by hand"
    )


def _is_there(value: Any, keys: tuple[str, ...]) -> bool:
    for part in keys:
        if isinstance(value, list):
            value = value[int(part)]
        elif existing(value, part) in value:
            value = value[existing(value, part)]
        else:
            return False
    return True


def updated(value: Any, keys: tuple[str, ...], new: Any, fault: str) -> Any:
    """*value* with *new* in place, as a copy along the way.

    Raises:
        UsageError: beginning with *fault*.
    """
    if not keys:
        return new
    part, rest = keys[0], keys[1:]
    if isinstance(value, list):
        if not (is_index(part) and int(part) < len(value)):
            raise UsageError(f"{fault}: there is no item {part} in a list of {len(value)}")
        index = int(part)
        return [*value[:index], updated(value[index], rest, new, fault), *value[index + 1 :]]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise UsageError(f"{fault}: {canonical(value):.60} is not a mapping")
    key = existing(value, part)
    return {**value, key: updated(value.get(key, {} if rest else None), rest, new, fault)}


def without(value: Any, keys: tuple[str, ...]) -> Any:
    """*value* without the entry at *keys*, which is there, as a copy along the way."""
    part, rest = keys[0], keys[1:]
    if isinstance(value, list):
        i = int(part)
        return [*value[:i], *([without(value[i], rest)] if rest else []), *value[i + 1 :]]
    key = existing(value, part)
    if not rest:
        return {name: inner for name, inner in value.items() if name is not key and name != key}
    return {**value, key: without(value[key], rest)}
