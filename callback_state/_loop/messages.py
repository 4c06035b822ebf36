"""What ``verbose=1`` says while training runs: one line for each save, and one for a resume."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from .._store.pair import SUFFIX
from .._units import size_of

__all__ = ["bar_is_open", "improvement", "moment", "not_improved", "resumed", "saved", "say"]

#: Whoever wants the lines in a file of his own configures the logger of this name.
_LOG = logging.getLogger("callback_state")


def say(line: str, *, over_bar: bool = False) -> None:
    """Print a line where Keras prints, and log it as information.

    Nothing is printed after ``keras.utils.disable_interactive_logging()``.

    Args:
        over_bar: whether a progress bar stands in the line that is being written: it stays there, and goes on
            below.
    """
    import keras

    _LOG.info("%s", line)
    if keras.utils.is_interactive_logging_enabled():
        with contextlib.suppress(OSError, ValueError, LookupError):  # a stream that is gone ends no training
            _write(sys.stdout, f"\n{line}\n" if over_bar else f"{line}\n")


def _write(stream: Any, text: str) -> None:
    if stream is None:  # pythonw
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def bar_is_open(batch: int | None, fit: Any) -> bool:
    """Whether Keras's progress bar stands in the present line: within an epoch, in a file too."""
    return batch is not None and fit is not None and bool(fit.shows)


def saved(path: str, moment: str, keys: list[str], seconds: float, improved: str = "") -> str:
    """What was saved.

    Args:
        path: the model file.
        moment: see :func:`moment`.
        keys: of the callbacks whose state was saved.
        seconds: that it took.
        improved: what the best value was and is, where that is why.
    """
    states = f"{', '.join(keys)} ({size_of(os.path.getsize(path + SUFFIX))})" if keys else "no callbacks"
    size = size_of(os.path.getsize(path))
    return f"{moment}: {improved}saved {path} ({size}) with {states} in {1000 * seconds:.0f} ms"


def moment(epoch: int, batch: int | None) -> str:
    """A 0-based epoch, and the batch that has ended in it, counted as Keras prints them."""
    return f"Epoch {epoch + 1}" if batch is None else f"Epoch {epoch + 1}, batch {batch + 1}"


def not_improved(moment: str, monitor: str, best: Any) -> str:
    """Why nothing was saved."""
    return f"{moment}: {monitor} did not improve from {best:.5f}"


def improvement(monitor: str, before: Any, best: Any) -> str:
    """How the best value has changed."""
    if best is None or best == before:
        return ""
    return f"{monitor} improved from {'None' if before is None else f'{before:.5f}'} to {best:.5f}, "


def resumed(path: str, restored: list[str], missing: list[str], new: list[str], goes_on: str) -> str:
    """What a resume has put back, what of the checkpoint it has not, and what the checkpoint does not know."""
    parts = [f"{', '.join(restored) or 'no callbacks'} put back"]
    parts += [f"not put back: {', '.join(missing)}"] if missing else []
    parts += [f"without a state: {', '.join(new)}"] if new else []
    return f"Resumed {path}: {'; '.join(parts)}; {goes_on}"
