"""Project: where the root is, where in it we stand, and its store."""

from __future__ import annotations

import os

from dodo_exp.errors import Failure, NoProject
from dodo_exp.pipeline.model import PIPELINE_FILE, seen_from
from dodo_store.store import PLACES, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Listener
    from dodo_exp.settings import Settings

STATE = ".dodo"
PROJECT = "project"
"""Name of the project's folder in a place that was made for an experiment; see exps/temp.py."""


class Project:
    """A folder with a dvc.yaml and everything below it.

    Attributes:
        root: absolute path of the top folder.
        folder: where the user stands, relative to the root; "" at the root.
        home: the root of the project that has the store; another than `root` for a workspace that
            was made from a snapshot.
        store: the store in `.dodo/`, which may not exist yet.
    """

    def __init__(self, root: str, folder: str, home: str | None = None, local: str = "") -> None:
        self.root = root
        self.folder = folder
        self.home = home or root
        self.store = Store(os.path.join(self.home, STATE), local)
        self._settings: Settings | None = None
        from dodo_exp import settings

        self.store.trusts_stat = not settings.hashes_always(self.home)

    @classmethod
    def find(cls, here: str | None = None) -> Project:
        """The project that the current folder, or *here*, belongs to.

        Raises:
            NoProject
        """
        try:
            here = here or os.getcwd()
        except FileNotFoundError:
            raise Failure("the current folder does not exist any more") from None
        parts = here.split("/")
        for i in range(len(parts) - 4, -1, -1):
            if parts[i : i + 2] == [STATE, PLACES] and parts[i + 3] == PROJECT:
                # A stage of an experiment, or a look at one, in the folder that was made for it.
                place, home = "/".join(parts[: i + 3]), "/".join(parts[:i]) or "/"
                inside, local = "/".join(parts[i + 4 :]), f"{place}/state"
                return cls(f"{place}/{PROJECT}", inside, home=home, local=local)
        root = find_root(here)
        if root is None:
            raise NoProject(f"no {PIPELINE_FILE} here or in any folder above", _way_in(here))
        folder = os.path.relpath(here, root)
        return cls(root, "" if folder == "." else folder)

    @property
    def state(self) -> str:
        """The folder of our own files."""
        return self.store.folder

    @property
    def settings(self) -> Settings:
        """What the project's settings say.

        Raises:
            BadInput, UsageError
        """
        if self._settings is None:
            from dodo_exp import settings

            self._settings = settings.read(self.home)
        return self._settings

    def write(self, listener: Listener | None = None) -> Store:
        """The store, made ready for writing in the way that the settings say.

        The *listener* is told where the project begins if this is what makes the store.

        Raises:
            BadInput, UsageError: from the settings.
        """
        from dodo_store import durable

        given = self.settings
        durable.set_level(given.durability)
        self.store.links = given.link == "hardlink"
        self.create(listener)
        self.store.sweep()
        return self.store

    def create(self, listener: Listener | None = None) -> None:
        """Create what the store lacks; tell the *listener* if that is all of it."""
        is_new = not self.store.exists
        self.store.create()
        if is_new and listener is not None:
            from dodo_exp.events import Note

            listener(Note("info", f"Initialized project in {self.home}"))

    def inside(self, path: str) -> str:
        """A path that the user gave, standing in `folder`, relative to the root."""
        if os.path.isabs(path):
            return os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))
        return os.path.normpath(os.path.join(self.folder, path))

    def shown(self, path: str) -> str:
        """A path relative to the root, as seen from where the user stands."""
        return seen_from(self.folder, path)


def find_root(start: str) -> str | None:
    """The nearest folder upward with a `.dodo/` or `.dvc/`, else the nearest with a dvc.yaml.

    A `.git` does not count: a repository, or a home folder that is one, may hold far more than the
    project.
    """
    by_pipeline = None
    folder = start
    while True:
        if has_root(folder):
            return folder
        if by_pipeline is None and os.path.lexists(os.path.join(folder, PIPELINE_FILE)):
            by_pipeline = folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return by_pipeline
        folder = parent


def has_root(folder: str) -> bool:
    """Whether a project begins in *folder*, whatever is above it."""
    return os.path.exists(os.path.join(folder, STATE, "VERSION")) or os.path.isdir(
        os.path.join(folder, ".dvc")
    )


def _way_in(here: str) -> str:
    """What helps in a folder that is in no project."""
    below = _pipeline_below(here)
    if below is None:
        return "`dodo stage add` writes one; see `dodo stage add --help`"
    import shlex

    enter = f"`cd {shlex.quote(os.path.dirname(below))}`"
    return f"there is {below}: {enter}, or `dodo init` to make this folder the project"


def _pipeline_below(here: str, depth: int = 3, most: int = 1000) -> str | None:
    """The nearest pipeline file in the folders below, relative to *here*; a short look only."""
    folders = [""]
    for folder in folders:
        if folder and os.path.isfile(os.path.join(here, folder, PIPELINE_FILE)):
            return f"{folder}/{PIPELINE_FILE}"
        if folder.count("/") + bool(folder) < depth and len(folders) < most:
            try:
                with os.scandir(os.path.join(here, folder)) as entries:
                    names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
            except OSError:
                continue
            folders += [os.path.join(folder, name) for name in names if not name.startswith(".")]
    return None
