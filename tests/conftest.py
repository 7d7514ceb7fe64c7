"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.space import Space


def _set_signals() -> None:
    """Let commands start with the default signals, whoever started the tests.

    `nohup` ignores SIGHUP, a shell ignores SIGINT and SIGQUIT of what it starts in the
    background, and commands would inherit that. A handler does not outlive exec, so commands get
    the default, and a hangup still does not end tests that were started under `nohup`.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_path() -> None:
    """Put our own scripts and `python` first on PATH, and what only root has there last."""
    ours = (sysconfig.get_path("scripts"), os.path.dirname(sys.executable))
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders = dict.fromkeys((*ours, *given, "/usr/sbin", "/sbin"))
    os.environ["PATH"] = os.pathsep.join(folders)


_set_signals()
_set_path()


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A folder of its own; when the test is done, its store must be sound."""
    made = Space(tmp_path)
    yield made
    if made.store.exists:
        made.check()


@pytest.fixture
def project(space: Space) -> Space:
    """A space with the three stages that most tests use."""
    space.three_stages()
    return space
