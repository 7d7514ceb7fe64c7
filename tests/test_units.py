"""Durations and sizes are read and written the same way everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from dodo_exp.units import format_duration, format_size, parse_duration, parse_size
from tests.space import Space

DURATIONS = {
    "90": 90,
    "0": 0,
    "90s": 90,
    "1.5 m": 90,
    "90min": 5400,
    "2h": 7200,
    "1.5h": 5400,
    ".5h": 1800,
    "3h55m": 14_100,
    "1h 30min 5 s": 5405,
    "2d": 172_800,
    "1w": 604_800,
    "2 weeks": 1_209_600,
    "1y": 31_536_000,
}
NO_DURATIONS = ["", "s", "1x", "-1s", "1 2s", "1h30", "3M", "1:30", "nan", "inf", "h3", "1d-1h"]
SIZES = {
    "512": 512,
    "512B": 512,
    "8G": 8_000_000_000,
    "8g": 8_000_000_000,
    "8Gi": 8 << 30,
    "500MiB": 500 << 20,
    "1.5GB": 1_500_000_000,
    "1.5 kB": 1500,
    "2T": 2_000_000_000_000,
}
NO_SIZES = ["", "G", "8X", "-8G", "8GG", "8 G B", "1e3", "8i", "8iB", "1G5M", "nan"]


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_read(text: str) -> None:
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize("value", [90, 1.5, 0])
def test_a_number_is_seconds_or_bytes(value: float) -> None:
    assert parse_duration(value) == parse_size(value) == value


@pytest.mark.parametrize("value", [*NO_DURATIONS, True, None, [], -1, float("nan"), float("inf")])
def test_what_is_not_a_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a duration: "):
        parse_duration(value)


@pytest.mark.parametrize("text", SIZES)
def test_a_size_is_read(text: str) -> None:
    assert parse_size(text) == SIZES[text]


@pytest.mark.parametrize("value", [*NO_SIZES, True, None, [], -1, float("nan")])
def test_what_is_not_a_size_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a size: "):
        parse_size(value)


def test_quantities_are_written_for_people() -> None:
    assert [format_size(n) for n in (0, 999, 1500, 8_000_000_000)] == [
        *("0 B", "999 B", "1.5 kB", "8 GB")
    ]
    assert [format_duration(n) for n in (3.21, 245, 7384)] == ["3.2 s", "4:05", "2:03:04"]
    assert parse_size(format_size(8_000_000_000)) == 8_000_000_000


EXAMPLES = "90s, 90min, 3h55m, 1.5h, 2d or 1w"


@pytest.mark.parametrize("text", ["90s", "90min", "3h55m", "1.5h", "2d", "1w"])
def test_every_place_reads_the_same_durations(project: Space, text: str) -> None:
    project.dodo("exp", "run", "-n", "one")
    project.dodo("gc", "--dry-run", "--older-than", text, "--grace", text)
    project.dodo("queue", "worker", "--max-time", text, "--idle-exit", "0")
    project.dodo("config", "run.grace", text)
    assert project.dodo("exp", "show", "--filter", f"age < {text}").out.count("one") == 1
    project.write(
        "dvc.yaml",
        f"stages: {{a: {{cmd: touch o, outs: [o], meta: {{dodo: {{timeout: {text}}}}}}}}}",
    )
    project.dodo("status")


def test_every_place_says_how_a_duration_is_written(project: Space) -> None:
    project.write(".dodo/config", '[run]\ngrace = "soon"\n')
    assert EXAMPLES in project.dodo("exp", "run", code=2).err
    project.remove(".dodo/config")
    assert EXAMPLES in project.dodo("queue", "worker", "--max-time", "soon", code=2).err
    assert EXAMPLES in project.dodo("exp", "show", "--filter", "age < 3x", code=2).err
    project.write("dvc.yaml", "stages: {a: {cmd: x, meta: {dodo: {timeout: soon}}}}")
    assert EXAMPLES in project.dodo("repro", code=2).err


def test_an_age_without_a_unit_removes_nothing(project: Space) -> None:
    """Seconds are seldom what is meant, and what is older goes."""
    project.dodo("exp", "run", "-n", "one")
    for option in ("--older-than", "--grace"):
        told = project.dodo("gc", option, "30", code=2).err
        assert "'30' has no unit: an age is written as 30d or 30h" in told
    project.dodo("gc", "--grace", "0")


def test_sizes_and_durations_are_compared_in_a_filter(project: Space) -> None:
    project.dodo("exp", "run", "-n", "one", "-S", "+big=524288000", "-S", "+long=5400")

    def found(query: str) -> int:
        return project.dodo("exp", "show", "--filter", query).out.count("one ")

    assert found("big == 500MiB and big > 500M and long == 1h30m and long == 90min") == 1
    assert found("big > 8G or long > 1d or seconds > 1w or seconds < -1s") == 0
