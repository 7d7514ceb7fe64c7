"""Fixtures for tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.kit import Kit


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A store of its own, open for writing, and an empty project folder."""
    kit = Kit(tmp_path)
    with kit.store.writing():
        yield kit


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """A store for all examples that hypothesis makes up in one module, open for writing."""
    kit = Kit(tmp_path_factory.mktemp("shared"))
    with kit.store.writing():
        yield kit
