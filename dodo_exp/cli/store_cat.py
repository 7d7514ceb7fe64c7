"""`dodo store cat`"""

from __future__ import annotations

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("cat")
@declare.argument("what", metavar="ID|NAME[:PATH]")
def command(what: str) -> Report:
    """Print a file, a folder or a record of the store.

    By id (its first digits are enough), or by the name of an experiment or a snapshot, with :PATH
    for a file in it. A file is printed byte for byte, all else as JSON. Changes nothing.
    """
    from dodo_exp.exps import look
    from dodo_exp.project import Project

    store = Project.find().store
    found = look.look_up(store, what)
    if isinstance(found, look.Content):
        _write(store, found)
        return Report()
    return Report(found, form="json")


def _write(store: Any, content: Any) -> None:
    """To standard output, as it is read and checked."""
    import sys

    for chunk in content.chunks(store):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
