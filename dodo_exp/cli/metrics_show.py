"""`dodo metrics show`"""

from __future__ import annotations

from dodo_exp.cli import declare, values_show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("show")
@values_show.of_files
def command(**given: Any) -> Report:
    """Show the metrics of the workspace, or of experiments beside each other.

    TARGETS are metrics files, also such as dvc.yaml does not name, or folders of them; without
    any, all that dvc.yaml names. JSON, TOML and Python go by their ending; all others are YAML.
    """
    return values_show.report("metric", given)
