"""Fixtures for tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.kit import Kit


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A store of its own and an empty project folder."""
    return Kit(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """A store for all examples that hypothesis makes up in one module."""
    return Kit(tmp_path_factory.mktemp("shared"))
