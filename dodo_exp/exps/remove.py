"""Remove: let names go; what they stood for stays until it is collected, and can be undone."""

from __future__ import annotations

from dodo_exp.engine import history
from dodo_exp.exps import find
from dodo_exp.exps.label import changing_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.project import Project


@history.retry_if_names_changed
def remove(
    project: Project, kind: str, given: tuple[str, ...], command: str, *, everything: bool = False
) -> list[str]:
    """Remove experiments or snapshots, all of those named or none; returns their names.

    Raises:
        UsageError: one of them is not there.
    """
    with changing_names(project) as store:
        if everything:
            found = find.everything(store, (kind,))
            unreadable = set(history.refs_of(store, kind).names()) - {each.name for each in found}
        else:
            found = [find.find(store, name, (kind,)) for name in given]
            unreadable = set()
        gone = tuple(history.Renamed(kind, f.name, f.oid, None) for f in dict.fromkeys(found))
        if gone:
            history.add(store, command, refs=gone)
        for name in unreadable:
            history.refs_of(store, kind).delete(name)
    return sorted({each.name for each in found} | unreadable)
