"""Temp: folders in which experiments run beside the workspace, made from snapshots.

`.dodo/workspaces/<n>/project` is the folder, `<n>/state` what a workspace has of its own (caches,
journal), `<n>.lock` is held by whoever uses it. A worker keeps one for as long as it lives, so that
the next experiment costs what differs from the last. One that nobody uses is left for the next.
"""

from __future__ import annotations

import contextlib
import os
import time

from dodo_exp.engine import disk
from dodo_exp.errors import Damage
from dodo_exp.project import PROJECT, Project
from dodo_store import places
from dodo_store.errors import Damaged, Missing
from dodo_store.mirror import mirror, wipe
from dodo_store.stamps import Stamps
from dodo_store.store import PLACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_store.store import Store
    from dodo_store.tree import Node

LARGE = 1 << 30
"""Bytes from which on a folder is not kept."""


def folder(store: Store) -> str:
    """Where they all are."""
    return f"{store.folder}/{PLACES}"


class Place:
    """A folder of one's own."""

    def __init__(self, project: Project, path: str) -> None:
        self._project = project
        self._path = path
        self.root = f"{path}/{PROJECT}"
        self.local = f"{path}/state"
        self.size = 0

    def bring(self, node: Node) -> None:
        """Make it exactly what *node* is; what a run has left of its own goes.

        Raises:
            Damage: the store does not have all of it.
            OSError: there is no room for it; then nothing of it is left.
        """
        for name in ("journal", "partial", "replaced", "logs", "workspace"):
            wipe(f"{self.local}/{name}")
        os.makedirs(self.local, exist_ok=True)
        store = self._project.store
        self.size = node.size
        stamps = Stamps(f"{self.local}/stamps", store.generation, is_trusted=store.trusts_stat)
        try:
            try:
                self._fill(node, stamps)
            except OSError as error:
                if disk.cause(error) is not None:
                    raise
                # Something in it is not ours to remove. It is out of the way, and a new one begun.
                os.rename(self.root, f"{self._path}/not-ours-{time.time_ns()}")
                stamps.forget()
                self._fill(node, stamps)
        except (Missing, Damaged) as error:
            hint = "`dodo store check --repair` says what is lost and mends what it can"
            raise Damage(f"{error.path}: {error}", hint) from None
        finally:
            stamps.save()

    def _fill(self, node: Node, stamps: Stamps) -> None:
        """Copy what is missing. A copy for which there is no room is removed at once."""
        try:
            mirror(self._project.store, node, self.root, stamps)
        except OSError as error:
            full = disk.cause(error)
            if full is None:
                raise
            stamps.forget()
            with contextlib.suppress(OSError):
                wipe(self.root)
            from dodo_exp.units import format_size

            text = f"{os.strerror(full.errno or 0)}: its files need {format_size(node.size)}"
            raise OSError(full.errno, text, self.root) from None

    def project(self, inside: str) -> Project:
        """The folder as a project, the user standing in *inside*."""
        return Project(self.root, inside, home=self._project.home, local=self.local)


@contextlib.contextmanager
def borrow(project: Project) -> Iterator[Place]:
    """Use a folder for a block: one that is left from before, or a new one."""
    at = folder(project.store)
    with contextlib.ExitStack() as held:
        place = Place(project, places.take(at, held))
        try:
            yield place
        finally:
            if place.size > LARGE or len(places.idle(at)) >= places.SPARE:
                with contextlib.suppress(OSError):
                    wipe(os.path.dirname(place.root))


def locals_of(store: Store) -> list[str]:
    """Where each of them has what is its own."""
    at = folder(store)
    return [f"{at}/{number}/state" for number in places.numbers(at)]
