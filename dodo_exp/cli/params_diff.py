"""`dodo params diff`"""

from __future__ import annotations

from dodo_exp.cli import declare, differences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("diff")
@differences.two
@declare.option("--targets", multiple=True, metavar="PATH", help="Only these files.")
@declare.option("--deps", is_flag=True, help="Only params that a stage reads.")
def command(**given: Any) -> Report:
    """Show how the params of A and B differ.

    A and B are experiments, snapshots or `workspace`. Without B, the workspace; without A, the
    experiment that the workspace was made from.
    """
    return differences.of_one_kind("param", given)
