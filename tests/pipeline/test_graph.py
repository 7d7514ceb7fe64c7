"""`graph`: edges by containment, what is refused, and what a target selects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.errors import BadInput, UsageError
from dodo_exp.pipeline.graph import Graph
from dodo_exp.pipeline.model import Out, ParamDep, Stage


def stage(
    name: str,
    deps: str = "",
    outs: str = "",
    *,
    file: str = "dvc.yaml",
    line: int = 1,
    params: str = "",
    frozen: bool = False,
) -> Stage:
    """A stage from words: paths are divided by spaces."""
    return Stage(
        name=name,
        file=file,
        line=line,
        cmds=("x",),
        wdir=".",
        deps=tuple(deps.split()),
        params=tuple(ParamDep(path, ()) for path in params.split()),
        outs=tuple(Out(path, "out", True, False, False, {}) for path in outs.split()),
        frozen=frozen,
        always=False,
        desc="",
        meta=None,
    )


def refused(*stages: Stage) -> str:
    with pytest.raises(BadInput) as caught:
        Graph(stages)
    return str(caught.value)


def chain(count: int) -> list[Stage]:
    """s0 makes p0; s1 reads it and makes p1; and so on, the last first in the file."""
    stages = [stage(f"s{i}", f"p{i - 1}" if i else "raw", f"p{i}") for i in range(count)]
    return stages[::-1]


DIAMOND = (
    stage("end", "b c", "d"),
    stage("left", "a", "b"),
    stage("right", "a", "c"),
    stage("start", "raw", "a"),
    stage("apart", "other", "e"),
)


# -- edges ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dep, out, linked",
    [
        ("data", "data", True),
        ("data/x", "data", True),
        ("data/x/y/z", "data", True),
        ("data", "data/x", True),
        ("data", "data/x/y", True),
        (".", "data/x", True),
        ("../p", "../p", True),
        ("../p/x", "../p", True),
        ("/tmp/x", "/tmp", True),
        ("/tmp", "/tmp/x", True),
        ("data", "data2", False),
        ("data2", "data", False),
        ("data", "data-x", False),
        ("data.x", "data/x", False),
        ("x/data", "data", False),
        ("data/x", "data/y", False),
        ("da", "data", False),
    ],
)
def test_a_stage_follows_what_it_reads_by_containment(dep: str, out: str, linked: bool) -> None:
    graph = Graph([stage("reader", dep), stage("maker", "", out)])
    assert graph.before == {"reader": ("maker",) if linked else (), "maker": ()}
    assert graph.next == {"reader": [], "maker": ["reader"] if linked else []}


def test_a_stage_follows_the_maker_of_its_params_file() -> None:
    graph = Graph([stage("tune", "", "best.yaml"), stage("train", params="best.yaml")])
    assert graph.before["train"] == ("tune",)


def test_a_folder_follows_all_that_is_made_inside() -> None:
    graph = Graph(
        [
            stage("a", "", "d/a"),
            stage("b", "", "d/b/c"),
            stage("c", "", "d-c"),
            stage("d", "", "e"),
            stage("all", "d"),
        ]
    )
    assert set(graph.before["all"]) == {"a", "b"}


def test_two_reads_of_one_maker_are_one_edge() -> None:
    assert Graph([stage("m", "", "d e"), stage("r", "d/x d/y e")]).before["r"] == ("m",)


def test_a_frozen_stage_waits_for_nobody_but_is_waited_for() -> None:
    graph = Graph([stage("a", "", "x"), stage("b", "x", "y", frozen=True), stage("c", "y", "z")])
    assert graph.before == {"a": (), "b": (), "c": ("b",)}
    assert graph.upstream(["c"]) == ["b", "c"]


def test_edges_reach_across_files() -> None:
    graph = Graph([stage("a", "", "sub/x", file="sub/dvc.yaml"), stage("a", "sub/x")])
    assert graph.before["a"] == ("sub/dvc.yaml:a",)


PATHS = st.lists(st.sampled_from("a b c ab a-b".split()), min_size=1, max_size=3).map("/".join)


def inside(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer + "/")


@settings(max_examples=500, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=5, unique=True), PATHS)
def test_edges_and_overlaps_are_those_of_comparing_every_pair(outs: list[str], dep: str) -> None:
    makers = [stage(f"m{i}", "", out) for i, out in enumerate(outs)]
    overlap = any(a != b and inside(a, b) for a in outs for b in outs)
    try:
        graph = Graph([*makers, stage("reader", dep)])
    except BadInput:
        assert overlap
        return
    assert not overlap
    expected = {f"m{i}" for i, out in enumerate(outs) if inside(dep, out) or inside(out, dep)}
    assert set(graph.before["reader"]) == expected


@pytest.mark.parametrize(
    "path, maker",
    [
        ("d", "m"),
        ("d/x/y", "m"),
        ("dd", None),
        (".", None),
        ("/", None),
        ("/d", None),
        ("..", None),
    ],
)
def test_the_maker_of_a_path_is_found(path: str, maker: str | None) -> None:
    assert Graph([stage("m", "", "d")]).maker(path) == maker


def test_outputs_inside_a_folder_are_found() -> None:
    graph = Graph([stage("m", "", "d/b d/a d.x d-x e")])
    assert graph.made_inside("d") == ["d/a", "d/b"]
    assert graph.made_inside("d/a") == []


# -- what is refused -----------------------------------------------------------------------


def test_an_output_of_two_stages_is_refused_naming_both_places() -> None:
    assert refused(stage("a", "", "x", line=3), stage("b", "", "x", line=7)) == (
        "dvc.yaml:7: 'x' is made by stage 'b' and by 'a' (dvc.yaml:3)"
    )


def test_an_output_of_two_files_is_refused_naming_both() -> None:
    message = refused(
        stage("a", "", "x", file="one/dvc.yaml", line=3),
        stage("a", "", "x", file="two/dvc.yaml", line=5),
    )
    assert message == (
        "two/dvc.yaml:5: 'x' is made by stage 'two/dvc.yaml:a' and by 'one/dvc.yaml:a'"
        " (one/dvc.yaml:3)"
    )


@pytest.mark.parametrize("inner", ["d/f", "d/e/f"])
def test_an_output_inside_another_is_refused_naming_both_places(inner: str) -> None:
    message = f"output {inner!r} of stage 'b' lies inside an output of 'a' (dvc.yaml:3)"
    outer, within = stage("a", "", "d", line=3), stage("b", "", inner, line=7)
    assert refused(outer, within) == f"dvc.yaml:7: {message}"
    assert refused(within, outer) == f"dvc.yaml:7: {message}"


def test_an_output_inside_another_of_the_same_stage_is_refused() -> None:
    assert "lies inside an output of 'a'" in refused(stage("a", "", "d d/f"))


@pytest.mark.parametrize("dep", ["x", "x/y", "."])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_stage_that_reads_what_it_makes_is_refused(dep: str, frozen: bool) -> None:
    what = "in which it makes 'x'" if dep == "." else "which it makes"
    assert refused(stage("a", dep, "x", line=4, frozen=frozen)) == (
        f"dvc.yaml:4: stage 'a' reads {dep!r}, {what}"
    )


def test_two_stages_that_wait_for_each_other_are_refused() -> None:
    message = refused(stage("a", "y", "x", line=2), stage("b", "x", "y", line=5))
    assert message == "dvc.yaml:2: stages wait for each other: a <- b <- a"


def test_the_circle_is_told_without_the_way_to_it() -> None:
    message = refused(
        stage("start", "x"),
        stage("a", "z", "x"),
        stage("b", "x", "y"),
        stage("c", "y", "z"),
        stage("aside", "z"),
    )
    told = message.partition("each other: ")[2].split(" <- ")
    assert told[0] == told[-1]
    assert set(told) == {"a", "b", "c"} and len(told) == 4


def test_a_circle_through_a_folder_is_found() -> None:
    assert "stages wait for each other" in refused(stage("a", "in", "d/x"), stage("b", "d", "in/y"))


def test_a_frozen_stage_breaks_a_circle() -> None:
    graph = Graph([stage("a", "y", "x", frozen=True), stage("b", "x", "y")])
    assert graph.upstream(["b"]) == ["a", "b"]


def test_a_circle_of_five_thousand_is_found() -> None:
    message = refused(*chain(5000)[:-1], stage("s0", "p4999", "p0"))
    assert message.count(" <- ") == 5000


# -- selection -----------------------------------------------------------------------------


def test_a_chain_of_five_thousand_is_no_trouble() -> None:
    graph = Graph(chain(5000))
    assert graph.upstream(["s4999"]) == [f"s{i}" for i in range(5000)]
    assert len(graph.downstream(["s0"])) == 5000
    assert len(graph.component(["s2500"])) == 5000
    assert len(graph.select(["s4999"]).stages) == 5000


def test_upstream_is_what_must_come_before_in_order() -> None:
    graph = Graph(DIAMOND)
    assert graph.upstream(["end"]) == ["start", "left", "right", "end"]
    assert graph.upstream(["right"]) == ["start", "right"]
    assert graph.upstream([]) == []


def test_downstream_is_what_waits() -> None:
    graph = Graph(DIAMOND)
    assert graph.downstream(["start"]) == {"start", "left", "right", "end"}
    assert graph.downstream(["left"]) == {"left", "end"}
    assert graph.downstream(["apart"]) == {"apart"}


@pytest.mark.parametrize("name", ["start", "left", "right", "end"])
def test_a_component_is_all_that_is_connected(name: str) -> None:
    assert Graph(DIAMOND).component([name]) == {"start", "left", "right", "end"}


def test_a_selection_holds_each_stage_once_and_what_it_waits_for() -> None:
    selection = Graph(DIAMOND).select(["left", "end", "left"])
    assert [made.name for made in selection.stages] == ["start", "left", "right", "end"]
    assert selection.after == {
        "start": (),
        "left": ("start",),
        "right": ("start",),
        "end": ("left", "right"),
    }


def test_only_the_named_stages_are_selected_in_order() -> None:
    selection = Graph(DIAMOND).select(["end", "start", "left"], only=True)
    assert [made.name for made in selection.stages] == ["start", "left", "end"]
    assert selection.after == {"start": (), "left": ("start",), "end": ("left",)}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_selection_is_closed_and_in_an_order_that_can_run(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    numbers = list(range(count))
    reads = {i: data.draw(st.sets(st.sampled_from(numbers[:i]))) if i else set() for i in numbers}
    stages = [stage(f"s{i}", " ".join(f"p{j}" for j in reads[i]), f"p{i}") for i in numbers]
    graph = Graph(data.draw(st.permutations(stages)))
    wanted = data.draw(st.lists(st.sampled_from(numbers), min_size=1))
    closed = set(wanted)
    for i in reversed(numbers):
        if i in closed:
            closed |= reads[i]
    order = [int(made.name[1:]) for made in graph.select([f"s{i}" for i in wanted]).stages]
    assert sorted(order) == sorted(closed)
    assert all(order.index(j) < order.index(i) for i in order for j in reads[i])


# -- targets -------------------------------------------------------------------------------

TWO_FILES = (
    stage("train", "", "m"),
    stage("test", "m", "t"),
    stage("train", "", "sub/m", file="sub/dvc.yaml"),
    stage("odd", "", "n", file="my.yml"),
)


@pytest.mark.parametrize(
    "target, folder, found",
    [
        ("train", "", ["train"]),
        (":train", "", ["train"]),
        ("dvc.yaml", "", ["train", "test"]),
        ("./dvc.yaml", "", ["train", "test"]),
        ("dvc.yaml:test", "", ["test"]),
        ("sub/dvc.yaml", "", ["sub/dvc.yaml:train"]),
        ("sub/dvc.yaml:train", "", ["sub/dvc.yaml:train"]),
        ("my.yml", "", ["my.yml:odd"]),
        ("my.yml:odd", "", ["my.yml:odd"]),
        ("train", "sub", ["sub/dvc.yaml:train"]),
        ("dvc.yaml", "sub", ["sub/dvc.yaml:train"]),
        ("../dvc.yaml:train", "sub", ["train"]),
        ("../dvc.yaml", "sub", ["train", "test"]),
        ("../sub/dvc.yaml:train", "other", ["sub/dvc.yaml:train"]),
    ],
)
def test_a_target_is_a_stage_a_file_or_both(target: str, folder: str, found: list[str]) -> None:
    assert Graph(TWO_FILES).resolve(target, folder) == found


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("t*", ["train", "test"]),
        ("*in", ["train"]),
        ("te?t", ["test"]),
        ("[tx]est", ["test"]),
        ("train", ["train"]),
        ("sub/dvc.yaml:*", ["sub/dvc.yaml:train"]),
    ],
)
def test_a_pattern_selects_what_matches(pattern: str, found: list[str]) -> None:
    assert Graph(TWO_FILES).resolve(pattern, "", glob=True) == found


def test_a_pattern_is_a_name_unless_asked_for() -> None:
    with pytest.raises(UsageError):
        Graph(TWO_FILES).resolve("t*", "")


@pytest.mark.parametrize(
    "target, folder, says, hint",
    [
        ("trian", "", "no stage 'trian' in dvc.yaml", "did you mean 'train'?"),
        ("zzz", "", "no stage 'zzz' in dvc.yaml", "stages: test, train"),
        ("dvc.yaml:tst", "", "no stage 'tst' in dvc.yaml", "did you mean 'test'?"),
        ("test", "sub", "no stage 'test' in dvc.yaml", "stages: train"),
        ("sbu/dvc.yaml", "", "sbu/dvc.yaml", "did you mean 'sub/dvc.yaml'?"),
        ("train", "sbu", "there is no dvc.yaml", "did you mean '../dvc.yaml'?"),
        ("no.yaml:train", "", "no.yaml", None),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest_known_one(
    target: str, folder: str, says: str, hint: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        Graph(TWO_FILES).resolve(target, folder)
    assert says in str(caught.value)
    assert hint is None or caught.value.hint == hint


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no stage 'z\*' in dvc.yaml"):
        Graph(TWO_FILES).resolve("z*", "", glob=True)


@pytest.mark.parametrize(
    "folder, found",
    [
        ("", ["train", "test", "sub/dvc.yaml:train", "my.yml:odd"]),
        (".", ["train", "test", "sub/dvc.yaml:train", "my.yml:odd"]),
        ("sub", ["sub/dvc.yaml:train"]),
        ("su", []),
    ],
)
def test_stages_within_a_folder_are_found(folder: str, found: list[str]) -> None:
    assert Graph(TWO_FILES).within(folder) == found
