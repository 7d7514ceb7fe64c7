"""Transfer: experiments out into one file, and in from one."""

from __future__ import annotations

import os
from collections.abc import Callable

from dodo_exp.engine import history
from dodo_exp.errors import BadInput, Damage, Failure, UsageError
from dodo_exp.exps import find, names, queue
from dodo_exp.exps.record import of_plain
from dodo_exp.exps.steps import chain
from dodo_store import durable, pack, record
from dodo_store.errors import Damaged, Missing, NewerFormat, NotStorable, StoreError, TooLarge
from dodo_store.named import Named
from dodo_store.pool import Batch
from dodo_store.tree import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from dodo_exp.events import Listener
    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.oid import Oid
    from dodo_store.store import Store
    from dodo_store.tree import Node

Told = Callable[[int], None]

KINDS = {"experiment": pack.ROOT, "snapshot": pack.SECOND, find.STEP: pack.PART}
NAMES = {number: kind for kind, number in KINDS.items()}


class Sent(Named):
    """What was written."""

    names: tuple[str, ...]
    bytes: int
    sha256: str
    is_inside: bool
    """Whether the file lies where snapshots of the project will find it."""


class Got(Named):
    """What came: names that are new, names that were here already, and how much content was new."""

    new: tuple[str, ...]
    known: tuple[str, ...]
    objects: int
    bytes: int


def send(project: Project, given: tuple[str, ...], path: str, told: Told, *, force: bool) -> Sent:
    """Write experiments with all their content to *path*, all or nothing; "-" is standard output.

    Raises:
        UsageError, Damage, Failure
    """
    with project.store.reading():
        return _send(project, given, path, told, force=force)


def _send(project: Project, given: tuple[str, ...], path: str, told: Told, *, force: bool) -> Sent:
    store = project.store
    found = [find.find(store, name) for name in given] if given else find.everything(store)
    unreadable = [] if given else find.unreadable(store)
    if unreadable:
        raise Damage(f"{unreadable[0]}: cannot be read", "name those that are to be exported")
    if not found:
        raise UsageError("there is no experiment to export", "`dodo exp run` makes one")
    if path != "-" and os.path.exists(path) and not force:
        raise UsageError(f"{path} is there already", "choose another name, or --force")
    kinds = {each.oid: KINDS[each.kind] for each in found}
    nodes: list[Node] = []
    try:
        for each in found:
            for step in chain(store, each.oid):
                kinds.setdefault(step.oid, pack.PART)
                nodes += (step.experiment.base, step.experiment.result)
        oids = [(kind, oid) for oid, kind in kinds.items()]
        if path == "-":
            import sys

            out = _Counting(sys.stdout.buffer)
            sha = pack.write(store, oids, nodes, out, told)  # type: ignore[arg-type]
            sys.stdout.buffer.flush()
        else:
            out, sha = _to_file(project, oids, nodes, path, told)
    except (Missing, Damaged, TooLarge) as error:
        hint = "nothing was written; `dodo store check --repair` mends what it can"
        raise Damage(f"{error.path}: {error}", hint) from None
    except NotStorable as error:
        hint = "it is from an earlier version; apply it and keep it anew with `dodo exp save`"
        raise Failure(f"{_holding_reserved(store, found)!r}: {error}", hint) from None
    names_ = tuple(each.name for each in found)
    return Sent(names_, out.size, sha, path != "-" and _is_kept(project, path))


def _holding_reserved(store: Store, found: list[find.Found]) -> str:
    """The first experiment that cannot be exported for the names in it."""
    for each in found:
        for step in chain(store, each.oid):
            nodes = step.experiment.base, step.experiment.result
            if not all(store.is_whole(node, clean=True) for node in nodes):
                return each.name
    return found[0].name


def _is_kept(project: Project, path: str) -> bool:
    """Whether a snapshot takes what is at *path*."""
    from dodo_exp.engine.discover import IGNORE_FILES
    from dodo_store.ignore import Ignore

    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(project.root))
    if inside.split("/")[0] == "..":
        return False
    ignore = Ignore(project.root, IGNORE_FILES)
    parts = inside.split("/")
    steps = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return not any(ignore.skips(step, step != inside) for step in steps)


class _Counting:
    """A stream that knows how much went into it."""

    def __init__(self, to: IO[bytes]) -> None:
        self._to = to
        self.size = 0

    def write(self, data: bytes) -> None:
        """Pass on."""
        self._to.write(data)
        self.size += len(data)


def _to_file(
    project: Project, oids: list[tuple[int, Oid]], nodes: list[Node], path: str, told: Told
) -> tuple[_Counting, str]:
    """Under a temporary name beside it first."""
    folder = os.path.dirname(os.path.abspath(path))
    durable.sweep(folder)
    temporary = os.path.join(folder, durable.temporary_name())
    try:
        with open(temporary, "xb") as file:
            out = _Counting(file)
            sha = pack.write(project.store, oids, nodes, out, told)  # type: ignore[arg-type]
            file.flush()
            durable.sync_fd(file.fileno())
        os.rename(temporary, path)
        durable.sync_folder(folder)
    except BaseException as error:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise Failure(f"{path}: {error.strerror or error}; nothing was written") from None
        raise
    return out, sha


def receive(
    project: Project,
    path: str,
    command: str,
    told: Told,
    *,
    force: bool,
    listener: Listener | None = None,
) -> Got:
    """Read a file that `send` wrote; "-" is standard input. All of it is kept, or nothing.

    Raises:
        UsageError: a name is taken by another experiment.
        BadInput: the file is damaged, or made to harm.
        Failure
    """
    with _opened(path) as source:
        store = project.write(listener)
        return _receive(project, store, path, source, command, told, force=force)


def _receive(
    project: Project,
    store: Store,
    path: str,
    source: IO[bytes],
    command: str,
    told: Told,
    *,
    force: bool,
) -> Got:
    history.finish(store)
    with store.scratch() as scratch, store.writing():
        batch = Batch(scratch)
        read: dict[Oid, Experiment] = {}

        def nodes_of(oid: Oid, data: bytes) -> tuple[Node, ...]:
            experiment = _experiment(data, path)
            read[oid] = experiment
            return experiment.base, experiment.result

        try:
            got = pack.read(store, source, path, batch, scratch, nodes_of, told)
            kinds = {oid: NAMES[kind] for oid, kind in got.kinds.items()}
            for oid, data in got.records.items():
                pack.check_same_bytes(store.records, oid, data)
            _check_chains(read, kinds, path)
            _names(project, read, kinds, force)
            batch.commit()
            for oid, data in got.records.items():
                batch.add_bytes(store.records, oid, data)
            batch.commit()
        except (Damaged, NewerFormat) as error:
            if error.path == path:
                raise BadInput(path, str(error), "nothing of it was kept") from None
            raise Damage(f"{error.path}: {error}", "nothing of it was kept") from None
        finally:
            batch.drop()
        new, known = _set_names(project, read, kinds, command, force=force)
    return Got(tuple(ref.name for ref in new), tuple(known), got.objects, got.bytes)


@history.retry_if_names_changed
def _set_names(
    project: Project,
    read: dict[Oid, Experiment],
    kinds: dict[Oid, str],
    command: str,
    *,
    force: bool,
) -> tuple[list[history.Renamed], list[str]]:
    """Raises: UsageError"""
    new, known = _names(project, read, kinds, force)
    if new:
        history.add(project.store, command, refs=tuple(new))
    return new, known


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        import sys

        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise UsageError(f"{path}: not a regular file")
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _experiment(data: bytes, path: str) -> Experiment:
    """A record from elsewhere, held to what ours are.

    Raises:
        Damaged
    """
    value = record.decode(record.EXPERIMENT, data, path, lists=True)
    try:
        experiment = of_plain(value)
        names.check(experiment.name)
        _check_fields(experiment)
    except (Damage, UsageError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Damaged(path, f"an experiment that is none: {error}") from None
    return experiment


def _check_fields(experiment: Experiment) -> None:
    """Raises: TypeError, ValueError"""
    for node in (experiment.base, experiment.result):
        is_id = all(isinstance(i, bytes) and len(i) == 16 for i in (node.oid, node.digest))
        if not is_id or node.kind != FOLDER or type(node.size) is not int or node.size < 0:
            raise ValueError("its snapshots are not what they should be")
    numbers = (
        experiment.created,
        experiment.seconds,
        *(n for row in experiment.stages for n in row[2:]),
    )
    texts = (
        *(experiment.name, experiment.message, *experiment.stale, *experiment.tainted),
        *(experiment.error, experiment.job, experiment.by, *experiment.tags, *experiment.was),
        *(text for pair in experiment.deps.items() for text in pair),
        *(text for row in experiment.stages for text in row[:2]),
        *([] if experiment.parent is None else [experiment.parent]),
    )
    if not all(type(n) in (int, float) and 0 <= n < LATEST for n in numbers):
        raise ValueError("a time is none")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is none")
    if not isinstance(experiment.state, bytes) or len(experiment.state) != 16:
        raise ValueError("its state is no id")
    before = experiment.before
    is_id = before is None or (isinstance(before, bytes) and len(before) == 16)
    if type(experiment.step) is not int or not 0 <= experiment.step < 1 << 40 or not is_id:
        raise ValueError("its step is none")
    if type(experiment.unfinished) is not bool or type(experiment.origin) is not bytes:
        raise TypeError("its step is none")
    for path, contents in (*experiment.params.items(), *experiment.metrics.items()):
        is_known = isinstance(contents, dict) and contents.keys() in ({"data"}, {"error"})
        if not isinstance(path, str) or not is_known:
            raise TypeError("its params or metrics are not what they should be")
        if not isinstance(contents.get("error", ""), str):
            raise TypeError("an error is no text")
        _check_plain(contents)


def _check_chains(read: dict[Oid, Experiment], kinds: dict[Oid, str], path: str) -> None:
    """Every step that is named is there and comes before, and every step that is there is named.

    Raises:
        Damaged
    """
    named = set()
    for experiment in read.values():
        before = read.get(experiment.before) if experiment.before is not None else None
        if experiment.before is not None and (before is None or before.step >= experiment.step):
            raise Damaged(path, f"the step before {experiment.step} of {experiment.name!r} is not")
        if experiment.before is not None:
            named.add(experiment.before)
    if any(kind == find.STEP and oid not in named for oid, kind in kinds.items()):
        raise Damaged(path, "a step is in it that nothing names")


def _check_plain(value: object) -> None:
    """Raises: TypeError"""
    if isinstance(value, dict):
        if not all(isinstance(key, str | int | float | None) for key in value):
            raise TypeError("a key of its params is none")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            _check_plain(inner)
    elif isinstance(value, bytes):
        raise TypeError("a value of its params is none")


LATEST = 1e11
"""Seconds since the epoch, in the year 5138."""


def _names(
    project: Project, read: dict[Oid, Experiment], kinds: dict[Oid, str], force: bool
) -> tuple[list[history.Renamed], list[str]]:
    """Names to set, and those that mean the same here already.

    Raises:
        UsageError
    """
    new: list[history.Renamed] = []
    known: list[str] = []
    taken: list[str] = []
    for oid, experiment in read.items():
        kind = kinds[oid]
        if kind == find.STEP:
            continue
        refs = history.refs_of(project.store, kind)
        try:
            here = refs.get(experiment.name)
        except StoreError:
            here = None
        if here == oid:
            known.append(experiment.name)
            continue
        other = "snapshot" if kind == "experiment" else "experiment"
        if queue.is_taken(project.store, experiment.name):
            raise UsageError(
                f"there is an experiment {experiment.name!r} in the queue: nothing was kept",
                f"remove it first: `dodo exp remove {experiment.name}`",
            )
        if history.refs_of(project.store, other).has(experiment.name):
            raise UsageError(
                f"there is {'a' if other == 'snapshot' else 'an'} {other} {experiment.name!r} here",
                "remove it first (`dodo undo` brings it back); nothing was kept",
            )
        if here is not None:
            taken.append(experiment.name)
        new.append(history.Renamed(kind, experiment.name, here, oid))
    if taken and not force:
        raise UsageError(
            f"there are other experiments of these names: {', '.join(taken[:5])}",
            "--force replaces them (`dodo undo` brings them back); nothing was kept",
        )
    if len({(ref.kind, ref.name) for ref in new}) < len(new):
        raise UsageError("the file has two experiments of one name", "nothing was kept")
    return new, known
