"""Write docs/reference/cli.md from the commands themselves; `--check` only says if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from dodo_exp.cli.grammar import dodo

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = """\
# Commands

Made by `make docs` from the commands' own help.

Results go to standard output, everything else to standard error. `--json` is there wherever
something is shown. What each exit code means: [exit codes](exit-codes.md).
"""


def sections(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    """A command and all below it; from their parts, since click's own layout differs by version."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    is_group = isinstance(command, click.Group)
    rest = ["COMMAND ..."] if is_group else [argument(each) for each in arguments]
    yield f"\n## {' '.join(words)}\n\n`{' '.join([*words, '[OPTIONS]', *rest])}`\n"
    yield f"\n{cleandoc(command.help or '')}\n"
    if options:
        yield "\n| option | |\n|---|---|\n"
    for option in options:
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
        yield f"| `{names}{value}` | {option.help} |\n"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from sections(inner, (*words, name))


def argument(each: click.Argument) -> str:
    """An argument as the usage line has it."""
    name = str(each.name).upper()
    if isinstance(each.type, click.Choice):
        name = "|".join(map(str, each.type.choices))
    return (name if each.required else f"[{name}]") + ("..." if each.nargs == -1 else "")


def page() -> str:
    """The whole page."""
    return HEAD + "".join(sections(dodo, ("dodo",)))


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is stale: make docs")
    PAGE.write_text(page())
