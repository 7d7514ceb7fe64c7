"""Verbs: which commands there are, in a line each, and the module that each is.

A verb is imported when it is used; its summary is here, so that `dodo --help` imports none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.declare import Command

    Table = dict[str, Any]

VERBS: Table = {
    "exp": {
        "": "Run and compare experiments.",
        "run": "Run the pipeline and keep the result as an experiment.",
        "show": "Show experiments with their metrics and params.",
        "list": "List experiments by name.",
        "diff": "Show how two experiments differ.",
        "apply": "Bring an experiment's files into the workspace.",
        "save": "Keep the workspace as an experiment, without running anything.",
        "remove": "Remove experiments.",
        "rename": "Give an experiment another name.",
        "tag": "Put words on experiments to find them by.",
        "note": "Write a note to an experiment.",
        "branch": "Keep an experiment as a snapshot, or as a branch of Git.",
        "logs": "Print what an experiment's commands wrote.",
        "export": "Write experiments with all their files into one file.",
        "import": "Read experiments from such a file.",
    },
    "queue": {
        "": "Run experiments later, several at a time.",
        "start": "Run what waits in the queue.",
        "stop": "Let workers take no more experiments.",
        "status": "Show what waits, runs and has run.",
        "logs": "Print what an experiment's commands wrote.",
        "kill": "End experiments that are running.",
        "remove": "Remove experiments from the queue.",
        "retry": "Let experiments that have failed wait for another turn.",
        "worker": "Run experiments of the queue, one after the other.",
    },
    "params": {
        "": "Show and compare params.",
        "show": "Show params.",
        "diff": "Show how params differ.",
    },
    "metrics": {
        "": "Show and compare metrics.",
        "show": "Show metrics.",
        "diff": "Show how metrics differ.",
    },
    "plots": {
        "": "Draw curves, charts and images.",
        "show": "Draw the plots of the workspace or of experiments.",
        "diff": "Draw plots of several experiments over each other.",
        "templates": "List the kinds of plots, or print one.",
    },
    "repro": "Bring the pipeline up to date without keeping an experiment.",
    "status": "Show which stages are out of date.",
    "why": "Say why a stage is out of date.",
    "dag": "Show which stage follows which.",
    "stage": {
        "": "Write and list the stages of dvc.yaml.",
        "add": "Add a stage to dvc.yaml.",
        "remove": "Take stages out of dvc.yaml.",
        "list": "List the stages.",
    },
    "add": "Keep files and folders that no stage makes.",
    "freeze": "Let stages keep what they have made, whatever changes.",
    "unfreeze": "Let frozen stages run again.",
    "checkpoint": "In a stage: keep its outputs as a step of the experiment.",
    "snapshot": "Keep the workspace as it is under a name.",
    "undo": "Take back what the last command changed.",
    "checkout": "Make outputs what dodo.lock says.",
    "commit": "Record stages as they lie, without running them.",
    "gc": "Give back the space of what nothing needs any more.",
    "init": "Make a folder a project of its own.",
    "config": "Show and change settings.",
    "doctor": "Say what this machine and file system offer, and what is wrong.",
    "store": {
        "": "Look after the store.",
        "check": "Check that the store holds all it should.",
        "ls": "List what an experiment or a snapshot keeps.",
        "cat": "Print a file, a folder or a record of the store.",
        "du": "Say what the store's space is used for.",
    },
    "completion": "Print the completion script of a shell.",
}
ALIASES = {"experiments": "exp", "ls": "list", "rm": "remove"}


def known(table: Table, word: str) -> str:
    """The name in the table that a word stands for; the word itself if there is none."""
    return word if word in table else ALIASES.get(word, word)


def load(path: tuple[str, ...]) -> Command:
    """The verb of these words: `dodo exp show` is `cli/exp_show.py:command`."""
    name = "_".join(path)
    found: Command = __import__(f"dodo_exp.cli.{name}", fromlist=["command"]).command
    return found


def find(words: list[str]) -> tuple[Command, list[str]] | None:
    """The verb that a command line begins with, and the words after it; None if it does not."""
    table: Table = VERBS
    path: tuple[str, ...] = ()
    for i, word in enumerate(words):
        name = known(table, word)
        entry = table.get(name) if name else None
        if entry is None:
            return None
        path = (*path, name)
        if not isinstance(entry, dict):
            return load(path), words[i + 1 :]
        table = entry
    return None
