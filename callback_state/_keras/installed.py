"""Is the backend there on which Keras is to run? Asked before Keras is imported, which dies of a missing one."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ..exceptions import BackendError

#: The backends that the package knows, by their names: the class that stands for each.
KNOWN = {"tensorflow": "TensorFlow", "jax": "Jax", "torch": "Torch"}


def check_installed() -> None:
    """Raise BackendError if Keras is to run on a backend that is not known here, or not installed."""
    if "keras" in sys.modules:
        return
    name = _chosen()
    check_name(name)
    if find_spec(name) is None:
        raise BackendError(
            f"expected the package {name} for the backend of Keras that is chosen here, found none. Type "
            f'"pip install {name}", or choose another backend: {_HOW}'
        )


#: How one chooses.
_HOW = 'set the environment variable KERAS_BACKEND="tensorflow" before Keras is imported.'


def check_name(name: str) -> None:
    """Raise BackendError unless this is the name of a backend that the package knows."""
    if name not in KNOWN:
        raise BackendError(f"expected Keras on one of the backends {', '.join(KNOWN)}, found {name!r}: {_HOW}")


def _chosen() -> str:
    """The backend that Keras takes: from the environment, from its own file, or TensorFlow (3.7 to 3.15)."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        chosen = json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, LookupError, TypeError):  # Keras itself goes on without such a file
        return "tensorflow"
    return str(chosen)
