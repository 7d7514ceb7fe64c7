"""Edit YAML: set or delete one value and leave every other byte as it is.

The value's place comes from the parser's marks.
"""

from __future__ import annotations

import json
import re

from dodo_exp.errors import BadInput, Location, UsageError
from dodo_exp.pipeline import yaml12
from dodo_exp.pipeline.pyyaml import CollectionNode, MappingNode, ScalarNode, SequenceNode, yaml
from dodo_exp.pipeline.values import existing
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.pipeline.pyyaml import Node

_PROPERTIES = pattern(r"(?:[&!]\S*[ \t\r\n]+)*")
_OMAP = "tag:yaml.org,2002:omap"
_ALIAS = pattern(r"[ \t]*:[ \t]*\*[^\s,\[\]{}]+")
_BARE = pattern(r"[A-Za-z0-9_./][\w./+\-@%=~ $^*()]*\Z")


def set_value(text: str, keys: tuple[str, ...], value: Any, file: str) -> str:
    """The text with the value at *keys* replaced, or added where it is not there.

    Raises:
        BadInput: *text* is not YAML.
        UsageError: the way leads through an alias.
    """
    return _Edit(text, file).set(keys, value)


def delete_value(text: str, keys: tuple[str, ...], file: str) -> str:
    """The text without the entry at *keys*, which is there.

    Raises:
        BadInput, UsageError: as `set_value`.
    """
    return _Edit(text, file).delete(keys)


def set_stage(text: str, name: str, body: dict[str, Any], file: str) -> str:
    """The text of a dvc.yaml with the stage *name* added, or replaced where it was.

    Raises:
        BadInput: *text* is not YAML, or `stages` is not a block mapping.
    """
    edit = _Edit(text, file)

    def made(indent: str) -> str:
        return block({name: body}, indent).replace("\n", edit.newline)

    root = yaml12.compose(text, file)
    if root is None or _is_null(root):
        return edit.end_of_text() + "stages:" + edit.newline + made("  ")
    if not isinstance(root, MappingNode) or root.flow_style:
        raise BadInput(file, "cannot add to it: it is not a block mapping")
    tops = {key: (key_node, node) for key, key_node, node in yaml12.pairs(root, file)}
    if "stages" not in tops:
        return edit.end_of_text() + "stages:" + edit.newline + made("  ")
    key_node, stages = tops["stages"]
    if not isinstance(stages, MappingNode) or not stages.value or stages.flow_style:
        if isinstance(stages, MappingNode) and stages.value:
            raise BadInput(Location(file, yaml12.line(stages)), "'stages' is not a block mapping")
        colon = text.index(":", key_node.end_mark.index) + 1
        rest = max(colon, edit.end(stages))
        return text[:colon] + edit.newline + made("  ").rstrip() + text[rest:]
    indent = " " * stages.value[0][0].start_mark.column
    for known, stage_key, stage in yaml12.pairs(stages, file):
        if known == name:
            start = text.rfind("\n", 0, stage_key.start_mark.index) + 1
            return text[:start] + made(indent) + text[edit.line_after(stage) :]
    end = edit.line_after(stages)
    gap = "" if text[:end].endswith("\n") else edit.newline
    return text[:end] + gap + made(indent) + text[end:]


def block(value: dict[str, Any], indent: str) -> str:
    """A mapping in block style, with lists of plain items below their keys."""
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            lines.append(f"{indent}{emit(key)}:\n" + block(inner, indent + "  "))
        elif isinstance(inner, list) and inner:
            lines.append(f"{indent}{emit(key)}:\n" + "".join(_item(i, indent) for i in inner))
        else:
            lines.append(f"{indent}{emit(key)}: {emit(inner)}\n")
    return "".join(lines)


def _item(value: Any, indent: str) -> str:
    if not isinstance(value, dict):
        return f"{indent}- {emit(value)}\n"
    lines = block(value, indent + "  ").splitlines(keepends=True) or [f"{indent}  {{}}\n"]
    return f"{indent}- " + lines[0].lstrip(" ") + "".join(lines[1:])


class _Edit:
    """One text being edited."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.keys: tuple[str, ...] = ()

    def set(self, keys: tuple[str, ...], value: Any) -> str:
        self.keys = keys
        root = yaml12.compose(self.text, self.file)
        if root is None or _is_null(root):
            return self.end_of_text() + self.nested(keys, value, "")
        node, key, left = self.find(root, keys)
        if not left:
            return self.replace(node, key, value)
        if isinstance(node, MappingNode):
            return self.insert(node, left, value)
        for part in reversed(left):
            value = {part: value}
        return self.replace(node, key, value)

    def delete(self, keys: tuple[str, ...]) -> str:
        self.keys = keys
        root = yaml12.compose(self.text, self.file)
        assert root is not None  # the entry is there
        parent, key_node, left = self.find(root, keys[:-1])
        assert not left
        if isinstance(parent, SequenceNode):
            rows = [(item, item) for item in parent.value]
            i = int(keys[-1])
        else:
            assert isinstance(parent, MappingNode)
            rows = list(parent.value)
            names = [yaml12.construct(key, self.file) for key, _ in rows]
            name = existing(dict.fromkeys(names), keys[-1])
            if name not in names:
                raise self.shared()
            i = names.index(name)
        if len(rows) == 1:
            if parent is root and not parent.flow_style:
                start = self.text.rfind("\n", 0, rows[0][0].start_mark.index) + 1
                return self.text[:start] + self.text[self.line_after(rows[0][1]) :]
            return self.replace(parent, key_node, [] if isinstance(parent, SequenceNode) else {})
        first, last = rows[i]
        if parent.flow_style:
            if i + 1 < len(rows):
                behind, follows = self.end(last), self.start(rows[i + 1][0])
                if re.match(r"\s*#", self.text[behind:]):
                    raise ValueError("a comment between the item and its comma")
                # A comment on a line of its own is the next item's.
                if comment := re.search(r"\n[^#]*", self.text[behind:follows]):
                    follows = min(follows, behind + comment.end())
                return self.text[: self.start(first)] + self.text[follows:]
            begin, end = self.end(rows[i - 1][1]), self.end(last)
            if "#" in self.text[begin : self.start(first)]:
                # The comment is the item's before: it stays, and so does the comma.
                comma = re.match(r"\s*,", self.text[end:])
                end += comma.end() if comma else 0
                begin = self.text.rfind("\n", 0, self.start(first)) + 1
                if rest := re.match(r"[ \t]*\r?\n", self.text[end:]):
                    end += rest.end()
            return self.text[:begin] + self.text[end:]
        line = self.text.rfind("\n", 0, first.start_mark.index) + 1
        before = self.text[line : first.start_mark.index].strip()
        if before == "" and isinstance(parent, SequenceNode):
            above = self.text[:line].rstrip(" \t\r\n")
            while above[(line := above.rfind("\n") + 1) :].lstrip().startswith("#"):
                above = above[:line].rstrip(" \t\r\n")
            # The item stands below its dash.
            if not re.match(r"[ \t]*-[ \t]*(#.*)?\Z", above[line:]):
                raise self.shared()
        if before in ("", "?") or (before == "-" and isinstance(parent, SequenceNode)):
            return self.text[:line] + self.text[self.line_after(last) :]
        # The first key of an item, behind its dash: the next key, or a comment of its, follows.
        follows = self.start(rows[i + 1][0])
        comment = re.search(r"^[ \t]*(#)", self.text[self.line_after(last) : follows], re.M)
        if comment:
            follows = self.line_after(last) + comment.start(1)
        return self.text[: self.start(first)] + self.text[follows:]

    def start(self, node: Node) -> int:
        """Where the node begins, its anchor and tag included."""
        return int(node.start_mark.index)

    def find(self, node: Node, keys: tuple[str, ...]) -> tuple[Node, Node | None, tuple[str, ...]]:
        """Follow *keys* as far as they lead: the node, its key's node, and the keys left over."""
        key_node: Node | None = None
        while keys:
            if isinstance(node, SequenceNode) and node.tag == _OMAP:
                rows = [pair for item in node.value for pair in item.value]
                node = MappingNode(yaml12.MAP, rows, node.start_mark, node.end_mark)
                node.flow_style = True
            if isinstance(node, SequenceNode):
                node, key_node, keys = node.value[int(keys[0])], None, keys[1:]
                continue
            if not isinstance(node, MappingNode):
                break
            found = self.entry(node, keys[0])
            if found is None:
                break
            key_node, following = found
            if following.start_mark.index < key_node.start_mark.index:
                raise self.shared()
            node, keys = following, keys[1:]
        return node, key_node, keys

    def entry(self, node: MappingNode, part: str) -> tuple[Node, Node] | None:
        """The nodes of the key that *part* names, and of its value."""
        spelled: list[tuple[Node, Node]] = [pair for pair in node.value if pair[0].value == part]
        if len(spelled) == 1 and not any(key.value == "<<" for key, _ in node.value):
            return spelled[0]  # without making a value of every other key
        names = {name: (key, value) for name, key, value in yaml12.pairs(node, self.file)}
        return names.get(existing(names, part))

    def shared(self) -> UsageError:
        return UsageError(
            f"{self.file}: {'.'.join(map(str, self.keys))} cannot be set alone:"
            " it is an alias or merged in",
            "edit the file by hand",
        )

    def replace(self, node: Node, key: Node | None, value: Any) -> str:
        text = self.text
        start = self.value_start(node)
        end = self.end(node)
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            return text[:start] + emit(value) + text[end:]
        if isinstance(node, ScalarNode):
            # A tag says what the old value was, so it goes with it; an anchor stays.
            begin = self.start(node)
            anchors = "".join(re.findall(r"&\S+[ \t]+", text[begin:start]))
            gap = "" if begin and text[begin - 1] in " [{,\n\t" else " "
            if key is not None and _is_null(node) and ":" not in text[key.end_mark.index : begin]:
                gap = ": "  # a key alone in braces
            return text[:begin] + gap + anchors + emit(value, node.style) + text[end:]
        if _is_flow(node) or key is None:
            return text[:start] + emit(value) + text[end:]
        colon = text.index(":", key.end_mark.index) + 1
        return text[:colon] + " " + emit(value) + text[end:]

    def insert(self, node: MappingNode, keys: tuple[str, ...], value: Any) -> str:
        text = self.text
        if node.flow_style:
            for part in reversed(keys[1:]):
                value = {part: value}
            item = f"{emit(keys[0])}: {emit(value)}"
            if node.value:
                end = max(self.end(part) for pair in node.value for part in pair)
                return f"{text[:end]}, {item}{text[end:]}"
            start = text.index("{", self.value_start(node)) + 1
            return text[:start] + item + text[start:]
        end = self.line_after(node)
        gap = "" if text[:end].endswith("\n") else self.newline
        key = node.value[0][0].start_mark
        explicit = re.search(r"\?[ \t]+\Z", text[key.index - key.column : key.index])
        indent = " " * (explicit.start() if explicit else key.column)
        return text[:end] + gap + self.nested(keys, value, indent) + text[end:]

    def nested(self, keys: tuple[str, ...], value: Any, indent: str) -> str:
        lines = [f"{indent}{'  ' * i}{emit(key)}:" for i, key in enumerate(keys)]
        return self.newline.join(lines) + f" {emit(value)}{self.newline}"

    def line_after(self, node: Node) -> int:
        """Where the line after the value's last one begins."""
        eol = self.text.find("\n", self.end(node))
        return len(self.text) if eol < 0 else eol + 1

    def end_of_text(self) -> str:
        """The text, ending in a line break if there is any."""
        gap = "" if not self.text or self.text.endswith("\n") else self.newline
        return self.text + gap

    def value_start(self, node: Node) -> int:
        """Where the value itself begins, after an anchor or a tag."""
        start = int(node.start_mark.index)
        match = _PROPERTIES.match(self.text, start)
        return min(match.end() if match else start, max(start, int(node.end_mark.index)))

    def end(self, node: Node) -> int:
        """Where the value ends; a block collection's own end mark lies after blank lines."""
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            # Its own end mark lies after the blank lines and comments that follow.
            start, end = self.value_start(node), int(node.end_mark.index)
            whole = self.text[start:end]
            if "+" in whole.partition("\n")[0].partition("#")[0]:
                return end - (len(whole) - len(whole.removesuffix("\n").removesuffix("\r")))
            eol = self.text.find("\n", start + len(whole.rstrip()))
            if eol < 0:
                return len(self.text)
            return eol - 1 if self.text[eol - 1] == "\r" else eol
        if isinstance(node, ScalarNode) or _is_flow(node) or not node.value:
            return int(node.end_mark.index)
        last = node.value[-1]
        parts = last if isinstance(last, tuple) else (last,)
        if parts[-1].start_mark.index < node.start_mark.index:
            # An alias: its marks are those of its anchor.
            alias = _ALIAS.match(self.text, int(parts[0].end_mark.index))
            if len(parts) == 1 or alias is None:
                raise self.shared()
            return alias.end()
        return max(self.end(part) for part in parts)


def _is_flow(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == yaml12.PLAIN and node.value == ""


def emit(value: Any, style: str | None = None) -> str:
    """A value as YAML on one line that readers of YAML 1.1 and 1.2 take for the same.

    PyYAML reads `1e-05` as text and a bare `yes` as true; many training scripts use PyYAML.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(emit(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{emit(k)}: {emit(v)}" for k, v in value.items()) + "}"
    return _text(str(value), style)


def _float(value: float) -> str:
    text = repr(value)
    if text in ("inf", "-inf", "nan"):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[text]
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"


def _text(text: str, style: str | None) -> str:
    if style == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style != '"' and _BARE.match(text) and not text.endswith(" ") and _is_text_to_all(text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    """Double quotes. JSON writes characters beyond U+FFFF as two, YAML as one of eight digits."""
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    pair = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")

    def joined(match: re.Match[str]) -> str:
        code = 0x10000 + ((int(match[2], 16) & 0x3FF) << 10) + (int(match[3], 16) & 0x3FF)
        return f"{match[1]}\\U{code:08x}"

    return pair.sub(joined, json.dumps(text))


def _is_text_to_all(text: str) -> bool:
    if not isinstance(yaml12.scalar(text), str) or not isinstance(yaml12.old_scalar(text), str):
        return False
    try:
        return bool(yaml.safe_load(text) == text)
    except (yaml.YAMLError, ValueError):  # a date that is none is a ValueError
        return False
