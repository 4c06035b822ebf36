"""The lines that ``verbose=1`` prints while training runs: one for each save, and one for a resume."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from .._shown import shown
from .._store.pair import SUFFIX
from .._units import size_of

#: The same lines, for programs that want them in a file.
_LOG = logging.getLogger("callback_state")
#: How a loop of fits is written so that a restart is exact.
LOOP = (
    "In a loop of fits, give each its own epochs, and let a restart run the loop from its beginning: for i in "
    "range(n): model.fit(..., initial_epoch=max(i, restored.initial_epoch), epochs=i + 1). A fit whose epochs "
    "are all trained then trains nothing."
)


def say(line: str, *, over_bar: bool = False) -> None:
    """Print a line where Keras prints, and log it with the level INFO; without interactive logging only log it.

    If Keras is writing a progress bar (``over_bar``), the bar keeps its line, and continues below ours.
    """
    import keras

    line = shown(line)
    _LOG.info("%s", line)
    stream = sys.stdout
    if stream is not None and keras.utils.is_interactive_logging_enabled():  # pythonw has no stream
        text = f"\n{line}\n" if over_bar else f"{line}\n"
        encoding = getattr(stream, "encoding", None) or "utf-8"
        with contextlib.suppress(OSError, ValueError, LookupError):  # a closed stream must not end the training
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()


def bar_is_open(batch: int | None, fit: Any) -> bool:
    """Whether Keras is writing a progress bar now: inside an epoch, also if the output is a file."""
    return batch is not None and fit is not None and bool(fit.shows)


def saved(path: str, moment: str, keys: list[str], seconds: float, improved: str = "") -> str:
    """The line for a save of the model file ``path``, with the state of the callbacks ``keys``."""
    return (
        f"{moment}: {improved}saved {path} ({_size(path)}) with {_states(path, keys)} in {1000 * seconds:.0f} ms"
    )


def saving(path: str, moment: str, improved: str = "") -> str:
    """The line for a save that has begun, and goes on beside training."""
    return f"{moment}: {improved}saving {path} beside training"


def saved_beside(path: str, moment: str, keys: list[str], seconds: float, waited: float) -> str:
    """The line for such a save when it is durable; training has waited so many seconds when it began."""
    took = f"{seconds:.1f} s, training waited {waited:.2f} s"
    return f"{moment}: saved {path} ({_size(path)}, {took}) with {_states(path, keys)}"


def _states(path: str, keys: list[str]) -> str:
    return f"{', '.join(keys)} ({_size(path + SUFFIX)})" if keys else "no callbacks"


def _size(path: str) -> str:
    try:
        return size_of(os.path.getsize(path))
    except OSError as error:  # the directory has gone away since
        return f"not there any more: {error.strerror}"


def not_improved(moment: str, monitor: str, best: Any) -> str:
    """The line for an epoch in which nothing was saved."""
    return f"{moment}: {monitor} did not improve from {best:.5f}"


def improvement(monitor: str, before: Any, best: Any) -> str:
    """How the best value has changed, before "saved"; empty if it has not."""
    if best is None or best == before:
        return ""
    return f"{monitor} improved from {'None' if before is None else f'{before:.5f}'} to {best:.5f}, "


def resumed(path: str, restored: list[str], missing: list[str], new: list[str], goes_on: str) -> str:
    """The line for a resume; ``missing`` keys have no callback here, ``new`` keys are not in the checkpoint."""
    parts = [f"restored {', '.join(restored) or 'no callbacks'}"]
    parts += [f"not restored {', '.join(missing)}"] if missing else []
    parts += [f"new {', '.join(new)}"] if new else []
    return f"Resumed {path}: {'; '.join(parts)}; {goes_on}"


def stopped(name: str, saved: list[str], end: str) -> str:
    """The last line of a run that a signal has stopped: the signal's name, what is saved, and how the run ends."""
    return f"Stopped by {name}: {'saved ' + ', '.join(saved) if saved else 'nothing was saved'}; {end}"
