"""`lockfile`: dodo.lock is written, read back, and refused when damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.errors import BadInput
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store import tree
from dodo_store.oid import Oid
from dodo_store.tree import Node

A, B, C = (Oid(bytes([n]) * 16) for n in (1, 2, 3))
HINT = "delete it: the next run writes it again from the run-cache"

RECORD = StageRecord(
    A,
    (
        Line("cmd", "0", "echo one"),
        Line("cmd", "1", "echo zwö"),
        Line("wdir", "", "src"),
        Line("dep", "data", B.hex()),
        Line("param", "params.yaml:lr", "0.1"),
        Line("out", "model", ""),
        Line("out", "plots", ""),
    ),
    (("model", Node(tree.FILE, B, 5, B)), ("plots", Node(tree.FOLDER, B, 7, C))),
)


def parse(text: str) -> dict[str, StageRecord]:
    return lockfile.parse(text, "dodo.lock")


def refused(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert caught.value.hint == HINT
    return str(caught.value)


def with_block(**changes: Any) -> str:
    """A lock file of one stage, with these fields changed, or taken away where None."""
    value = json.loads(lockfile.dump({"train": RECORD}))
    block = {**value["stages"]["train"], **changes}
    value["stages"]["train"] = {key: item for key, item in block.items() if item is not None}
    return json.dumps(value)


def with_out(**changes: Any) -> str:
    out = {"kind": "file", "oid": B.hex(), "size": 5, **changes}
    return with_block(outs={"model": {key: item for key, item in out.items() if item is not None}})


# -- round trip ----------------------------------------------------------------------------


def test_what_is_written_is_read_back() -> None:
    assert parse(lockfile.dump({"train": RECORD})) == {"train": RECORD}
    assert parse(lockfile.dump({})) == {}


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
OIDS = st.binary(min_size=16, max_size=16).map(Oid)
NODES = st.builds(Node, st.sampled_from(sorted(lockfile.KINDS)), OIDS, st.integers(0, 2**63), OIDS)


@st.composite
def records(draw: st.DrawFn) -> StageRecord:
    outs = draw(st.dictionaries(WORDS, NODES, max_size=3))
    lines = [Line("cmd", str(i), cmd) for i, cmd in enumerate(draw(st.lists(WORDS, max_size=3)))]
    if draw(st.booleans()):
        lines.append(Line("wdir", "", draw(WORDS)))
    for kind in ("dep", "param"):
        named = draw(st.dictionaries(WORDS, WORDS, max_size=3))
        lines += [Line(kind, name, value) for name, value in named.items()]
    lines += [Line("out", path, "") for path in outs]
    return StageRecord(draw(OIDS), tuple(lines), tuple(outs.items()))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(WORDS, records(), max_size=3))
def test_any_record_is_read_back(made: dict[str, StageRecord]) -> None:
    assert parse(lockfile.dump(made)) == made


@settings(max_examples=100, deadline=None)
@given(records())
def test_a_record_survives_the_cache(record: StageRecord) -> None:
    assert lockfile.of_plain(msgpack.unpackb(msgpack.packb(lockfile.plain(record)))) == record


STAGES = WORDS.filter(lambda name: not name.startswith(lockfile.DATA))
CHANGES = st.dictionaries(STAGES, st.none() | records(), max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(STAGES, records(), max_size=4), CHANGES, st.data())
def test_blocks_put_in_make_the_text_that_all_would_make(
    known: dict[str, StageRecord], made: dict[str, StageRecord | None], data: st.DataObject
) -> None:
    if known:
        made = {**made, data.draw(st.sampled_from(sorted(known))): data.draw(st.none() | records())}
    left = {name: record for name, record in {**known, **made}.items() if record is not None}
    text = lockfile.renewed(lockfile.dump(known), known, made)
    # Nothing can be put into a text without blocks, and one that loses all has to be made anew.
    assert text == lockfile.dump(left) if known and left else text is None


def test_blocks_are_put_in_beside_data_that_no_stage_makes() -> None:
    data = StageRecord(B, (), (("big", Node(tree.FILE, B, 5, B)),))
    known = {"a": RECORD, "@big": data}
    made = lockfile.renewed(lockfile.dump(known), known, {"b": RECORD})
    assert made == lockfile.dump({**known, "b": RECORD})
    assert lockfile.renewed(lockfile.dump(known), known, {"@big": data}) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("  ", " "),
        lambda text: json.dumps(json.loads(text)),
        lambda text: text.replace('    "a": {', '    "z": {'),
        lambda text: text[:40],
        lambda text: "",
    ],
)
def test_nothing_is_put_into_a_text_that_is_not_ours(change: Callable[[str], str]) -> None:
    known = {"a": RECORD, "b": RECORD}
    assert lockfile.renewed(change(lockfile.dump(known)), known, {"b": None}) is None


def test_stages_are_sorted_so_that_branches_merge() -> None:
    one = lockfile.dump({"b": RECORD, "a": RECORD, "c": RECORD})
    assert one == lockfile.dump({"c": RECORD, "b": RECORD, "a": RECORD})
    assert list(json.loads(one)["stages"]) == ["a", "b", "c"]


def test_the_text_is_lines_of_json_for_diffs() -> None:
    text = lockfile.dump({"train": RECORD})
    assert text.endswith("}\n") and "zwö" in text
    assert json.loads(text)["version"] == 1
    assert sum('"data"' in line for line in text.splitlines()) == 1


def test_a_digest_is_written_only_where_it_differs() -> None:
    outs = json.loads(lockfile.dump({"train": RECORD}))["stages"]["train"]["outs"]
    assert outs["model"] == {"kind": "file", "oid": B.hex(), "size": 5}
    assert outs["plots"] == {"kind": "dir", "oid": B.hex(), "size": 7, "digest": C.hex()}


# -- damage --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, line",
    [
        ("", 1),
        ("{", 1),
        ("stages:\n  a: 1\n", 1),
        ('{\n  "version": 1,\n<<<<<<< mine\n', 3),
        ("\ufeff{}", 1),
        ("[" * 100_000, 1),
        ('{\n  "version": 1,\n  "stages": {\n', 4),
    ],
    ids=["empty", "open", "yaml", "conflict", "bom", "deep", "cut"],
)
def test_a_lock_that_is_not_json_is_refused_with_its_line(text: str, line: int) -> None:
    assert refused(text) == f"dodo.lock:{line}: not valid JSON"


@pytest.mark.parametrize(
    "text, version",
    [
        ("[]", "None"),
        ("5", "None"),
        ("null", "None"),
        ("{}", "None"),
        ('{"version": 2, "stages": {}}', "2"),
        ('{"version": "1", "stages": {}}', "'1'"),
        ('{"schema": "2.0", "stages": {}}', "None"),
    ],
)
def test_a_lock_of_another_format_is_refused(text: str, version: str) -> None:
    assert refused(text) == (f"dodo.lock: lock format {version} is not one this version reads")


@pytest.mark.parametrize(
    "text",
    [
        with_block(key=None),
        with_block(key="../../x"),
        with_block(key=A.hex().upper().replace("0", "A")),
        with_block(key=A.hex()[:-1]),
        with_block(key=A.hex() + "0"),
        with_block(key="g" * 32),
        with_block(key=5),
        with_block(key=["0"] * 32),
        with_block(cmd=None),
        with_block(cmd=5),
        with_block(outs=None),
        with_block(outs=[]),
        with_block(outs={"model": 5}),
        with_block(deps=["data"]),
        with_block(params="lr"),
        with_out(kind="socket"),
        with_out(kind=None),
        with_out(kind=["file"]),
        with_out(oid=None),
        with_out(oid="../../etc/passwd"),
        with_out(oid="0" * 31),
        with_out(size=None),
        with_out(size="many"),
        with_out(size=[1]),
        with_out(digest="xyz"),
    ],
)
def test_a_damaged_block_is_refused_naming_the_stage(text: str) -> None:
    assert refused(text).startswith("dodo.lock: the block of stage 'train' is damaged (")


@pytest.mark.parametrize("block", ["5", "null", "[]", '"x"', "{}"])
def test_a_block_that_is_no_block_is_refused_naming_the_stage(block: str) -> None:
    text = f'{{"version": 1, "stages": {{"train": {block}}}}}'
    assert refused(text).startswith("dodo.lock: the block of stage 'train' is damaged (")
