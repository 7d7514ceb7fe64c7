"""Checkpoint: what training code calls when it has come a step further.

    from dodo_exp import make_checkpoint

    for epoch in range(first, 10):
        train_one_epoch(model)
        save(model, "model.pt")
        make_checkpoint()

With `outs: [model.pt: {checkpoint: true}]` in dvc.yaml, the stage's outputs are kept as a step of
the experiment before the call returns. Nothing but Python's own library is needed here.

How it is asked for: an empty file `<name>.ask` in the folder that DODO_CHECKPOINT names, and a byte
into the FIFO `bell` there. When the file is gone the step is kept, and `<name>.done` says which.
`host` names the machine of him who keeps it.
"""

from __future__ import annotations

import os
import time

FOLDER = "DODO_CHECKPOINT"
"""Environment variable: where a checkpoint is asked for."""

BELL, HOST, ASK, DONE = "bell", "host", ".ask", ".done"
FIRST_WAIT, LONGEST_WAIT = 0.0005, 0.005
"""Seconds between two looks whether it is kept."""
SILENCE = 1.0
"""Seconds after which it is asked whether he who keeps it is there still."""


_told: list[bool] = []
"""Whether it was said that nothing is kept."""


class CheckpointFailed(RuntimeError):
    """The step is not kept: the disk is full, or an output is still being written to."""


def make_checkpoint() -> str | None:
    """Keep the stage's outputs as they are now, as a step of the experiment; return its name.

    It is safe on disk when the call returns. Outside of a run nothing is done and None returned;
    so it is, with a warning, in a stage that has no output with `checkpoint: true`.

    Raises:
        CheckpointFailed: it is not kept; the outputs are as they were.
    """
    folder = os.environ.get(FOLDER)
    if not folder or not os.path.isdir(folder):
        if os.environ.get("DODO_STAGE") and not _told:
            import warnings

            _told.append(True)
            warnings.warn(why_not(), stacklevel=2)
        return None
    name = f"{folder}/{os.getpid()}-{time.monotonic_ns()}"
    with open(name + ASK, "x"):
        pass
    is_heard = _ring(f"{folder}/{BELL}")
    wait, look = FIRST_WAIT, time.monotonic() + SILENCE
    while os.path.exists(name + ASK):
        if not is_heard and _is_near(folder):
            raise CheckpointFailed("the run was killed")
        time.sleep(wait)
        wait = min(wait * 1.2, LONGEST_WAIT)
        if time.monotonic() > look:
            is_heard = _ring(f"{folder}/{BELL}")
            look = time.monotonic() + SILENCE
    return _answer(name + DONE)


def why_not() -> str:
    """Why nothing can be kept here."""
    stage = os.environ.get("DODO_STAGE")
    if not stage:
        return "not in a run: nothing is kept"
    if os.environ.get(FOLDER):
        return f"stage {stage!r} has ended, or its {FOLDER} is not to be seen: nothing is kept"
    return (
        f"no output of stage {stage!r} has 'checkpoint: true' in dvc.yaml: nothing is kept"
        " (write `- model.pt: {checkpoint: true}`)"
    )


def _is_near(folder: str) -> bool:
    """Whether he who keeps it is on this machine, where his bell tells that he is there."""
    try:
        with open(f"{folder}/{HOST}", encoding="utf-8") as file:
            return file.read() == os.uname().nodename and os.path.exists(f"{folder}/{BELL}")
    except OSError:
        return False


def _ring(bell: str) -> bool:
    """Wake who waits for us, and say whether there is anybody.

    He looks now and then even if he does not hear it: from another machine nobody does.
    """
    try:
        fd = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"\n")
    except OSError:
        pass
    finally:
        os.close(fd)
    return True


def _answer(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        os.unlink(path)
    except FileNotFoundError:
        raise CheckpointFailed("the run is over") from None
    word, _, rest = text.partition(" ")
    if word != "kept":
        raise CheckpointFailed(rest)
    return rest
