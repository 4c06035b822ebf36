"""What a run consists of besides weights, optimizer and callbacks is taken and put back exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from harness import X, Y
from reused import forget

from callback_state._format.decode import copy
from callback_state._keras import epoch, randomness, weights


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Every test starts with seeded generators, none of TensorFlow's or Keras's own made yet."""
    forget()
    yield
    forget()


# Seeds of a model.


def dropouts() -> Any:
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(4),
            keras.layers.GaussianNoise(1.0),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )


def images() -> Any:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.2, 0.2),
            keras.layers.SpatialDropout2D(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def nested() -> Any:
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    outputs = keras.layers.Dense(1)(keras.layers.AlphaDropout(0.2)(inner(inputs)))
    return keras.Model(inputs, outputs)


@keras.saving.register_keras_serializable("test_runstate")
class Subclassed(keras.Model):
    """Holds a SeedGenerator of its own, and one in a layer that a list holds."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = keras.random.SeedGenerator(4)
        self.parts = [keras.layers.Dropout(0.4), keras.layers.Dense(1)]

    def call(self, x: Any, training: Any = None) -> Any:
        if training:
            x = x + keras.random.normal(keras.ops.shape(x), seed=self.noise)
        for part in self.parts:
            x = part(x, training=training) if isinstance(part, keras.layers.Dropout) else part(x)
        return x


def subclassed() -> Any:
    model = Subclassed()
    model(X[:2])
    return model


MODELS = {"dropouts": dropouts, "images": images, "nested": nested, "subclassed": subclassed}


def outputs(model: Any) -> list[bytes]:
    """What the model gives in training: another thing each time, as its seeds go on."""
    x = X[:4] if model.input_shape[-1] == 6 else np.ones((4, 4, 4, 1), "float32")
    return [model(x, training=True).numpy().tobytes() for _ in range(2)]


@pytest.mark.parametrize("name", MODELS)
def test_seeds_put_back_give_the_same_masks(name: str) -> None:
    """Dropout, noise and augmentation, nested or held in a list, go on where they stood."""
    model = MODELS[name]()
    if name == "subclassed":
        model.input_shape = (None, 6)
    outputs(model)
    taken = copy(randomness.take_seeds(model))
    first = outputs(model)
    assert first[0] != first[1]
    assert outputs(model) != first
    randomness.put_back_seeds(model, taken)
    assert outputs(model) == first


@pytest.mark.parametrize("name", MODELS)
def test_seeds_fit_the_same_model_made_again(name: str) -> None:
    """Seeds are known by their order, not by names, which Keras counts by process."""
    model, other = MODELS[name](), MODELS[name]()
    for variable in randomness._seed_variables(model):
        variable.assign(variable + 5)
    randomness.put_back_seeds(other, copy(randomness.take_seeds(model)))
    assert [v.numpy().tolist() for v in randomness._seed_variables(other)] == [
        v.numpy().tolist() for v in randomness._seed_variables(model)
    ]
    assert len(randomness._seed_variables(model)) >= 2


def test_metrics_and_weights_are_no_seeds() -> None:
    """Only the states of SeedGenerators are taken: not weights, batch statistics, or metrics."""
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X[:4], Y[:4], verbose=0)
    taken = randomness.take_seeds(model)
    assert [array.shape for array in taken["seeds"]] == [(1, 2)]
    assert taken["replicas"] == {}
    assert len(model.metrics_variables) > 2


def test_seeds_of_another_model_change_nothing() -> None:
    """Seeds of a model with more or fewer generators are refused before any of them is set."""
    model = dropouts()
    before = [v.numpy().tolist() for v in randomness._seed_variables(model)]
    for other in ([], randomness.take_seeds(nested())["seeds"], [np.zeros((3, 3), "uint32")]):
        with pytest.raises(ValueError, match="seed generators"):
            randomness.put_back_seeds(model, {"seeds": other, "replicas": {}})
    assert [v.numpy().tolist() for v in randomness._seed_variables(model)] == before


def test_other_number_of_devices_is_warned_of() -> None:
    """What each of two devices had for itself does not fit on one: a warning says whose is taken."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization()])
    taken = {**randomness.take_seeds(model), "replicas": {0: np.ones((2, 6), "float32")}}
    with pytest.warns(UserWarning, match="on 2 devices, this one is on 1"):
        randomness.put_back_seeds(model, taken)


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
