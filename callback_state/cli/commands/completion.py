"""``callback-state completion``: the script with which a shell completes command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..shell.command import page
from ..shell.exits import Exit


@page(
    examples={
        'eval "$(callback-state completion bash)"': "in ~/.bashrc",
        'eval "$(callback-state completion zsh)"': "in ~/.zshrc",
        "callback-state completion fish | source": "in ~/.config/fish/config.fish",
    }
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script that lets a shell complete commands, options and paths.

    Bash must be 4.4 or newer.
    """
    completion = get_completion_class(shell)
    assert completion is not None
    made = completion(context.find_root().command, {}, "callback-state", "_CALLBACK_STATE_COMPLETE")
    click.echo(made.source())
    return Exit.OK
