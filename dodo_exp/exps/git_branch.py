"""Git branch: an experiment as a branch of the Git repository that the project lies in.

One commit on top of HEAD. It has what Git would take of the experiment's files: not those that Git
ignores, as outputs mostly are. Neither the workspace nor Git's index is touched.
"""

from __future__ import annotations

import os
import subprocess

from dodo_exp.engine.discover import IGNORE_FILES
from dodo_exp.errors import Failure, UsageError
from dodo_exp.exps import find, temp
from dodo_exp.exps.record import load
from dodo_store import durable
from dodo_store.ignore import Ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.project import Project

Env = dict[str, str]


class _Git:
    """Git, in the folder of the project."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __call__(self, *words: str, data: bytes = b"", env: Env | None = None) -> str:
        """What a command of Git prints.

        Raises:
            Failure: with Git's own words.
        """
        done = self.run(*words, data=data, env=env)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
                "no reason given"
            ]
            raise Failure(f"git {words[0]}: {said[-1].removeprefix('fatal: ')}")
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def run(
        self, *words: str, data: bytes = b"", env: Env | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """How a command of Git ends."""
        try:
            return subprocess.run(
                ["git", *words],
                cwd=self._folder,
                input=data,
                capture_output=True,
                env={**os.environ, "LC_ALL": "C", **(env or {})},
            )
        except FileNotFoundError:
            raise Failure("there is no git on this machine") from None


def create(project: Project, name: str, branch: str | None, message: str, *, force: bool) -> str:
    """Make the branch; returns its name.

    Raises:
        UsageError: no repository, or the branch is there.
        Failure: Git says no.
    """
    git = _Git(project.root)
    if git.run("rev-parse", "--is-inside-work-tree").returncode:
        hint = "without --git the experiment is kept as a snapshot"
        raise UsageError("the project is in no Git repository", hint)
    found = find.find(project.store, name, find.READABLE)
    branch = branch if branch is not None else f"{found.name}-branch"
    ref = f"refs/heads/{branch}"
    is_name = branch not in ("@", "HEAD") and not branch.startswith("-")
    if not is_name or git.run("check-ref-format", ref).returncode:
        raise UsageError(f"{branch!r} is no name for a branch of Git")
    here, others = _checked_out(git)
    if ref == here:
        raise UsageError(f"{branch!r} is the branch that is checked out", "choose another name")
    if ref in others:
        raise UsageError(f"{branch!r} is checked out in another work tree", "choose another name")
    there = git.run("rev-parse", "-q", "--verify", ref).stdout.decode().strip()
    if there and not force:
        raise UsageError(f"there is a branch {branch!r} already", "--force lets it go")
    experiment = load(project.store, found.oid)
    project.write()
    with temp.borrow(project) as place:
        place.bring(experiment.result)
        tree = _tree(project, git, place.root, place.local)
    head = git.run("rev-parse", "-q", "--verify", "HEAD").stdout.decode().strip()
    parents = ["-p", head] if head else []
    text = message or experiment.message or f"dodo: experiment {found.name}"
    commit = git("commit-tree", tree, *parents, data=text.encode("utf-8", "surrogateescape"))
    # As it was when we looked: one that somebody has made meanwhile stays.
    git(
        "update-ref", "-m", f"dodo exp branch {found.name}", ref, commit, there or "0" * len(commit)
    )
    return branch


def _checked_out(git: _Git) -> tuple[str, set[str]]:
    """The branch that HEAD stands for, and those of all work trees."""
    here = git.run("symbolic-ref", "-q", "HEAD").stdout.decode().strip()
    listed = git.run("worktree", "list", "--porcelain").stdout.decode("utf-8", "surrogateescape")
    lines = listed.splitlines()
    return here, {line.split(" ", 1)[1] for line in lines if line.startswith("branch ")}


def _tree(project: Project, git: _Git, files: str, scratch: str) -> str:
    """The repository's tree with the project's part of it made what lies in *files*."""
    prefix = git("rev-parse", "--show-prefix").rstrip("/")
    index = f"{scratch}/git-index-{durable.temporary_name()}"
    env = {"GIT_INDEX_FILE": index, "GIT_WORK_TREE": files,
           "GIT_DIR": git("rev-parse", "--absolute-git-dir")}  # fmt: skip
    try:
        there = _Git(files)
        has_head = git.run("rev-parse", "-q", "--verify", f"HEAD:{prefix}").returncode == 0
        there("read-tree", *([f"HEAD:{prefix}"] if has_head else ["--empty"]), env=env)
        listed = there.run("ls-files", "-s", "-z", env=env).stdout.decode(
            "utf-8", "surrogateescape"
        )
        entries = [entry.split("\t", 1) for entry in listed.split("\0") if entry]
        modules = {path for mode, path in entries if mode.startswith(SUBMODULE)}
        known = {path for _, path in entries} - modules
        here = {path for path in _files(files) if not _is_below(path, modules)}
        ignored = _ignored(git, there, env, here - known)
        passed_over = Ignore(project.root, IGNORE_FILES)
        gone = {path for path in known - here if not _is_passed_over(passed_over, path)}
        paths = "\0".join(sorted((here - ignored) | gone))
        data = paths.encode("utf-8", "surrogateescape")
        there("update-index", "--add", "--remove", "--replace", "-z", "--stdin", data=data, env=env)
        tree = there("write-tree", env=env)
        if not prefix:
            return tree
        is_born = git.run("rev-parse", "-q", "--verify", "HEAD").returncode == 0
        whole = {"GIT_INDEX_FILE": index}
        git("read-tree", *(["HEAD"] if is_born else ["--empty"]), env=whole)
        git("rm", "-r", "-q", "--cached", "--ignore-unmatch", ".", env=whole)
        git("read-tree", f"--prefix={prefix}/", tree, env=whole)
        return git("write-tree", env=whole)
    finally:
        if os.path.exists(index):
            os.unlink(index)


SUBMODULE = "160000"
"""The mode of an entry that is a repository of its own; it stays what it is in HEAD."""


def _is_below(path: str, folders: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:i]) in folders for i in range(1, len(parts) + 1))


def _files(root: str) -> list[str]:
    found = []
    for folder, names, files in os.walk(root):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in (*files, *links)]
    return found


def _ignored(git: _Git, there: _Git, env: Env, paths: set[str]) -> set[str]:
    """Those that Git ignores, by the rules that hold in the project's own folder.

    Where that has a link in place of a folder, by those among the experiment's files.
    """
    data = "\0".join(sorted(paths)).encode("utf-8", "surrogateescape")
    done = git.run("check-ignore", "--no-index", "-z", "--stdin", data=data)
    if done.returncode > 1:
        done = there.run("check-ignore", "--no-index", "-z", "--stdin", data=data, env=env)
    if done.returncode > 1:
        raise Failure(f"git check-ignore: {done.stderr.decode('utf-8', 'replace').strip()}")
    return set(filter(None, done.stdout.decode("utf-8", "surrogateescape").split("\0")))


def _is_passed_over(ignore: Ignore, path: str) -> bool:
    """Whether dodo does not take the path: then its absence says nothing."""
    parts = path.split("/")
    ways = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(ignore.skips(way, way != path) for way in ways)
