"""Project: where the root is, where in it we stand, and its store."""

from __future__ import annotations

import os

from dodo_exp.errors import Failure, NoProject
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_store.store import PLACES, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        root = find_root(here)
        if root is None:
            raise NoProject(
                f"no {PIPELINE_FILE} here or in any folder above",
                "`dodo stage add` writes one; see `dodo stage add --help`",
            )
        folder = os.path.relpath(here, root)
        parts = folder.split("/")
        if parts[:2] == [STATE, PLACES] and parts[3:4] == [PROJECT]:
            # A stage of an experiment, or a look at one, in the folder that was made for it.
            place = os.path.join(root, *parts[:3])
            inside, local = "/".join(parts[4:]), f"{place}/state"
            return cls(f"{place}/{PROJECT}", inside, home=root, local=local)
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

    def write(self) -> Store:
        """The store, made ready for writing in the way that the settings say.

        Raises:
            BadInput, UsageError: from the settings.
        """
        from dodo_store import durable

        given = self.settings
        durable.set_level(given.durability)
        self.store.links = given.link == "hardlink"
        self.store.create()
        self.store.sweep()
        return self.store

    def inside(self, path: str) -> str:
        """A path that the user gave, standing in `folder`, relative to the root."""
        if os.path.isabs(path):
            return os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))
        return os.path.normpath(os.path.join(self.folder, path))

    def shown(self, path: str) -> str:
        """A path relative to the root, as seen from where the user stands."""
        return os.path.relpath(path, self.folder) if self.folder else path


def find_root(start: str) -> str | None:
    """The nearest folder with `.dodo/`, else with `.dvc/` or `.git`, else with a dvc.yaml."""
    by_repository = by_pipeline = None
    folder = start
    while True:
        if os.path.exists(os.path.join(folder, STATE, "VERSION")):
            return folder
        if by_repository is None and any(
            os.path.exists(os.path.join(folder, name)) for name in (".dvc", ".git")
        ):
            by_repository = folder
        if by_pipeline is None and os.path.isfile(os.path.join(folder, PIPELINE_FILE)):
            by_pipeline = folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return by_repository or by_pipeline
        folder = parent
