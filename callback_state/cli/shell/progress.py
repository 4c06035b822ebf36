"""A progress bar on standard error, for those who look, while much is read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["watched"]

T = TypeVar("T")
#: Bytes that are read in less than a second.
_LITTLE = 1 << 28


def watched(items: Sequence[T], files: Sequence[str]) -> Iterator[T]:
    """The items, with a bar that goes on after each one by the size of its file.

    Args:
        items: what is worked on.
        files: the file that is read for each; shown only where they are large, and standard error is a terminal.
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
    with contextlib.suppress(OSError):  # it is missing
        return os.path.getsize(path)
    return 0
