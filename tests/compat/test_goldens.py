"""What we make of an input is what DVC made of it when its case was recorded, or says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compat import goldens
from tests.compat.asking import OPS, Answer, ours

CASES = {
    f"{file.stem}: {case['case']}": case for file in goldens.files() for case in goldens.read(file)
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_as_the_case_says(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    wanted: Answer = case["dvc"] | case.get("ours", {})
    if "ours" in case and "error" not in case["ours"]:
        wanted = case["ours"]
    answer = ours(goldens.request(case), tmp_path)
    if "error" in wanted:
        assert "error" in answer, f"DVC refuses: {case['dvc'].get('error')}"
        assert re.search(case.get("ours", {}).get("error", ""), answer["error"])
    else:
        assert answer == {key: value for key, value in wanted.items() if key != "warnings"}


def test_every_case_has_a_name_of_its_own_and_an_answer() -> None:
    cases = [case for file in goldens.files() for case in goldens.read(file)]
    assert len(CASES) == len(cases)
    assert all(case["dvc"] and goldens.request(case)["op"] in OPS for case in cases)


def test_a_case_that_differs_says_why_and_how() -> None:
    for name, case in CASES.items():
        if "differs" in case:
            assert "ours" in case, name
            wanted, recorded = case["ours"], case["dvc"]
            assert ("error" in wanted) != ("error" in recorded) or wanted != recorded, name
