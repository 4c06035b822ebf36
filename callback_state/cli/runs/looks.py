"""The runs at a path: every checkpoint there, damaged ones too. A bar shows how far large files are read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from ..._checkpoints.directory import Run, look, runs_in
from ..._format.trust import Keys

#: So many bytes are read in less than a second, and need no bar.
_LITTLE = 1 << 28


def look_at(
    path: str, files: Sequence[tuple[str, list[str]]], *, verify: bool = False, keys: Keys | None = None
) -> list[Run]:
    """Look at the checkpoints ``files``, as :func:`files_of` gives them, and sort them by run, the oldest first.

    With ``verify`` every model file is read, with a progress bar, and its signature is checked with ``keys``; else
    only its size is checked. If ``path`` is a directory, model files of a run that have lost their state files are
    there too.
    """
    is_directory = os.path.isdir(path)  # it may be removed while its checkpoints are read
    watched = _watched(files) if verify else files
    looks = (look(model, states, verify=verify, keys=keys) for model, states in watched)
    found = [checkpoint for checkpoint in looks if checkpoint is not None]
    if is_directory:
        return runs_in(path, found)
    return [Run(None if one.summary is None else one.summary.template, [one]) for one in found]


def _watched(files: Sequence[tuple[str, list[str]]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the files; a bar on standard error, if it is a terminal, advances when a large model file is read."""
    sizes = [_size(model) for model, _ in files]
    if sum(sizes) < _LITTLE or not sys.stderr.isatty():
        yield from files
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from ..shell.output import console

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(sizes))
        for found, size in zip(files, sizes, strict=True):
            yield found
            progress.advance(task, size)


def _size(path: str) -> int:
    with contextlib.suppress(OSError):  # the file is missing
        return os.path.getsize(path)
    return 0
