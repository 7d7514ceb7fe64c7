"""Settings: the few things a project or a machine wants otherwise.

From `DODO_...` in the environment, else `.dodo/config` (this folder alone), else `dodo.toml` beside
the root's dvc.yaml (goes with the project), else the user's own file. A table `[store]`:

    durability = "batch"     # or "full", "off"
    link = "copy"            # or "hardlink"
    hash = "changed"         # or "always": read every file, whatever its stat says

a table `[resources]` of what stages share on one machine:

    gpu = 2                  # or the devices' names: ["0", "3"]
    mem = "64G"
    licence = 1

and a table `[run]`:

    on_finish = "notify-send $DODO_EXP_NAME $DODO_STATUS"
    grace = "60s"            # how long commands may take to end when they are told to
"""

from __future__ import annotations

import os
from contextlib import suppress
from types import MappingProxyType

from dodo_exp import units
from dodo_exp.errors import BadInput, UsageError, did_you_mean
from dodo_store import durable
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FILES = (".dodo/config", "dodo.toml")
LINKS = ("copy", "hardlink")
HASHES = ("changed", "always")
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "store": {"durability": durable.LEVELS, "link": LINKS, "hash": HASHES},
    "run": {"on_finish": (), "grace": ()},
}
"""The values that each setting may have; none: any text, or, of `grace`, a time."""
TABLES = (*KNOWN, "resources")


class Settings(Named):
    """How the store is written and read, what there is to share, and what is run at the end."""

    durability: str = durable.BATCH
    link: str = "copy"
    hash: str = HASHES[0]
    on_finish: str = ""
    grace: float = 10.0
    resources: Mapping[str, float | tuple[str, ...]] = MappingProxyType({})


def read(root: str) -> Settings:
    """The settings of the project at *root*.

    Raises:
        BadInput, UsageError
    """
    found: dict[str, Any] = {}
    for path, name in files(root):
        if os.path.exists(path):
            resources = found.get("resources", {})
            found |= _file(path, name)
            found["resources"] = {**resources, **found.get("resources", {})}
    for key in KNOWN["store"]:
        value = _of_environment(key)
        if value is not None:
            found[key] = value
    return Settings(**found)


def _of_environment(key: str) -> str | None:
    """A setting of the store from the environment, if it is there.

    Raises:
        UsageError
    """
    value, known = os.environ.get(f"DODO_{key.upper()}"), KNOWN["store"][key]
    if value and value not in known:
        hint = did_you_mean(value, known, "known")
        raise UsageError(f"DODO_{key.upper()}: {value!r} is not a valid value", hint)
    return value or None


def hashes_always(root: str) -> bool:
    """Whether every file is to be hashed each time; asked by every command, so cheap.

    Raises:
        UsageError: from the environment.
    """
    value = _of_environment("hash")
    if value is not None:
        return value == "always"
    for path, name in reversed(files(root)):
        try:
            with open(path, "rb") as file:
                data = file.read()
            if b"hash" in data and "hash" in (found := checked(data, name)):
                return bool(found["hash"] == "always")
        except (OSError, BadInput):
            continue  # whoever needs the settings says so
    return False


def files(root: str) -> list[tuple[str, str]]:
    """Where settings may be, the strongest last: paths, and what messages call them."""
    own = user_file()
    return [(own, own), *((os.path.join(root, name), name) for name in reversed(FILES))]


def user_file() -> str:
    """The settings of a user, for all projects; as the XDG base directory specification has it."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/.config")
    return os.path.join(folder, "dodo", "config.toml")


def _file(path: str, name: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        return checked(file.read(), name)


def tables(data: bytes, name: str) -> dict[str, Any]:
    """The tables of a file of settings, as written.

    Raises:
        BadInput
    """
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except tomllib.TOMLDecodeError as error:
        raise BadInput(name, f"not TOML: {error}") from None
    except UnicodeDecodeError:
        raise BadInput(name, "not UTF-8") from None


def checked(data: bytes, name: str) -> dict[str, Any]:
    """What a file of settings says.

    Raises:
        BadInput
    """
    written = tables(data, name)
    for table, entries in written.items():
        if table not in TABLES or not isinstance(entries, dict):
            raise BadInput(name, f"unknown table {table!r}", did_you_mean(table, TABLES, "tables"))
        for key, value in entries.items():
            if table != "resources":
                _check(name, table, key, value)
    found = {**written.get("store", {}), **written.get("run", {})}
    if "grace" in found:
        found["grace"] = _time(name, found["grace"])
    if "resources" in written:
        found["resources"] = {k: _resource(name, k, v) for k, v in written["resources"].items()}
    return found


def _time(name: str, value: Any) -> float:
    try:
        return units.parse_duration(value)
    except ValueError as error:
        raise BadInput(name, f"[run] grace: {error}", units.DURATIONS) from None


def _resource(name: str, key: str, value: Any) -> float | tuple[str, ...]:
    if isinstance(value, list):
        names = tuple(map(str, value))
        if names and len(set(names)) == len(names) and all(type(n) in (str, int) for n in value):
            return names
    size = 0.0
    with suppress(ValueError):
        size = units.parse_size(value)
    if size <= 0 or not key.replace("-", "_").isidentifier():
        text = f"[resources] {key}: neither an amount nor a list of names"
        raise BadInput(name, text, 'for example gpu = 2, mem = "64G" or gpu = ["0", "3"]')
    return size


def _check(name: str, table: str, key: str, value: Any) -> None:
    keys = KNOWN[table]
    if key not in keys:
        hint = did_you_mean(key, keys, "settings")
        raise BadInput(name, f"[{table}] has no setting {key!r}", hint)
    if not keys[key] and key != "grace" and not isinstance(value, str):
        raise BadInput(name, f"[{table}] {key}: not a text")
    if keys[key] and value not in keys[key]:
        hint = did_you_mean(str(value), keys[key], "known")
        raise BadInput(name, f"[{table}] {key}: {value!r} is not a valid value", hint)
