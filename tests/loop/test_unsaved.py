"""What changes while training runs and is not saved is named, once."""

from __future__ import annotations

import functools
import logging
import warnings
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from harness import X, Y
from play import play
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, stateful
from callback_state._checkpoints.snapshot import Snapshot


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


class Writing(keras.Sequential):
    """Its train step writes two variables of the script, and reads another one."""

    def train_step(self, data: Any) -> Any:
        STEPS.assign_add(1.0)
        TOTAL.assign(TOTAL + READ)
        return super().train_step(data)


STEPS, TOTAL, READ = tf.Variable(0.0, name="steps"), keras.Variable(0.0, name="total"), tf.Variable(1.0)


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


@pytest.mark.parametrize("jit", [False, True])
def test_a_variable_that_only_the_script_holds_is_named(tmp_path: Path, jit: bool) -> None:
    """The compiled step writes it, and nobody saves it; a variable of a callback is not meant."""
    model = Writing([keras.Input((6,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"], jit_compile=jit)
    checkpoint = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras")
    with pytest.warns(UserWarning) as caught:
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[checkpoint, stateful(Variable())])
    (told,) = [str(w.message) for w in caught if "train step" in str(w.message)]
    assert "writes 2 variables" in told and "steps, total; keep them in an attribute of the model" in told


GLOBAL: list[int] = []


def _global() -> Any:
    return lambda epoch, logs: GLOBAL.append(epoch)


def _closure() -> Any:
    stats: dict[str, list[int]] = {"epochs": []}
    return lambda epoch, logs: stats["epochs"].append(epoch)


def _number() -> Any:
    n = 0

    def count(epoch: int, logs: Any) -> None:
        nonlocal n
        n += 1

    return count


def _method() -> Any:
    return Tally().add


class Tally:
    """An object whose method a callback calls."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def add(self, epoch: int, logs: Any, *, more: Any = None) -> None:
        self.epochs.append(epoch)


def _partial() -> Any:
    seen: list[int] = []
    return functools.partial(lambda seen, epoch, logs: seen.append(epoch), seen)


@pytest.mark.parametrize(
    ("make", "name"),
    [(_global, "GLOBAL"), (_closure, "stats"), (_number, "n"), (_method, "object"), (_partial, "arguments")],
)
def test_state_behind_a_function_is_a_doubt(tmp_path: Path, make: Any, name: str) -> None:
    """It is named once, with the callback and where it is held; and it is kept in the file."""
    callback = keras.callbacks.LambdaCallback(on_epoch_end=make())
    with pytest.warns(UserWarning) as caught:
        play([callback, ModelCheckpointEnhanced(tmp_path / "m.keras")], epochs=3)
    (said,) = [str(w.message) for w in caught if "changed while" in str(w.message)]
    assert said.startswith(f"LambdaCallback.on_epoch_end (its {name}) changed while training ran")
    assert said in [str(doubt) for doubt in load(tmp_path / "m.keras")]


def test_functions_that_hold_what_does_not_change_are_no_doubt(tmp_path: Path) -> None:
    """Or what is saved itself: another callback, the model, a logger."""
    saved, still, log = stateful(Number()), [1], logging.getLogger("still")
    functions = [
        saved.on_epoch_end,
        lambda epoch, logs: log.info("epoch %s of %s", epoch, saved.model),
        lambda epoch, logs: logs.update(more=still[0]),
    ]
    callbacks = [saved, *(keras.callbacks.LambdaCallback(on_epoch_end=function) for function in functions)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "stored by value")
        play([*callbacks, ModelCheckpointEnhanced(tmp_path / "m.keras")], epochs=3)


def load(path: Path) -> list[Any]:
    return Snapshot.open(str(path)).meta.doubts


@stateful
class Choosing(Number):
    """Makes a new function each time: the function is its state."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held = lambda rate: rate * (epoch + 1)


@pytest.mark.filterwarnings("ignore:stored by value")
def test_a_function_that_is_state_is_no_doubt(tmp_path: Path) -> None:
    """It is saved with what it holds."""
    play([Choosing(), ModelCheckpointEnhanced(tmp_path / "m.keras")], epochs=3)
