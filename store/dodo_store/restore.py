"""Restore: bring nodes back into a folder, and take them out of it.

Every path is walked from the root through directory descriptors that follow no link, so whatever
is swapped for a link meanwhile, nothing outside is touched. Each thing is built in the scratch
folder, where a kill leaves nothing in anybody's way, and then changes places with what it replaces
in one step: a reader sees the old or the new.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from dodo_store import durable, forks
from dodo_store.errors import Damaged, NotStorable
from dodo_store.tree import EXEC, FILE, FOLDER, LINK, RESERVED
from dodo_store.walk import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dodo_store.delta import Change
    from dodo_store.store import Store
    from dodo_store.tree import Entries, Node


def restore(
    store: Store, node: Node, root: str, path: str, scratch: str, *, share: bool = False
) -> None:
    """Make *path* under *root* be what *node* says, replacing all that is there.

    With *share* its plain files share their content with the store, where they can. It is on disk
    once `sync` was called for it.

    Raises:
        NotStorable: a folder on the way is a link that leads outside *root*.
        Missing, Damaged: the store cannot give it; the target is then untouched.
    """
    _Place(store, root, scratch, {path} if share else frozenset()).put(path, node)


def apply(
    store: Store,
    wanted: Iterable[Change],
    root: str,
    scratch: str,
    shared: set[str] | frozenset[str] = frozenset(),
) -> list[str]:
    """Carry out changes one by one; return the paths of folders that could not go.

    Such a folder holds what no node knows: ignored files, or ones that came later. What is at or
    below *shared* paths shares its content with the store, where it can. What was changed is on
    disk at the end.

    Raises:
        NotStorable, Missing, Damaged
    """
    place = _Place(store, root, scratch, shared)
    left: list[str] = []
    ordered = sorted(wanted, key=lambda change: change.path)
    # Everything is built before anything is touched: a full disk is met while all is as it was.
    place.prepare(ordered)
    try:
        # Removals first, the deepest first: what comes may need the place of what goes.
        for change in reversed(ordered):
            if change.new is None and change.old is not None:
                place.take_out(change.path, change.old, left)
        for change in ordered:
            if change.new is not None:
                if change.old is not None and change.old.kind == FOLDER != change.new.kind:
                    place.take_out(change.path, change.old, left)
                if change.path not in left:
                    place.put(change.path, change.new)
        sync(root, (change.path for change in ordered))
    finally:
        place.clear()
    return left


def sync(root: str, paths: Iterable[str]) -> None:
    """Make durable what is, or is no more, at *paths* below *root*; see docs/design/store.md."""
    top = os.path.realpath(root)
    # Where a folder on the way is a link, the names are where that leads.
    full = (os.path.join(top, path) for path in paths)
    real = (
        os.path.join(os.path.realpath(os.path.dirname(each)), os.path.basename(each))
        for each in full
    )
    durable.sync_paths(real, top)


def check_ways(store: Store, wanted: Iterable[Change], root: str, scratch: str) -> None:
    """Before anything is touched: may every path be written to?

    Raises:
        NotStorable: a way leads outside, or through a file.
        PermissionError
    """
    place = _Place(store, root, scratch, frozenset())
    met: set[str] = set()
    for change in wanted:
        folder = change.path.rpartition("/")[0]
        if folder not in met:
            met.add(folder)
            place.check_way(change.path)


class _Place:
    """A root to put things into, its last folder kept open."""

    def __init__(
        self, store: Store, root: str, scratch: str, shared: set[str] | frozenset[str]
    ) -> None:
        self._shared = shared
        self._store = store
        self._root = root
        self._scratch = scratch
        self._device = os.stat(scratch).st_dev
        self._built: dict[str, str] = {}

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str, str]]:
        """The folder that *path* lies in as a descriptor, the last name, the folder's full path.

        Raises:
            NotStorable: the way leads outside.
            FileNotFoundError: there is no such folder, and none is made.
        """
        top = os.path.realpath(self._root)
        folder, _, name = path.rpartition("/")
        full = os.path.realpath(os.path.join(top, folder))
        if name in ("", ".", "..") or not is_within(full, top):
            raise NotStorable(path, "a folder on its way is a link that leads outside the project")
        fd = os.open(top, _FOLDER)
        try:
            # From here on no link is followed: one that appears now is somebody's trick.
            for part in os.path.relpath(full, top).split("/") if full != top else ():
                try:
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(part, dir_fd=fd)
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        text = "a file is where a folder on its way should be"
                        raise NotStorable(path, text) from None
                    raise
                os.close(fd)
                fd = inner
            yield fd, name, full
        finally:
            os.close(fd)

    def check_way(self, path: str) -> None:
        """Whether what is at *path* may be replaced."""
        try:
            with self._parent(path) as (fd, _, folder):
                if not os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK) and not os.access(
                    folder, os.W_OK | os.X_OK
                ):
                    raise PermissionError(errno.EACCES, "no permission to change it", folder)
        except FileNotFoundError:
            if "/" in path:  # it will be made; may it be, where it would be?
                self.check_way(path.rpartition("/")[0])

    def prepare(self, wanted: Iterable[Change]) -> None:
        """Build what is to come, unless it lies on another file system than the scratch folder."""
        if os.stat(self._root).st_dev != self._device:
            return
        try:
            for change in wanted:
                if change.new is not None:
                    stem = os.path.join(self._scratch, durable.temporary_name())
                    self._built[change.path] = f"{stem}.new"
                    self._build(change.new, f"{stem}.new", change.path)
        except BaseException:
            for built in self._built.values():
                remove(built)
            raise

    def put(self, path: str, node: Node) -> None:
        """Build it aside, then let it change places with what is there."""
        stem = os.path.join(self._scratch, durable.temporary_name())
        with self._parent(path, make=True) as (fd, name, folder):
            is_near = os.fstat(fd).st_dev == self._device
            built = self._built.pop(path, None) if is_near else None
            if not is_near:
                stem = f"{_beside(fd, folder)}/{durable.temporary_name()}"
            new, old = built or f"{stem}.new", f"{stem}.old"
            try:
                if built is None:
                    self._build(node, new, path)
                if node.kind in (FILE, EXEC) and not self._is_shared(path):
                    _keep_mode(name, fd, new)
                _swap(new, name, fd, old)
            finally:
                remove(new)
                remove(old)

    def clear(self) -> None:
        """Remove what was built and not put."""
        for built in self._built.values():
            remove(built)

    def _build(self, node: Node, to: str, path: str) -> None:
        store = self._store
        if node.kind == LINK:
            target = store.objects.read(node.oid)
            if len(target) != node.size or b"\0" in target:
                raise Damaged(store.objects.path(node.oid), "not the target of the recorded link")
            os.symlink(target, os.fsencode(to))
        elif node.kind == FOLDER:
            os.mkdir(to)
            self._build_all(store.tree(node.oid), to, path)
        elif node.kind != FILE or not self._is_shared(path) or not self._link(node, to):
            self._copy(node, to)

    def _build_all(self, members: Entries, to: str, path: str) -> None:
        """Build what a folder holds; many files are written by several processes."""
        plain = []
        for name, node in members:
            if node.kind in (LINK, FOLDER) or self._is_shared(f"{path}/{name}"):
                self._build(node, f"{to}/{name}", f"{path}/{name}")
            else:
                plain.append((f"{to}/{name}", node))
        forks.each(plain, self._write)

    def _write(self, files: Sequence[tuple[str, Node]]) -> list[None]:
        for to, node in files:
            self._copy(node, to)
        return [None] * len(files)

    def _copy(self, node: Node, to: str) -> None:
        mode = 0o777 if node.kind == EXEC else 0o666
        self._store.objects.copy_out(node.oid, node.size, to, mode)

    def _is_shared(self, path: str) -> bool:
        parts = path.split("/") if self._shared else ()
        return any("/".join(parts[:i]) in self._shared for i in range(1, len(parts) + 1))

    def _link(self, node: Node, to: str) -> bool:
        return self._store.objects.link_out(node.oid, node.size, to)

    def take_out(self, path: str, node: Node, left: list[str]) -> None:
        """Remove what *node* knows; a folder goes only if nothing else is in it."""
        try:
            with self._parent(path) as (fd, name, _):
                self._take_out(path, name, fd, node, left)
        except FileNotFoundError:
            return

    def _take_out(self, path: str, name: str, fd: int, node: Node, left: list[str]) -> None:
        if node.kind != FOLDER:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=fd)
            return
        try:
            inner = os.open(name, _FOLDER, dir_fd=fd)
        except OSError:
            return  # not the folder that the node means
        try:
            for member, below in self._store.tree(node.oid):
                self._take_out(f"{path}/{member}", member, inner, below, left)
        finally:
            os.close(inner)
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            left.append(path)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _beside(fd: int, folder: str) -> str:
    """A path to the open folder *fd* that stays its own, whatever takes the place of *folder*."""
    own = f"/proc/self/fd/{fd}"
    return own if os.path.isdir(own) else folder


def _keep_mode(name: str, fd: int, new: str) -> None:
    """What nobody else could read before nobody else can read after."""
    with contextlib.suppress(OSError):
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            mode = os.stat(new).st_mode & 0o777
            others = found.st_mode & 0o066
            os.chmod(new, mode & (0o700 | others | (others & 0o044) >> 2))


def _swap(new: str, name: str, fd: int, old: str) -> None:
    """Put *new* in the place of *name* in the folder *fd*; what was there may end up at *old*."""
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(new, name, dst_dir_fd=fd)
        return
    if not stat.S_ISDIR(found.st_mode) and not os.path.isdir(new):
        os.rename(new, name, dst_dir_fd=fd)
    elif not _exchange(new, name, fd):
        with contextlib.suppress(FileNotFoundError):
            os.rename(name, old, src_dir_fd=fd)
        try:
            os.rename(new, name, dst_dir_fd=fd)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, name, dst_dir_fd=fd)
            raise


def _exchange(new: str, name: str, fd: int) -> bool:
    """Let two paths change places in one step; False where the system cannot (not Linux)."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(here, os.fsencode(new), fd, os.fsencode(name), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOENT):
        return False
    raise OSError(code, os.strerror(code), new)


def holds_reserved(path: str) -> bool:
    """Whether a reserved name is in the folder at *path*: what no snapshot can bring back."""
    return any(
        not RESERVED.isdisjoint(names) or not RESERVED.isdisjoint(files)
        for _, names, files in os.walk(path)
    )


def remove(path: str) -> None:
    """Remove a file, link or folder; nothing where nothing is."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        _remove_folder(path)


def _remove_folder(path: str) -> None:
    try:
        with os.scandir(path) as entries:
            inner = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
        for each in inner:
            os.unlink(each)
        os.rmdir(path)
    except OSError:
        import shutil  # for folders in folders and all other cases; it takes 3 ms to load

        shutil.rmtree(path)
