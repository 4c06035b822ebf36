"""What metrics have summed up is taken and put back, into variables that may have to be made first."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import X, Y, bytes_of
from reused import fresh_model

from callback_state import ResumeError
from callback_state._keras.epoch import build_metrics, logs_of, put_back_metrics, take_metrics

ROWS = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def compiled(**options: Any) -> Any:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "mse", **options)
    return model


def plain(taken: list[Any]) -> list[Any]:
    return [(name, values.dtype.name, values.shape, values.tobytes()) for name, values in taken]


def test_sums_go_on_where_they_stood() -> None:
    """Put back they are what they were, and later sums do not change what was taken."""
    model = fresh_model()
    model.evaluate(X, Y, verbose=0)
    taken, values = take_metrics(model), bytes_of(model.metrics_variables)
    before = plain(taken)
    assert len(taken) == len(values) >= 4 and len(set(values)) > 2
    model.reset_metrics()
    model.evaluate(X[:9], Y[:9], verbose=0)
    assert plain(taken) == before != plain(take_metrics(model))
    put_back_metrics(model, taken)
    assert bytes_of(model.metrics_variables) == values and plain(take_metrics(model)) == before


def auc() -> Any:
    return keras.metrics.AUC(num_thresholds=5)


OTHERS = {
    "none": (["mae"], []),
    "one more": (["mae"], ["mae", "mape"]),
    "one fewer": (["mae", "mape"], ["mae"]),
    "another shape": ([auc], ["mae", "mape"]),
    "another name": (["mae"], ["mse"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_metrics_are_refused(name: str) -> None:
    """The error says which there are and of which shapes, and what to do; nothing is assigned."""
    was, now = (compiled(metrics=[m() if callable(m) else m for m in metrics]) for metrics in OTHERS[name])
    for model in (was, now):
        build_metrics(model, ROWS, 99)
    taken = [(name, values + 1) for name, values in take_metrics(was)]
    before = bytes_of(now.metrics_variables)
    with pytest.raises(ResumeError) as caught:
        put_back_metrics(now, taken)
    assert bytes_of(now.metrics_variables) == before
    found, saved = (
        ", ".join(f"{name} {values.shape[1:]}" for name, values in take_metrics(model)) for model in (now, was)
    )
    assert f"have the variables {found}; in the checkpoint they are {saved}. Compile with" in str(caught.value)


@pytest.mark.parametrize("i", [0, -1], ids=["first", "last"])
def test_metrics_of_other_devices_are_refused(i: int) -> None:
    """What two devices had summed up for themselves cannot be put into one."""
    model = fresh_model()
    taken = take_metrics(model)
    taken[i] = (taken[i][0], np.concatenate([taken[i][1]] * 2))
    with pytest.raises(ResumeError, match="on the same number of devices"):
        put_back_metrics(model, taken)


# Variables that are not there yet.


def named(*inputs: str) -> Any:
    layers = [keras.Input((6,), name=name) for name in inputs]
    hidden = keras.layers.Concatenate()(layers) if len(layers) > 1 else layers[0]
    model = keras.Model(layers if len(layers) > 1 else layers[0], keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mape"])
    return model


def optional() -> Any:
    """What Keras makes of a generator that leaves out the weights, or of a data set with None in it."""
    spec = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 1)), tf.OptionalSpec(tf.TensorSpec((None, 1))))

    class Dataset:
        element_spec = spec

    return Dataset()


DATA = {
    "pair": lambda: ROWS,
    "weights": lambda: tf.data.Dataset.from_tensor_slices((X, Y, Y)).batch(16),
    "dict": lambda: tf.data.Dataset.from_tensor_slices(({"a": X, "b": X}, Y)).batch(16),
    "left out": optional,
}


@pytest.mark.parametrize("name", DATA)
def test_variables_are_made_as_the_first_step_makes_them(name: str) -> None:
    """Number, shapes and initial values, without a step: weights, seeds and the data are as they were."""
    names = ("a", "b") if name == "dict" else ("a",)
    model, stepped = named(*names), named(*names)
    before, dataset = bytes_of(model.weights), DATA[name]()
    build_metrics(model, dataset, 99)
    x = dict.fromkeys(names, X[:16]) if name == "dict" else X[:16]
    stepped.train_on_batch(x, Y[:16], Y[:16] if name == "weights" else None)
    stepped.reset_metrics()
    assert plain(take_metrics(model)) == plain(take_metrics(stepped)) != []
    assert len(model.metrics_variables) > 2
    assert bytes_of(model.weights) == before and int(model.optimizer.iterations) == 0


def test_metrics_that_are_there_are_left() -> None:
    """Sums that were put back before would be lost."""
    model = fresh_model()
    model.evaluate(X, Y, verbose=0)
    variables, before = model.metrics_variables, bytes_of(model.metrics_variables)
    build_metrics(model, ROWS, len(variables))
    assert bytes_of(model.metrics_variables) == before
    assert all(a is b for a, b in zip(model.metrics_variables, variables, strict=True))


def test_model_that_cannot_be_built_from_shapes_is_named() -> None:
    """The error has Keras's own, and says two ways out."""

    class Stubborn(keras.metrics.Metric):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            raise ArithmeticError("only with numbers")

        def result(self) -> Any:
            return 0.0

    model = compiled(metrics=[Stubborn(name="stubborn")])
    with pytest.raises(ResumeError, match=r"cannot be built before .*only with numbers.*train_on_batch"):
        build_metrics(model, ROWS, 99)


class OwnMetric(keras.Model):
    """A train step with a metric that makes its variables when it sees a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.f1 = keras.layers.Dense(1, "sigmoid"), keras.metrics.F1Score(threshold=0.5)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        self.f1.update_state(tf.reshape(y, (-1, 1)), self(x))
        return {"f1": self.f1.result()}


@pytest.mark.parametrize("steps", [1, 3])
def test_metrics_of_an_own_step_are_made_by_compiling_it(steps: int) -> None:
    """As its first call would have done, which then finds it compiled; nothing is computed."""
    model = OwnMetric()
    model(X[:1])
    model.compile("sgd", "mse", steps_per_execution=steps, jit_compile=False)
    model.make_train_function()
    number = len(model.metrics_variables)
    build_metrics(model, ROWS, number + 4)
    assert len(model.metrics_variables) == number + 4
    assert not any(np.any(values) for _, values in take_metrics(model))
    variables = model.metrics_variables
    model.fit(ROWS, shuffle=False, verbose=0)
    assert all(a is b for a, b in zip(model.metrics_variables, variables, strict=True))


def test_metrics_of_an_own_loop_that_are_not_there_are_warned_of() -> None:
    """The others get what they had."""
    was, now = compiled(metrics=["mae"]), compiled(metrics=["mae"])
    build_metrics(was, ROWS, 99)
    taken = [(name, values + 1) for name, values in take_metrics(was)]
    with pytest.warns(UserWarning, match=r"mean_absolute_error/total.* no variables yet.*test_on_batch"):
        put_back_metrics(now, taken, partly=True)
    assert plain(take_metrics(now)) == plain([item for item in taken if item[0].startswith("loss")]) != []


# What the step gave.


def test_logs_become_plain() -> None:
    """Tensors at any depth become arrays of their dtype; everything else stays what it is."""
    given = {"loss": tf.constant(0.5), "parts": [tf.constant([1, 2]), 3.0], "name": "text"}
    logs = logs_of(given)
    assert type(logs["loss"]) is np.ndarray and logs["loss"].dtype == "float32" and logs["loss"] == 0.5
    assert type(logs["parts"][0]) is np.ndarray and logs["parts"][0].tolist() == [1, 2]
    assert (logs["parts"][1], logs["name"]) == (3.0, "text")
    assert type(logs["parts"][1]) is float


@pytest.mark.parametrize("logs", [None, 3.5, [1.0], tf.constant(1.0)], ids=["none", "number", "list", "tensor"])
def test_logs_that_are_no_dict_are_none(logs: Any) -> None:
    """A train step of one's own may return anything; there is nothing to hand to anybody."""
    assert logs_of(logs) == {}
