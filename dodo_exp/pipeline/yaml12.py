"""YAML 1.2 as DVC reads it, on PyYAML's C parser: `1e-3` is a float, `on` a string, `010` is ten.

PyYAML itself reads YAML 1.1 and would hash and show other values than DVC does. Depth, aliases and
expanded size are limited before anything is built, so that no file can exhaust stack or memory.
Timestamps stay strings, as in YAML 1.2's core schema. A file that begins with `%YAML 1.1` is read
by the older rules, as DVC does.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from functools import wraps

from dodo_exp.errors import BadInput, Location
from dodo_exp.pipeline.pyyaml import CParser, MappingNode, ScalarNode, SequenceNode, yaml
from dodo_exp.pipeline.text import MAX_DEPTH
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ParamSpec, TypeVar

    from dodo_exp.pipeline.pyyaml import Node

    P = ParamSpec("P")
    T = TypeVar("T")

MAX_ALIASES = 1000
MAX_NODES = 1_000_000

PLAIN, OLD, TEXT, LIST, MAP = "plain", "old", "text", "list", "map"
"""What the parser makes of nodes without a tag; OLD is an unquoted scalar of YAML 1.1."""
_SHORT = "str int float bool null seq map timestamp binary set omap".split()
_TAGS = {f"tag:yaml.org,2002:{short}": short for short in _SHORT}
_COLLECTIONS = (LIST, MAP, "seq")

_INT = pattern(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9_]+)\Z")
_FLOAT = pattern(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_OLD_WORDS = {
    **{case: True for word in ("yes", "on", "y") for case in (word, word.title(), word.upper())},
    **{case: False for word in ("no", "off", "n") for case in (word, word.title(), word.upper())},
}
_OLD_OCTAL = pattern(r"([-+]?)0([0-7_]+)\Z")
_SEXAGESIMAL = pattern(r"([-+]?)([0-9][0-9_]*(?::[0-5]?[0-9])+)(\.[0-9_]*)?\Z")
_SPACES = pattern("[\u2028\u2029]")
_OLD_VERSION = pattern(r"(?m)^%YAML[ \t]+1\.1\b")


def without_gc(function: Callable[P, T]) -> Callable[P, T]:
    """Collect no garbage meanwhile: a large document's nodes make the collector, which finds
    nothing among them, take two thirds of the time."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        if not gc.isenabled():
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()

    return inner


class _Parser(CParser):
    """The C parser, leaving it to us what a plain scalar means."""

    plain = PLAIN

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return self.plain if implicit[0] else TEXT
        return LIST if kind is SequenceNode else MAP

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """Part of the parser's protocol; paths have no say in our resolution."""

    def ascend_resolver(self) -> None:
        """See `descend_resolver`."""


def scalar(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "-+.0123456789":
        try:
            if text.isdecimal() and text.isascii():
                return int(text)
            if _INT.match(text):
                return _integer(text.replace("_", ""))
            if _FLOAT.match(text):
                return _float(text)
        except ValueError:
            # `0x_`, `._`, or more digits than Python converts: nobody's number.
            return text
    return text


def old_scalar(text: str) -> Any:
    """The value of an unquoted scalar under `%YAML 1.1`, as ruamel.yaml reads it."""
    if text in _OLD_WORDS:
        return _OLD_WORDS[text]
    if match := _OLD_OCTAL.match(text):
        return int(match[1] + match[2], 8) if match[2].strip("_") else text
    if match := _SEXAGESIMAL.match(text):
        whole = 0
        for part in match[2].replace("_", "").split(":"):
            whole = whole * 60 + int(part)
        rest = float(match[3].replace("_", "") + "0") if match[3] else 0
        return -(whole + rest) if match[1] == "-" else whole + rest
    return text if text.lstrip("-+")[:2] == "0o" else scalar(text)


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    value = int(digits[2:] if base != 10 else digits, base)
    if base != 10 and len(digits) > 3000:
        str(value)  # a ValueError if it has more decimal digits than Python converts
    return sign * value


def _float(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


@without_gc
def compose(text: str, file: str) -> Node | None:
    """The document's nodes, each with its place; None for an empty document.

    Raises:
        BadInput: not YAML, more than one document, or beyond a limit.
    """
    with _told(text, file):
        if _needs_scan(text):
            _scan(text, file)
        node: Node | None = _parser(text, file).get_single_node()
    if node is not None and "*" in text and "&" in text:
        _expanded(node, file, {})
    return node


def check_tags(node: Node | None, file: str) -> None:
    """Refuse a tag on a mapping or a list: no reader of nodes looks at it.

    Raises:
        BadInput
    """
    seen: set[int] = set()
    left = [] if node is None else [node]
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not isinstance(node, ScalarNode) and _TAGS.get(node.tag, node.tag) not in _COLLECTIONS:
            raise _not_allowed(node, file)
        left += _children(node)


@contextmanager
def _told(text: str, file: str) -> Iterator[None]:
    """The parser's errors in our words."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if _is_open(error, text):
            mark = error.context_mark
        where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1)
        raise BadInput(where, *_words(error.problem or "", text, mark)) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        place = Location(file, text.count("\n", 0, position) + 1) if position else file
        words = " ".join(str(error).split())
        raise BadInput(place, f"not valid YAML: {words}") from None


def _is_open(error: Any, text: str) -> bool:
    """Whether a quote or a bracket has no end; such a fault is told where that begins."""
    if "quoted scalar" in (error.context or ""):
        return "end of stream" in (error.problem or "")
    if "flow" not in (error.context or "") or error.problem_mark is None:
        return False
    is_later = bool(error.problem_mark.line > error.context_mark.line)
    return is_later or text[error.problem_mark.index : error.problem_mark.index + 1] in ("]", "}")


def _parser(text: str, file: str) -> _Parser:
    if not text.isascii() and (match := _SPACES.search(text)):
        # YAML 1.1, whose rules the parser has for these two, breaks lines there, YAML 1.2 does not.
        place = Location(file, text.count("\n", 0, match.start()) + 1)
        raise BadInput(place, f"the invisible character U+{ord(match[0]):04X} in the text")
    parser = _Parser(text)
    if (old := _OLD_VERSION.search(text)) and _is_blank(text[: old.start()]):
        parser.plain = OLD
    return parser


def _is_blank(text: str) -> bool:
    """Whether there are only empty lines and comments."""
    return all(not line or line[0] == "#" for line in map(str.strip, text.split("\n")))


def _words(problem: str, text: str, mark: Any) -> tuple[str, str | None]:
    """What the parser stumbled over, and what is usually behind it."""
    hints = {
        "mapping values are not allowed": "text with ': ' in it needs quotes",
        "expected '-' indicator": "begin each item of a list with '- ', in one column",
        "expected <block end>": "keys that belong together begin in one column",
        "found unexpected end of stream": "a quote or a bracket is not closed",
        "expected ',' or": "a bracket is not closed, or a ',' is missing",
        "could not find expected ':'": "a key is written 'key: value'",
        "alias": "text that begins with '*' needs quotes",
    }
    if "maximum nesting depth" in problem:  # libyaml's own limit, which is far above ours
        return f"nested more than {MAX_DEPTH} levels deep", None
    hint = next((each for part, each in hints.items() if part in problem), None)
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "<<<<<<< " in text and ">>>>>>> " in text:
        hint = "there are merge conflict markers in it"
    elif "\t" in line[: len(line) - len(line.lstrip())]:
        hint = "indent with spaces: YAML allows no tabs there"
    return f"not valid YAML: {problem}", hint


_OPENERS = pattern(r"[\[{]")
_DEEP = re.compile(r"^ {60}|(?:[-?:][ \t]+){20}", re.MULTILINE)


def _needs_scan(text: str) -> bool:
    """Whether the text could be deeper than the C parser's recursion is safe with.

    A block level takes a column (two levels where a list stands under its key), a flow level an
    opening bracket; ordinary files are cleared by this without being parsed twice.
    """
    if "&" in text and "*" in text:
        return True
    if sum(text.count(separator) for separator in "\n,[{:") > MAX_NODES:
        return True
    return len(_OPENERS.findall(text)) > MAX_DEPTH or _DEEP.search(text) is not None


def _scan(text: str, file: str) -> None:
    """Hold the parser's events, which do not nest on the stack, to the limits."""
    depth = aliases = nodes = 0
    parser = _Parser(text)
    while parser.check_event():
        event = parser.get_event()
        nodes += isinstance(event, yaml.NodeEvent)
        if nodes > MAX_NODES:
            raise _beyond(file, event, f"more than {MAX_NODES:,} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _beyond(file, event, f"nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > MAX_ALIASES:
                raise _beyond(file, event, f"more than {MAX_ALIASES} aliases")


def _beyond(file: str, where: Any, message: str) -> BadInput:
    return BadInput(at(where, file), message)


def _expanded(node: Node, file: str, sizes: dict[int, int]) -> int:
    """How many nodes *node* stands for once aliases are followed."""
    key = id(node)
    if key in sizes:
        if sizes[key] == 0:
            raise _beyond(file, node, "an alias that contains itself")
        return sizes[key]
    sizes[key] = 0
    size = 1 + sum(_expanded(inner, file, sizes) for inner in _children(node))
    if size > MAX_NODES:
        raise _beyond(file, node, f"aliases that expand to more than {MAX_NODES:,} values")
    sizes[key] = size
    return size


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value


def line(node: Node) -> int:
    """The node's line, counted from 1."""
    return int(node.start_mark.line) + 1


def at(node: Node, file: str) -> Location:
    """Where the node begins."""
    return Location(file, node.start_mark.line + 1, node.start_mark.column + 1)


def is_null(node: Node | None) -> bool:
    """Whether there is nothing, or a written null."""
    return node is None or (node.tag in (PLAIN, OLD) and _WORDS.get(node.value, 0) is None)


def pairs(node: MappingNode, file: str, depth: int = 0) -> list[tuple[Any, Node, Node]]:
    """A mapping's keys as values, with the nodes of key and value; `<<` is merged in.

    Raises:
        BadInput: a duplicate key, naming both lines, or a key that is a list or mapping.
    """
    if depth > MAX_DEPTH:
        raise _beyond(file, node, f"merged through more than {MAX_DEPTH} levels")
    own: dict[Any, tuple[Node, Node]] = {}
    merged: dict[Any, tuple[Node, Node]] = {}
    has_merge = False
    for key_node, value_node in node.value:
        if key_node.tag in (PLAIN, OLD) and key_node.value == "<<":
            if has_merge:
                raise BadInput(at(key_node, file), "a second '<<': give both as a list")
            has_merge = True
            for source in _merge_sources(value_node, file):
                for key, inner_key, inner_value in pairs(source, file, depth + 1):
                    merged.setdefault(key, (inner_key, inner_value))
            continue
        if not isinstance(key_node, ScalarNode):
            raise BadInput(at(key_node, file), "a key must be a word or a number")
        key = construct(key_node, file)
        if key in own:
            first = own[key][0]
            # 1, 1.0 and true are one key to Python's dict, so they cannot stand beside each other.
            message = f"duplicate key {key_node.value!r}, first on line {line(first)}"
            if repr(construct(first, file)) != repr(key):
                message = (
                    f"duplicate key: {key_node.value!r} equals {first.value!r}"
                    f" on line {line(first)}"
                )
            raise BadInput(at(key_node, file), message)
        own[key] = (key_node, value_node)
    return [(key, *nodes) for key, nodes in {**merged, **own}.items()]


def _merge_sources(node: Node, file: str) -> list[MappingNode]:
    sources = node.value if isinstance(node, SequenceNode) else [node]
    for source in sources:
        if not isinstance(source, MappingNode):
            raise BadInput(at(source, file), "'<<' takes a mapping, or a list of them")
    return list(sources)


def construct(node: Node, file: str, depth: int = 0) -> Any:
    """The Python value of a node: None, bool, int, float, str, list or dict."""
    if depth > MAX_DEPTH:
        raise _beyond(file, node, f"nested more than {MAX_DEPTH} levels deep")
    tag = node.tag
    if tag == PLAIN:
        return scalar(node.value)
    if tag == TEXT:
        return node.value
    if tag == OLD:
        return old_scalar(node.value)
    if tag == MAP and isinstance(node, MappingNode):
        return {k: construct(v, file, depth + 1) for k, _, v in pairs(node, file)}
    if tag == LIST:
        return [construct(v, file, depth + 1) for v in node.value]
    return _tagged(node, file, depth)


def _tagged(node: Node, file: str, depth: int) -> Any:
    short = _TAGS.get(node.tag)
    where = at(node, file)
    if short in ("timestamp", "binary") and isinstance(node, ScalarNode):
        return node.value
    if short == "set" and isinstance(node, MappingNode):
        return [key for key, _, _ in pairs(node, file)]
    if short == "omap" and isinstance(node, SequenceNode):
        rows = [pair for item in node.value if isinstance(item, MappingNode) for pair in item.value]
        node = MappingNode(MAP, rows, node.start_mark, node.end_mark)
        short = "map"
    if short == "map" and isinstance(node, MappingNode):
        return {k: construct(v, file, depth + 1) for k, _, v in pairs(node, file)}
    if short == "seq" and isinstance(node, SequenceNode):
        return [construct(v, file, depth + 1) for v in node.value]
    if short in ("str", "int", "float", "bool", "null") and isinstance(node, ScalarNode):
        if short == "str":
            return node.value
        value = scalar(node.value) if node.value else None
        if short == "float" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}[short]
        if type(value) is wanted:
            return value
        raise BadInput(where, f"{node.value!r} is not a {short}")
    raise _not_allowed(node, file)


def _not_allowed(node: Node, file: str) -> BadInput:
    return BadInput(at(node, file), f"the tag {node.tag!r} is not allowed: only plain data is read")


@without_gc
def load(text: str, file: str) -> Any:
    """The value of a YAML document; None for an empty one.

    Raises:
        BadInput
    """
    try:
        with _told(text, file):
            return _load_plain(_parser(text, file), file, has_aliases="*" in text)
    except _Unusual:
        node = compose(text, file)
        return None if node is None else construct(node, file)


class _Unusual(Exception):
    """Aliases, tags, merges, keys that are lists, or a key given twice: a matter for nodes."""


_NO_KEY = object()


def _load_plain(parser: _Parser, file: str, *, has_aliases: bool) -> Any:
    """Build values straight from the parser's events.

    For large files: nodes with their places take five times the memory and twice the time.
    """
    get: Callable[[], Any] = parser.get_event
    read = scalar if parser.plain == PLAIN else old_scalar
    begins = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
    count = 0
    anchors: set[str] = set()
    top: list[Any] = []
    outer: list[tuple[Any, bool]] = []
    current: Any = top
    in_mapping, key = False, _NO_KEY
    while True:
        event = get()
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.tag:
                raise _Unusual
            if event.anchor:
                if has_aliases or event.anchor in anchors:
                    raise _Unusual
                anchors.add(event.anchor)
            value = read(event.value) if event.implicit[0] else event.value
            if not in_mapping:
                current.append(value)
            elif key is not _NO_KEY:
                current[key] = value
                key = _NO_KEY
            elif value in current or value == "<<":
                raise _Unusual
            else:
                key = value
        elif kind in begins:
            if event.anchor or event.tag or (in_mapping and key is _NO_KEY):
                raise _Unusual
            if len(outer) >= MAX_DEPTH:
                raise _beyond(file, event, f"nested more than {MAX_DEPTH} levels deep")
            inner: Any = {} if kind is yaml.MappingStartEvent else []
            if in_mapping:
                current[key] = inner
            else:
                current.append(inner)
            outer.append((current, in_mapping))
            current, in_mapping, key = inner, kind is yaml.MappingStartEvent, _NO_KEY
        elif kind is yaml.AliasEvent:
            raise _Unusual
        elif outer:
            count += len(current)
            if count > MAX_NODES:
                raise _beyond(file, event, f"more than {MAX_NODES:,} values")
            current, in_mapping = outer.pop()
            key = _NO_KEY
        elif kind is yaml.StreamEndEvent:
            return top[0] if top else None
        elif kind is yaml.DocumentStartEvent and top:
            raise _Unusual
