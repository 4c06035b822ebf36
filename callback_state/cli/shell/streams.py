"""Standard output and error where nobody takes what is written: closed, full, or a pipe that has ended."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

__all__ = ["discard", "finish", "opened_streams"]


@contextlib.contextmanager
def opened_streams() -> Iterator[None]:
    """What is written to a closed stream goes nowhere, as with ``print``: the work is done, the status tells."""
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def finish(stream: TextIO) -> None:
    """Write out what waits; what cannot be written is given up."""
    try:
        stream.flush()
    except OSError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Give up what waits to be written, or Python would complain at its end that it cannot write it."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # it is no file: then there is nothing to be flushed into one
        return
