"""dodo.lock: what each stage of one dvc.yaml was made from, and what it made. JSON, for diffs.

One block a stage, sorted, so that two branches which touch different stages merge.
"""

from __future__ import annotations

import os

from dodo_exp.errors import BadInput, Location
from dodo_store import tree
from dodo_store.named import Named
from dodo_store.oid import Oid
from dodo_store.oid import parse as parse_oid
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOCK_FILE = "dodo.lock"
DVC_LOCK = "dvc.lock"
"""DVC's own, which is read and never written."""
VERSION = 1
KINDS = {tree.FILE: "file", tree.EXEC: "exec", tree.LINK: "link", tree.FOLDER: "dir"}
_KINDS = {name: kind for kind, name in KINDS.items()}


FORGOTTEN = Oid(bytes(16))
"""The key of a stage that is to run again, whatever it was made from."""
DATA = "@"
"""Begins the name of a record of something that no stage makes; a path follows.

No stage has such a name.
"""


class Line(Named):
    """One fact that a result depends on: `kind` is cmd, wdir, dep, param or out."""

    kind: str
    name: str
    value: str


class StageRecord(Named):
    """A stage's last good run: its key, the facts behind the key, and what came out."""

    key: Oid
    lines: tuple[Line, ...]
    outs: tuple[tuple[str, Node], ...]


def beside(pipeline: str) -> str:
    """The lock file of a dvc.yaml."""
    return os.path.join(os.path.dirname(pipeline), LOCK_FILE)


def dump(records: dict[str, StageRecord]) -> str:
    """The text of a dodo.lock with these stages."""
    import json

    added = {name for name, record in records.items() if is_data(name, record)}
    blocks = {name: _block(records[name]) for name in sorted(records.keys() - added)}
    value: dict[str, Any] = {"version": VERSION, "stages": blocks}
    if added:
        nodes = (records[name].outs[0] for name in sorted(added))
        value["data"] = {path: _out(node) for path, node in nodes}
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


_HEAD = f'{{\n  "version": {VERSION},\n  "stages": {{\n    "'
_NEXT = ',\n    "'
_END = "\n  }"


def renewed(
    text: str, known: dict[str, StageRecord], made: dict[str, StageRecord | None]
) -> str | None:
    """The *text* of a lock file of the stages *known* with some blocks put in, renewed or out.

    The other blocks are taken over as they are written. None where the text is not as `dump`
    writes it, or data is among what was made: then `dump` has to.
    """
    import json

    end = text.find(_END)
    if not text.startswith(_HEAD) or end < 0 or any(name.startswith(DATA) for name in made):
        return None
    found: dict[str, str] = {}
    for block in text[len(_HEAD) : end].split(_NEXT):
        written = block[: block.find('": {')]
        try:
            found[json.loads(f'"{written}"') if "\\" in written else written] = block
        except ValueError:
            return None
    if found.keys() != {name for name, record in known.items() if not is_data(name, record)}:
        return None
    for name, record in made.items():
        if record is None:
            found.pop(name, None)
        else:
            whole = dump({name: record})
            found[name] = whole[len(_HEAD) : whole.find(_END)]
    if not found:
        return None
    return _HEAD + _NEXT.join(found[name] for name in sorted(found)) + text[end:]


def is_data(name: str, record: StageRecord) -> bool:
    """Whether a record is of something that no stage makes."""
    if record.lines or len(record.outs) != 1:
        return False
    path, node = record.outs[0]
    return name == f"{DATA}{path}" and record.key == node.digest


def _block(record: StageRecord) -> dict[str, Any]:
    block: dict[str, Any] = {"key": record.key.hex(), "cmd": []}
    for kind, name, value in record.lines:
        if kind == "cmd":
            block["cmd"].append(value)
        elif kind == "wdir":
            block["wdir"] = value
        elif kind in ("dep", "param"):
            block.setdefault(f"{kind}s", {})[name] = value
    block["outs"] = {path: _out(node) for path, node in record.outs}
    return block


def _out(node: Node) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": KINDS[node.kind], "oid": node.oid.hex(), "size": node.size}
    if node.digest != node.oid:
        out["digest"] = node.digest.hex()
    return out


def parse(text: str, file: str) -> dict[str, StageRecord]:
    """Read a dodo.lock.

    Raises:
        BadInput: not a lock file, or one that a newer version wrote.
    """
    import json

    hint = "delete it: the next run writes it again from the run-cache"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            Location(file, getattr(error, "lineno", 1)), "not valid JSON", hint
        ) from None
    version = value.get("version") if isinstance(value, dict) else None
    if type(version) is not int or version != VERSION:
        raise BadInput(file, f"lock format {version!r} is not one this version reads", hint)
    stages = value.get("stages")
    if not isinstance(stages, dict):
        raise BadInput(file, "'stages' must be a mapping", hint)
    records = {}
    for name, block in stages.items():
        try:
            records[name] = _record(block)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                file, f"the block of stage {name!r} is damaged ({error})", hint
            ) from None
    data = value.get("data", {})
    if not isinstance(data, dict):
        raise BadInput(file, "'data' must be a mapping", hint)
    for path, out in data.items():
        try:
            node = _node(out)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(file, f"what it says of {path!r} is damaged ({error})", hint) from None
        records[f"{DATA}{path}"] = StageRecord(node.digest, (), ((path, node),))
    return records


def _record(block: dict[str, Any]) -> StageRecord:
    if not isinstance(block["cmd"], list):
        raise TypeError("cmd is no list")
    lines = [Line("cmd", str(i), _text(cmd)) for i, cmd in enumerate(block["cmd"])]
    if "wdir" in block:
        lines.append(Line("wdir", "", _text(block["wdir"])))
    for kind in ("dep", "param"):
        facts = block.get(f"{kind}s", {})
        lines += [Line(kind, name, _text(value)) for name, value in facts.items()]
    outs = tuple((path, _node(out)) for path, out in block["outs"].items())
    lines += [Line("out", path, "") for path, _ in outs]
    return StageRecord(parse_oid(block["key"]), tuple(lines), outs)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


def _node(out: dict[str, Any]) -> Node:
    oid, size = parse_oid(out["oid"]), out["size"]
    if type(size) is not int or size < 0:
        raise ValueError(f"not a size: {size!r}")
    digest = parse_oid(out["digest"]) if "digest" in out else oid
    return Node(_KINDS[out["kind"]], oid, size, digest)


def plain(record: StageRecord) -> list[Any]:
    """A record as plain lists, for msgpack."""
    return [record.key, list(record.lines), list(record.outs)]


def of_plain(row: Any) -> StageRecord:
    """Read back what `plain` made."""
    key, lines, outs = row
    return StageRecord(
        Oid(key),
        tuple(map(Line._make, lines)),
        tuple((path, Node._make(node)) for path, node in outs),
    )
