"""The directive ``commands``: the help of every command of ``callback-state``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from callback_state import cli


def command_of(name: str) -> Any:
    """The command of this name."""
    return importlib.import_module(f"callback_state.cli.commands.{name}").command


def page() -> str:
    """The text of all commands, in reStructuredText."""
    return "\n".join(line for name in cli.COMMANDS for line in _section(name, command_of(name)))


def _section(name: str, command: Any) -> Iterator[str]:
    context = click.Context(command, info_name=f"callback-state {name}")
    yield from (name, "-" * len(name), "")
    yield from _paragraphs(command.help or "")
    yield from (".. code-block:: text", "", f"   {context.command_path} {_usage(command, context)}", "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield from (f"``{record[0]}``", f"   {_escaped(record[1])}", "")
    yield from _examples(command)


def _usage(command: Any, context: Any) -> str:
    return " ".join(command.collect_usage_pieces(context))


def _examples(command: Any) -> Iterator[str]:
    examples = getattr(command, "examples", {})
    if examples:
        yield from (".. code-block:: text", "")
        for line, what in examples.items():
            yield from (f"   $ {line}", *(f"   # {part}" for part in what.splitlines()))
        yield ""
    exits = [f"{int(status)} ({status.meaning})" for status in getattr(command, "exits", ())]
    if exits:
        yield from (f"Exit status: {_escaped(', '.join(exits))}.", "")


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a click help text; lines behind a ``\\b`` stay as they are."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            yield from ("::", "", *(f"   {line}" for line in paragraph.splitlines()[1:]), "")
        else:
            yield from (_escaped(paragraph), "")


def _escaped(text: str) -> str:
    """Plain text as reStructuredText, in which names of options are literals and quotes stay straight."""
    escaped = re.sub(r"""([\\*`|_<>"'])""", r"\\\1", text)
    return re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"``\1``", escaped)


def setup(app: Any) -> dict[str, Any]:
    from sphinx.util.docutils import SphinxDirective

    class Commands(SphinxDirective):
        def run(self) -> list[Any]:
            self.env.note_reread()  # the command line is not a file of the documentation
            return self.parse_text_to_nodes(page(), allow_section_headings=True)

    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
