"""How commands are run."""

from __future__ import annotations

import os
import signal

import pytest

from dodo_exp.engine.execute import shell
from tests.space import Space


@pytest.mark.parametrize(
    "path, words",
    [
        ("/bin/bash", ["/bin/bash", "--noprofile", "--norc", "-c", "x"]),
        ("/usr/bin/zsh", ["/usr/bin/zsh", "--no-rcs", "-c", "x"]),
        ("/usr/bin/fish", ["/usr/bin/fish", "--no-config", "--private", "-c", "x"]),
        ("/bin/dash", ["/bin/dash", "-c", "x"]),
        ("", ["/bin/sh", "-c", "x"]),
    ],
)
def test_the_users_shell_without_its_start_up_files(
    monkeypatch: pytest.MonkeyPatch, path: str, words: list[str]
) -> None:
    monkeypatch.setenv("SHELL", path)
    assert shell("x") == words


def told(space: Space, cmd: str, *args: str, **more: str) -> str:
    """What a stage's command wrote to its output."""
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: {cmd}\n    deps: [in]\n    outs: [out]\n")
    space.write("in", "x")
    space.dodo("repro", *args, env=more)
    return space.read("out")


def test_each_line_is_a_process_of_its_own(space: Space) -> None:
    space.write(
        "dvc.yaml", "stages:\n  a:\n    cmd: |\n      x=1\n      echo $x- > out\n    outs: [out]\n"
    )
    space.repro()
    assert space.read("out") == "-\n"


def test_a_list_stops_at_the_first_failure(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: [touch one, 'false', touch two], outs: [two]}}\n")
    ran = space.repro(code=1)
    assert "'false' exited with 1" in ran.err
    assert space.exists("one") and not space.exists("two")


def test_python_is_told_to_speak_at_once_unless_the_user_says_otherwise(space: Space) -> None:
    assert told(space, "echo $PYTHONUNBUFFERED > out") == "1\n"
    assert told(space, "echo $PYTHONUNBUFFERED >out", PYTHONUNBUFFERED="no") == "no\n"


def test_input_from_a_pipe_reaches_a_stage_that_runs_alone(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: cat > out, outs: [out]}}\n")
    space.dodo("repro", stdin="hello\n")
    assert space.read("out") == "hello\n"
    space.dodo("repro", "-f", "-j", "2", stdin="hello\n")
    assert space.read("out") == ""


def test_what_a_command_wrote_is_in_its_log(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: [echo out, echo err >&2; touch x], outs: [x]}}\n")
    space.repro()
    assert space.read(".dodo/logs/a.log") == "> echo out\nout\n> echo err >&2; touch x\nerr\n"


def test_bytes_that_are_no_text_pass_through(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: \"printf 'a\\\\377b' ; touch x\", outs: [x]}}\n")
    assert "a\udcffb" in space.repro().err


def test_a_process_left_in_the_background_is_not_waited_for(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: sleep 55 & echo $! > pid, outs: [pid]}}\n")
    space.repro()
    os.kill(int(space.read("pid")), signal.SIGKILL)  # it lives: nobody waited for its end


def test_a_working_folder_that_is_not_there_fails_the_stage(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: touch x, wdir: nowhere, outs: [x]}}\n")
    ran = space.repro(code=2)
    assert "its working folder 'nowhere' is not there" in ran.err
