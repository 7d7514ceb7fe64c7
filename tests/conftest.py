"""Fixtures that every test may use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.space import Space

# A shell that starts the tests in the background has SIGINT ignored, which commands inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
