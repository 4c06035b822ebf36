"""The command line ``callback-state``: it looks at checkpoints.

Each command is a module in ``commands``, which is imported only when the command is used. This wing imports no
TensorFlow and unpickles nothing; it does not know how a run trains.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import click

from .._version import __version__
from ..exceptions import CallbackStateError
from .shell.command import write_exits
from .shell.exits import Exit, exit_of
from .shell.output import discard, finish, opened_streams, say

__all__ = ["COMMANDS", "main"]

#: The modules in ``commands``, in the order of the help.
COMMANDS = ("ls", "show", "diff", "verify", "prune", "repair", "export", "plot", "report", "doctor", "completion")


class _Commands(click.Group):
    """Imports only the command that is used: importing all of them would double the time of the start."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: Any = importlib.import_module(f".commands.{name}", __name__).command
        assert isinstance(command, click.Command)
        return command

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        write_exits(formatter, tuple(Exit))

    def invoke(self, context: click.Context) -> Any:
        """Run the command and turn errors into exit statuses: click would end the process or show a traceback."""
        try:
            status = super().invoke(context)
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            discard(sys.stdout)
            return Exit.CLOSED
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except (CallbackStateError, OSError) as error:
            say(str(error))
            finish(sys.stdout)
            return exit_of(error)
        except (MemoryError, RecursionError) as error:
            say(f"the files hold too much to show ({type(error).__name__})")
            return Exit.FAILED


@click.group("callback-state", cls=_Commands)
@click.version_option(__version__)
def _group() -> None:
    """Inspect and verify the checkpoints of callback_state, and tidy their directories.

    A PATH is a model file, its state file, or a directory: then its newest checkpoint is used. No command imports
    TensorFlow, and none unpickles anything: no file can run code. Epochs and batches
    count from 1, as Keras prints them; in JSON and CSV they count from 0.
    """


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status; without ``argv`` with the arguments of this process."""
    with opened_streams(), warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *rest, **more: say(str(message))
        try:
            return int(_group.main(argv, prog_name="callback-state", standalone_mode=False) or 0)
        except click.ClickException as error:
            try:
                error.show()
            except OSError:
                discard(sys.stderr)
            return error.exit_code
        except click.Abort:
            return Exit.INTERRUPTED
        except SystemExit as end:  # raised by completion, and by --help into a closed pipe
            return end.code if isinstance(end.code, int) else Exit.FAILED
