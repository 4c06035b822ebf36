"""What the commands print: data on standard output, messages on standard error, nothing that steers a terminal.

Names and texts come from files, which anybody may have written: they are shown with :func:`printable`, and are
never taken for markup. rich is imported only where a terminal shows what it makes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TextIO

from .streams import discard

__all__ = [
    "Cell",
    "Table",
    "console",
    "is_terminal",
    "live",
    "print_json",
    "print_line",
    "print_table",
    "print_words",
    "printable",
    "say",
]

#: Where a terminal is narrower than this, it breaks lines itself.
_NARROWEST = 30


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
        dispensable: those that are left out, in this order, where a terminal is too narrow.
        title: stands above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]] = ()
    right: frozenset[str] = frozenset()
    dispensable: Sequence[str] = ()
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
    """A console of rich's, which knows of the terminal's width; with ``NO_COLOR`` it has no styles at all."""
    from rich.console import Console

    plain: Any = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, **plain)


def print_line(text: str = "", style: str = "") -> None:
    """A line of data, made printable; the style shows on a terminal only."""
    text = printable(text)
    if style and is_terminal():
        from rich.text import Text

        _print_rich(Text(text, style), soft_wrap=True)
    else:
        _write(f"{text}\n", sys.stdout)


def print_words(text: str, style: str = "") -> None:
    """A line of data for reading: a terminal that is narrower gets it broken between words."""
    if not is_terminal():
        print_line(text)
        return
    text = printable(text)
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    whole_words: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    for line in textwrap.wrap(text, width, subsequent_indent=indent, **whole_words):
        print_line(line, style)


def say(message: str) -> None:
    """A message to whoever called the command; where it cannot be written, the exit status has to do."""
    try:
        _write("".join(f"callback-state: {printable(line)}\n" for line in message.splitlines()), sys.stderr)
    except OSError:
        discard(sys.stderr)


def print_json(value: Any, *, line: bool = False) -> None:
    """Data as JSON: on a terminal with an indent, else, or where that is asked for, on one line."""
    indent = 2 if is_terminal() and not line else None
    _write(json.dumps(_jsonable(value), indent=indent, allow_nan=False) + "\n", sys.stdout)


def _jsonable(value: Any) -> Any:
    """The same with NaN and the infinities, which JSON has not, as texts: "NaN", "Infinity", "-Infinity"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return [*map(_jsonable, value)] if isinstance(value, (list, tuple)) else value


def print_table(table: Table) -> None:
    """A table; row by row where the terminal is too narrow for it."""
    if table.title:
        print_line(table.title, "bold")
    if is_terminal():
        _print_for_eyes(table, console().width)
        return
    lines = _lines(table)
    widths = _widths(lines)
    for line in lines:
        print_line("  ".join(_aligned(table, widths, line)).rstrip())


def _print_for_eyes(table: Table, width: int) -> None:
    fitting = _fitted(table, width)
    if _width(fitting) > width:
        _print_blocks(table.columns, _lines(table)[1:])
    else:
        _print_rich(_grid(fitting))


def _fitted(table: Table, width: int) -> Table:
    """The table without as many of its dispensable columns as have to go."""
    for name in table.dispensable:
        if _width(table) <= width:
            break
        at = table.columns.index(name)
        rows = [[*row[:at], *row[at + 1 :]] for row in table.rows]
        table = replace(table, columns=[*table.columns[:at], *table.columns[at + 1 :]], rows=rows)
    return table


def _widths(lines: list[list[Cell]]) -> list[int]:
    return [max(len(cell.text) for cell in column) for column in zip(*lines, strict=True)]


def _width(table: Table) -> int:
    widths = _widths(_lines(table))
    return sum(widths) + 2 * (len(widths) - 1)


def _lines(table: Table) -> list[list[Cell]]:
    """Head and rows, printable."""
    head = [Cell(printable(name), "bold") for name in table.columns]
    return [head, *([_cell(cell) for cell in row] for row in table.rows)]


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


def _grid(table: Table) -> Any:
    """A table of rich's."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for name in table.columns:
        grid.add_column(justify="right" if name in table.right else "left", no_wrap=True)
    for line in _lines(table):
        grid.add_row(*(Text(text, style) for text, style in line))
    return grid


@contextlib.contextmanager
def live() -> Iterator[Callable[[list[Table]], None]]:
    """What shows tables on a terminal in the place of those that it showed before; of many rows the last ones."""
    from rich.console import Group
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False) as shown:

        def show(tables: list[Table]) -> None:
            rows = max(1, screen.height // max(1, len(tables)) - 3)
            fitted = [_fitted(replace(table, rows=table.rows[-rows:]), screen.width) for table in tables]
            shown.update(Group(*(part for table in fitted for part in _titled(table))))
            shown.refresh()

        yield show


def _titled(table: Table) -> list[Any]:
    from rich.text import Text

    return [*([Text(printable(table.title), "bold")] if table.title else []), _grid(table)]


def _print_rich(what: Any, **options: Any) -> None:
    made = console()
    with made.capture() as captured:
        made.print(what, **options)
    _write(captured.get(), sys.stdout)


def _write(text: str, file: TextIO) -> None:
    """What the encoding of the file has not is escaped."""
    encoding = file.encoding or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
