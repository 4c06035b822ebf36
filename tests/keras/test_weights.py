"""What a run consists of besides weights, optimizer and callbacks is taken and put back exactly."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from harness import X, Y
from keras_models import dropouts
from reused import forget

from callback_state._keras import epoch, weights


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Every test starts with seeded generators, none of TensorFlow's or Keras's own made yet."""
    forget()
    yield
    forget()


# The digest of a model.


def test_digest_survives_a_round_trip_and_knows_no_names() -> None:
    """A model made again with the same values has the same digest, whatever its layers are called."""
    model, other = dropouts(), dropouts()
    for m in (model, other):
        m.compile(keras.optimizers.Adam(0.1), "mse")
        m.optimizer.build(m.trainable_variables)
    assert weights.digest_of(model) != weights.digest_of(other)
    other.set_weights(model.get_weights())
    assert weights.digest_of(model) == weights.digest_of(other)
    other.optimizer.variables[-1].assign_add(np.ones(other.optimizer.variables[-1].shape))
    assert weights.digest_of(model) != weights.digest_of(other)


def test_variables_taken_are_copies() -> None:
    """What was taken does not change with the variable, and putting it back reaches seeds and metrics."""
    model = dropouts()
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    taken = weights.take_variables(model)
    before = [(v.numpy().tobytes()) for v, _ in taken]
    model.fit(X, Y, verbose=0)
    changed = [v.numpy().tobytes() for v, _ in taken]
    assert sum(a != b for a, b in zip(before, changed, strict=True)) > len(model.weights)
    weights.put_back_variables(taken)
    assert [v.numpy().tobytes() for v, _ in taken] == before
    held = {id(v) for v, _ in taken}
    assert {id(v) for v in (*model.variables, *model.optimizer.variables)} <= held


# History.


def test_history_goes_on() -> None:
    """A History that got saved epochs appends to them, and what was saved stays as it was."""
    saved = {"epochs": [0, 1], "series": {"loss": [3.0, 2.0]}}
    model = dropouts()
    model.history = history = keras.callbacks.History()
    history.set_model(model)
    history.on_train_begin()
    epoch.put_back_history(model, saved)
    history.on_epoch_end(2, {"loss": 1.0})
    assert epoch.history_of(model) == {"epochs": [0, 1, 2], "series": {"loss": [3.0, 2.0, 1.0]}}
    assert saved == {"epochs": [0, 1], "series": {"loss": [3.0, 2.0]}}


def test_model_without_history_has_an_empty_one() -> None:
    """A model that was never in a ``fit`` has no epochs and no series."""
    assert epoch.history_of(dropouts()) == {"epochs": [], "series": {}}
