"""A command whose ``--help`` looks like a page of a manual, with examples and exit statuses."""

from __future__ import annotations

import inspect
from typing import Any

import click

from .exits import ALWAYS, Exit


class Command(click.Command):
    """A command with a manual page: its examples with what they do, and its exit statuses beside ``ALWAYS``."""

    def __init__(self, *args: Any, examples: dict[str, str], exits: tuple[Exit, ...] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples, self.exits = examples, tuple(sorted({*ALWAYS, *exits}))

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        first, _, rest = inspect.cleandoc(self.help or "").partition("\n")
        with formatter.section("NAME"):
            formatter.write_text(f"{ctx.command_path} - {first[0].lower()}{first[1:].rstrip('.')}")
        with formatter.section("SYNOPSIS"):
            formatter.write_text(f"{ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}")
        if rest.strip():
            with formatter.section("DESCRIPTION"):
                formatter.write_text(rest.strip("\n"))
        self.format_options(ctx, formatter)
        with formatter.section("EXAMPLES"):
            for line, what in self.examples.items():
                formatter.write_text(f"\b\n$ {line}\n    {what}")
        write_exits(formatter, self.exits)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
        with formatter.section("OPTIONS"):
            formatter.write_dl(records)


def write_exits(formatter: click.HelpFormatter, exits: tuple[Exit, ...]) -> None:
    """Write the section that says what each exit status means."""
    with formatter.section("EXIT STATUS"):
        formatter.write_dl([(str(int(status)), f"{status.name}: {status.meaning}") for status in exits])


def page(*, examples: dict[str, str], exits: tuple[Exit, ...] = ()) -> Any:
    """Turn a function into the command of its module's name; its docstring is the manual page."""

    def made(function: Any) -> click.Command:
        name = function.__module__.rpartition(".")[2]
        settings = {"max_content_width": 100}
        return click.command(name, cls=Command, examples=examples, exits=exits, context_settings=settings)(
            function
        )

    return made
