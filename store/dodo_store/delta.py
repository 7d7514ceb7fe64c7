"""Delta: how one folder differs from another, path by path."""

from __future__ import annotations

from dodo_store.named import Named
from dodo_store.tree import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_store.store import Store
    from dodo_store.tree import Node


class Change(Named):
    """What is at a path and what shall be there; None for nothing."""

    path: str
    old: Node | None
    new: Node | None


def changes(store: Store, old: Node | None, new: Node | None, path: str = "") -> Iterator[Change]:
    """How one folder differs from another, a line for each path; what is equal is not looked at.

    Where a file is in place of a folder or the other way round, the whole is one change.

    Raises:
        Missing, Damaged
    """
    if old is not None and new is not None and (old.kind, old.oid) == (new.kind, new.oid):
        return
    if old is None or new is None or old.kind != FOLDER or new.kind != FOLDER:
        yield Change(path, old, new)
        return
    before, after = dict(store.tree(old.oid)), dict(store.tree(new.oid))
    for name in sorted(before.keys() | after.keys()):
        inner = f"{path}/{name}" if path else name
        yield from changes(store, before.get(name), after.get(name), inner)
