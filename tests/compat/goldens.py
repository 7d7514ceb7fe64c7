"""Goldens: what DVC makes of an input, as recorded from it, and where we differ and why.

Each file of the folder `cases` is a list of mappings:

    case      what is true of DVC, in a sentence
    op        what is asked (see oracle.py); `stages` where it is not said
    ...       the request: files, config, file, text, ...
    dvc       DVC's answer, as recorded
    differs   one sentence: why ours is another
    ours      our answer then; {error: regex} also where both refuse and the message matters
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases"
ABOUT = ("case", "dvc", "differs", "ours")
"""Keys that are not part of the request."""

Case = dict[str, Any]


def files() -> list[Path]:
    """The files of cases, one a theme."""
    return sorted(FOLDER.glob("*.yaml"))


def read(file: Path) -> list[Case]:
    """The cases of one file."""
    cases: list[Case] = yaml.safe_load(file.read_text())
    return cases


def request(case: Case) -> dict[str, Any]:
    """What is asked."""
    return {"op": "stages"} | {key: value for key, value in case.items() if key not in ABOUT}
