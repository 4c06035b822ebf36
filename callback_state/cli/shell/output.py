"""How the commands print: data on standard output, messages on standard error.

Names and texts come from files that anybody may have written. They are escaped with :func:`printable`, so that
none of them controls the terminal, and they are never read as markup. rich is imported only for a terminal.
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

from ..._shown import shown

#: Lines are not broken for a terminal that is narrower than this; the terminal breaks them itself.
_NARROWEST = 30


class Cell(NamedTuple):
    """A text in a table and its rich style, for example ``"bold"``."""

    text: str
    style: str = ""


@dataclass
class Table:
    """A table to print."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]] = ()
    #: The columns that are aligned to the right.
    right: frozenset[str] = frozenset()
    #: The columns that are left out, in this order, if the terminal is too narrow.
    dispensable: Sequence[str] = ()
    title: str = ""

    def without(self, name: str) -> Table:
        """The table without this column."""
        at = [*self.columns].index(name)
        rows = [[*row[:at], *row[at + 1 :]] for row in self.rows]
        left = [one for one in self.dispensable if one != name]
        return replace(self, columns=[*self.columns[:at], *self.columns[at + 1 :]], rows=rows, dispensable=left)


def printable(text: str) -> str:
    """Escape all characters that are not visible, such as control characters and bidirectional marks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def is_terminal() -> bool:
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> Any:
    """Make a rich console, which knows the width of the terminal; with ``NO_COLOR`` it has no styles."""
    from rich.console import Console

    plain: Any = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, **plain)


def print_line(text: str = "", style: str = "") -> None:
    """Print a line of data, escaped; the style is used only on a terminal."""
    text = printable(shown(text))
    if style and is_terminal():
        from rich.text import Text

        _print_rich(Text(text, style), soft_wrap=True)
    else:
        _write(f"{text}\n", sys.stdout)


def print_words(text: str, style: str = "") -> None:
    """Print a sentence; if it is wider than the terminal, it is broken between words."""
    if not is_terminal():
        print_line(text)
        return
    text = printable(shown(text))
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    whole_words: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    for line in textwrap.wrap(text, width, subsequent_indent=indent, **whole_words):
        print_line(line, style)


def say(message: str) -> None:
    """Print a message on standard error; if that fails, only the exit status tells the result."""
    try:
        _write("".join(f"callback-state: {printable(line)}\n" for line in shown(message).splitlines()), sys.stderr)
    except OSError:
        discard(sys.stderr)


def print_json(value: Any, *, line: bool = False) -> None:
    """Print JSON: indented on a terminal, else or with ``line`` on one line."""
    indent = 2 if is_terminal() and not line else None
    _write(json.dumps(_jsonable(value), indent=indent, allow_nan=False) + "\n", sys.stdout)


def _jsonable(value: Any) -> Any:
    """Replace NaN and the infinities, which JSON does not have, by "NaN", "Infinity", "-Infinity"; show paths."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return [*map(_jsonable, value)] if isinstance(value, (list, tuple)) else value


def print_table(table: Table) -> None:
    """Print a table; if the terminal is too narrow, each cell gets a line of its own."""
    if table.title:
        print_line(table.title, "bold")
    lines = _lines(table)
    if is_terminal():
        room = console().width
        fitting = _fitted(table, room)
        if _width(fitting) <= room:
            _print_rich(_grid(fitting))
            return
        width = max(map(len, table.columns))
        for row in lines[1:]:
            for name, cell in zip(table.columns, row, strict=True):
                if cell.text:
                    print_line(f"{name.ljust(width)}  {cell.text}", cell.style)
            print_line()
        return
    widths = _widths(lines)
    for line in lines:
        cells = [
            cell.text.rjust(width) if name in table.right else cell.text.ljust(width)
            for name, width, cell in zip(table.columns, widths, line, strict=True)
        ]
        print_line("  ".join(cells).rstrip())


def _fitted(table: Table, width: int) -> Table:
    """Leave out dispensable columns until the table fits, or none is left."""
    for name in table.dispensable:
        if _width(table) <= width:
            break
        table = table.without(name)
    return table


def _widths(lines: list[list[Cell]]) -> list[int]:
    return [max(len(cell.text) for cell in column) for column in zip(*lines, strict=True)]


def _width(table: Table) -> int:
    widths = _widths(_lines(table))
    return sum(widths) + 2 * (len(widths) - 1)


def _lines(table: Table) -> list[list[Cell]]:
    """The head and the rows, escaped."""
    head = [Cell(name, "bold") for name in table.columns]
    return [[Cell(printable(shown(text)), style) for text, style in line] for line in (head, *table.rows)]


def _grid(table: Table) -> Any:
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
    """Yield a function that shows tables in the place of the last ones; if there are many rows, the last rows."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    screen = console()
    with Live(console=screen, auto_refresh=False) as shown:

        def show(tables: list[Table]) -> None:
            rows = max(1, screen.height // max(1, len(tables)) - 3)
            fitted = [_fitted(replace(table, rows=table.rows[-rows:]), screen.width) for table in tables]
            parts: list[Any] = []
            for table in fitted:
                if table.title:
                    parts.append(Text(printable(table.title), "bold"))
                parts.append(_grid(table))
            shown.update(Group(*parts))
            shown.refresh()

        yield show


def _print_rich(what: Any, **options: Any) -> None:
    made = console()
    with made.capture() as captured:
        made.print(what, **options)
    _write(captured.get(), sys.stdout)


def _write(text: str, file: TextIO) -> None:
    """Write a text; characters that the encoding of the file does not have are escaped."""
    encoding = file.encoding or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))


# Streams that are closed or full, or whose reader has gone.


@contextlib.contextmanager
def opened_streams() -> Iterator[None]:
    """Let writes to a closed stream do nothing, as ``print`` does; the exit status still tells the result."""
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def finish(stream: TextIO) -> None:
    """Flush a stream; text that cannot be written is dropped."""
    try:
        stream.flush()
    except OSError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Drop the text that waits in a stream, else Python would report at exit that it cannot write it."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # the stream is not a file, so Python flushes nothing at exit
        return
