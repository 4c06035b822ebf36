"""What the commands print: data on standard output, messages on standard error, nothing that steers a terminal.

Names and texts come from files, which anybody may have written: they are shown with :func:`printable`, and are
never taken for markup. rich is imported only where a terminal shows what it makes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TextIO

__all__ = [
    "Cell", "Table", "console", "is_terminal", "jsonable", "print_json", "print_line", "print_table", "printable",
    "say",
]


class Cell(NamedTuple):
    """A text of a table with a style of rich's, ``"bold"`` for example."""

    text: str
    style: str = ""


@dataclass
class Table:
    """Rows under names.

    Attributes:
        columns: the names.
        rows: a text or a :class:`Cell` for each column.
        right: the names of the columns that are aligned to the right: numbers.
        title: stands above it.
    """

    columns: Sequence[str]
    rows: list[Sequence[str | Cell]] = field(default_factory=list)
    right: frozenset[str] = frozenset()
    title: str = ""


def printable(text: str) -> str:
    r"""A text in which whatever is no visible character is escaped: control characters, bidirectional marks.

    Example:
        >>> print(printable("a\x1b[31m"))
        a\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def is_terminal() -> bool:
    """Whether somebody looks at what is printed."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> Any:
    """A console of rich's, which knows of the terminal's width and of ``NO_COLOR``."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_line(text: str = "", style: str = "") -> None:
    """A line of data, made printable; the style shows on a terminal only."""
    text = printable(text)
    if style and is_terminal():
        from rich.text import Text

        _print_rich(Text(text, style), soft_wrap=True)
    else:
        _write(f"{text}\n", sys.stdout)


def say(message: str) -> None:
    """A message to whoever called the command."""
    _write("".join(f"callback-state: {printable(line)}\n" for line in message.splitlines()), sys.stderr)


def print_json(value: Any) -> None:
    """Data as JSON: with an indent on a terminal, else on one line."""
    indent = 2 if is_terminal() else None
    _write(json.dumps(jsonable(value), indent=indent, allow_nan=False) + "\n", sys.stdout)


def jsonable(value: Any) -> Any:
    """The same with NaN and the infinities, which JSON has not, as texts: "NaN", "Infinity", "-Infinity"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    return [*map(jsonable, value)] if isinstance(value, (list, tuple)) else value


def print_table(table: Table) -> None:
    """A table; row by row where the terminal is too narrow for it."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    lines = [[Cell(name, "bold") for name in table.columns], *rows]
    widths = [max(len(cell.text) for cell in column) for column in zip(*lines, strict=True)]
    if table.title:
        print_line(table.title, "bold")
    if not is_terminal():
        for line in lines:
            print_line("  ".join(_aligned(table, widths, line)).rstrip())
    elif sum(widths) + 2 * len(widths) > console().width:
        _print_blocks(table.columns, rows)
    else:
        _print_grid(table, lines)


def _cell(cell: str | Cell) -> Cell:
    text, style = cell if isinstance(cell, Cell) else (cell, "")
    return Cell(printable(text), style)


def _aligned(table: Table, widths: list[int], line: Sequence[Cell]) -> list[str]:
    return [
        cell.text.rjust(width) if name in table.right else cell.text.ljust(width)
        for name, width, cell in zip(table.columns, widths, line, strict=True)
    ]


def _print_blocks(columns: Sequence[str], rows: list[list[Cell]]) -> None:
    width = max(map(len, columns))
    for row in rows:
        for name, cell in zip(columns, row, strict=True):
            if cell.text:
                print_line(f"{name.ljust(width)}  {cell.text}", cell.style)
        print_line()


def _print_grid(table: Table, lines: list[list[Cell]]) -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name in table.columns:
        grid.add_column(justify="right" if name in table.right else "left", no_wrap=True)
    for line in lines:
        grid.add_row(*(Text(text, style) for text, style in line))
    _print_rich(grid)


def _print_rich(what: Any, **options: Any) -> None:
    made = console()
    with made.capture() as captured:
        made.print(what, **options)
    _write(captured.get(), sys.stdout)


def _write(text: str, file: TextIO) -> None:
    """What the encoding of the file has not is escaped."""
    encoding = file.encoding or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
