"""Unit tests for schedulers and other callbacks, without training a model; proofs that they resume.

Nothing here is needed to train. Importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import strategies as strategies
    from ._compared import Comparison, compare
    from ._drive import simulate
    from ._equal import assert_picklable, assert_state_equal, roundtrip, state_of
    from ._record import Event, Record, Save
    from ._resumes import assert_resumes_exactly

__all__ = [
    "Comparison",
    "Event",
    "Record",
    "Save",
    "assert_picklable",
    "assert_resumes_exactly",
    "assert_state_equal",
    "compare",
    "roundtrip",
    "simulate",
    "state_of",
    "strategies",
]

_LAZY = {
    "Comparison": "_compared",
    "Event": "_record",
    "Record": "_record",
    "Save": "_record",
    "assert_picklable": "_equal",
    "assert_resumes_exactly": "_resumes",
    "assert_state_equal": "_equal",
    "compare": "_compared",
    "roundtrip": "_equal",
    "simulate": "_drive",
    "state_of": "_equal",
}


def __getattr__(name: str) -> Any:
    if name == "strategies":  # a module: importing it sets the attribute
        return importlib.import_module(".strategies", __name__)
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
