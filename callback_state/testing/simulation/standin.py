"""The stand-in for a model in a simulation: an optimizer, a flag that stops training, weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy

from ..._keras.backend import backend, value_of


class _Value(numpy.ndarray):
    """A number that behaves like a Keras variable: ``assign`` rounds to its dtype."""

    @property
    def value(self) -> Any:
        return self

    def numpy(self) -> Any:
        return self[()].copy()

    def assign(self, value: Any) -> None:
        self[...] = value


def _value(number: float, dtype: str) -> Any:
    return numpy.asarray(number, dtype).view(_Value)


class NumpyOptimizer:
    """An optimizer with only a learning rate, a float32 as in Keras, and a step count. It needs no TensorFlow."""

    name = "numpy"

    def __init__(self, learning_rate: float = 0.01) -> None:
        self._learning_rate = _value(learning_rate, "float32")
        self.iterations = _value(0, "int64")
        self.variables = [self.iterations, self._learning_rate]

    @property
    def learning_rate(self) -> Any:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate[...] = value


class StandIn:
    """A model that counts its steps in its only weight, and that notes saves instead of writing files."""

    name = "simulated"
    built = compiled = True
    train_function: Any = None  # TensorBoard asks for it
    test_function: Any = None

    def __init__(self, optimizer: Any = None) -> None:
        self.stop_training = False
        self.history: Any = None
        self.layers: list[Any] = []
        self.metrics: list[Any] = []
        self.saves: list[str] = []
        if callable(optimizer):
            optimizer = optimizer()
        if isinstance(optimizer, str) and optimizer == "numpy":
            optimizer = NumpyOptimizer()
        if isinstance(optimizer, NumpyOptimizer):
            self.optimizer: Any = optimizer
            self.weights: list[Any] = [_value(0, "float32")]
        else:
            import keras

            self.optimizer = keras.optimizers.get("sgd" if optimizer is None else optimizer)
            self.weights = [keras.Variable(0.0, name="steps")]
            self.optimizer.build(self.weights)
        self.variables = self.trainable_variables = self.weights
        counted = (self.weights[0], self.optimizer.iterations)
        self._counts = [partial(v.__iadd__, 1) if isinstance(v, _Value) else backend().adder(v) for v in counted]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the stand-in for a model in a simulation has no attribute {name!r}: pass a real model= to "
            f"simulate(), or test the callback in a real fit"
        )

    def step(self) -> None:
        """Count one training step in the weight and in the optimizer."""
        for add_one in self._counts:
            add_one()

    def get_weights(self) -> list[Any]:
        return [value_of(weight) for weight in self.weights]

    def set_weights(self, weights: list[Any]) -> None:
        for weight, value in zip(self.weights, weights, strict=True):
            weight.assign(value)

    def save(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        self.saves.append(str(filepath))

    save_weights = save

    def load_weights(self, filepath: Any, **options: Any) -> None:
        raise FileNotFoundError(f"{filepath}: a simulation writes no weights, so it cannot load any")


def count_step(model: Any) -> None:
    """Count one training step in a model or its stand-in, without training."""
    if isinstance(model, StandIn):
        model.step()
    elif getattr(model, "optimizer", None) is not None:
        model.optimizer.iterations.assign_add(1)


def variables_of(model: Any) -> list[Any]:
    """The variables of a model or its stand-in that a model file holds, then those of the optimizer."""
    return [*model.variables, *getattr(model.optimizer, "variables", ())]


def values_of(model: Any) -> list[Any]:
    """Copy the values of :func:`variables_of`."""
    return [value_of(variable) for variable in variables_of(model)]


def put_back(model: Any, values: list[Any]) -> None:
    """Assign values to :func:`variables_of`."""
    for variable, value in zip(variables_of(model), values, strict=True):
        variable.assign(value)
