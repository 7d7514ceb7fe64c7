"""`dodo config`"""

from __future__ import annotations

import os

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import click


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _names() if name.startswith(incomplete)]


def _names() -> list[str]:
    from dodo_exp.settings import KNOWN

    return [f"{table}.{key}" for table, keys in KNOWN.items() for key in keys]


@declare.command("config")
@declare.argument("name", required=False, shell_complete=_complete)
@declare.argument("value", required=False)
@declare.option("--user", is_flag=True, help="The user's own file, for all projects.")
@declare.option(
    "--project", "shared", is_flag=True, help="dodo.toml, for all who have the project."
)
@declare.option("--local", is_flag=True, help=".dodo/config, for this folder alone.")
@declare.option("-u", "--unset", is_flag=True, help="Take the setting out of the file.")
@options.as_json
def command(
    name: str | None,
    value: str | None,
    user: bool,
    shared: bool,
    local: bool,
    unset: bool,
    as_json: bool,
) -> Report:
    """Show settings, or set NAME to VALUE.

    Without NAME all of them are shown, each with where it is from. What is set goes to dodo.toml
    unless another place is named; a stronger place wins: the environment, then .dodo/config, then
    dodo.toml, then the user's own file. For example: dodo config resources.gpu 2
    """
    from dodo_exp.errors import UsageError

    if user + shared + local > 1:
        raise UsageError("--user, --project and --local contradict each other")
    if (value is not None or unset) and name is None:
        raise UsageError("which setting? name one", f"for example {_names()[0]}")
    if value is not None and unset:
        raise UsageError("--unset takes no value")
    place = "user" if user else "local" if local else "project" if shared else None
    if name is not None and (value is not None or unset):
        return _set(_full(name), value, place or "project")
    rows = _rows(place)
    if name is not None:
        rows = [row for row in rows if row[0] == _full(name)]
        if not rows:
            return Report(None, "", code=1, form="json" if as_json else "text")
        return Report(rows[0][1], f"{rows[0][1]}\n", form="json" if as_json else "text")
    data = {key: {"value": found, "from": where} for key, found, where in rows}
    grid = Grid(["Setting", "Value", "From"], [list(row) for row in rows], keep=3)
    return Report(data, grid=grid, form="json" if as_json else "text")


def _full(name: str) -> str:
    """The setting's whole name; a word alone means the one setting that ends so.

    Raises:
        UsageError
    """
    from dodo_exp.errors import UsageError, did_you_mean

    known = _names()
    if name in known or (name.startswith("resources.") and name.count(".") == 1):
        return name
    short = [each for each in known if each.rpartition(".")[2] == name]
    if short:
        return short[0]
    hint = did_you_mean(name, known, "settings") or "settings: " + ", ".join(known)
    raise UsageError(f"no setting {name!r}", f"{hint}; of your own: resources.NAME")


def _root() -> str | None:
    from dodo_exp.errors import NoProject
    from dodo_exp.project import Project

    try:
        return Project.find().home
    except NoProject:
        return None


def _rows(place: str | None) -> list[tuple[str, Any, str]]:
    """Settings that are in force, or those of one place; with where they are from.

    Raises:
        BadInput, UsageError
    """
    from dodo_exp import settings

    root = _root()
    found: dict[str, tuple[Any, str]] = {}
    if place is None:
        plain = settings.Settings()
        for name in _names():
            found[name] = getattr(plain, name.rpartition(".")[2]), "default"
    for path, shown in settings.files(root or "/nowhere"):
        if place is not None and path != _path(place, root):
            continue
        if os.path.exists(path):
            with open(path, "rb") as file:
                data = file.read()
            settings.checked(data, shown)
            for table, entries in settings.tables(data, shown).items():
                found.update({f"{table}.{key}": (v, shown) for key, v in entries.items()})
    if place is None:
        for key in settings.KNOWN["store"]:
            variable = f"DODO_{key.upper()}"
            if os.environ.get(variable):
                found[f"store.{key}"] = os.environ[variable], variable
        settings.read(root or "/nowhere")  # says what is wrong in the environment
    return [(name, value, where) for name, (value, where) in found.items()]


def _path(place: str, root: str | None) -> str:
    from dodo_exp import settings
    from dodo_exp.errors import NoProject

    if place == "user":
        return settings.user_file()
    if root is None:
        raise NoProject("no dvc.yaml here or in any folder above", "--user sets it for you")
    return os.path.join(root, settings.FILES[1 if place == "project" else 0])


def _set(name: str, text: str | None, place: str) -> Report:
    """Write one setting, or take it out, and nothing else of the file.

    Raises:
        BadInput, UsageError, NoProject
    """
    from dodo_exp import settings
    from dodo_exp.cli import tell
    from dodo_exp.engine import session
    from dodo_exp.exps import author
    from dodo_exp.project import Project
    from dodo_store import durable, locks

    path = _path(place, _root())
    shown = path if place == "user" else settings.FILES[1 if place == "project" else 0]
    if place == "project":
        author.edit(
            Project.find(),
            os.path.basename(path),
            lambda workspace, old: _edited(old, name, text, shown),
            options.command_line(),
            tell.Progress(),
        )
    else:
        # Not by a session: that would read the settings, which may be what is to be mended.
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with (
            session.lock(Project.find(), tell.Progress())
            if place == "local"
            else locks.hold(f"{path}.lock", session.describe())
        ):
            old = ""
            if os.path.exists(path):
                with open(path, "rb") as file:
                    old = file.read().decode()
            durable.replace(path, _edited(old, name, text, shown).encode())
    done = f"{name} = {text}" if text is not None else f"{name} is not set any more"
    return Report({name: text}, f"{done} ({shown})\n")


def _edited(old: str, name: str, text: str | None, shown: str) -> str:
    """The text of a file of settings with one of them set, or taken out.

    Raises:
        BadInput, UsageError
    """
    from dodo_exp import settings
    from dodo_exp.errors import BadInput, UsageError
    from dodo_exp.pipeline import edit_toml

    keys = tuple(name.split("."))
    if text is None:
        if keys[1] not in settings.tables(old.encode(), shown).get(keys[0], {}):
            raise UsageError(f"{name} is not set in {shown}")
        new = edit_toml.delete_value(old, keys, shown)
    else:
        if keys[0] not in settings.tables(old.encode(), shown):
            gap = "\n" if old and not old.endswith("\n") else ""
            old += f"{gap}{chr(10) if old else ''}[{keys[0]}]\n"
        new = edit_toml.set_value(old, keys, _value(text), shown)
    try:
        settings.checked(new.encode(), shown)
    except BadInput as error:
        raise UsageError(f"not set: {error}", error.hint) from None
    return new


def _value(text: str) -> Any:
    """A value as TOML has it; whatever is none is a text."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
