"""What a callback drives in a simulation instead of a model: an optimizer, a flag that stops, weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy

__all__ = ["NumpyOptimizer", "StandIn", "count_step", "put_back", "values_of", "variables_of"]


class _Value(numpy.ndarray):
    """A number that is set as a variable of Keras is: rounded to float32, by ``assign`` or by the optimizer."""

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
    """A learning rate and a count of steps, without TensorFlow: a simulated step costs microseconds.

    Args:
        learning_rate: to begin with; float32 as Keras's.
    """

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
    """A model that counts its steps in its one weight, and notes what is saved instead of saving it.

    Args:
        optimizer: a Keras optimizer that is not built yet, a function that returns one, a name, ``"numpy"``, or
            None for SGD(0.01).
    """

    name = "simulated"
    built = compiled = True
    train_function: Any = None  # which TensorBoard looks for
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
            self._counts = [partial(value.__iadd__, 1) for value in (self.weights[0], optimizer.iterations)]
            return
        import keras
        import tensorflow

        self.optimizer = keras.optimizers.get("sgd" if optimizer is None else optimizer)
        self.weights = [keras.Variable(0.0, name="steps")]
        self.optimizer.build(self.weights)
        # Of TensorFlow's own variables: Keras's take five times as long, and there are many steps.
        counts = (self.weights[0].value, self.optimizer.iterations.value)
        self._counts = [partial(v.assign_add, tensorflow.ones((), v.dtype), read_value=False) for v in counts]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the stand-in for a model in a simulation has no attribute {name!r}: give simulate() a real model=, "
            f"or test what needs it in a real fit"
        )

    @property
    def trainable_variables(self) -> list[Any]:
        return self.weights

    @property
    def variables(self) -> list[Any]:
        return self.weights

    def step(self) -> None:
        """One step of training: the weight and the optimizer's count go up by one."""
        for add_one in self._counts:
            add_one()

    def get_weights(self) -> list[Any]:
        return [numpy.array(weight.numpy()) for weight in self.weights]

    def set_weights(self, weights: list[Any]) -> None:
        for weight, value in zip(self.weights, weights, strict=True):
            weight.assign(value)

    def save(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        self.saves.append(str(filepath))

    save_weights = save

    def load_weights(self, filepath: Any, **options: Any) -> None:
        raise FileNotFoundError(f"{filepath}: a simulation saves no weights, so there are none to load")


def count_step(model: Any) -> None:
    """One step of a training that does not take place: what counts the steps goes up by one."""
    if isinstance(model, StandIn):
        model.step()
    elif getattr(model, "optimizer", None) is not None:
        model.optimizer.iterations.assign_add(1)


def variables_of(model: Any) -> list[Any]:
    """What a model file holds of a model or its stand-in: its variables, then the optimizer's."""
    return [*model.variables, *getattr(model.optimizer, "variables", ())]


def values_of(model: Any) -> list[Any]:
    """A copy of the values of these, in their order."""
    return [numpy.array(variable.numpy()) for variable in variables_of(model)]


def put_back(model: Any, values: list[Any]) -> None:
    """Give them these values."""
    for variable, value in zip(variables_of(model), values, strict=True):
        variable.assign(value)
