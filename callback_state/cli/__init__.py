"""The command line ``callback-state``: looks at checkpoints; imports no TensorFlow and unpickles nothing.

Each command is a module of its own with a ``command``, imported only when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

__all__ = ["COMMANDS", "main"]

#: By the command's name, the module that holds it.
COMMANDS: dict[str, str] = {}


class _Commands(click.Group):
    """Imports a command when it is asked for: the others' imports would double the time of the start."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: Any = importlib.import_module(f".{COMMANDS[name]}", __name__).command
        assert isinstance(command, click.Command)
        return command


@click.group("callback-state", cls=_Commands)
def _group() -> None:
    """Look at the checkpoints of callback_state."""


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status.
    """
    return int(_group.main(argv, prog_name="callback-state", standalone_mode=False) or 0)
