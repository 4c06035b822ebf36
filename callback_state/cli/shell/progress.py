"""A progress bar on standard error while large files are read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
#: So many bytes are read in less than a second, and need no bar.
_LITTLE = 1 << 28


def watched(items: Sequence[T], files: Sequence[str]) -> Iterator[T]:
    """Yield the items, for each of which the file beside it is read; the bar advances by the size of that file.

    The bar is shown only if the files are large and standard error is a terminal.
    """
    sizes = [*map(_size, files)]
    if sum(sizes) < _LITTLE or not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from .output import console

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(sizes))
        for item, size in zip(items, sizes, strict=True):
            yield item
            progress.advance(task, size)


def _size(path: str) -> int:
    with contextlib.suppress(OSError):  # the file is missing
        return os.path.getsize(path)
    return 0
