"""`dodo exp branch`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("branch")
@declare.argument("name", shell_complete=options.complete_kept)
@declare.argument("branch", required=False)
@declare.option("--git", "is_git", is_flag=True, help="Make a branch of the Git repository.")
@declare.option("-m", "--message", default="", metavar="TEXT", help="With --git: of the commit.")
@declare.option("-f", "--force", is_flag=True, help="Replace a branch or snapshot of that name.")
@options.as_json
def command(**given: Any) -> Report:
    """Keep the experiment NAME as the snapshot BRANCH (NAME-branch).

    A snapshot stays when experiments are removed, and is a row of its own in `dodo exp show`. With
    --git, BRANCH is a branch of Git instead: one commit on top of HEAD, with those of the
    experiment's files that Git does not ignore. Workspace and index stay as they are.
    """
    from dodo_exp.project import Project

    project, name, branch = Project.find(), given["name"], given["branch"]
    form = "json" if given["as_json"] else "text"
    if given["is_git"]:
        from dodo_exp.exps import git_branch

        made = git_branch.create(project, name, branch, given["message"], force=given["force"])
        text = f"Git branch {made!r} holds {name!r}; `git checkout {made}` goes there\n"
        return Report({"experiment": name, "branch": made}, text, form=form)
    from dodo_exp.exps import label

    made = label.branch(project, name, branch, options.command_line(), replace=given["force"])
    text = f"Kept {name!r} as snapshot {made!r}; `dodo exp apply {made}` brings it back\n"
    return Report({"experiment": name, "snapshot": made}, text, form=form)
