"""Pair: the two sides that a comparison without names, or with one, is of."""

from __future__ import annotations

from dodo_exp.errors import UsageError
from dodo_exp.events import Note
from dodo_exp.exps import find, side
from dodo_exp.exps.compare import changed_files, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Listener
    from dodo_exp.exps.side import Side
    from dodo_exp.project import Project


def pair(
    project: Project,
    one: str | None,
    other: str | None,
    listener: Listener,
    *,
    with_files: bool = False,
) -> tuple[Side, Side]:
    """Both sides of a comparison; without names those of `default_pair`, which is said.

    Raises:
        UsageError: there is nothing to compare with.
    """
    if not one and not other:
        first, second = default_pair(project, listener, with_files=with_files)
        words = f"the workspace with {first.name!r}"
        if not second.is_workspace:
            words = f"{second.name!r} with its parent {first.name!r}"
        listener(Note("info", f"comparing {words}"))
        return first, second
    if one and other and side.WORKSPACE not in (one, other):
        return side.side(project, one), side.side(project, other)
    workspace = side.workspace_of(project)
    first = side.side(project, one or side.base(project, workspace), workspace)
    second = side.side(project, other or side.WORKSPACE, workspace)
    workspace.save_caches()
    return first, second


def default_pair(
    project: Project, listener: Listener, *, with_files: bool = False
) -> tuple[Side, Side]:
    """What the workspace came from, and the workspace; or that experiment's parent, and it.

    The parent is compared if the workspace is still what the experiment has left: the same
    params, metrics and dependencies, and *with_files* the same files. Where it has no parent, a
    note says so.

    Raises:
        UsageError: there is no experiment.
    """
    workspace = side.workspace_of(project)
    held = side.side(project, side.base(project, workspace))
    now = side.here(workspace)
    workspace.save_caches()
    is_same = not compare(held.contents, now.contents)
    if is_same and with_files:
        before, after = side.files(project, held, now, listener)
        is_same = not changed_files(project.store, before, after)
    if not is_same:
        return held, now
    parent = _parent(project, held, listener)
    return (parent, held) if parent is not None else (held, now)


def _parent(project: Project, child: Side, listener: Listener) -> Side | None:
    """What an experiment came from, under its present name; None, and a note, if nothing."""
    name = find.experiment(project.store, child.name).parent
    if name is None:
        text = f"experiment {child.name!r} has no parent, and the workspace has not changed since"
        listener(Note("info", text))
        return None
    try:
        return side.side(project, name)
    except UsageError:
        renamed = find.renamed_from(project.store, name)
    if renamed is None:
        text = f"{name!r}, the parent of experiment {child.name!r}, is not there any more"
        listener(Note("info", text))
        return None
    return side.side(project, renamed)
