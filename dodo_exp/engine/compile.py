"""Compile: a dvc.yaml and all that it draws on -> stages, kept until one of these files changes."""

from __future__ import annotations

import os
import re
from fnmatch import translate

from dodo_exp.errors import BadInput, Faults, LeavesRoot
from dodo_exp.pipeline import dvcyaml, yaml12
from dodo_exp.pipeline.expand import expand
from dodo_exp.pipeline.template import Arguments, TemplateError
from dodo_exp.pipeline.text import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.model import PipelineFile

DVC_CONFIG = (".dvc/config", ".dvc/config.local")
MAX_MATCHES = 100_000
_BOOLEANS = ("store_true", "boolean_optional")
_LISTS = ("nargs", "append")


def compile_file(workspace: Workspace, path: str, watch: Callable[[str], None]) -> PipelineFile:
    """Read the dvc.yaml at *path*; every file that counts is named to *watch* before it is read.

    Raises:
        BadInput: with all faults that were found.
    """
    watch(path)
    return compile_text(workspace, path, decode(workspace.read(path), path), watch)


@yaml12.without_gc
def compile_text(
    workspace: Workspace, path: str, text: str, watch: Callable[[str], None] = lambda path: None
) -> PipelineFile:
    """Read *text* as the dvc.yaml at *path*.

    Raises:
        BadInput
    """
    faults = Faults()
    document = dvcyaml.parse(text, path, faults)
    made = expand(document, Surroundings(workspace, watch), faults)
    suggest_root(faults, workspace.root)
    faults.tell()
    return made


def suggest_root(faults: Faults, root: str) -> None:
    """Give paths that leave the project a hint that helps all of them, from where the user stands.

    That is the nearest folder that has all of them in it, if the root is not settled yet; but not a
    home folder or one with homes in it, which nobody wants to keep a copy of.
    """
    leaving = [fault for fault in faults if isinstance(fault, LeavesRoot)]
    if not leaving:
        return
    root = os.path.abspath(root)
    top = os.path.commonpath([root, *(fault.path for fault in leaving)])
    settled = next((name for name in (STATE_VERSION, ".dvc") if _is_at(root, name)), None)
    if settled is not None:
        way = f"the project begins in {root}, which has {settled.partition('/')[0]}"
    elif os.path.join(os.path.expanduser("~"), "").startswith(os.path.join(top, "")):
        way = f"the project begins in {root}, with the dvc.yaml"
    else:
        import shlex

        way = f"`dodo init {shlex.quote(os.path.relpath(top))}` makes {top} the project root"
    for fault in leaving:
        fault.hint = f"{way}; {fault.outside}" if fault.outside else way


STATE_VERSION = ".dodo/VERSION"


def _is_at(root: str, name: str) -> bool:
    return os.path.exists(os.path.join(root, name))


class Surroundings:
    """What a dvc.yaml may ask of the project around it."""

    def __init__(self, workspace: Workspace, watch: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._watch = watch
        self._arguments: Arguments | None = None

    def params(self, path: str) -> dict[Any, Any] | None:
        """The contents of a parameter file; None where there is none."""
        self._watch(path)
        return self._workspace.params(path)

    def inside(self, path: str) -> str:
        """A path that begins with `/` or `../`, as one of the project if it leads back there."""
        root = os.path.abspath(self._workspace.root)
        full = os.path.normpath(os.path.join(root, path))
        if full == root or full.startswith(root + "/"):
            return os.path.relpath(full, root)
        return path

    def full(self, path: str) -> str:
        """The absolute path of one relative to the root."""
        return os.path.normpath(os.path.join(os.path.abspath(self._workspace.root), path))

    def arguments(self) -> Arguments:
        """The settings of a `.dvc/config` that say how a mapping becomes arguments."""
        if self._arguments is None:
            given: dict[str, str] = {}
            for path in DVC_CONFIG:
                self._watch(path)
                if os.path.isfile(self._workspace.path(path)):
                    given |= self._parsing(path)
            self._arguments = Arguments(
                given.get("bool", _BOOLEANS[0]), given.get("list", _LISTS[0])
            )
        return self._arguments

    def _parsing(self, path: str) -> dict[str, str]:
        import configparser

        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(decode(self._workspace.read(path), path))
        except configparser.Error as error:
            raise BadInput(path, f"not a configuration file: {error}".splitlines()[0]) from None
        found = {}
        for key, known in (("bool", _BOOLEANS), ("list", _LISTS)):
            value = parser.get("parsing", key, fallback="").strip("\"'").lower()
            if value and value not in known:
                raise BadInput(path, f"parsing.{key} must be {known[0]!r} or {known[1]!r}")
            if value:
                found[key] = value
        return found

    # -- globs -----------------------------------------------------------------------------

    def glob(self, folder: str, pattern: str) -> list[str]:
        """The files that match, relative to *folder*, in order of name.

        `*` and `?` match within a name, `**` any number of folders; hidden names match only a part
        that begins with a dot; what the project ignores does not match.

        Raises:
            TemplateError: very many files match.
        """
        pattern = os.path.normpath(pattern)
        found: dict[str, None] = {}
        self._walk(os.path.join(folder, ""), "", pattern.split("/"), found, set())
        return sorted(found)

    def _walk(
        self,
        base: str,
        inner: str,
        parts: list[str],
        found: dict[str, None],
        seen: set[tuple[str, int]],
    ) -> None:
        if (inner, len(parts)) in seen:
            return  # several '**' reach one folder in many ways
        seen.add((inner, len(parts)))
        folder = os.path.normpath(base + inner)
        for name in (".", ".dvcignore", ".dodoignore"):
            self._watch(os.path.normpath(os.path.join(folder, name)))
        part, *rest = parts
        if part == "**":
            self._walk(base, inner, rest or ["*"], found, seen)
        elif not re.search(r"[*?\[]", part):
            self._match(base, inner + part, rest, found, seen)
            return
        matches = re.compile("[^.].*" if part == "**" else translate(part)).match
        for name in self._names(folder):
            if not matches(name) or (name[0] == "." and part[0] != "."):
                continue
            if part != "**":
                self._match(base, inner + name, rest, found, seen)
            elif self._is_folder(base + inner + name):
                self._walk(base, f"{inner}{name}/", parts, found, seen)
        if len(found) > MAX_MATCHES:
            raise TemplateError(f"more than {MAX_MATCHES:,} files match")

    def _match(
        self,
        base: str,
        path: str,
        rest: list[str],
        found: dict[str, None],
        seen: set[tuple[str, int]],
    ) -> None:
        full = os.path.normpath(base + path)
        if rest:
            if self._is_folder(full) or path in ("..", "."):
                self._walk(base, f"{path}/", rest, found, seen)
        elif os.path.isfile(self._workspace.path(full)) and not self._is_ignored(full, False):
            found[path] = None

    def _names(self, folder: str) -> list[str]:
        try:
            return os.listdir(self._workspace.path(folder))
        except OSError:
            return []

    def _is_folder(self, path: str) -> bool:
        full = self._workspace.path(path)
        return os.path.isdir(full) and not os.path.islink(full) and not self._is_ignored(path, True)

    def _is_ignored(self, path: str, is_folder: bool) -> bool:
        path = os.path.normpath(path)
        return not path.startswith("..") and self._workspace.input_ignore.skips(path, is_folder)
