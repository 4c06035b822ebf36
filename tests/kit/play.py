"""A loop that only plays fit: the callbacks hear all that they hear in a ``fit``, and nothing is trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
from kept import kept

from callback_state import ModelCheckpointEnhanced, restore_callbacks

_values = itertools.count(1.0)


def _tiny() -> Any:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def tiny_model() -> Any:
    """A model of two numbers, as a new process makes it."""
    return kept(_tiny)


def play(callbacks: list[Any], epochs: int, *, first: int = 0, model: Any = None) -> Any:
    """Call the callbacks as a ``fit`` of the 0-based epochs from ``first`` to ``epochs`` does; the model.

    The loss gets smaller. No two epochs of a process end with the same model.
    """
    model = tiny_model() if model is None else model
    played = keras.callbacks.CallbackList(callbacks, add_history=True, model=model, epochs=epochs, steps=1)
    played.on_train_begin()
    for epoch in range(first, epochs):
        played.on_epoch_begin(epoch)
        bias = model.weights[-1]
        bias.assign([next(_values)] * bias.shape[0])
        played.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
    played.on_train_end()
    return model


def saver(directory: Path, name: str = "{epoch}.weights.h5", **options: Any) -> Any:
    """A checkpoint callback; it writes only the weights, which is quick."""
    return ModelCheckpointEnhanced(directory / name, save_weights_only=True, **options)


def start(directory: Path, epochs: int, *callbacks: Any, name: str = "{epoch}.weights.h5", **options: Any) -> Any:
    """One start of a script that restores what is there and goes on to the end of that number of epochs."""
    made = [saver(directory, name, **options), *callbacks]
    model = tiny_model()
    restored = restore_callbacks(directory, into=made, model=model, missing_ok=True)
    play(made, epochs, first=restored.initial_epoch, model=model)
    return restored
