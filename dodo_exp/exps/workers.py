"""Workers: who runs the queue, and how they are told to stop.

Control files do it, so that a command on another machine can, and no process is ever signalled that
might be somebody else's:

    queue/workers/<id>       its lock; what it says in it is for people
    queue/workers/<id>.stop  take no more; with `now` in it, put back what is running as well
    queue/kill/<number>      the job is to end, and to be over
    queue/fault              why the last worker could not go on
"""

from __future__ import annotations

import contextlib
import json
import os

from dodo_exp.exps import queue
from dodo_store import locks
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_store.store import Store


class Registered(Named):
    """A worker and the file that says that it is there."""

    who: queue.Runner
    path: str


class Worker(Named):
    """A worker that is alive: its id, and who it is."""

    id: str
    who: queue.Runner


def alive(store: Store) -> list[Worker]:
    """All of them, on all machines."""
    folder = f"{queue.folder(store)}/workers"
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = f"{folder}/{name}"
        if name.endswith(".stop"):
            if not os.path.exists(path.removesuffix(".stop")):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            continue
        if locks.is_free(path):
            with contextlib.suppress(OSError):
                locks.discard(path)
                os.unlink(f"{path}.stop")
            continue
        with contextlib.suppress(ValueError, TypeError):
            found.append(Worker(name, queue.Runner(**json.loads(locks.text(path)))))
    return found


def stop(store: Store, workers: list[Worker], *, now: bool) -> None:
    """Tell workers to take no more; with *now*, to put back what they are running."""
    for each in workers:
        with open(f"{queue.folder(store)}/workers/{each.id}.stop", "w") as file:
            file.write("now" if now else "")


def is_told_to_stop(store: Store, worker: Worker) -> bool:
    """Whether somebody wants no more of it."""
    return os.path.exists(f"{queue.folder(store)}/workers/{worker.id}.stop")


def kill(store: Store, job: queue.Job) -> None:
    """Tell whoever runs a job to end it."""
    with open(queue.kill_file(store, job), "w"):
        pass


def is_to_end(store: Store, job: queue.Job) -> bool:
    """Whether somebody has said so."""
    return os.path.exists(queue.kill_file(store, job))


@contextlib.contextmanager
def registered(store: Store, command: str) -> Iterator[Registered]:
    """Be a worker for a block."""
    who = queue.me(command)
    path = f"{queue.folder(store)}/workers/{who.host}-{who.pid}-{os.urandom(3).hex()}"
    with locks.hold(path, json.dumps(who._asdict()), timeout=0):
        with contextlib.suppress(OSError):
            os.unlink(_fault(store))
        try:
            yield Registered(who, path)
        finally:
            for name in (f"{path}.stop", path):
                with contextlib.suppress(OSError):
                    os.unlink(name)


def note_fault(store: Store, text: str) -> None:
    """Remember why a worker could not go on, if there is room for that."""
    with contextlib.suppress(OSError), open(_fault(store), "w", errors="replace") as file:
        file.write(text)


def fault(store: Store) -> str:
    """Why the last worker could not go on, unless one has been started since; "" if it could."""
    with contextlib.suppress(OSError), open(_fault(store), errors="replace") as file:
        return file.read(2000)
    return ""


def _fault(store: Store) -> str:
    return f"{queue.folder(store)}/fault"
