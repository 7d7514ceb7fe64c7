"""`dodo metrics show`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dodo_exp.cli import declare, values_show

if TYPE_CHECKING:
    from dodo_exp.cli.render import Report


@declare.command("show")
@values_show.of_files
def command(**given: Any) -> Report:
    """Show the metrics of the workspace, or of experiments beside each other.

    TARGETS are metrics files; without any, all that dvc.yaml names.
    """
    return values_show.report("metric", given)
