"""The command: finds the verb, runs it, prints its report, and turns errors into exit codes.

Nothing else prints or exits. A verb is imported when it is used; its summary comes from the table
here, so that `dodo --help` imports none.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from dodo_exp import __version__
from dodo_exp.errors import DodoError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from dodo_exp.cli.render import Report

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


class Verbs(click.Group):
    """A group whose commands are modules: `dodo exp show` is `cli/exp_show.py:command`."""

    def __init__(self, table: Table, path: tuple[str, ...] = (), **attributes: Any) -> None:
        super().__init__(no_args_is_help=True, **attributes)
        self._table = table
        self._path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the table."""
        return [name for name in self._table if name]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb, or make the group of verbs."""
        name = name if name in self._table else ALIASES.get(name, name)
        entry = self._table.get(name) if name else None
        if entry is None:
            return None
        if isinstance(entry, dict):
            return Verbs(entry, (*self._path, name), name=name, help=entry[""])
        from importlib import import_module

        module = import_module("dodo_exp.cli." + "_".join((*self._path, name)))
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one was meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            group = " ".join(("dodo", *self._path))
            raise BadUsage(
                f"no command {args[0]!r} in `{group}`",
                did_you_mean(args[0], self.list_commands(ctx), "commands"),
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        rows = [
            (name, entry[""] if isinstance(entry, dict) else entry)
            for name, entry in self._table.items()
            if name
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class BadUsage(DodoError):
    """A command line that names no verb."""

    code = 2


def _cd(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise BadUsage(f"--cd {value!r}: {error.strerror}") from None


dodo = Verbs(
    VERBS,
    name="dodo",
    help="Run, compare and restore experiments over a dvc.yaml, without Git.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--cd"], metavar="DIR", callback=_cd, expose_value=False, help="Work in DIR."
        ),
        click.Option(
            ["--version", "-V"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=lambda ctx, param, value: _version(ctx, value),
            help="Print the version.",
        ),
    ],
)


def _version(ctx: click.Context, value: bool) -> None:
    if value:
        click.echo(f"dodo {__version__}")
        ctx.exit()


def main() -> None:
    """Run the command line and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run(sys.argv[1:], _keep)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_gone()
    except OSError:
        code = code or 1  # who printed has said so
    # Leaving at once skips the interpreter's tidying up: nothing of ours is left to do.
    sys.stderr.flush()
    os._exit(code)


def run(args: list[str], said: Callable[[list[str], Report], None] | None = None) -> int:
    """Run one command line; return its exit code. What was *said* with success is passed on."""
    try:
        report = dodo.main(args, prog_name="dodo", standalone_mode=False)
        if isinstance(report, int):
            return report
        if report is None:
            return 0
        from dodo_exp.cli import render

        code = render.emit(report)
        if said is not None and code == 0:
            said(args, report)
        return code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return _fail("stopped", None, 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        return _fail(*_usage(error, args), 2)
    except click.ClickException as error:
        return _fail(error.format_message(), None, error.exit_code)
    except DodoError as error:
        return _all_failed(error)
    except KeyboardInterrupt:
        return _fail("stopped", None, 130)
    except SystemExit as stop:  # click's, after completion, and for a pipe that nobody reads
        return _reader_gone() if stop.code else 0
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:
        told = _outside_fault(error)
        if told is None:
            raise
        return _fail(*told)


def _keep(args: list[str], report: Report) -> None:
    """Let it be said again without working it out, if it rests on facts."""
    if report.facts is None:
        return
    # The user has the answer: from here on Ctrl-C ends us at once and silently.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dodo_exp.cli import render
    from dodo_exp.engine import still

    facts = report.facts()
    if facts is not None and not render.is_long(text := render.shown(report)):
        still.keep(__version__, os.getcwd(), args, text, facts)


def _outside_fault(error: Exception) -> tuple[str, str | None, int] | None:
    """Words and code for a fault of the store or the system; None for a bug of ours."""
    from dodo_store.errors import Damaged, Missing, NewerFormat, StoreError

    if isinstance(error, NewerFormat):
        return f"{error.path}: {error}", "use a newer dodo on this project", 5
    if isinstance(error, Damaged | Missing):
        return f"{error.path}: {error}", "`dodo store check` says what else is damaged", 5
    if isinstance(error, StoreError):
        return f"{error.path}: {error}", None, 1
    if isinstance(error, OSError):
        # A failed write or fsync does not say of what; it is of something in this project.
        where = error.filename or os.path.abspath(".")
        return f"{where}: {error.strerror or error}", _room(error, where), 1
    return None


def _room(error: OSError, where: str) -> str | None:
    """What helps against a full disk."""
    import errno

    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    from dodo_exp.cli.options import size

    try:
        found = os.statvfs(where if os.path.exists(where) else ".")
    except OSError:
        return None
    free = size(found.f_bavail * found.f_frsize)
    return f"{free} are free there; nothing half was kept; `dodo gc` gives space back"


MOST_FAULTS = 20


def _all_failed(error: DodoError) -> int:
    """Tell an error and what else is wrong with the user's files."""
    code = _fail(str(error), error.hint, error.code)
    others = getattr(error, "others", ())
    for other in others[:MOST_FAULTS]:
        _fail(str(other), other.hint, code)
    if len(others) > MOST_FAULTS:
        from dodo_exp.cli import tell

        tell.line(f"... and {len(others) - MOST_FAULTS} more")
    return code


def _usage(error: click.UsageError, args: list[str]) -> tuple[str, str | None]:
    message = error.format_message()
    message = message[:1].lower() + message[1:].rstrip(".")
    words, table = ["dodo"], VERBS
    for word in args:
        entry = table.get(word, table.get(ALIASES.get(word, word))) if word else None
        if entry is not None:
            words.append(word)
        if not isinstance(entry, dict):
            break
        table = entry
    return message, f"see `{' '.join(words)} --help`"


def _fail(message: str, hint: str | None, code: int) -> int:
    from dodo_exp.cli import tell

    tell.error(message, hint)
    return code


def _reader_gone() -> int:
    """Whoever read our output has closed it, as `head` does: not a failure worth a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141
