"""Edit Python: set or delete one literal and leave every other byte as it is.

The literal's place comes from the syntax tree; the file is never executed.
"""

from __future__ import annotations

import ast
import json
import keyword
import re

from dodo_exp.errors import UsageError
from dodo_exp.pipeline.params import assignments, syntax_tree
from dodo_exp.pipeline.values import canonical
from dodo_exp.pipeline.yaml12 import scalar
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_value(text: str, keys: tuple[str, ...], value: Any, file: str) -> str:
    """The text with the value at *keys* replaced, or added where it is not there.

    Raises:
        UsageError: there is no place where it could be added.
    """
    return _Edit(text, keys, file).set(value)


def delete_value(text: str, keys: tuple[str, ...], file: str) -> str:
    """The text without the entry at *keys*, which is there.

    Raises:
        UsageError: it is all there is in a class.
    """
    text = _Edit(text, keys, file).delete()
    while len(keys) == 1 and any(
        name == keys[0] for name, _ in assignments(syntax_tree(text, file).body, of_self=False)
    ):
        text = _Edit(text, keys, file).delete()  # the one before it would count
    return text


class Found(Named):
    """The node that the keys lead to, what holds it, and the keys left over."""

    node: ast.AST
    holder: ast.AST
    rest: tuple[str, ...]


class _Edit:
    """One file being edited. The tree counts columns in bytes, and so do we."""

    def __init__(self, text: str, keys: tuple[str, ...], file: str) -> None:
        self.data = text.encode()
        self.newline = b"\r\n" if b"\r\n" in self.data else b"\n"
        self.keys = keys
        self.file = file
        self.tree: ast.Module = syntax_tree(text, file)
        self.lines = [0]
        for line in self.data.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def fault(self, why: str) -> UsageError:
        return UsageError(
            f"{self.file}: cannot set {'.'.join(map(str, self.keys))}: {why}",
            "edit the file by hand",
        )

    def span(self, node: Any) -> tuple[int, int]:
        return (
            self.lines[node.lineno - 1] + node.col_offset,
            self.lines[node.end_lineno - 1] + node.end_col_offset,
        )

    def cut(self, start: int, end: int, new: bytes = b"") -> str:
        return (self.data[:start] + new + self.data[end:]).decode()

    # -- finding ---------------------------------------------------------------------------

    def find(self) -> Found:
        """Follow the keys as far as they lead."""
        node: ast.AST = self.tree
        holder: ast.AST = self.tree
        keys = self.keys
        while keys:
            following = _child(node, keys[0])
            if following is None:
                break
            node, holder, keys = following, node, keys[1:]
        return Found(node, holder, keys)

    def set(self, value: Any) -> str:
        found = self.find()
        if not found.rest:
            if isinstance(found.node, ast.ClassDef):
                raise self.fault("it is a class")
            start, end = self.span(found.node)
            return self.cut(start, end, self.emit(value, found.node).encode())
        for key in reversed(found.rest[1:]):
            value = {key: value}
        if isinstance(found.node, ast.Module | ast.ClassDef):
            return self.append(found.node, found.rest[0], value)
        if isinstance(found.node, ast.Dict):
            return self.insert(found.node, found.rest[0], value)
        start, end = self.span(found.node)
        return self.cut(start, end, self.emit({found.rest[0]: value}, found.node).encode())

    def append(self, body: ast.Module | ast.ClassDef, name: str, value: Any) -> str:
        """Add an assignment after the last statement of a module or a class."""
        if not name.isidentifier() or keyword.iskeyword(name):
            raise self.fault(f"{name!r} is no name in Python")
        if any(name == known for known, _ in assignments(body.body, of_self=False)):
            raise self.fault("it is computed, not a literal")
        if not body.body:
            end, indent = len(self.data), b""
        else:
            first: Any = body.body[0]
            last: Any = body.body[-1]
            end = self.lines[last.end_lineno]
            line = self.lines[first.lineno - 1]
            indent = self.data[line : line + first.col_offset]
            if isinstance(body, ast.Module):
                indent = b""
            if indent.strip():
                raise self.fault("the class stands on one line")
        gap = b"" if not end or self.data[:end].endswith(b"\n") else self.newline
        item = f"{name} = {self.emit(value, None)}".encode()
        return self.cut(end, end, gap + indent + item + self.newline)

    def insert(self, node: ast.Dict, key: str, value: Any) -> str:
        item = f"{self.emit(key, None)}: {self.emit(value, None)}"
        if not node.values:
            start, end = self.span(node)
            return self.cut(start, end, f"{{{item}}}".encode())
        last, last_key = node.values[-1], node.keys[-1]
        assert last_key is not None  # read as a literal before
        begin, end = self.span(last_key)[0], self.behind(last, node)
        line = self.data.rfind(b"\n", 0, begin) + 1
        indent = self.data[line:begin]
        own_line = not indent.strip() and line > self.span(node)[0]
        if not own_line:
            return self.cut(end, end, b", " + item.encode())
        rest = re.match(rb"([ \t]*,)?(?:[ \t]*(?:#[^\r\n]*)?(?=[\r\n]))?", self.data[end:])
        assert rest is not None
        eol = end + rest.end()
        comma = b"," if rest[1] else b""
        added = self.newline + indent + item.encode() + comma
        return self.cut(end, eol, (b"" if comma else b",") + self.data[end:eol] + added)

    # -- deleting --------------------------------------------------------------------------

    def delete(self) -> str:
        found = self.find()
        holder: Any = found.holder
        if isinstance(holder, ast.Dict):
            i = holder.values.index(found.node)  # type: ignore[arg-type]
            rows = list(zip(holder.keys, holder.values, strict=True))
            return self.delete_item(holder, rows, i)
        if isinstance(holder, ast.List | ast.Tuple | ast.Set):
            i = holder.elts.index(found.node)  # type: ignore[arg-type]
            return self.delete_item(holder, [(each, each) for each in holder.elts], i)
        return self.delete_statement(holder, found.node)

    def delete_item(self, holder: Any, rows: list[Any], i: int) -> str:
        if len(rows) == 1:
            start, end = self.span(holder)
            if self.data[end - 1] not in b")]}":
                return self.cut(start, end, b"()")  # a tuple without parentheses
            return self.cut(start + 1, end - 1)
        is_pair = isinstance(holder, ast.Tuple) and len(rows) == 2
        if i + 1 < len(rows):
            behind, follows = self.behind(rows[i][1], holder), self.before(holder, rows, i + 1)
            # A comment on a line of its own is the next item's.
            if comment := re.search(rb"\n[^#]*", self.data[behind:follows]):
                follows = min(follows, behind + comment.end())
            last = self.behind(rows[i + 1][1], holder)
            if is_pair and not self.is_comma(last):
                self.data = self.data[:last] + b"," + self.data[last:]
            return self.cut(self.before(holder, rows, i), follows)
        begin, end = self.behind(rows[i - 1][1], holder), self.behind(rows[i][1], holder)
        first = self.before(holder, rows, i)
        if b"#" in self.data[begin:first]:
            # The comment is the item's before: it stays, and so does the comma.
            begin = self.data.rfind(b"\n", 0, first) + 1
            if self.is_comma(end):
                end = self.skip(end) + 1
            if rest := re.match(rb"[ \t]*\r?\n", self.data[end:]):
                end += rest.end()
        elif is_pair and not self.is_comma(end):
            return self.cut(begin, end, b",")
        return self.cut(begin, end)

    def is_comma(self, i: int) -> bool:
        """Whether the next token is a comma."""
        i = self.skip(i)
        return self.data[i : i + 1] == b","

    def skip(self, i: int, signs: bytes = b"") -> int:
        """Where the next token begins that is none of *signs*; comments are passed over."""
        while match := re.match(rb"(?:\s|\\\r?\n|#[^\n]*|[%s])+" % (signs or b" "), self.data[i:]):
            i += match.end()
        return i

    def behind(self, node: Any, holder: Any) -> int:
        """Where an item ends, with the parentheses around it."""
        end, last = self.span(node)[1], self.span(holder)[1]
        last -= self.data[last - 1] in b")]}"
        while (i := self.skip(end)) < last and self.data[i : i + 1] == b")":
            end = i + 1
        return end

    def before(self, holder: Any, rows: list[Any], i: int) -> int:
        """Where an item begins, with the parentheses around it."""
        start = self.span(holder)[0]
        if i:
            return self.skip(self.behind(rows[i - 1][1], holder), b",")
        return self.skip(start + 1) if self.data[start] in b"([{" else start

    def delete_statement(self, holder: Any, node: ast.AST) -> str:
        """Remove a statement's lines, where it is alone on them and not all of its block."""
        for block in (b for b in ast.walk(holder) if isinstance(getattr(b, "body", None), list)):
            body: list[Any] = block.body  # type: ignore[attr-defined]
            for statement in body:
                if node is not statement and getattr(statement, "value", None) is not node:
                    continue
                above = [each.lineno for each in getattr(statement, "decorator_list", [])]
                start = self.lines[min(above, default=statement.lineno) - 1]
                end = self.lines[statement.end_lineno]
                before = b"" if above else self.data[start : self.span(statement)[0]]
                after = self.data[self.span(statement)[1] : end].strip()
                if before.strip() or (after and not after.startswith(b"#")):
                    raise self.fault("it shares its line with another statement")
                if len(body) == 1 and not isinstance(block, ast.Module):
                    raise self.fault("it is all there is in its class")
                return self.cut(start, end)
        raise self.fault("it is not found")

    def emit(self, value: Any, old: ast.AST | None) -> str:
        """A value as Python; texts in the quotes and sequences in the brackets that *old* has."""
        if isinstance(value, str):
            quote = self.data[self.span(old)[0]] if isinstance(old, ast.Constant) else 0
            if quote == ord('"'):
                text = json.dumps(value, ensure_ascii=not value.isprintable())
                return text if ast.literal_eval(text) == value else repr(value)
            return repr(value)
        if isinstance(value, list):
            items = ", ".join(self.emit(item, None) for item in value)
            if isinstance(old, ast.Tuple):
                return f"({items},)" if len(value) == 1 else f"({items})"
            return f"{{{items}}}" if isinstance(old, ast.Set) and _is_set(value) else f"[{items}]"
        if isinstance(value, dict):
            rows = (f"{self.emit(k, None)}: {self.emit(v, None)}" for k, v in value.items())
            return f"{{{', '.join(rows)}}}"
        if isinstance(value, float) and repr(value).lstrip("-") in ("inf", "nan"):
            raise self.fault(f"Python has no literal for {value}")
        return repr(value)


def _child(node: ast.AST, key: str) -> ast.AST | None:
    """The node of an entry: the last assignment of a literal, a dict's or a list's item."""
    if isinstance(node, ast.Module | ast.ClassDef):
        for name, value in reversed(assignments(node.body, of_self=False)):
            if name == key and (isinstance(value, ast.ClassDef) or _is_literal(value)):
                return value  # type: ignore[no-any-return]
        return None
    if isinstance(node, ast.Dict):
        for name, value in reversed(list(zip(node.keys, node.values, strict=True))):
            if name is not None and _is_named(ast.literal_eval(name), key):
                return value
    if isinstance(node, ast.List | ast.Tuple) and key.isdecimal() and int(key) < len(node.elts):
        return node.elts[int(key)]
    return None


def _is_literal(node: Any) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def _is_named(name: Any, key: str) -> bool:
    if isinstance(name, str):
        return name == key
    typed = scalar(key) if isinstance(key, str) else key
    return str(name) == key or (type(typed) is type(name) and bool(typed == name))


def _is_set(value: list[Any]) -> bool:
    """Whether a set of these values is read as this list."""
    texts = [canonical(item) for item in value]
    is_plain = not any(isinstance(item, list | dict) for item in value)
    return bool(value) and is_plain and texts == sorted(set(texts)) and len({*value}) == len(value)
