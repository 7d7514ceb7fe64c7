"""`dodo completion` and what it completes."""

from __future__ import annotations

import subprocess

import pytest

from tests.space import Space


@pytest.mark.parametrize(
    "shell, has", [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_the_script_of_each_shell(space: Space, shell: str, has: str) -> None:
    script = space.dodo("completion", shell).out
    assert has in script
    assert "_DODO_COMPLETE" in script


@pytest.mark.parametrize(
    "words, offered",
    [
        (["dodo", "re"], {"repro"}),
        (["dodo", "exp", "s"], {"save", "show"}),
        (["dodo", "repro", "tr"], {"train"}),
        (["dodo", "why", ""], {"prepare", "train", "evaluate"}),
        (["dodo", "repro", "--single"], {"--single-item", "--single-stage"}),
    ],
)
def test_commands_options_and_stages_are_completed(
    project: Space, words: list[str], offered: set[str]
) -> None:
    script = project.dodo("completion", "bash").out
    ask = (
        f"{script}\nCOMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1};"
        ' _dodo_completion dodo; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask], cwd=project.root, env=project.env, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == offered


def test_completing_ends_well(project: Space) -> None:
    asked = {"_DODO_COMPLETE": "bash_complete", "COMP_WORDS": "dodo re", "COMP_CWORD": "1"}
    done = project.start(env=asked)
    out, err = done.communicate(timeout=20)
    assert (done.returncode, out, err) == (0, "plain,repro\n", "")
