"""Tests of callbacks without training, and proofs that they resume.

``simulate`` drives callbacks as ``fit`` does; ``assert_resumes_exactly`` saves and restores them anywhere. Nothing
here is needed for training, and no wing imports it. Importing it imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from . import strategies as strategies
    from .proof.equal import assert_picklable, assert_state_equal, roundtrip, state_of
    from .proof.resumes import assert_resumes_exactly
    from .simulation.compared import Comparison, compare
    from .simulation.drive import simulate
    from .simulation.record import Event, Record, Save

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
        "Comparison": "simulation.compared",
        "Event": "simulation.record",
        "Record": "simulation.record",
        "Save": "simulation.record",
        "assert_picklable": "proof.equal",
        "assert_resumes_exactly": "proof.resumes",
        "assert_state_equal": "proof.equal",
        "compare": "simulation.compared",
        "roundtrip": "proof.equal",
        "simulate": "simulation.drive",
        "state_of": "proof.equal",
        "strategies": "",
    },
)
