"""Standard output and standard error that are closed or full, or whose reader has gone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


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
