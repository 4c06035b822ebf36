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
from callback_state._metrics import build_metrics, logs_of, put_back_metrics, take_metrics

ROWS = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def compiled(**options: Any) -> Any:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "mse", **options)
    return model


def plain(taken: list[Any]) -> list[Any]:
    return [(values.dtype.name, values.shape, values.tobytes()) for values in taken]


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


def test_one_stack_for_each_variable() -> None:
    """The first axis counts devices."""
    model = fresh_model()
    assert [values.shape for values in take_metrics(model)] == [
        (1, *variable.shape) for variable in model.metrics_variables
    ]


def auc() -> Any:
    return keras.metrics.AUC(num_thresholds=5)


OTHERS = {
    "none": (["mae"], []), "one more": (["mae"], ["mae", "mape"]), "one fewer": (["mae", "mape"], ["mae"]),
    "another shape": ([auc], ["mae", "mape"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_metrics_are_refused(name: str) -> None:
    """The error says how many there are and of which shapes, and what to do; nothing is assigned."""
    was, now = (compiled(metrics=[m() if callable(m) else m for m in metrics]) for metrics in OTHERS[name])
    for model in (was, now):
        build_metrics(model, ROWS)
    taken = [values + 1 for values in take_metrics(was)]
    before = bytes_of(now.metrics_variables)
    with pytest.raises(ResumeError) as caught:
        put_back_metrics(now, taken)
    assert bytes_of(now.metrics_variables) == before
    found, saved = (
        f"{len(m.metrics_variables)} variables of shapes {[tuple(v.shape) for v in m.metrics_variables]}"
        for m in (now, was)
    )
    assert str(caught.value) == (
        f"the metrics of the model have {found}, those of the checkpoint were {saved.replace('variables ', '')}: "
        f"compile with the same metrics as before, on as many devices, or resume from the end of an epoch."
    )


def test_metrics_of_other_devices_are_refused() -> None:
    """What two devices had summed up for themselves cannot be put into one."""
    model = fresh_model()
    taken = [np.concatenate([values, values]) for values in take_metrics(model)]
    with pytest.raises(ResumeError, match="on as many devices"):
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
    build_metrics(model, dataset)
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
    build_metrics(model, ROWS)
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
        build_metrics(model, ROWS)


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
