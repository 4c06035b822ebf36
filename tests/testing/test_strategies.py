"""Strategies for hypothesis: what they give is what the functions of ``testing`` take."""

from __future__ import annotations

import math
from typing import Any

import keras
from hypothesis import find, given, settings
from hypothesis import strategies as st

from callback_state.testing import assert_resumes_exactly, simulate, strategies


@given(st.integers(1, 4), st.integers(1, 3), st.data())
@settings(max_examples=40, deadline=None)
def test_logs_fit_the_run(epochs: int, steps: int, data: Any) -> None:
    """By epoch or by step, as many values as the run takes, between the limits."""
    per_step = data.draw(st.booleans())
    logs = data.draw(
        strategies.logs(
            epochs=epochs,
            steps_per_epoch=steps if per_step else None,
            names=("loss", "mae"),
            min_value=1,
            max_value=2,
        )
    )
    assert logs.keys() == {"loss", "mae"}
    assert all(1 <= value <= 2 for values in logs.values() for value in values)
    record = simulate(
        keras.callbacks.Callback(), epochs=epochs, steps_per_epoch=steps, logs=logs, optimizer="numpy"
    )
    assert len(record.history["loss"]) == epochs


def test_plateaus_and_nan_are_found() -> None:
    """Values come twice, and NaN where it is allowed."""
    few = settings(max_examples=2000, database=None)
    logs = strategies.logs(epochs=4)
    assert find(logs, lambda logs: len(set(logs["loss"])) == 2, settings=few)
    found = find(strategies.logs(epochs=2, allow_nan=True), lambda logs: math.isnan(logs["loss"][1]), settings=few)
    assert len(found["loss"]) == 2


@given(strategies.interruptions(epochs=3, steps_per_epoch=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_interruptions_are_within_the_run(at: list[tuple[int, int]]) -> None:
    """In order, none twice, none before the first step: all of them are taken."""
    assert 1 <= len(at) <= 4 and sorted(set(at)) == at and (0, 0) not in at
    assert_resumes_exactly(
        lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=1),
        epochs=3,
        steps_per_epoch=2,
        at=at,
        optimizer="numpy",
    )
