"""`dodo commit`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("commit")
@options.targets
@declare.option("-d", "--with-deps", is_flag=True, help="Also what the targets depend on.")
@declare.option("-R", "--recursive", is_flag=True, help="Targets are folders.")
@declare.option("-f", "--force", is_flag=True, hidden=True, help="As DVC's; always so here.")
@options.no_wait
@options.as_json
def command(**given: Any) -> Report:
    """Record stages as they lie, without running them.

    Their inputs and outputs go into the store and into dodo.lock as if the stages had just run:
    for a command that was run by hand, or an edit that changes no result. Without TARGETS every
    stage of this folder's dvc.yaml.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import checkout

    made = checkout.commit(
        *options.project_of(given["targets"]),
        options.command_line(),
        tell.Progress(),
        recursive=given["recursive"],
        with_deps=given["with_deps"],
        wait=not given["no_wait"],
    )
    text = f"Recorded {', '.join(made)}\n" if made else "Everything is recorded as it is.\n"
    return Report({"recorded": made}, text, form="json" if given["as_json"] else "text")
