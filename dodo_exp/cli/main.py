"""The command: finds the verb, runs it, prints its report, and turns errors into exit codes.

Nothing else prints or exits.
"""

from __future__ import annotations

import os
import sys

from dodo_exp import __version__, interrupt
from dodo_exp.cli import verbs
from dodo_exp.errors import DodoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dodo_exp.cli.render import Report


COMPLETE = "_DODO_COMPLETE"
"""The variable by which a shell asks what could come next; click answers."""


def main() -> None:
    """Run the command line and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    interrupt.raises()
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
        call = _read(args)
        report = call if isinstance(call, int) else call()
        if isinstance(report, int):
            return report
        from dodo_exp.cli import render

        code = render.emit(report)
        if said is not None and code == 0:
            said(args, report)
        return code
    except DodoError as error:
        return _all_failed(error)
    except KeyboardInterrupt:
        sys.stderr.write("\n")  # after the ^C that a terminal shows
        return _fail("stopped", None, 130)
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:
        told = _outside_fault(error)
        if told is None:
            raise
        return _fail(*told)


def _read(args: list[str]) -> Callable[[], Any] | int:
    """What the command line asks for; an exit code if that has been given, as help is.

    Raises:
        DodoError: it asks for nothing that there is.
    """
    if args in (["--version"], ["-V"]):
        sys.stdout.write(f"dodo {__version__}\n")
        return 0
    if COMPLETE not in os.environ and (found := verbs.find(args)):
        command, rest = found
        given = command.plain(rest)
        if given is not None:
            return lambda: command.function(**given)
    from dodo_exp.cli import grammar

    return grammar.read(args)


def _keep(args: list[str], report: Report) -> None:
    """Let it be said again without working it out, if it rests on facts."""
    if report.facts is None:
        return
    # The user has the answer: from here on Ctrl-C ends us at once and silently.
    interrupt.ends_us()
    from dodo_exp.cli import render
    from dodo_exp.engine import still

    facts = report.facts()
    if facts is not None and not render.is_long(text := render.shown(report)):
        still.keep(os.getcwd(), args, text, facts)


def _outside_fault(error: Exception) -> tuple[str, str | None, int] | None:
    """Words and code for a fault of the store or the system; None for a bug of ours."""
    from dodo_exp.errors import is_process_limit, process_limit
    from dodo_store.errors import Damaged, Missing, NewerFormat, StoreError

    if isinstance(error, NewerFormat):
        return f"{error.path}: {error}", "use a newer dodo on this project", 5
    if isinstance(error, Damaged | Missing):
        return f"{error.path}: {error}", "`dodo store check` says what else is damaged", 5
    if isinstance(error, StoreError):
        return f"{error.path}: {error}", None, 1
    if is_process_limit(error):
        limit = process_limit()
        return str(limit), limit.hint, limit.code
    if isinstance(error, OSError):
        # A failed write or fsync does not say of what; it is of something in this project.
        where = error.filename or os.path.abspath(".")
        from dodo_exp.engine import disk

        if error.errno in disk.ERRORS:
            found = disk.no_room(error, where, f"nothing half was kept; {disk.GC}")
            return str(found), found.hint, found.code
        return f"{where}: {error.strerror or error}", None, 1
    return None


MOST_FAULTS = 20


def _all_failed(error: DodoError) -> int:
    """Tell an error and what else is wrong with the user's files."""
    from dodo_exp.cli import tell

    code = _fail(tell.placed(error), error.hint, error.code)
    others = getattr(error, "others", ())
    for other in others[:MOST_FAULTS]:
        _fail(tell.placed(other), other.hint, code)
    if len(others) > MOST_FAULTS:
        tell.line(f"... and {len(others) - MOST_FAULTS} more")
    return code


def _fail(message: str, hint: str | None, code: int) -> int:
    from dodo_exp.cli import tell

    tell.error(message, hint)
    return code


def _reader_gone() -> int:
    """Whoever read our output has closed it, as `head` does: not a failure worth a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141
