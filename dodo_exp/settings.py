"""Settings: the few things a project or a machine wants otherwise.

From `DODO_...` in the environment, else `.dodo/config` (this folder alone), else `dodo.toml` beside
the root's dvc.yaml (goes with the project). A table `[store]`:

    durability = "batch"     # or "full", "off"
    link = "copy"            # or "hardlink"
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from dodo_exp.errors import BadInput, UsageError, did_you_mean
from dodo_store import durable

FILES = (".dodo/config", "dodo.toml")
LINKS = ("copy", "hardlink")
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "store": {"durability": durable.LEVELS, "link": LINKS},
}


class Settings(NamedTuple):
    """How the store is written and read."""

    durability: str = durable.BATCH
    link: str = "copy"


def read(root: str) -> Settings:
    """The settings of the project at *root*.

    Raises:
        BadInput, UsageError
    """
    found: dict[str, str] = {}
    for name in reversed(FILES):
        path = os.path.join(root, name)
        if os.path.exists(path):
            found |= _file(path, name)
    for key, known in KNOWN["store"].items():
        value = os.environ.get(f"DODO_{key.upper()}")
        if value:
            if value not in known:
                hint = did_you_mean(value, known, "known")
                raise UsageError(f"DODO_{key.upper()}: {value!r} is none of its values", hint)
            found[key] = value
    return Settings(**found)


def _file(path: str, name: str) -> dict[str, str]:
    import tomllib

    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(name, f"not TOML: {error}") from None
    except UnicodeDecodeError:
        raise BadInput(name, "not UTF-8") from None
    for table, entries in tables.items():
        if table not in KNOWN or not isinstance(entries, dict):
            raise BadInput(name, f"unknown table {table!r}", did_you_mean(table, KNOWN, "tables"))
        for key, value in entries.items():
            _check(name, table, key, value)
    return dict(tables.get("store", {}))


def _check(name: str, table: str, key: str, value: Any) -> None:
    keys = KNOWN[table]
    if key not in keys:
        hint = did_you_mean(key, keys, "settings")
        raise BadInput(name, f"[{table}] has no setting {key!r}", hint)
    if value not in keys[key]:
        hint = did_you_mean(str(value), keys[key], "known")
        raise BadInput(name, f"[{table}] {key}: {value!r} is none of its values", hint)
