"""Which files a walk passes over: the rules of gitignore(5), read without Git.

The last matching line wins; a line in a deeper folder wins over one further up; `!` takes back;
what lies in an ignored folder is not looked at. Spec: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import stat
from _thread import RLock

from dodo_store import durable
from dodo_store.errors import TooLarge
from dodo_store.oid import of_bytes
from dodo_store.tree import RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_store.rules import Rule

BOM = b"\xef\xbb\xbf"

DEFAULTS = frozenset(
    {
        ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", "node_modules",
    }
)  # fmt: skip
DEFAULT_PATHS = frozenset({".dvc/cache", ".dvc/tmp"})
"""Folders of repositories, and what tools make again by themselves. Passed over unless a rule takes
them back: else importing a module would change the folder it is in."""


VENV = "pyvenv.cfg"
MAX_BYTES = 10 << 20
"""Of an ignore file."""


class Ignore:
    """The rules of a folder tree, from the ignore files in it, read as a walk comes by.

    Reserved names and temporary files of ours are passed over always; no rule includes them.

    With *defaults* off, only what the user's files name is passed over: an output has to come back
    as it was made, whatever is in it.
    """

    def __init__(self, root: str, names: tuple[str, ...], *, defaults: bool = True) -> None:
        self._root = root
        self._names = names
        self._defaults = defaults
        self._chains: dict[str, tuple[tuple[int, tuple[Rule, ...]], ...]] = {}
        self._marks: dict[str, bytes] = {}
        self._files: list[str] = []
        self._lock = RLock()
        """Guards what is known of folders; several threads walk at a time."""
        self.tag = ("+2" if defaults else "-2") + ",".join(names)
        """Tells rules apart that are read from different files; the number is the version of the
        rules that are built in, so that what a walk remembers of an earlier one is not used."""

    @property
    def sources(self) -> Iterator[str]:
        """Files that said what is passed over, and the folders in which they were looked for."""
        with self._lock:
            found = [*self._files, *self._chains]
        yield from found

    def mark(self, folder: str, folders: list[str]) -> bytes:
        """Moves whenever a verdict on what lies in *folder* could, *folders* among it."""
        with self._lock:
            self._chain(folder)
            own = self._marks[folder]
        venvs = [
            name
            for name in (folders if self._defaults else ())
            if self._is_venv(f"{folder}/{name}" if folder else name)
        ]
        return own + "/".join(venvs).encode(errors="surrogateescape")

    def skips(self, path: str, is_folder: bool) -> bool:
        """Whether to pass over *path* (relative, `/`); its parents are known to be walked."""
        name = path[path.rfind("/") + 1 :]
        if name in RESERVED or name.startswith(durable.TEMPORARY):
            return True
        for start, rules in self._chain(path.rpartition("/")[0]):
            verdict = _verdict(rules, path[start:], is_folder)
            if verdict is not None:
                return verdict
        return self._defaults and self.is_default(path, is_folder)

    def is_default(self, path: str, is_folder: bool) -> bool:
        """Whether the defaults pass over *path* where no rule speaks of it."""
        if not is_folder:
            return False
        return (
            path[path.rfind("/") + 1 :] in DEFAULTS or path in DEFAULT_PATHS or self._is_venv(path)
        )

    def _is_venv(self, path: str) -> bool:
        """A Python environment says so itself (PEP 405)."""
        is_one = os.path.exists(os.path.join(self._root, path, VENV))
        if is_one:
            with self._lock:
                self._files.append(f"{path}/{VENV}")
        return is_one

    def _chain(self, folder: str) -> tuple[tuple[int, tuple[Rule, ...]], ...]:
        """Rules that apply in *folder*, nearest first, each with where its relative paths start."""
        with self._lock:
            chain = self._chains.get(folder)
            if chain is not None:
                return chain
            outer = folder.rpartition("/")[0]
            above = self._chain(outer) if folder else ()
            text = self._read(folder)
            own = _parsed(text)
            chain = ((len(folder) + 1 if folder else 0, own), *above) if own else above
            self._chains[folder] = chain
            self._marks[folder] = self._marks[outer] if folder else b""
            if own:
                lines = "\n".join(text).encode(errors="surrogateescape")
                self._marks[folder] = of_bytes(self._marks[folder] + lines)
            return chain

    def _read(self, folder: str) -> list[str]:
        lines: list[str] = []
        for name in self._names:
            path = os.path.join(self._root, folder, name)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                with open(fd, "rb") as file:
                    found = os.fstat(fd)
                    if stat.S_ISREG(found.st_mode):
                        if found.st_size > MAX_BYTES:
                            where = os.path.join(folder, name)
                            raise TooLarge(where, f"larger than {MAX_BYTES >> 20} MiB")
                        lines += os.fsdecode(file.read(MAX_BYTES).removeprefix(BOM)).split("\n")
            except (FileNotFoundError, NotADirectoryError):
                if not os.path.islink(path):
                    continue
            except OSError:
                pass
            self._files.append(f"{folder}/{name}" if folder else name)
        return lines


def _parsed(lines: list[str]) -> tuple[Rule, ...]:
    """The rules; most folders have none, and then nothing is loaded that reads them."""
    if not any(lines):
        return ()
    from dodo_store import rules

    return rules.parse(lines)


def _verdict(rules: tuple[Rule, ...], path: str, is_folder: bool) -> bool | None:
    for rule in rules:
        if (is_folder or not rule.only_folders) and rule.matches.match(path):
            return rule.ignores
    return None
