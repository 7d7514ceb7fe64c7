"""Needs: what a stage says of how it wants to be run, under `meta: {dodo: ...}`, which DVC ignores.

meta:
  dodo:
    resources: {gpu: 1, mem: 8G}    # taken from the project's pools while the stage runs
    mutex: [database]               # no two stages of one name at the same time
    timeout: 2h                     # ended, and failed, after that long
    script: true                    # `cmd: |` is one script
"""

from __future__ import annotations

from dodo_exp.errors import BadInput, did_you_mean
from dodo_exp.units import DURATIONS, SIZES, parse_duration, parse_size
from dodo_store.named import Named
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.errors import Location

KEYS = ("mutex", "resources", "script", "timeout")

_NAME = pattern(r"[A-Za-z][\w-]{0,40}\Z")


class Needs(Named):
    """Amounts by the pool's name, names of mutexes, and seconds that it may take at most."""

    resources: tuple[tuple[str, float], ...] = ()
    mutex: tuple[str, ...] = ()
    timeout: float | None = None


NOTHING = Needs()


def of(meta: Any, at: Location | str) -> Needs:
    """Read a stage's `meta`.

    Raises:
        BadInput
    """
    ours = meta.get("dodo") if isinstance(meta, dict) else None
    if ours is None:
        return NOTHING
    if not isinstance(ours, dict):
        raise BadInput(at, "'meta.dodo' is not a mapping", f"keys: {', '.join(KEYS)}")
    for key in ours:
        if key not in KEYS:
            hint = did_you_mean(str(key), KEYS, "keys")
            raise BadInput(at, f"'meta.dodo' has no key {str(key)!r}", hint)
    if type(ours.get("script", False)) is not bool:
        raise BadInput(at, "'meta.dodo.script' is neither true nor false")
    resources = _resources(ours.get("resources"), at)
    return Needs(resources, _mutex(ours.get("mutex"), at), _timeout(ours, at))


def _resources(value: Any, at: Location | str) -> tuple[tuple[str, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise BadInput(at, "'meta.dodo.resources' is not a mapping", "resources: {gpu: 1, mem: 8G}")
    found = []
    for name, each in value.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise BadInput(at, f"'meta.dodo.resources': not a name: {name!r}")
        try:
            size = parse_size(each)
        except ValueError:
            text = f"'meta.dodo.resources': {name!r} is not an amount: {each!r}"
            raise BadInput(at, text, f"an amount is a number, or a size; {SIZES}") from None
        if size:
            found.append((name, size))
    return tuple(sorted(found))


def _mutex(value: Any, at: Location | str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(n, str) and _NAME.match(n) for n in names):
        raise BadInput(at, "'meta.dodo.mutex' is neither a name nor a list of names")
    return tuple(sorted(set(names)))


def _timeout(ours: dict[Any, Any], at: Location | str) -> float | None:
    if ours.get("timeout") is None:
        return None
    try:
        found = parse_duration(ours["timeout"])
    except ValueError as error:
        raise BadInput(at, f"'meta.dodo.timeout': {error}", DURATIONS) from None
    if not found:
        raise BadInput(at, "'meta.dodo.timeout' must be more than 0", DURATIONS)
    return found
