"""Which software runs here."""

from __future__ import annotations

import platform
import sys

from .._version import __version__

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """What the state file records of the software that wrote it."""
    import keras
    import numpy
    import tensorflow

    return {
        "callback_state": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "numpy": numpy.__version__,
        "platform": sys.platform,
    }
