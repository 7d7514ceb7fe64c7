"""Rules: the lines of an ignore file, as git reads them (gitignore(5)), as regular expressions."""

from __future__ import annotations

import re

from dodo_store.named import Named


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
