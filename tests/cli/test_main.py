"""The command as a whole: help, version, mistakes, exit codes, streams."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dodo_exp import __version__
from dodo_exp.cli.grammar import dodo
from tests.space import Space


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command there is, as words."""
    context = click.Context(group)
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            inner = group.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))
    else:
        yield path


EVERY = list(commands(dodo))


def test_version(space: Space) -> None:
    assert space.dodo("--version").out == f"dodo {__version__}\n"


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself(space: Space, words: tuple[str, ...]) -> None:
    text = space.dodo(*words, "--help").out
    assert text.startswith(f"Usage: dodo {' '.join(words)}")
    command = dodo
    context = click.Context(dodo)
    for word in words:
        found = command.get_command(context, word)
        assert found is not None
        if isinstance(found, click.Group):
            command = found  # type: ignore[assignment]
        else:
            options = [p for p in found.params if isinstance(p, click.Option)]
            assert all(option.help for option in options)


@pytest.mark.parametrize(
    "args, says",
    [
        (["rpero"], "no command 'rpero' in `dodo`\nhint: did you mean 'repro'?"),
        (["exp", "rnu"], "no command 'rnu' in `dodo exp`\nhint: did you mean 'run'?"),
        (["repro", "--froce"], "no such option '--froce'\nhint: did you mean '--force'?"),
        (["exp", "show", "--sortby", "x"], "hint: did you mean '--sort-by'?"),
        (["exp", "show", "--number", "3"], "hint: did you mean '--num'?"),
        (["exp", "diff", "--rev", "x"], "'--rev'\nhint: see `dodo exp diff --help`"),
        (["exp", "run", "--foo=1"], "'--foo'\nhint: see `dodo exp run --help`"),
        (["exp", "run", "-y"], "'-y'\nhint: see `dodo exp run --help`"),
        (["repro", "-j", "0"], "invalid value for '-j' / '--jobs'"),
        (["repro", "-j", "many"], "invalid value for '-j' / '--jobs'"),
        (["--cd", "nowhere", "status"], "--cd 'nowhere': No such file or directory"),
        (["completion", "csh"], "invalid value for '{bash|zsh|fish}'"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2(
    project: Space, args: list[str], says: str
) -> None:
    ran = project.dodo(*args, code=2)
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert ran.out == ""


def test_cd_works_elsewhere(project: Space) -> None:
    ran = project.dodo("--cd", "project", "status", "-q", cwd="..", code=1)
    assert (ran.out, ran.err) == ("", "")


def test_results_go_to_stdout_and_everything_else_to_stderr(project: Space) -> None:
    text = project.read("dvc.yaml").replace("cat raw", "echo chatter; cat raw")
    project.write("dvc.yaml", text)
    ran = project.dodo("repro")
    assert ran.out == "3 ran\n"
    assert "chatter\n" in ran.err


def test_quiet_prints_the_result_alone(project: Space) -> None:
    ran = project.dodo("repro", "-q")
    assert (ran.out, ran.err) == ("3 ran\n", "")


def on_a_terminal(space: Space, *args: str, **env: str) -> str:
    """What `dodo ARGS` writes to a terminal."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dodo_exp", *args],
        cwd=space.root,
        env={**space.env, "TERM": "xterm", **env},
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    shown = b""
    try:
        while data := os.read(main, 4096):
            shown += data
    except OSError:  # the other side has closed
        pass
    os.close(main)
    process.wait()
    return shown.decode()


def test_colours_only_on_a_terminal_that_wants_them(project: Space) -> None:
    assert "\x1b[31merror:\x1b[0m" in on_a_terminal(project, "why", "x", NO_COLOR="")
    assert "\x1b[" not in on_a_terminal(project, "why", "x", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal(project, "why", "x", NO_COLOR="", TERM="dumb")
    assert "\x1b[" not in project.dodo("why", "x", code=2, env={"NO_COLOR": ""}).err


def test_control_characters_of_users_do_not_reach_the_terminal(space: Space) -> None:
    space.write("dvc.yaml", 'stages: {a: {cmd: "true", desc: "red \\e[31m"}}\n')
    assert space.dodo("stage", "list").out == "a  red \\x1b[31m\n"


def test_an_ascii_locale_is_no_reason_to_fail(space: Space) -> None:
    space.write("dvc.yaml", "stages: {größe: {cmd: 'true', desc: Größe 数据}}\n")
    ran = space.dodo("stage", "list", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert "gr\\xf6\\xdfe" in ran.out


def test_a_folder_that_is_gone_is_told_in_one_line(project: Space) -> None:
    done = subprocess.run(
        f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m dodo_exp status",
        shell=True,
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "error: the current folder does not exist any more\n",
    )


def test_a_store_of_a_newer_version_is_left_alone(project: Space) -> None:
    project.exp()
    version = project.root / ".dodo" / "VERSION"
    version.write_text("2\n")
    ran = project.dodo("exp", "show", code=5)
    assert "store format 2 is newer than this version reads" in ran.err
    version.write_text("1\n")


@pytest.fixture
def read_only(project: Space) -> Iterator[Space]:
    """A project with an experiment whose folder cannot be written, by root neither."""
    project.exp("-n", "one")
    mount = ["mount", "--bind", str(project.root), str(project.root)]
    as_root = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    if as_root:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(project.root)], check=True)
    else:
        for folder in [project.root, *(p for p in project.root.rglob("*") if p.is_dir())]:
            folder.chmod(0o555)
    yield project
    if as_root:
        subprocess.run(["umount", str(project.root)], check=True)
    else:
        for path in [project.root, *project.root.rglob("*")]:
            path.chmod(0o755)


def test_in_a_read_only_folder_reading_works_and_running_says_why_not(read_only: Space) -> None:
    assert read_only.dodo("status").out == "Data and pipelines are up to date.\n"
    assert "one " in read_only.dodo("exp", "show").out
    assert read_only.dodo("exp", "run").out.startswith("Up to date: experiment 'one'")
    ran = read_only.dodo("exp", "run", "-S", "train.lr=3", code=1)
    error, *hints = ran.err.splitlines()
    assert error.startswith("error: ")
    if "read-only" in error.lower():
        writable = "remount the disk writable"
        assert hints == [f"hint: that disk is read-only; nothing half was kept; {writable}"]
    else:
        assert "permission" in error.lower() and hints == []


def test_a_closed_stream_is_no_reason_to_fail(project: Space) -> None:
    for closed in (">&-", "2>&-", ">&- 2>&- <&-"):
        done = subprocess.run(
            f"{sys.executable} -m dodo_exp repro -f {closed}",
            shell=True,
            cwd=project.root,
            env=project.env,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_reader_that_goes_away_does_not_end_the_run(project: Space) -> None:
    subprocess.run(
        f"{sys.executable} -m dodo_exp repro 2>&1 | head -1",
        shell=True,
        cwd=project.root,
        env=project.env,
        check=True,
    )
    assert project.runs == ["prepare", "train", "evaluate"]
    assert project.dodo("status").out == "Data and pipelines are up to date.\n"


def test_bare_groups_explain_themselves(space: Space) -> None:
    for words in ([], ["exp"], ["stage"]):
        assert space.dodo(*words).out.startswith("Usage: dodo")


def test_a_full_project_path_with_spaces_and_other_scripts_works(tmp_path: Path) -> None:
    folder = tmp_path / "my proj 数据 😀"
    folder.mkdir()
    space = Space(folder)
    space.three_stages()
    assert space.exp().stages["train"] == "ran"
    space.check()
