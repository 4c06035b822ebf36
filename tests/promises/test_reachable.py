"""Promise 10: every variable that can be reached from the model is as in the run that was never killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from harness import Killed, Strike, X, Y

from callback_state import ModelCheckpointEnhanced, restore_callbacks
from callback_state._keras.reach import Reach


class Own(keras.Model):
    """Two optimizers in a list, and a count that is a variable of the backend."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = keras.layers.Dense(1), keras.layers.Dense(1)
        self.own = [keras.optimizers.Adam(0.05), keras.optimizers.SGD(0.05, momentum=0.9)]
        self.steps = {"seen": tf.Variable(0, dtype="int64", trainable=False)}

    def call(self, x: Any) -> Any:
        return self.left(x) + self.right(x)

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        self.steps["seen"].assign_add(1)
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        for part, optimizer in zip((self.left, self.right), self.own, strict=True):
            optimizer.apply_gradients(
                zip(tape.gradient(loss, part.trainable_variables), part.trainable_variables, strict=True)
            )
        return {"loss": loss}


@keras.saving.register_keras_serializable("test_reachable")
class Counting(keras.Sequential):
    """Counts its steps in a variable of the backend, and trains by this number."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen = tf.Variable(0.0, trainable=False)

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        self.seen.assign_add(1.0)
        return super().train_step((x * self.seen, y))


class Distilled(keras.Model):
    """Applies the optimizer of ``compile`` to a part of its variables."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher, self.student = keras.layers.Dense(1), keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.student(x) + 0 * self.teacher(x)

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.student(x) - self.teacher(x) - y) ** 2)
        variables = self.student.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


class Rounding(keras.layers.Dense):
    """Saves itself in half precision, as the user wants it."""

    def save_own_variables(self, store: Any) -> None:
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy().astype("float16").astype("float32")


def sequential(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), *layers])


def lora() -> Any:
    model = sequential(keras.layers.Dense(4), keras.layers.Dense(1))
    model.layers[0].enable_lora(2)
    return model


def inner() -> Any:
    """A compiled model inside another one, trained by nobody, but its optimizer is there."""
    part = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    part.compile("adam", "mse")
    part.optimizer.build(part.trainable_variables)
    return sequential(part, keras.layers.Dense(1))


MODELS: dict[str, Any] = {
    "optimizers of its own": Own,
    "a part is trained": Distilled,
    "lora": lora,
    "saves something else": lambda: sequential(Rounding(2), keras.layers.Dense(1)),
    "an inner compiled model": inner,
}
#: Each model, each format and each way to save. The pairs that say the same are heavy.
CASES = [
    ("optimizers of its own", ".weights.h5", 3),
    ("a part is trained", ".keras", 3),
    ("lora", ".keras", "epoch"),
    ("saves something else", ".weights.h5", "epoch"),
    ("an inner compiled model", ".h5", "epoch"),
    pytest.param("optimizers of its own", ".keras", "epoch", marks=pytest.mark.heavy),
    pytest.param("a part is trained", ".weights.h5", "epoch", marks=pytest.mark.heavy),
    pytest.param("saves something else", ".weights.h5", 3, marks=pytest.mark.heavy),
]


def start(directory: Path, make: Any, ending: str, save_freq: Any, kill: int | None = None) -> Any:
    """One start of a script; None if it was killed, after ``kill`` epochs and one batch."""
    keras.utils.set_random_seed(4)
    model = make()
    model(X[:2])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    name = f"{{epoch}}{ending}" if save_freq == "epoch" else f"{{epoch}}-{{batch}}{ending}"
    weights_only = ending == ".weights.h5"
    callbacks = [ModelCheckpointEnhanced(directory / name, save_weights_only=weights_only, save_freq=save_freq)]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    if kill is not None:
        callbacks.append(Strike("train_batch_end", epoch=kill, at=1))
    try:
        model.fit(
            X[:32],
            Y[:32],
            batch_size=8,
            epochs=3,
            initial_epoch=restored.initial_epoch,
            callbacks=callbacks,
            verbose=0,
        )
    except Killed:
        return None
    return values(model)


def values(model: Any) -> dict[str, tuple[str, bytes]]:
    counted = {id(v) for v in model.metrics_variables}
    found = {name: v.numpy() for name, v in Reach(model).variables.items() if id(v) not in counted}
    return {name: (value.dtype.name, value.tobytes()) for name, value in found.items()}


@pytest.mark.parametrize(("model", "ending", "save_freq"), CASES)
def test_every_variable_is_as_in_the_uninterrupted_run(
    tmp_path: Path, model: str, ending: str, save_freq: Any
) -> None:
    """Whatever holds it, and whatever Keras's file makes of it."""
    whole = start(tmp_path / "whole", MODELS[model], ending, save_freq)
    assert start(tmp_path / "killed", MODELS[model], ending, save_freq, kill=1) is None
    assert start(tmp_path / "killed", MODELS[model], ending, save_freq) == whole
    assert len({value for _, value in whole.values()}) > 4


def counting() -> Any:
    return Counting([keras.Input((6,)), keras.layers.Dense(1)])


def test_from_nothing_but_the_files_too(tmp_path: Path) -> None:
    """What the model file does not hold is put into the model that ``load_model`` has made."""
    whole = start(tmp_path / "whole", counting, ".keras", "epoch")
    assert start(tmp_path / "killed", counting, ".keras", "epoch", kill=1) is None
    restored = restore_callbacks(tmp_path / "killed")
    model = keras.models.load_model(restored.model_path)
    arguments = {"epochs": 3, "initial_epoch": restored.initial_epoch, "callbacks": [*restored]}
    model.fit(X[:32], Y[:32], batch_size=8, verbose=0, **arguments)
    assert values(model) == whole
