"""Unit tests for schedulers and other callbacks, without training a model; proofs that they resume.

Nothing here is needed to train. Importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

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

__getattr__, __dir__ = lazily(
    __name__,
    {
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
        "strategies": "",
    },
)
