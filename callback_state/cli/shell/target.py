"""The option that says which file to write."""

from __future__ import annotations

import os
from typing import Any

import click

__all__ = ["output_option"]


def output_option(default: str, endings: tuple[str, ...], what: str) -> Any:
    """``--output``; a name that ends otherwise is refused, so that no model or state file is written over.

    Args:
        default: the name where none is given.
        endings: what a name may end with, of a link the name that it leads to.
        what: is written, in words.
    """
    listed = ", ".join(endings)

    def check(context: click.Context, option: click.Parameter, path: str) -> str:
        if os.path.realpath(path).lower().endswith(endings):
            return path
        raise click.BadParameter(f"{path}: expected a name that ends with {listed}", context, option)

    return click.option(
        "-o",
        "--output",
        default=default,
        show_default=True,
        metavar="FILE",
        callback=check,
        type=click.Path(dir_okay=False),
        help=f"Where to write {what}, a name that ends with {listed}; a file that is there is replaced.",
    )
