"""Which files a walk passes over: the rules of gitignore(5), read without Git.

The last matching line wins; a line in a deeper folder wins over one further up; `!` takes back;
what lies in an ignored folder is not looked at. Spec: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

OURS = (".dodo/", ".dodo-tmp-*")
"""Never the user's own content; cannot be taken back."""

DEFAULTS = (
    ".git/",
    ".hg/",
    ".svn/",
    "/.dvc/cache/",
    "/.dvc/tmp/",
    "__pycache__/",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    "node_modules/",
)
"""Repositories, and what tools make again by themselves. Passed over unless a rule takes them back:
else importing a module would change the folder it is in."""


class Rule(NamedTuple):
    """One line: what it matches, relative to its own folder, and whether it ignores it."""

    matches: re.Pattern[str]
    ignores: bool
    only_folders: bool


def parse(lines: list[str]) -> tuple[Rule, ...]:
    """Read the lines of one ignore file; the later a rule stands, the earlier in the result."""
    rules = [rule for line in lines if (rule := _rule(line.rstrip("\r\n"))) is not None]
    return tuple(reversed(rules))


def _rule(line: str) -> Rule | None:
    line = re.sub(r"(?<!\\)[ \t]+$", "", line)
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    if not ignores or line.startswith(("\\!", "\\#")):
        line = line[1:]
    only_folders = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    anchored = "/" in line
    try:
        pattern = re.compile(
            ("" if anchored else "(?:.*/)?") + _translate(line.lstrip("/")) + r"\Z"
        )
    except re.error:
        return None
    return Rule(pattern, ignores, only_folders)


def _translate(glob: str) -> str:
    """A gitignore pattern as a regular expression over a relative path."""
    out, i = "", 0
    while i < len(glob):
        char = glob[i]
        if glob.startswith("**/", i) and (i == 0 or glob[i - 1] == "/"):
            out, i = out + "(?:.*/)?", i + 3
        elif glob.startswith("/**", i) and i + 3 == len(glob):
            out, i = out + "/.+", i + 3
        elif char == "*":
            out += "[^/]*"
            while i < len(glob) and glob[i] == "*":
                i += 1
        elif char == "?":
            out, i = out + "[^/]", i + 1
        elif char == "[" and (end := _class_end(glob, i)):
            body = glob[i + 1 : end]
            negated = body[0] in "!^"
            body = body[1:] if negated else body
            body = re.sub(r"\\(.)|([\[&~|])", lambda m: "\\" + (m[1] or m[2]), body)
            out, i = out + f"(?!/)[{'^' if negated else ''}{body}]", end + 1
        elif char == "\\" and i + 1 < len(glob):
            out, i = out + re.escape(glob[i + 1]), i + 2
        else:
            out, i = out + re.escape(char), i + 1
    return out


def _class_end(glob: str, start: int) -> int:
    """Where the bracket expression that opens at *start* closes; 0 where it does not."""
    i = start + 1
    if glob[i : i + 1] in ("!", "^"):
        i += 1
    if glob[i : i + 1] == "]":
        i += 1
    while i < len(glob) and glob[i] != "]":
        i += 2 if glob[i] == "\\" else 1
    return i if i < len(glob) else 0


_OURS = parse(list(OURS))
_DEFAULTS = parse(list(DEFAULTS))


class Ignore:
    """The rules of a folder tree, from the ignore files in it, read as a walk comes by.

    With *defaults* off, only what the user's files name is passed over: an output has to come back
    as it was made, whatever is in it.
    """

    def __init__(self, root: str, names: tuple[str, ...], *, defaults: bool = True) -> None:
        self._root = root
        self._names = names
        self._defaults = defaults
        self._chains: dict[str, tuple[tuple[int, tuple[Rule, ...]], ...]] = {}

    def skips(self, path: str, is_folder: bool) -> bool:
        """Whether to pass over *path* (relative, `/`); its parents are known to be walked."""
        if _verdict(_OURS, path, is_folder):
            return True
        for start, rules in self._chain(path.rpartition("/")[0]):
            verdict = _verdict(rules, path[start:], is_folder)
            if verdict is not None:
                return verdict
        return self._defaults and self.is_default(path, is_folder)

    def is_default(self, path: str, is_folder: bool) -> bool:
        """Whether the defaults pass over *path* where no rule speaks of it."""
        return bool(_verdict(_DEFAULTS, path, is_folder)) or (is_folder and self._is_venv(path))

    def _is_venv(self, path: str) -> bool:
        """A Python environment says so itself (PEP 405)."""
        return os.path.exists(os.path.join(self._root, path, "pyvenv.cfg"))

    def _chain(self, folder: str) -> tuple[tuple[int, tuple[Rule, ...]], ...]:
        """Rules that apply in *folder*, nearest first, each with where its relative paths start."""
        chain = self._chains.get(folder)
        if chain is None:
            above = self._chain(folder.rpartition("/")[0]) if folder else ()
            own = self._read(folder)
            chain = ((len(folder) + 1 if folder else 0, own), *above) if own else above
            self._chains[folder] = chain
        return chain

    def _read(self, folder: str) -> tuple[Rule, ...]:
        lines: list[str] = []
        for name in self._names:
            try:
                path = os.path.join(self._root, folder, name)
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    lines += file.read(1 << 20).splitlines()
            except OSError:
                continue
        return parse(lines)


def _verdict(rules: tuple[Rule, ...], path: str, is_folder: bool) -> bool | None:
    for rule in rules:
        if (is_folder or not rule.only_folders) and rule.matches.match(path):
            return rule.ignores
    return None
