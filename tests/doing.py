"""doit in a space: the real command, and a dodo.py to begin with."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from tests.space import Ran, Space

LOADER = "[GLOBAL]\nloader = dodo\n"

BESIDE = """\
from dodo_exp.doit import stages

DOIT_CONFIG = {"backend": "dodo"}


def task_pipeline():
    yield from stages()


def task_download():
    return {
        "actions": ["echo raw > raw.txt; echo download >> ../runs.log"],
        "targets": ["raw.txt"],
        "uptodate": [True],
    }


def task_report():
    return {
        "actions": ["cat metrics.json > report.txt; echo report >> ../runs.log"],
        "file_dep": ["metrics.json"],
        "targets": ["report.txt"],
    }
"""
"""download -> prepare -> train -> evaluate -> report."""


def start(space: Space, *args: str, cwd: str = ".", **more: Any) -> subprocess.Popen[str]:
    """Begin `doit ARGS` and do not wait for it."""
    return subprocess.Popen(
        ["doit", *args],
        cwd=space.root / cwd,
        env={**space.env, **more.pop("env", {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def doit(
    space: Space,
    *args: str,
    code: int = 0,
    cwd: str = ".",
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run `doit ARGS`; it must end with *code*, and never with a traceback."""
    process = start(space, *args, cwd=cwd, env=dict(env or {}))
    try:
        out, err = process.communicate(timeout=50)
    finally:
        process.kill()
    assert "Traceback" not in out + err, out + err
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
    return Ran(process.returncode, out, err)


def marks(ran: Ran) -> dict[str, str]:
    """What the console reporter says of each task: `.` ran, `--` up to date, `!!` ignored."""
    found = {}
    for line in ran.out.splitlines():
        mark, _, name = line.partition(" ")
        if mark in (".", "--", "!!"):
            found[name.strip()] = mark
    return found


def states(ran: Ran) -> dict[str, str]:
    """The letters of `doit list -s`, by task."""
    return {line.split()[1]: line.split()[0] for line in ran.out.splitlines() if line}
