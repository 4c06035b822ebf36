"""Models of several kinds and optimizers, every variable of which has a value of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from harness import X

ENDINGS = (".keras", ".weights.h5", ".h5")


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )


def dropouts() -> Any:
    """Three layers that draw, and two that learn."""
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


def two_outputs() -> Any:
    inputs = keras.Input((6,))
    middle = keras.layers.Dense(3, name="middle")(inputs)
    outputs = {"a": keras.layers.Dense(1, name="a")(middle), "b": keras.layers.Dense(2, name="b")(middle)}
    return keras.Model(inputs, outputs)


def nested() -> Any:
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(3)], name="inner")
    return keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)))


def half() -> Any:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return sequential()
    finally:
        keras.config.set_dtype_policy(policy)


@keras.saving.register_keras_serializable("keras_models")
class Subclassed(keras.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first, self.last = keras.layers.Dense(3), keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))


def subclassed() -> Any:
    model = Subclassed()
    model(X[:1])
    return model


Make = Callable[[], Any]
OPTIMIZERS: dict[str, Make] = {
    "Adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "SGD with momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
    "EMA": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "gradient accumulation": lambda: keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=4),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}
MODELS: dict[str, Make] = {"two outputs": two_outputs, "nested": nested, "mixed_float16": half}


def built(make: Make = sequential, optimizer: Make = OPTIMIZERS["Adam"], seed: int = 1) -> Any:
    """A compiled model, whose optimizer has variables."""
    keras.utils.set_random_seed(seed)
    model = make()
    names = getattr(model, "output_names", [])
    mse = keras.losses.MeanSquaredError
    loss = {name: mse() for name in names} if len(names) > 1 else mse()
    model.compile(optimizer(), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def stepped(*args: Any, **options: Any) -> Any:
    """The same, every variable of which has left its initial value."""
    model = built(*args, **options)
    for i, variable in enumerate((*model.weights, *model.optimizer.variables)):
        variable.assign(np.full(variable.shape, i + 1, variable.dtype) + variable.numpy())
    return model


def by_turns(names: Any, endings: Any = ENDINGS) -> list[Any]:
    """(name, ending): every name and every ending by default, each name with each ending in the heavy suite."""
    rows = itertools.product(enumerate(names), enumerate(endings))
    return [
        pytest.param(name, ending, marks=() if i % len(endings) == j else pytest.mark.heavy)
        for (i, name), (j, ending) in rows
    ]
