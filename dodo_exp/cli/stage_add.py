"""`dodo stage add`"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any, TypeVar

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report

F = TypeVar("F", bound=Callable[..., Any])

OUTS: dict[str, tuple[str, dict[str, bool]]] = {
    "outs": ("outs", {}),
    "outs_no_cache": ("outs", {"cache": False}),
    "outs_persist": ("outs", {"persist": True}),
    "outs_persist_no_cache": ("outs", {"cache": False, "persist": True}),
    "checkpoints": ("outs", {"checkpoint": True}),
    "metrics": ("metrics", {}),
    "metrics_no_cache": ("metrics", {"cache": False}),
    "plots": ("plots", {}),
    "plots_no_cache": ("plots", {"cache": False}),
}


def _many(*names: str, help: str) -> Callable[[F], F]:
    metavar = "[FILE:]KEYS" if "--params" in names else "PATH"
    return declare.option(*names, multiple=True, metavar=metavar, help=help)


@declare.command(
    "add", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@declare.option("-n", "--name", required=True, help="Name of the stage.")
@_many("-d", "--deps", help="Something the command reads: a file or folder.")
@_many(
    "-p", "--params", "--parameter", help="Params the command reads: a,b.c or FILE:a,b or FILE:."
)
@_many("-o", "--outs", help="Something the command makes: a file or folder.")
@_many("-O", "--outs-no-cache", help="The same, kept by you rather than by the store.")
@_many("--outs-persist", help="The same as -o, not removed before the command runs.")
@_many("--outs-persist-no-cache", help="Both.")
@_many("-c", "--checkpoints", help="The same as -o, kept as a step whenever the command asks.")
@_many("-m", "--metrics", help="A metrics file (JSON, YAML) that the command writes.")
@_many("-M", "--metrics-no-cache", help="The same, kept by you rather than by the store.")
@_many("--plots", help="A file for plots (CSV, JSON) that the command writes.")
@_many("--plots-no-cache", help="The same, kept by you rather than by the store.")
@declare.option("-w", "--wdir", metavar="DIR", help="Folder that the command runs in.")
@declare.option("--always-changed", is_flag=True, help="Run the stage every time.")
@declare.option("--desc", metavar="TEXT", help="What the stage is for.")
@declare.option("-f", "--force", is_flag=True, help="Replace a stage of the same name.")
@declare.option("--run", "run_it", is_flag=True, help="Run the stage after adding it.")
@declare.argument("cmd", nargs=-1, required=True)
def command(**given: Any) -> Report:
    """Add a stage to the dvc.yaml of this folder, which is made if there is none.

    CMD is everything from the first word that is no option. Comments and layout of the file stay
    as they are.
    """
    from dodo_exp.cli import options, tell
    from dodo_exp.errors import NoProject
    from dodo_exp.exps import author
    from dodo_exp.pipeline.model import PIPELINE_FILE
    from dodo_exp.project import Project

    try:
        project = Project.find()
    except NoProject:
        project = Project(os.getcwd(), "")
    name, path = given["name"], project.inside(PIPELINE_FILE)

    def change(workspace: Any, text: str) -> str:
        return _changed(workspace, path, text, given)

    author.edit(project, path, change, options.command_line(), tell.Progress())
    if given["run_it"]:
        return _run(name)
    return Report({"stage": name}, f"Added stage {name!r} to {PIPELINE_FILE}\n")


def _changed(workspace: Any, path: str, text: str, given: dict[str, Any]) -> str:
    """The text of the dvc.yaml at *path* with the stage in it.

    Raises:
        BadInput, UsageError
    """
    from dodo_exp.errors import Faults, UsageError
    from dodo_exp.pipeline import dvcyaml, edit_yaml
    from dodo_exp.pipeline.model import PIPELINE_FILE

    name = given["name"]
    faults = Faults()
    known = dvcyaml.parse(text, PIPELINE_FILE, faults)
    faults.tell()
    names = {
        each.draft.name if isinstance(each, dvcyaml.Group) else each.name for each in known.stages
    }
    if name in names and not given["force"]:
        raise UsageError(f"stage {name!r} is in {PIPELINE_FILE} already", "replace it with --force")
    if name not in names:
        _check_name(name)
    new = edit_yaml.set_stage(text, name, _body(given), PIPELINE_FILE)
    _check(workspace, path, new)
    return new


def _check_name(name: str) -> None:
    """Refuse a new name that is awkward on a command line; DVC is stricter still.

    A dvc.yaml may have more names than these.

    Raises:
        UsageError
    """
    from dodo_exp.errors import UsageError

    if not name.isprintable() or any(char in name for char in "/\\:@") or name[:1] in ("-", "."):
        raise UsageError(
            f"not a name for a new stage: {name!r}",
            r"anything but '/', '\', ':', '@' and control characters; not '-' or '.' first",
        )


def _body(given: dict[str, Any]) -> dict[str, Any]:
    words = given["cmd"]
    body: dict[str, Any] = {"cmd": words[0] if len(words) == 1 else shlex.join(words)}
    if given["wdir"]:
        body["wdir"] = given["wdir"]
    if given["deps"]:
        body["deps"] = sorted(set(given["deps"]))
    if given["params"]:
        body["params"] = _params(given["params"])
    for option, (key, settings) in OUTS.items():
        for path in given[option]:
            body.setdefault(key, []).append({path: dict(settings)} if settings else path)
    if given["always_changed"]:
        body["always_changed"] = True
    if given["desc"]:
        body["desc"] = given["desc"]
    return body


def _params(texts: tuple[str, ...]) -> list[Any]:
    """`a,b` -> keys of params.yaml; `file:a,b` -> keys of that file; `file:` -> all of it."""
    plain: dict[str, None] = {}
    files: dict[str, dict[str, None]] = {}
    for text in texts:
        file, colon, keys = text.rpartition(":")
        into = files.setdefault(file, {}) if colon else plain
        into.update(dict.fromkeys(key for key in keys.split(",") if key))
    return [*plain, *({file: list(keys) or None} for file, keys in files.items())]


def _check(workspace: Any, path: str, text: str) -> None:
    """The file must be sound as a whole before it is written."""
    from dodo_exp.engine.compile import compile_text
    from dodo_exp.errors import BadInput, UsageError
    from dodo_exp.pipeline.graph import Graph

    try:
        Graph(compile_text(workspace, path, text).stages)
    except BadInput as error:
        # Its line is one of a file that is never written.
        message = str(error).partition(": ")[2]
        raise UsageError(f"not added: {message}", error.hint) from None


def _run(name: str) -> Report:
    from dodo_exp.cli import results, tell
    from dodo_exp.engine import repro
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.request import Request
    from dodo_exp.project import Project

    request = Request((name,), single_item=True)
    outcome = repro.repro(Project.find(), request, Options(), tell.Progress())
    results.tell_failures(outcome)
    code = 1 if results.failed(outcome, False) else 0
    return Report(results.outcome_data(outcome), f"{results.counts(outcome)}\n", code=code)
