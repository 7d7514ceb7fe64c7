"""`dodo exp apply`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("apply")
@declare.argument("name", shell_complete=options.complete_kept)
@declare.argument("paths", nargs=-1)
@declare.option(
    "--exact", is_flag=True, help="Also remove files that the experiment does not have."
)
@declare.option("-f", "--force", is_flag=True, hidden=True, help="As DVC's; always so here.")
@declare.option("--no-force", is_flag=True, hidden=True, help="As DVC's; does nothing.")
@options.no_wait
@options.as_json
def command(**given: Any) -> Report:
    """Bring an experiment's or a snapshot's files into the workspace.

    Code, params, outputs and everything else that was kept with NAME; with PATHS only those. NAME
    may be a step that a checkpoint has kept (NAME@4), or the first digits of an id.

    What it overwrites or removes is kept first: `dodo undo` brings it back. Files that the
    experiment does not have stay, unless they lie in a dependency or an output; ignored files stay
    in any case. Only what differs is touched.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps.apply import apply
    from dodo_exp.project import Project

    done = apply(
        Project.find(),
        given["name"],
        given["paths"],
        options.command_line(),
        tell.Progress(),
        exact=given["exact"],
        wait=not given["no_wait"],
    )
    kind = "experiment" if done.found.kind == "queued" else done.found.kind
    data = {
        ("experiment" if kind == "step" else kind): done.found.name,
        "step": done.step,
        "changed": [change.path for change in done.changes],
        "kept": done.kept,
    }
    form = "json" if given["as_json"] else "text"
    as_it_was = " as it was queued" if done.found.kind == "queued" else ""
    what = f"{kind} {done.found.name!r}{as_it_was}"
    if not done.changes:
        return Report(data, f"The workspace is as in {what} already.\n", form=form)
    lines = [f"Applied {what}:", *options.changed(done.changes)]
    if done.kept:
        lines.append(f"  {options.files(len(done.kept))} that it does not have stayed")
    lines.append("`dodo undo` brings back what was there.")
    return Report(data, "\n".join(lines) + "\n", form=form)
