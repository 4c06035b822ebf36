"""What changes while training runs and is not saved is named, once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from harness import X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, stateful


class Number(keras.callbacks.Callback):
    """Not registered; counts in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Any = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held += 1


class Variable(Number):
    """Counts in a variable, which stays the same object."""

    def __init__(self) -> None:
        super().__init__()
        self.held = tf.Variable(1.0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held.assign_add(1.0)


class Counter:
    """An object of a class of the user's own."""

    def __init__(self) -> None:
        self.n = 0


class Object(Number):
    """Counts in an object of its own, which stays the same object."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held.n += 1


class Still(Number):
    """Changes nothing."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["still"] = self.held


class FromTheClass(keras.callbacks.Callback):
    """Has no attribute of its own until it changes."""

    held = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held += 1


class Ramp(keras.callbacks.ReduceLROnPlateau):
    """Moves an argument of the stock class that it derives from."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.factor = 0.5 + 0.1 * epoch
        super().on_epoch_end(epoch, logs)


def said(tmp_path: Path, *callbacks: Any, saves: list[Any] | None = None) -> list[str]:
    """The warnings of a run of two epochs."""
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", callbacks=saves)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        fresh_model().fit(X, Y, epochs=2, verbose=0, callbacks=[*callbacks, saver])
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def test_each_unregistered_callback_that_changes_is_named_once(tmp_path: Path) -> None:
    """With the attribute and the line to add, also where the attribute is the same object or one of the class."""
    classes = (Number, Variable, Object, FromTheClass)
    messages = said(tmp_path, *(cls() for cls in classes), Still())
    assert len(messages) == len(classes)
    for cls, message in zip(classes, messages, strict=True):
        assert f"{cls.__name__} is not saved" in message and "its held changed" in message
        assert f"write @stateful above class {cls.__name__}, or pass stateful({cls.__name__}(...))" in message


def test_a_callback_that_is_saved_or_does_not_change_is_not_named(tmp_path: Path) -> None:
    """Registered, named by ``callbacks=``, constant, or a stock one: nothing would be lost."""
    registered, named = stateful(Number()), Number()
    others = [Still(), keras.callbacks.EarlyStopping("loss", patience=9)]
    assert said(tmp_path, registered, named, *others, saves=[registered, named]) == []


def test_a_stock_argument_that_somebody_moves_is_named(tmp_path: Path) -> None:
    """It is configuration for us, and would be what the constructor is given again."""
    (message,) = said(tmp_path, Ramp("loss"))
    assert "Ramp.factor changed while training ran" in message and "is not saved" in message
