"""`dodo init`"""

from __future__ import annotations

import os
import sys

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("init")
@declare.argument("folder", default=".", type=declare.Folder())
@declare.option("-i", "--interactive", is_flag=True, help="Propose stages, and ask about each.")
@declare.option(
    "--propose", is_flag=True, help="Print the dvc.yaml that is proposed; write nothing."
)
@declare.option("-y", "--yes", is_flag=True, help="Take all that is proposed.")
def command(folder: str, interactive: bool, propose: bool, yes: bool) -> Report:
    """Make FOLDER a project of its own, and propose stages for the scripts in it.

    Not needed where there is a dvc.yaml: the first command that writes makes its folder the project
    and says so. Needed where the project begins above it, for example in a repository of several
    folders with pipelines that read each other's files.

    What is proposed comes from reading the scripts: which files they seem to open, which params
    they name. Look it over: paths that a script puts together while it runs are not seen.
    """
    from dodo_exp.errors import UsageError

    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder!r}")
    if propose:
        stages = _proposed(folder)
        if not stages:
            raise UsageError(_nothing(folder), "`dodo stage add` writes a stage")
        return Report({"stages": dict(stages)}, _yaml(stages))
    is_new, root = _settle(folder)
    has_pipeline = os.path.exists(os.path.join(folder, "dvc.yaml"))
    said = f"Initialized project in {root}\n" if is_new else "This is a project already.\n"
    if interactive or yes:
        return _write(folder, root, is_new, said, ask=not yes)
    if not is_new:
        return Report({"root": root, "new": False}, said)
    following = "dodo exp run" if has_pipeline else "dodo stage add --help"
    if not has_pipeline and _proposed(folder):
        following = "dodo init -i"
        said += "There are scripts that look like stages.\n"
    return Report({"root": root, "new": True}, f"{said}Next: `{following}`\n")


def _settle(folder: str) -> tuple[bool, str]:
    """Make the store, if it is not there; whether it was not, and the root."""
    from dodo_exp.project import STATE
    from dodo_store.store import Store

    path = os.path.join(os.path.abspath(folder), STATE)
    store = Store(path)
    is_new = not store.exists
    if is_new:
        store.create()
    return is_new, os.path.dirname(path)


def _proposed(folder: str) -> list[Any]:
    from dodo_exp.pipeline.propose import propose

    return propose(folder, _known(folder))


def _known(folder: str) -> set[str]:
    """Scripts that a stage has already.

    Raises:
        BadInput: the dvc.yaml there cannot be read.
    """
    return {dep.raw for draft in _drafts(_text(folder)) for dep in draft.deps}


def _names(text: str) -> set[str]:
    """Stages of a dvc.yaml.

    Raises:
        BadInput
    """
    return {draft.name for draft in _drafts(text)}


def _drafts(text: str) -> list[Any]:
    from dodo_exp.errors import Faults
    from dodo_exp.pipeline import dvcyaml

    faults = Faults()
    document = dvcyaml.parse(text, "dvc.yaml", faults)
    faults.tell()
    return [each.draft if isinstance(each, dvcyaml.Group) else each for each in document.stages]


def _text(folder: str) -> str:
    from dodo_exp.pipeline.text import decode

    try:
        with open(os.path.join(folder, "dvc.yaml"), "rb") as file:
            return decode(file.read(), "dvc.yaml")
    except FileNotFoundError:
        return ""


def _nothing(folder: str) -> str:
    where = "here" if folder == "." else f"in {folder!r}"
    return f"no script {where} that is seen to write a file and has no stage yet"


def _yaml(stages: list[Any]) -> str:
    from dodo_exp.pipeline.edit_yaml import block

    return block({"stages": dict(stages)}, "")


def _write(folder: str, root: str, is_new: bool, said: str, *, ask: bool) -> Report:
    """Write the stages that the user takes."""
    from dodo_exp.cli import options, tell
    from dodo_exp.exps import author
    from dodo_exp.pipeline import edit_yaml
    from dodo_exp.project import Project

    found = _proposed(folder)
    taken = [each for each in found if not ask or _is_wanted(each)]
    data = {"root": root, "new": is_new, "stages": [each.name for each in taken]}
    if not taken:
        said += f"{_nothing(folder)[0].upper()}{_nothing(folder)[1:]}.\n" if not found else ""
        return Report(data, said + "Next: `dodo stage add --help`\n")

    def change(workspace: Any, text: str) -> str:
        there = _names(text)
        for name, body in taken:
            if name not in there:  # another command may have added it while the user was asked
                text = edit_yaml.set_stage(text, name, body, "dvc.yaml")
        return text

    project = Project.find(os.path.abspath(folder))
    command = options.command_line()
    author.edit(project, project.inside("dvc.yaml"), change, command, tell.Progress(quiet=True))
    names = ", ".join(each.name for each in taken)
    said += f"Wrote dvc.yaml with {names}: look it over, then `dodo exp run`\n"
    return Report(data, said)


def _is_wanted(stage: Any) -> bool:
    """Show one stage and ask.

    Raises:
        UsageError: nobody is there to answer.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.pipeline.edit_yaml import block

    sys.stderr.write(block({stage.name: stage.body}, "  "))
    while True:
        sys.stderr.write(f"Add stage {stage.name!r}? [Y/n] ")
        sys.stderr.flush()
        answer = sys.stdin.readline() if sys.stdin is not None else ""
        if not answer:
            sys.stderr.write("\n")
            raise UsageError("--interactive asks, and nobody answers", "--yes takes all")
        word = answer.strip().lower()
        if word in ("", "y", "yes", "n", "no"):
            return word in ("", "y", "yes")
