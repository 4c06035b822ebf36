"""The option that chooses one of several runs in a directory."""

from __future__ import annotations

import click

__all__ = ["run_option"]

run_option = click.option(
    "--run",
    metavar="NAME",
    help="Of several runs in a directory the one whose files have this name, as ModelCheckpointEnhanced was given "
    "it, for example '{epoch:03d}.keras'; by default the one with the newest checkpoint.",
)
