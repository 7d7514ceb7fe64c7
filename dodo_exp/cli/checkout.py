"""`dodo checkout`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("checkout")
@options.targets
@declare.option("-d", "--with-deps", is_flag=True, help="Also what the targets depend on.")
@declare.option("-R", "--recursive", is_flag=True, help="Targets are folders.")
@declare.option("-f", "--force", is_flag=True, hidden=True, help="As DVC's; always so here.")
@declare.option(
    "--relink", is_flag=True, help="Make the outputs anew, as the link setting says now."
)
@declare.option(
    "--allow-missing", is_flag=True, help="End with 0 even if some are not in the store."
)
@declare.option("--summary", is_flag=True, help="Only count.")
@options.no_wait
@options.as_json
def command(**given: Any) -> Report:
    """Make outputs what dodo.lock says.

    TARGETS are outputs, stages or pipeline files; without any, every output of the project.
    Outputs that were deleted or edited come back from the store; what is in their way is kept
    first: `dodo undo` brings it back.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import checkout

    progress = tell.Progress()
    done = checkout.checkout(
        *options.project_of(given["targets"]),
        options.command_line(),
        progress,
        recursive=given["recursive"],
        with_deps=given["with_deps"],
        relink=given["relink"],
        wait=not given["no_wait"],
    )
    checkout.tell_missing(done.missing, progress)
    data = {"changed": [c.path for c in done.changes], "missing": done.missing, "step": done.step}
    lines = options.changed(done.changes, summary=given["summary"])
    text = "\n".join(lines) if lines else "Outputs are as dodo.lock says."
    code = 1 if done.missing and not given["allow_missing"] else 0
    form = "json" if given["as_json"] else "text"
    return Report(data, text + "\n", form=form, code=code)
