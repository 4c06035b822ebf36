"""The one place that warns: it points at the line of the script, not at the code between that line and here."""

from __future__ import annotations

import sys
import traceback
import warnings
from types import FrameType

from ._shown import shown

#: The packages between a line of the script, such as ``model.fit(...)``, and a warning; with the standard modules
#: through which they call themselves.
_BETWEEN = frozenset(
    (__name__.partition(".")[0], "keras", "tensorflow", "jax", "torch", "contextlib", "functools")
)


def warn(message: str) -> None:
    """Warn, with a UserWarning, at the line of the script that has called Keras or this package.

    Python shows a text once for each line of a script, so a ``fit`` that meets the same problem again says
    nothing new. Python 3.12 could skip files by itself; older ones cannot.
    """
    frame = _line_of_the_script()
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    module = names.get("__name__") or "<string>"
    filename, line = frame.f_code.co_filename, frame.f_lineno
    warnings.warn_explicit(shown(message), UserWarning, filename, line, module, registry)


def _line_of_the_script() -> FrameType:
    """The nearest frame that is of none of the packages between; the outermost one where all are."""
    frames = [frame for frame, _ in traceback.walk_stack(sys._getframe(2))]
    return next((frame for frame in frames if _is_outside(frame)), frames[-1])


def _is_outside(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__") or ""
    return str(name).partition(".")[0] not in _BETWEEN
