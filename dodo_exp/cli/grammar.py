"""The command line by click: help, completion, mistakes, and whatever is not plain.

The commands are those of `verbs.py`; what each takes is what its module has declared
(`declare.py`).
"""

from __future__ import annotations

import os

import click

from dodo_exp import __version__
from dodo_exp.cli import declare, verbs
from dodo_exp.errors import DodoError, UsageError, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Verbs(click.Group):
    """A group whose commands are modules: `dodo exp show` is `cli/exp_show.py:command`."""

    def __init__(self, table: verbs.Table, path: tuple[str, ...] = (), **attributes: Any) -> None:
        super().__init__(no_args_is_help=True, **attributes)
        self._table = table
        self._path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the table."""
        return [name for name in self._table if name]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb, or make the group of verbs."""
        name = verbs.known(self._table, name)
        entry = self._table.get(name) if name else None
        if entry is None:
            return None
        if isinstance(entry, dict):
            return Verbs(entry, (*self._path, name), name=name, help=entry[""])
        return made(verbs.load((*self._path, name)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one was meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            group = " ".join(("dodo", *self._path))
            raise UsageError(
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


class _Values(click.ParamType):  # type: ignore[type-arg]
    """Values of a kind that click does not have."""

    def __init__(self, kind: declare.Kind) -> None:
        self.name = kind.name
        self._kind = kind

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """What the word stands for."""
        if not isinstance(value, str):
            return value
        try:
            return self._kind.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _type(kind: declare.Kind) -> Any:
    if isinstance(kind, declare.Integer):
        is_bound = kind.least is not None or kind.most is not None
        return click.IntRange(kind.least, kind.most) if is_bound else click.INT
    if isinstance(kind, declare.Choice):
        return click.Choice(kind.words)
    if isinstance(kind, declare.Path):
        return click.Path(file_okay=not isinstance(kind, declare.Folder))
    return _Values(kind)


def made(command: declare.Command) -> click.Command:
    """The command as click's."""
    params: list[click.Parameter] = []
    for param in command.params:
        attributes = dict(param.attributes)
        if "type" in attributes:
            attributes["type"] = _type(attributes["type"])
        make = click.Option if param.opts else click.Argument
        params.append(make(list(param.names), **attributes))
    function = command.function

    def asked(**given: Any) -> Callable[[], Any]:
        return lambda: function(**given)

    help = function.__doc__
    return click.Command(
        command.name, callback=asked, params=params, help=help, **command.attributes
    )


def _cd(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise UsageError(f"--cd {value!r}: {error.strerror}") from None


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"dodo {__version__}")
        ctx.exit()


dodo = Verbs(
    verbs.VERBS,
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
            callback=_version,
            help="Print the version.",
        ),
    ],
)


def read(args: list[str]) -> Callable[[], Any] | int:
    """What the command line asks for; an exit code if it has been answered, as help is.

    Raises:
        DodoError: it asks for nothing that there is.
    """
    try:
        found: Callable[[], Any] | int = dodo.main(args, prog_name="dodo", standalone_mode=False)
        return found
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:  # which has ended the line that the ^C is in
        from dodo_exp.cli import tell

        tell.error("stopped")
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        raise UsageError(*_usage(error, args)) from None
    except click.ClickException as error:
        raise _Fault(error) from None
    except SystemExit as stop:  # after completion, and for a pipe that nobody reads
        if stop.code:
            raise BrokenPipeError from None
        return 0


class _Fault(DodoError):
    """What click has to say of the user's files."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.code = error.exit_code


def _usage(error: click.UsageError, args: list[str]) -> tuple[str, str]:
    message = error.format_message()
    message = message[:1].lower() + message[1:].rstrip(".")
    words, table = ["dodo"], verbs.VERBS
    for word in args:
        entry = table.get(verbs.known(table, word)) if word else None
        if entry is not None:
            words.append(word)
        if not isinstance(entry, dict):
            break
        table = entry
    see = f"see `{' '.join(words)} --help`"
    if isinstance(error, click.NoSuchOption):
        params = error.ctx.command.params if error.ctx is not None else []
        known = [opt for p in params for opt in p.opts if not getattr(p, "hidden", False)]
        near = _near(error.option_name, known)
        return f"no such option {error.option_name!r}", f"did you mean {near!r}?" if near else see
    return message, see


def _near(option: str, known: list[str]) -> str | None:
    """The option that is spelled like another one or has it as a word; None if there is none.

    The dashes that all have in common are not compared: they make '--rev' look like '--csv'.
    """
    from difflib import get_close_matches

    names = {each.lstrip("-"): each for each in known if each.startswith("--")}
    name = option.lstrip("-")
    if not option.startswith("--") or len(name) < 3:
        return None
    found = get_close_matches(name, names, n=1, cutoff=0.75)
    words = (each for each in names if len(each) > 2 and (each in name or name in each.split("-")))
    best = found[0] if found else next(words, None)
    return names[best] if best is not None else None
