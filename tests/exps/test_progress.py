"""Progress: what is said while much is copied."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dodo_exp.events import Event, Note
from dodo_exp.exps.capture import Progress
from dodo_store import forks


def test_progress_tells_how_much_and_how_long_once_all_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a", "b", "inner/c", "inner/d"):
        (tmp_path / name).write_bytes(bytes(1_000_000))
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(forks, "can_fork", lambda: True)
    said: list[str] = []

    def listen(event: Event) -> None:
        assert isinstance(event, Note)
        said.append(event.text)

    progress = Progress(listen, "copying", str(tmp_path))
    progress(1_000_000, True)
    assert said == []
    clock += 2
    progress(1_000_000, True)
    assert said.pop() == "copying: 2 files, 2 MB read, 1 MB/s"
    while progress._counter is not None and not progress._counter.is_done():
        pass
    clock += 4
    progress(1_000_000, True)
    assert said.pop() == "copying: 3 files, 3 MB read, 0 MB/s, 75% done, 2 s left"
    progress.end()
