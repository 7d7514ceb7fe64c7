"""Messages and hints in a folder below the root: paths as they are typed there."""

from __future__ import annotations

import pytest

from tests.space import Space


@pytest.fixture
def below(space: Space) -> Space:
    """A project whose stage works in `data`."""
    space.dodo("init")
    space.write("in.txt", "1\n")
    space.write("data/in.txt", "1\n")
    space.write("params.yaml", "lr: 1\n")
    space.write(
        "dvc.yaml",
        """\
        stages:
          a:
            cmd: cp in.txt out.txt
            wdir: data
            deps: [in.txt]
            params: [../params.yaml: [lr]]
            outs: [out.txt]
        """,
    )
    space.dodo("repro")
    return space


def told(space: Space, *args: str, code: int = 2) -> str:
    """What a command in `data` says as it fails."""
    return space.dodo(*args, code=code, cwd="data").err


def test_a_pipeline_that_is_hinted_at_can_be_typed(below: Space) -> None:
    assert told(below, "exp", "run") == (
        "error: no dvc.yaml in this folder\nhint: name one: ../dvc.yaml\n"
    )
    below.dodo("exp", "run", "../dvc.yaml", cwd="data")
    assert told(below, "repro", "dvc.yaml") == (
        "error: there is no dvc.yaml with stages\nhint: did you mean '../dvc.yaml'?\n"
    )
    assert told(below, "repro", "../dvc.yaml:b").startswith(
        "error: no stage 'b' in ../dvc.yaml\nhint: stages: a"
    )


def test_a_stage_that_is_hinted_at_can_be_typed(below: Space) -> None:
    assert "up to date" in below.dodo("repro", "../dvc.yaml:a", cwd="data").out
    assert told(below, "repro", "out.txt").endswith(
        "hint: 'out.txt' is made by stage 'a': ../dvc.yaml:a\n"
    )


def test_an_output_that_is_hinted_at_can_be_typed(below: Space) -> None:
    assert told(below, "checkout", "data/out.txt") == (
        "error: no stage or output 'data/out.txt'\nhint: did you mean 'out.txt'?\n"
    )
    below.dodo("checkout", "out.txt", cwd="data")


def test_a_params_file_that_is_hinted_at_can_be_typed(below: Space) -> None:
    args = ("exp", "run", "../dvc.yaml", "-S")
    assert told(below, *args, "lr=2") == (
        "error: there is no params.yaml\nhint: params files: ../params.yaml\n"
    )
    assert told(below, *args, "../params.yaml:~nope").startswith(
        "error: -S ~nope: it is not in ../params.yaml\n"
    )
    below.dodo(*args, "../params.yaml:lr=2", cwd="data")


def test_places_in_files_are_told_from_where_the_user_stands(below: Space) -> None:
    below.write("dvc.yaml", below.read("dvc.yaml") + "    oops: 1\n")
    assert told(below, "status").startswith("error: ../dvc.yaml:8:5: unknown key 'oops'")
    below.write("data/dvc.yaml", "stages: {b: {cmd: ls, oops: 1}}\n")
    places = [line.split()[1] for line in told(below, "status").splitlines() if "error" in line]
    assert places == ["dvc.yaml:1:23:", "../dvc.yaml:8:5:"]


def test_a_failed_stage_is_told_from_where_the_user_stands(below: Space) -> None:
    below.write("dvc.yaml", below.read("dvc.yaml").replace("cp in.txt out.txt", "rm -f out.txt"))
    err = told(below, "repro", "../dvc.yaml", code=1)
    assert "error: ../dvc.yaml:2: stage 'a' did not make its output" in err
    assert "its output is in ../.dodo/logs/a.log" in err


def test_a_file_that_the_user_named_is_told_as_it_was_typed(below: Space) -> None:
    below.write("data/x.pack", "no pack")
    assert told(below, "exp", "import", "x.pack").startswith("error: x.pack: ")


def test_data_is_named_as_it_is_typed(below: Space) -> None:
    below.write("data/raw/x", "1\n")
    below.dodo("add", "raw", cwd="data")
    assert told(below, "add", "raw/x") == (
        "error: 'raw/x' is in 'raw', which was added\nhint: add 'raw'\n"
    )
    assert told(below, "add", "--forget", "rew") == (
        "error: 'rew' was not added\nhint: did you mean 'raw'?\n"
    )
