"""`dodo params show`"""

from __future__ import annotations

from dodo_exp.cli import declare, values_show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("show")
@values_show.of_files
@declare.option("--deps", is_flag=True, help="Only params that a stage reads.")
def command(**given: Any) -> Report:
    """Show the params of the workspace, or of experiments beside each other.

    TARGETS are params files, also such as the pipeline does not read, or folders of them; without
    any, all that the pipeline reads.
    """
    return values_show.report("param", given)
