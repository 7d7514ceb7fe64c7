"""Desk: where a stage's commands ask for a checkpoint, and wait until it is kept.

There are two ways to ask. Ours, which says who asks and what came of it, is told in
dodo_exp/checkpoint.py. DVC's (up to 2.58, see its api/experiments.py and stage/monitor.py) is an
empty file `.dvc/tmp/DVC_CHECKPOINT` under `$DVC_ROOT`, which goes when the step is kept; it does
not say which stage asks, nor can it say that nothing was kept: then the stage is ended.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from contextlib import suppress
from itertools import count

from dodo_exp.checkpoint import ASK, BELL, DONE, FOLDER, HOST
from dodo_exp.errors import StageFailed, in_words
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIGNAL = ".dvc/tmp/DVC_CHECKPOINT"
"""DVC's signal file, relative to the root."""

PAUSE = 0.02
"""Seconds between two looks for those who do not ring."""

_serial = count()
_open: dict[str, int] = {}
"""How many desks there are at each root."""
_lock = allocate_lock()
"""Guards `_open`: stages begin and end in threads of their own."""


def sweep(local: str) -> None:
    """Remove what killed runs have left; the caller holds the workspace."""
    if os.path.isdir(f"{local}/checkpoint"):
        import shutil

        shutil.rmtree(f"{local}/checkpoint", ignore_errors=True)


class Desk:
    """The desk of one stage; a context manager, for as long as its commands run."""

    def __init__(self, root: str, local: str, keep: Callable[[], str], *, goes_on: bool) -> None:
        """*keep* keeps a step and returns its name; *goes_on* if the stage has earlier ones."""
        self._signal = os.path.join(root, SIGNAL)
        self._root = root
        self._keep = keep
        self._folder = f"{local}/checkpoint/{os.getpid()}-{next(_serial)}"
        self.environment = {FOLDER: self._folder, "DVC_CHECKPOINT": "1"}
        if goes_on:
            self.environment["DVCLIVE_RESUME"] = "1"
        self._bell: int | None = None

    def __enter__(self) -> Desk:
        os.makedirs(self._folder)
        with open(f"{self._folder}/{HOST}", "w", encoding="utf-8") as file:
            file.write(os.uname().nodename)
        with suppress(OSError):  # where there are no FIFOs we look now and then
            os.mkfifo(f"{self._folder}/{BELL}", 0o600)
            # For writing too, so that it never comes to an end.
            flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
            self._bell = os.open(f"{self._folder}/{BELL}", flags)
        with _lock:
            _open[self._root] = _open.get(self._root, 0) + 1
            if _open[self._root] == 1:
                with suppress(OSError):  # of a run that was killed
                    os.unlink(self._signal)
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            _open[self._root] -= 1
        if self._bell is not None:
            os.close(self._bell)
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(os.path.dirname(self._folder))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What becomes readable when somebody asks."""
        return () if self._bell is None else (self._bell,)

    def serve(self) -> None:
        """Keep a step if somebody asks for one, and let go whoever does.

        Raises:
            StageFailed: it could not be kept, and who asks cannot be told.
        """
        if self._bell is not None:
            with suppress(BlockingIOError):
                os.read(self._bell, 4096)
        asked = [name for name in os.listdir(self._folder) if name.endswith(ASK)]
        if asked:
            self._answer(asked, self._kept())
        if os.path.exists(self._signal):
            self._serve_dvc()

    def _kept(self) -> str:
        """What came of it, in the words of an answer."""
        try:
            return f"kept {self._keep()}"
        except (StageFailed, StoreError, OSError) as error:
            return f"failed {in_words(error)}"

    def _answer(self, asked: list[str], text: str) -> None:
        for name in asked:
            done = f"{self._folder}/{name.removesuffix(ASK)}{DONE}"
            with open(done, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            os.unlink(f"{self._folder}/{name}")

    def _serve_dvc(self) -> None:
        try:
            with _lock:
                is_shared = _open[self._root] > 1
            if is_shared:
                raise StageFailed(
                    f"{SIGNAL} does not say which of several stages it is for",
                    "`meta: {dodo: {mutex: training}}` lets them take turns;"
                    " dodo_exp.make_checkpoint() works at the same time",
                )
            text = self._kept()
            if text.startswith("failed"):
                raise StageFailed(f"a checkpoint could not be kept: {text.partition(' ')[2]}")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._signal)
