"""Session: what was seen before holding the workspace counts only if nobody else held it since."""

from __future__ import annotations

import time

import pytest

from dodo_exp.engine import session
from dodo_exp.engine.workspace import Workspace
from dodo_exp.project import Project
from tests.space import Space


@pytest.fixture
def quiet(project: Space) -> Project:
    """A project whose last command ended a while ago."""
    project.exp("-n", "one")
    time.sleep(0.06)
    return Project.find(str(project.root))


def _began(project: Project, seen: Workspace) -> bool:
    """Whether a session goes on with what was seen."""
    with session.begin(project, lambda event: None, seen=seen) as workspace:
        return workspace is seen and workspace.untouched is not None


def test_what_was_seen_is_used_if_nobody_came_between(quiet: Project) -> None:
    assert _began(quiet, session.glance(quiet))


def test_what_was_seen_is_not_used_if_somebody_did(quiet: Project, project: Space) -> None:
    seen = session.glance(quiet)
    project.repro("-f")
    assert not _began(quiet, seen)


def test_what_was_seen_while_somebody_holds_is_not_used(quiet: Project) -> None:
    with session.begin(quiet, lambda event: None):
        seen = session.glance(quiet)
    assert not _began(quiet, seen)


def test_after_a_killed_command_all_is_looked_at_again(quiet: Project, project: Space) -> None:
    project.write("raw.txt", "other\n")
    text = project.read("dvc.yaml")
    # The parent of a command is the watcher, whose parent is the command under test.
    kill = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)"
    project.write("dvc.yaml", text.replace("echo prepare >>", f"{kill}; echo prepare >>"))
    killed = project.start("repro")
    killed.communicate(timeout=20)
    assert killed.returncode < 0
    project.write("dvc.yaml", text)
    time.sleep(0.1)
    assert not _began(quiet, session.glance(quiet))
