"""Which files a walk passes over: the rules of gitignore(5), read without Git.

The last matching line wins; a line in a deeper folder wins over one further up; `!` takes back;
what lies in an ignored folder is not looked at. Spec: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from dodo_store.named import Named
from dodo_store.oid import of_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"

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


class Rule(Named):
    """One line: what it matches, relative to its own folder, and whether it ignores it."""

    matches: re.Pattern[str]
    ignores: bool
    only_folders: bool


def parse(lines: list[str]) -> tuple[Rule, ...]:
    """Read the lines of one ignore file; the later a rule stands, the earlier in the result."""
    rules = [rule for line in lines if (rule := _rule(line.removesuffix("\r"))) is not None]
    return tuple(reversed(rules))


def _rule(line: str) -> Rule | None:
    line = _without_trailing_spaces(line)
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    if not ignores or line.startswith(("\\!", "\\#")):
        line = line[1:]
    only_folders = line.endswith("/")
    line = line.removesuffix("/")
    if not line or line.startswith("//"):
        return None
    anchored = "/" in line
    try:
        text = _translate(line.removeprefix("/"))
        pattern = re.compile(("" if anchored else "(?:.*/)?") + text + r"\Z", re.DOTALL)
    except (ValueError, re.error):
        return None
    return Rule(pattern, ignores, only_folders)


def _without_trailing_spaces(line: str) -> str:
    """Trailing spaces do not count, but for one that a backslash keeps."""
    rest = line.rstrip(" ")
    slashes = len(rest) - len(rest.rstrip("\\"))
    return rest + " " if slashes % 2 and rest != line else rest


def _translate(glob: str) -> str:
    """A gitignore pattern as a regular expression over a relative path.

    Raises:
        ValueError: a pattern that matches nothing: a bracket not closed, a backslash at the end.
    """
    parts: list[str] = []
    i = 0
    while i < len(glob):
        char = glob[i]
        stars = len(glob) - i - len(glob[i:].lstrip("*"))
        after = glob[i + stars : i + stars + 1]
        if stars >= 2 and after == "/" and (i == 0 or glob[i - 1] == "/"):
            if parts[-1:] != [_ANY_FOLDERS]:
                parts.append(_ANY_FOLDERS)
            i += stars + 1
        elif stars >= 2 and after == "" and i > 0 and glob[i - 1] == "/":
            parts.append(".+")
            i += stars
        elif stars:
            parts.append(_STAR)
            i += stars
        elif char == "?":
            parts.append("[^/]")
            i += 1
        elif char == "[":
            text, i = _bracket(glob, i)
            parts.append(text)
        elif char == "\\":
            if i + 1 == len(glob):
                raise ValueError(glob)
            parts.append(re.escape(glob[i + 1]))
            i += 2
        else:
            parts.append(re.escape(char))
            i += 1
    return _joined(parts)


_STAR = "[^/]*"
_ANY_FOLDERS = "(?:.*/)?"


def _joined(parts: list[str]) -> str:
    """The parts as one expression that is matched without trying every way.

    What stands between two stars of one name may be taken where it first fits: whatever comes
    later, a later place would not do better.
    """
    out, i = "", 0
    while i < len(parts):
        end = i + 1
        while end < len(parts) and parts[end] not in (_STAR, _ANY_FOLDERS, ".+", "/"):
            end += 1
        if parts[i] == _STAR and parts[end : end + 1] == [_STAR]:
            out += f"(?>[^/]*?{''.join(parts[i + 1 : end])})"
        else:
            out += "".join(parts[i:end])
        i = end
    return out


_NAMED = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


def _bracket(glob: str, start: int) -> tuple[str, int]:
    """The bracket expression at *start* as a regular expression, and where it ends."""
    i = start + 1
    negated = glob[i : i + 1] in ("!", "^") and i < len(glob)
    i += negated
    first, body = i, ""
    while i < len(glob) and (glob[i] != "]" or i == first):
        named = re.compile(r"\[:(\w+):\]").match(glob, i)
        if named:
            body, i = body + _NAMED[named[1]] if named[1] in _NAMED else body, named.end()
            continue
        low, i = _one(glob, i)
        if glob[i : i + 1] == "-" and glob[i + 1 : i + 2] not in ("]", ""):
            high, i = _one(glob, i + 1)
            # A range the wrong way round holds nothing.
            body += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
        else:
            body += re.escape(low)
    if i >= len(glob):
        raise ValueError(glob)
    if not body:
        return ("[^/]" if negated else "(?!)"), i + 1
    return f"(?!/)[{'^' if negated else ''}{body}]", i + 1


def _one(glob: str, i: int) -> tuple[str, int]:
    """One character of a bracket expression, a backslash before it taken off."""
    if glob[i] == "\\" and i + 1 < len(glob):
        return glob[i + 1], i + 2
    return glob[i], i + 1


_OURS = parse(list(OURS))
_DEFAULTS = parse(list(DEFAULTS))


VENV = "pyvenv.cfg"


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
        self._marks: dict[str, bytes] = {}
        self._files: list[str] = []
        self.tag = ("+" if defaults else "-") + ",".join(names)
        """Tells rules apart that are read from different files."""

    @property
    def sources(self) -> Iterator[str]:
        """Files that said what is passed over, and the folders in which they were looked for."""
        yield from self._files
        yield from self._chains

    def mark(self, folder: str, folders: list[str]) -> bytes:
        """Moves whenever a verdict on what lies in *folder* could, *folders* among it."""
        self._chain(folder)
        venvs = [
            name
            for name in (folders if self._defaults else ())
            if self._is_venv(f"{folder}/{name}" if folder else name)
        ]
        return self._marks[folder] + "/".join(venvs).encode(errors="surrogateescape")

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
        is_one = os.path.exists(os.path.join(self._root, path, VENV))
        if is_one:
            self._files.append(f"{path}/{VENV}")
        return is_one

    def _chain(self, folder: str) -> tuple[tuple[int, tuple[Rule, ...]], ...]:
        """Rules that apply in *folder*, nearest first, each with where its relative paths start."""
        chain = self._chains.get(folder)
        if chain is None:
            outer = folder.rpartition("/")[0]
            above = self._chain(outer) if folder else ()
            text = self._read(folder)
            own = parse(text)
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
                    if stat.S_ISREG(os.fstat(fd).st_mode):
                        lines += os.fsdecode(file.read(1 << 20).removeprefix(BOM)).split("\n")
            except (FileNotFoundError, NotADirectoryError):
                if not os.path.islink(path):
                    continue
            except OSError:
                pass
            self._files.append(f"{folder}/{name}" if folder else name)
        return lines


def _verdict(rules: tuple[Rule, ...], path: str, is_folder: bool) -> bool | None:
    for rule in rules:
        if (is_folder or not rule.only_folders) and rule.matches.match(path):
            return rule.ignores
    return None
