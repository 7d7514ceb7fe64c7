"""`dodo completion`"""

from __future__ import annotations

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report

HOW = {
    "bash": 'eval "$(dodo completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(dodo completion zsh)"  # in ~/.zshrc',
    "fish": "dodo completion fish | source  # in ~/.config/fish/config.fish",
}


@declare.command("completion", epilog="\b\n" + "\n".join(HOW.values()))
@declare.argument("shell", type=declare.Choice(list(HOW)))
def command(shell: str) -> Report:
    """Print the completion script of a shell: commands, options and stage names."""
    from click.shell_completion import get_completion_class

    from dodo_exp.cli.grammar import dodo

    kind = get_completion_class(shell)
    assert kind is not None, f"BUG: click does not know {shell}"
    script = kind(dodo, {}, "dodo", "_DODO_COMPLETE")
    return Report(text=script.source_template % script.source_vars())
