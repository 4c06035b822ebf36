"""What a save holds beside training stays as it was when the save began; where it does not, the save says so."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from places import ENVIRONMENT, KIT, ROOT

from callback_state import WriteError
from callback_state._format.room import Room
from callback_state._keras.backend import values_of
from callback_state._keras.values import _SAMPLE, Values, _sample
from callback_state._keras.weights import variables_of

# What training does.

WORDS = np.random.default_rng(1).integers(0, 64, (12, 3))
TRUTH = np.random.default_rng(2).normal(size=(12, 1)).astype("float32")


def embedded(*more: Any) -> Any:
    """Gradients of an embedding are sparse; batch normalization assigns; the tables are larger than a sample."""
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(64, 32),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            *more,
            keras.layers.Dense(1),
        ]
    )


_rates = {"learning_rate": 0.01, "weight_decay": 0.01}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD with momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "Adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(**_rates),
    "Lion": lambda: keras.optimizers.Lion(0.01),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, centered=True, momentum=0.9),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.01),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
    "averages": lambda: keras.optimizers.SGD(0.01, use_ema=True, ema_overwrite_frequency=2),
    "gradient accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}
MODES: dict[str, dict[str, Any]] = {
    "eager": {"run_eagerly": True, "jit_compile": False},
    "graph": {"jit_compile": False},
    "XLA": {"jit_compile": True},
    "several steps": {"jit_compile": False, "steps_per_execution": 3},
}


def compiled(optimizer: str, mode: str, *, draws: bool = True) -> Any:
    keras.utils.set_random_seed(1)
    model = embedded(*([keras.layers.Dropout(0.2)] if draws else []))
    model.compile(OPTIMIZERS[optimizer](), keras.losses.MeanSquaredError(), **MODES[mode])
    model.optimizer.build(model.trainable_variables)
    return model


def train(model: Any) -> None:
    model.fit(WORDS, TRUTH, batch_size=2, verbose=0, shuffle=False)


def moved_while_held(model: Any, change: Callable[[], Any]) -> int:
    """Hold a model while it changes, and see that nothing held does; how many of its variables have changed."""
    values, variables = Values(beside=True), variables_of(model)
    held = [values.of(variable) for variable in variables]
    before = [array.tobytes() for array in held]
    digest = values.fingerprint(variables)
    change()
    values.check("m.keras")
    assert [array.tobytes() for array in held] == before
    assert values.fingerprint(variables) == digest
    return sum(now.tobytes() != was for now, was in zip(values_of(variables), before, strict=True))


#: Optimizers of each kind; XLA, which takes long, is with the others, and below with an assignment.
ROWS = [
    ("SGD with momentum", "graph"),
    ("Adam", "graph"),
    ("AdamW", "eager"),
    ("Adafactor", "graph"),
    ("loss scaling", "graph"),
    ("averages", "several steps"),
    ("gradient accumulation", "graph"),
]
OTHERS = [row for row in itertools.product(OPTIMIZERS, MODES) if row not in ROWS]


@pytest.mark.parametrize(
    ("optimizer", "mode"), [*ROWS, *(pytest.param(*row, marks=pytest.mark.heavy) for row in OTHERS)]
)
def test_training_leaves_alone_what_is_held(optimizer: str, mode: str) -> None:
    """Whatever the optimizer does, and however the step runs: from the first step on, and once it has run."""
    model = compiled(optimizer, mode)
    weights = len(model.trainable_variables)
    assert moved_while_held(model, lambda: train(model)) > weights
    assert moved_while_held(model, lambda: train(model)) > weights


def mirrored(devices: list[str]) -> None:
    with tf.distribute.MirroredStrategy(devices).scope():
        model = compiled("Adam", "graph", draws=False)  # Keras 3.7 makes no seeds under a strategy
    assert moved_while_held(model, lambda: train(model)) > len(model.trainable_variables)


def test_a_strategy_leaves_alone_what_is_held() -> None:
    """Its variables are of other classes."""
    mirrored(["CPU:0"])


TWO = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], 2 * [tf.config.LogicalDeviceConfiguration()]
)
import test_values
test_values.mirrored(["CPU:0", "CPU:1"])
print("held")
"""


@pytest.mark.heavy
def test_a_strategy_of_two_devices_leaves_alone_what_is_held() -> None:
    """Variables that are mirrored, and averages of which each device has its own."""
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{KIT}{os.pathsep}{Path(__file__).parent}"}
    command = [sys.executable, "-W", "ignore", "-c", TWO]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("held\n"), done.stderr


VALUE = np.arange(64 * 32, dtype="float32").reshape(64, 32)
ROW = VALUE[:1]


def by_slices(variable: Any) -> None:
    """After this, TensorFlow copies a value when it is read."""
    variable.value[1].assign(ROW[0])
    variable.value[:, 3:5].assign(VALUE[:, :2])


CHANGES: dict[str, Callable[[Any], Any]] = {
    "assign": lambda v: v.assign(VALUE),
    "assign_add": lambda v: v.assign_add(VALUE),
    "assign_sub": lambda v: v.assign_sub(VALUE),
    "of the backend": lambda v: v.value.assign_add(VALUE, read_value=False),
    "slices": by_slices,
    "scatter_update": lambda v: v.value.scatter_update(tf.IndexedSlices(ROW, [5])),
    "scatter_add": lambda v: v.value.scatter_add(tf.IndexedSlices(ROW + 1, [5])),
    "scatter_nd_update": lambda v: v.value.scatter_nd_update([[6]], ROW),
    "batch_scatter_update": lambda v: v.value.batch_scatter_update(tf.IndexedSlices(ROW, [7])),
    "in a function": lambda v: tf.function(lambda: v.assign_add(VALUE))(),
    "compiled": lambda v: tf.function(lambda: v.assign_add(VALUE), jit_compile=True)(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_assignment_leaves_alone_what_is_held(change: str) -> None:
    """Also if a part of the value is assigned, and after that has happened once."""
    variable = keras.Variable(np.ones((64, 32), "float32"))
    for _ in range(2):
        values = Values(beside=True)
        held = values.of(variable)
        before = held.copy()
        CHANGES[change](variable)
        values.check("m.keras")
        assert held.tobytes() == before.tobytes()
        assert variable.numpy().tobytes() != before.tobytes() or change.endswith("update") or _ == 1


def test_what_was_assigned_may_change() -> None:
    """An array that was assigned is not the memory of the variable."""
    variable, given = keras.Variable(np.zeros((64, 32), "float32")), VALUE.copy()
    variable.assign(given)
    values = Values(beside=True)
    held = values.of(variable)
    given += 1
    values.check("m.keras")
    assert held.tobytes() == VALUE.tobytes()


# What changes in place all the same.


def overwrite(array: np.ndarray) -> None:
    """As a backend would that does not mind who holds a value."""
    ctypes.memset(array.ctypes.data, 0x55, array.nbytes)


def test_a_value_that_changes_in_place_is_noticed() -> None:
    """The error names the file, and says what will be done from now on."""
    variables = [keras.Variable(np.zeros(shape, "float32")) for shape in ((), (3,), (64, 32))]
    for variable in variables:
        values = Values(beside=True)
        for each_one in variables:
            values.of(each_one)
        values.check("ckpt/m.keras")
        assert not values.have_moved
        overwrite(values.of(variable))
        with pytest.raises(WriteError, match=r"in place while they were written.*copies the values") as caught:
            values.check("ckpt/m.keras")
        assert caught.value.path == "ckpt/m.keras"
        assert values.have_moved


def test_at_once_nothing_is_looked_at() -> None:
    """Where training waits, a save takes no samples: they would cost time and find nothing."""
    values = Values()
    overwrite(values.of(keras.Variable(np.zeros(3, "float32"))))
    values.check("m.keras")


def test_a_copy_does_not_change() -> None:
    """With room, what is held is not the memory of the variable."""
    variable = keras.Variable(VALUE)
    values, now = Values(beside=True, room=Room()), next(values_of([variable]))
    held = values.of(variable)
    overwrite(now)
    values.check("m.keras")
    assert held.tobytes() == VALUE.tobytes() != variable.numpy().tobytes()


@pytest.mark.parametrize("room", [None, Room()], ids=["without room", "with room"])
def test_what_is_no_variable_is_copied(room: Room | None) -> None:
    """An array that a layer has given may change; one of a variable is not copied again."""
    values, given = Values(beside=True, room=room), VALUE.copy()
    kept, held = values.keep(given), values.of(keras.Variable(VALUE))
    overwrite(given)
    assert kept.tobytes() == VALUE.tobytes()
    assert values.keep(held) is held
    assert Values().keep(given) is given


def test_when_all_is_written_nothing_is_held() -> None:
    """Neither values nor variables, so their memory is free."""
    values, variable = Values(beside=True), keras.Variable(VALUE)
    held = weakref.ref(values.of(variable))
    values.clear()
    assert held() is None
    values.check("m.keras")


# What a sample sees.

KINDS = st.sampled_from(["f4", "f8", "i1", "f2", "i8", "c16", "?"])


@settings(max_examples=50)
@given(array=arrays.arrays("u1", st.integers(1, _SAMPLE)), data=st.data())
def test_a_sample_sees_each_change_of_a_small_array(array: np.ndarray, data: st.DataObject) -> None:
    """Up to four kilobytes, whichever byte it is."""
    at = data.draw(st.integers(0, len(array) - 1))
    before = _sample(array)
    array[at] ^= data.draw(st.integers(1, 255))
    assert _sample(array) != before


@settings(max_examples=50)
@given(kind=KINDS, size=st.integers(_SAMPLE // 16, 40_000), bits=st.integers(1, 255), data=st.data())
def test_a_sample_sees_a_change_of_all(kind: str, size: int, bits: int, data: st.DataObject) -> None:
    """Of a larger array, if one byte of each element changes, be it always the same one."""
    array = np.random.default_rng(size).integers(0, 256, size * np.dtype(kind).itemsize).astype("u1")
    before = _sample(array.view(kind))
    assert len(before) <= _SAMPLE + 8
    array.reshape(size, -1)[:, data.draw(st.integers(0, np.dtype(kind).itemsize - 1))] ^= bits
    assert _sample(array.view(kind)) != before
