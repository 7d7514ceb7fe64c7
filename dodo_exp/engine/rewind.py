"""Rewind: the outputs of a stage that was cut short, back to what they were at its last step.

What lies there instead is kept for a look, as `partial`. It can be cut short itself: then it is
done again.
"""

from __future__ import annotations

import errno
import os

from dodo_store import restore
from dodo_store.errors import NotStorable
from dodo_store.ignore import Ignore
from dodo_store.stamps import Stamps
from dodo_store.walk import Source, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_store.store import Store
    from dodo_store.tree import Node


def rewind(
    store: Store, root: str, outs: Iterable[tuple[str, Node | None]], partial: str, scratch: str
) -> list[str]:
    """Make each path what its node says (None: not there); return those that were not.

    What was there is moved to the folder *partial*.

    Raises:
        Missing, Damaged, NotStorable: the store cannot give it; what was there is as it was.
    """
    stamps = Stamps(f"{store.local}/stamps", store.generation, is_trusted=store.trusts_stat)
    ignore = Ignore(root, (".dvcignore", ".dodoignore"), defaults=False)
    changed = []
    for path, node in outs:
        full = os.path.join(root, path)
        if _is_so(root, path, node, stamps, ignore):
            continue
        changed.append(path)
        aside = f"{partial}/{path}"
        if os.path.lexists(full):
            restore.remove(aside)
            os.makedirs(os.path.dirname(aside), exist_ok=True)
            move(full, aside)
        if node is None:
            continue
        try:
            restore.restore(store, node, root, path, scratch)
        except BaseException:
            if os.path.lexists(aside) and not os.path.lexists(full):
                move(aside, full)
            raise
    restore.sync(root, changed)
    return changed


def _is_so(root: str, path: str, node: Node | None, stamps: Stamps, ignore: Ignore) -> bool:
    try:
        here, _ = look(Source(root, stamps, ignore, strict=True), path, follow=False)
    except NotStorable:
        return False
    return is_same(here, node)


def is_same(here: Node | None, node: Node | None) -> bool:
    """Whether two nodes are restored alike."""
    return (here and here[:2]) == (node and node[:2])


def move(source: str, target: str) -> None:
    """Rename; to another file system by copy."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil

        shutil.move(source, target)
