"""Workspace: one folder as it is now: its pipeline, params, lock records and contents.

Reading only; nothing here changes a user's file. What was read once in a command is not read
again, unless `forget` says that time has passed.
"""

from __future__ import annotations

import errno
import os
import stat
from _thread import RLock
from contextlib import contextmanager

from dodo_exp.engine import discover, recovery
from dodo_exp.engine.memo import Memo
from dodo_exp.errors import BadInput, Failure, Faults
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.graph import Graph
from dodo_exp.pipeline.lockfile import is_data
from dodo_exp.pipeline.model import MAX_BYTES, PIPELINE_FILE, PipelineFile, pipeline_file_of
from dodo_store import durable
from dodo_store.errors import NotStorable
from dodo_store.ignore import Ignore
from dodo_store.stamps import Stamps, now
from dodo_store.walk import Digest, Source, digest, is_within, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_exp.pipeline.model import Stage
    from dodo_store.oid import Oid
    from dodo_store.store import Store
    from dodo_store.tree import Node
    from dodo_store.walk import Listings


class Workspace:
    """A folder with stages, seen through the caches of *store*."""

    def __init__(self, root: str, store: Store, *, tolerant: bool = False) -> None:
        """A *tolerant* one takes a pipeline or lock file that cannot be read for an empty one."""
        self._tolerant = tolerant
        self._lock = RLock()
        """Guards the caches below; not held while a stage's files are read or hashed."""
        self.root = root
        self.store = store
        self.stamps = Stamps(
            f"{store.local}/stamps", store.generation, is_trusted=store.trusts_stat
        )
        self.memo = Memo(f"{store.local}/memo", is_trusted=store.trusts_stat)
        names = (".dvcignore", ".dodoignore")
        self.input_ignore = Ignore(root, names)
        self.output_ignore = Ignore(root, names, defaults=False)
        self._pipeline_ignore = Ignore(root, discover.IGNORE_FILES)
        # What was made of what the memo holds; the same again for as long as that is the same.
        self._compiled: dict[str, tuple[Any, PipelineFile]] = {}
        self._connected: tuple[list[PipelineFile], Graph] | None = None
        self._parsed: dict[str, tuple[Any, dict[str, StageRecord]]] = {}
        self.born = now()
        """Nanoseconds on the clock of file times: nothing was looked at before."""
        self._has_followed = False
        self.untouched: Any = None
        """Good for as long as nobody has held the workspace since it was looked at."""
        self.is_held = False
        """Whether this command holds the workspace."""
        self.forget()

    def go_live(self) -> None:
        """Stages begin to run and files to change: from here on every question looks at the disk.

        The pipeline and the records stay as they are: the run goes by what it began with.
        """
        _ = self.graph, self.records
        self._live = True

    def forget(self) -> None:
        """Read everything anew from here on; the caches on disk still spare what stood still."""
        self._live = self._supposed = False
        self._instead: Mapping[str, bytes] = {}
        self._files: dict[str, PipelineFile] | None = None
        self._graph: Graph | None = None
        self._params: dict[str, dict[Any, Any] | None] = {}
        self._records: dict[str, StageRecord] | None = None
        self._all_records: dict[str, dict[str, StageRecord]] | None = None
        self._data: dict[str, Node] | None = None
        self._seen: dict[tuple[str, bool], Digest] = {}
        self._listings: Listings = {}
        self._urls: dict[str, Oid | None] = {}
        self._outside: dict[str, bool] = {}

    def save_caches(self) -> None:
        """Keep what was learned, if the folder can be written.

        A command that holds the workspace also syncs what it has hashed: later boots believe it.
        """
        if self.store.exists:
            if self.is_held and not self.is_apart:
                self.stamps.sync_files(self.root)
            self.stamps.save()
            self.memo.save()

    def path(self, relative: str) -> str:
        """The full path of one relative to the root (an absolute one stays)."""
        return os.path.join(self.root, relative)

    def leads_outside(self, path: str) -> bool:
        """Whether a link on the way to a path of the project leads out of it."""
        folder = os.path.dirname(self.path(path))
        with self._lock:
            known = None if self._live else self._outside.get(folder)
        if known is None:
            root, real = os.path.realpath(self.root), os.path.realpath(folder)
            known = real != root and not real.startswith(root + "/")
            with self._lock:
                self._outside[folder] = known
        return known

    def link_outside(self, path: str) -> str | None:
        """Where the link at a path itself leads, if it leads out of the project; else None."""
        full = self.path(path)
        try:
            target = os.readlink(full)
        except OSError:
            return None  # no link, which is nearly always so
        return None if is_within(full, self.root) else target

    def inside(self, folder: str, path: str) -> str:
        """A path that the user gave, standing in *folder*, relative to the root."""
        if os.path.isabs(path):
            self._has_followed = True
            return os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))
        return os.path.normpath(os.path.join(folder, path))

    # -- what the user wrote ---------------------------------------------------------------

    @property
    def files(self) -> dict[str, PipelineFile]:
        """Every dvc.yaml by its path.

        Raises:
            BadInput: with all that is wrong in any of them.
        """
        with self._lock:
            if self._files is None:
                faults = Faults()

                def read(path: str) -> PipelineFile:
                    with faults:
                        return self._pipeline_file(path)
                    return PipelineFile(path)

                found = discover.pipeline_files(self.root, self._pipeline_ignore, self.memo, read)
                if not self._tolerant and len(faults):
                    from dodo_exp.engine.compile import suggest_root

                    suggest_root(faults, self.root)
                    faults.tell()
                self._files = found
            return self._files

    @property
    def notes(self) -> list[str]:
        """What is no fault in a dvc.yaml but should be known, each with its place."""
        return [note for file in self.files.values() for note in file.notes]

    @property
    def graph(self) -> Graph:
        """All stages and what they wait for."""
        with self._lock:
            if self._graph is None:
                files = list(self.files.values())
                known = self._connected
                if known is None or [*map(id, known[0])] != [*map(id, files)]:
                    self._connected = known = files, self._connect(files)
                self._graph = known[1]
            return self._graph

    def _connect(self, files: list[PipelineFile]) -> Graph:
        try:
            return Graph(stage for file in files for stage in file.stages)
        except BadInput:
            if not self._tolerant:
                raise
            return Graph(())

    def _pipeline_file(self, path: str) -> PipelineFile:
        def read(watch: Callable[[str], None]) -> PipelineFile:
            from dodo_exp.engine.compile import compile_file

            return compile_file(self, path, watch)

        try:
            if self._supposed:
                return read(lambda name: None)
            row = self.memo.get_watched("pipeline", path, self.root, read)
        except FileNotFoundError:
            raise BadInput(path, "a link that leads nowhere") from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            looped = os.path.relpath(error.filename, self.root) if error.filename else path
            raise BadInput(looped, "not a regular file") from None
        if path not in self._compiled or self._compiled[path][0] is not row:
            self._compiled[path] = row, pipeline_file_of(row)
        return self._compiled[path][1]

    def read(self, path: str, most: int = MAX_BYTES) -> bytes:
        """The bytes of a file the user wrote, at most so many.

        Raises:
            BadInput: not a regular file, or not readable.
        """
        if path in self._instead:
            return self._instead[path]
        full = self.path(path)
        if self.memo.is_there(path, self.root) and not os.path.isfile(full):
            raise BadInput(path, "not a regular file")
        try:
            with open(full, "rb") as file:
                if os.fstat(file.fileno()).st_size > most:
                    raise BadInput(path, f"larger than {most >> 20} MiB")
                return file.read()
        except PermissionError:
            raise BadInput(path, "no permission to read it") from None

    def params(self, path: str) -> dict[Any, Any] | None:
        """The contents of a parameter file; None where there is none.

        Raises:
            BadInput
        """
        with self._lock:
            if not self._live and path in self._params:
                return self._params[path]
        found = self._read_params(path)
        with self._lock:
            self._params[path] = found
        return found

    @contextmanager
    def supposing(self, contents: dict[str, dict[Any, Any]]) -> Iterator[None]:
        """For a block take these for the contents of parameter files.

        Stages are compiled anew only if one of the files fills their templates.
        """
        before = self._params, self._supposed, self._files, self._graph, self._records
        uses = {dep.file for file in self.files.values() for dep in file.uses}
        try:
            self._params = {**self._params, **contents}
            if uses & contents.keys():
                self._supposed, self._files, self._graph, self._records = True, None, None, None
            yield
        finally:
            self._params, self._supposed, self._files, self._graph, self._records = before

    @contextmanager
    def reading_instead(self, files: Mapping[str, bytes]) -> Iterator[None]:
        """For a block take these for the bytes of parameter files."""
        from dodo_exp.pipeline import params

        before = self._instead
        self._instead = {**before, **files}
        try:
            with self.supposing({path: params.parse(data, path) for path, data in files.items()}):
                yield
        finally:
            self._instead = before

    def _read_params(self, path: str) -> dict[Any, Any] | None:
        def read() -> dict[Any, Any]:
            from dodo_exp.pipeline import params

            return params.parse(self.read(path), path)

        try:
            value: dict[Any, Any] = self.memo.get("params", path, self.path(path), read)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return value

    def metrics(self, path: str) -> Any:
        """The contents of a metrics file.

        Raises:
            FileNotFoundError, BadInput
        """

        def read() -> Any:
            from dodo_exp.pipeline import params

            return params.parse_metrics(self.read(path), path)

        return self.memo.get("metrics", path, self.path(path), read)

    # -- what has been made ----------------------------------------------------------------

    def record(self, stage: Stage) -> StageRecord | None:
        """The stage's last good run in this folder."""
        return self.records.get(stage.address)

    def is_made_by_dvc(self, stage: Stage, *, allow_missing: bool = False) -> bool:
        """Whether what lies here is the stage's result by DVC's records, and ours know nothing.

        With *allow_missing*, so far as it is here.
        """
        lock = os.path.join(os.path.dirname(stage.file), lockfile.DVC_LOCK)
        if self.record(stage) is not None or stage.runs_always:
            return False
        if not os.path.exists(self.path(lock)):
            return False
        from dodo_exp.engine import migrate

        return migrate.is_made(self, stage, allow_missing=allow_missing)

    @property
    def records(self) -> dict[str, StageRecord]:
        """Every stage's last good run: the lock files, then what a run has yet to fold in."""
        with self._lock:
            if self._records is None:
                locks = self._locks
                self._records = {
                    stage.address: locks[path][stage.name]
                    for path, file in self.files.items()
                    for stage in file.stages
                    if stage.name in locks[path]
                }
            return self._records

    @property
    def data(self) -> dict[str, Node]:
        """What the user has added without a stage, by path; see engine/data.py."""
        with self._lock:
            if self._data is None:
                if PIPELINE_FILE in self.files:
                    records = self._locks[PIPELINE_FILE]
                else:
                    records = self.lock_records(PIPELINE_FILE)
                rows = (record.outs[0] for name, record in records.items() if is_data(name, record))
                self._data = {path: node for path, node in rows if _is_inside(path)}
            return self._data

    def known_records(self, pipeline: str) -> dict[str, StageRecord]:
        """The records of one dvc.yaml, those of stages that are no more among them."""
        return self._locks[pipeline]

    @property
    def _locks(self) -> dict[str, dict[str, StageRecord]]:
        with self._lock:
            if self._all_records is None:
                found = {path: self.lock_records(path) for path in self.files}
                recovery.overlay(self.store, self.root, found)
                self._all_records = found
            return self._all_records

    def lock_records(self, pipeline: str) -> dict[str, StageRecord]:
        """The records in the dodo.lock beside one dvc.yaml, by stage name."""
        path = lockfile.beside(pipeline)

        def read() -> dict[str, Any]:
            text = self.read(path, 1 << 30).decode("utf-8", "replace")
            records = lockfile.parse(text, path)
            return {name: lockfile.plain(record) for name, record in records.items()}

        try:
            rows = self.memo.get("lock", path, self.path(path), read)
        except FileNotFoundError:
            return {}
        except BadInput:
            if self._tolerant:
                return {}
            raise
        with self._lock:
            if path not in self._parsed or self._parsed[path][0] is not rows:
                self._parsed[path] = rows, {n: lockfile.of_plain(row) for n, row in rows.items()}
            return dict(self._parsed[path][1])

    def write_lock(self, pipeline: str, made: dict[str, StageRecord | None]) -> None:
        """Renew stages' blocks in the dodo.lock beside a dvc.yaml; None takes a block out."""
        path = lockfile.beside(pipeline)
        before = self.lock_records(pipeline)
        after = {name: each for name, each in {**before, **made}.items() if each is not None}
        if after == before:
            return
        full = self.path(path)
        try:
            with open(full, encoding="utf-8", newline="") as file:
                text = lockfile.renewed(file.read(), before, made)
        except (FileNotFoundError, UnicodeDecodeError):
            text = None
        data = (text if text is not None else lockfile.dump(after)).encode()
        durable.replace(full, data)
        rows = dict(self._parsed[path][0]) if path in self._parsed else {}
        for name, record in made.items():
            rows.pop(name, None)
            if record is not None:
                rows[name] = lockfile.plain(record)
        self.memo.put("lock", path, full, data, rows)
        self._parsed[path] = rows, after

    # -- what is on disk -------------------------------------------------------------------

    def digest(self, path: str) -> Oid | None:
        """Digest of an input as a program would read it; None where it is missing."""
        if "://" in path:
            return self._digest_elsewhere(path)
        with self._lock:
            made = self._seen.get((path, False))
        if made is not None and made.is_same_for_both and not self._live:
            return made.digest
        return self._digest(path, follow=True)

    def _digest_elsewhere(self, url: str) -> Oid | None:
        with self._lock:
            if not self._live and url in self._urls:
                return self._urls[url]
        from dodo_exp.engine import elsewhere

        found = elsewhere.digest(self, url)
        with self._lock:
            self._urls[url] = found
        return found

    def out_digest(self, path: str) -> Oid | None:
        """Digest of an output as the store would keep it; None where it is missing."""
        return self._digest(path, follow=False)

    def out_look(self, path: str) -> Node | None:
        """An output as the store would keep it, with modes and empty folders; None: missing.

        Raises:
            Failure
        """
        try:
            node, _ = look(self._source(False), path, follow=False)
        except NotStorable as error:
            raise Failure(f"{error.path}: {error}") from None
        return node

    def out_node(self, path: str, *, stored: bool = False) -> Node:
        """An output that is not stored: known by its digest, kept by the user.

        *stored* names it as the store would, for it may get there later.

        Raises:
            Failure, NotStorable
        """
        node, _ = look(self._source(False), path, follow=False)
        if node is None:
            raise Failure(f"{path}: it vanished")
        return node if stored else node._replace(oid=node.digest)

    @property
    def listings(self) -> Listings | None:
        """Folders as this command has seen them, unless stages run and change them."""
        return None if self._live else self._listings

    @property
    def looked_at(self) -> Iterator[tuple[str, bool]]:
        """Paths whose content was looked at, and whether as inputs are, by where links lead."""
        with self._lock:
            return iter(list(self._seen))

    @property
    def rules_from(self) -> Iterator[str]:
        """Files and folders that said what is to be passed over."""
        for each in (self.input_ignore, self.output_ignore, self._pipeline_ignore):
            yield from each.sources

    @property
    def is_apart(self) -> bool:
        """Whether this is a folder that was laid out for an experiment."""
        return self.store.local != self.store.folder

    @property
    def is_beyond_stats(self) -> bool:
        """Whether anything was looked at that no stat tells of, or that is only supposed."""
        return bool(self._urls) or self._live or self._supposed or self._has_followed

    def _digest(self, path: str, follow: bool) -> Oid | None:
        key = (path, follow)
        with self._lock:
            found = None if self._live else self._seen.get(key)
        if found is None:
            try:
                oid = self._stamped(path)
                if oid is not None:
                    found = Digest(oid, True)
                else:
                    found = digest(self._source(follow), path, follow=follow)
            except PermissionError:
                raise Failure(f"{path}: no permission to read it") from None
            except NotStorable as error:
                raise Failure(f"{error.path}: {error}") from None
            with self._lock:
                self._seen[key] = found
        return found.digest

    def _source(self, follow: bool) -> Source:
        ignore = self.input_ignore if follow else self.output_ignore
        return Source(self.root, self.stamps, ignore, strict=True, listings=self.listings)

    def _stamped(self, path: str) -> Oid | None:
        """Digest of a plain file that stands still: most of what is asked for, so in few steps."""
        try:
            found = os.lstat(path if path[:1] == "/" else f"{self.root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self.stamps.of(path, found) if stat.S_ISREG(found.st_mode) else None


def _is_inside(path: str) -> bool:
    """Whether a path that a lock file names is one of the project."""
    return bool(path) and os.path.normpath(path) == path and not path.startswith(("/", "../", ".."))
