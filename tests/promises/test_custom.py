"""Custom callbacks, end to end: trained, killed, restored from real files, and gone on with."""

from __future__ import annotations

import contextlib
import importlib
import runpy
import threading
import types
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Killed, Strike, X, Y
from play import play
from reused import fresh_model

from callback_state import (
    ModelCheckpointEnhanced,
    NotPicklableError,
    list_checkpoints,
    restore_callbacks,
    stateful,
)

KILL = 2


class Foreign:
    """A class that nobody registered."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


def checkpoint(directory: Path, **options: Any) -> ModelCheckpointEnhanced:
    return ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", save_weights_only=True, **options)


def train(directory: Path, callbacks: list[Any], *, kill: int | None = KILL, model: Any = None) -> Any:
    """Train, and die when epoch ``kill`` begins."""
    model = fresh_model() if model is None else model
    killer = [] if kill is None else [Strike("epoch_begin", at=kill)]
    with contextlib.suppress(Killed):
        model.fit(X, Y, batch_size=32, verbose=0, epochs=4, callbacks=[checkpoint(directory), *callbacks, *killer])
    return model


def go_on(directory: Path, callbacks: list[Any], *, model: Any = None, **options: Any) -> Any:
    """Restore into new callbacks, without going on."""
    model = fresh_model() if model is None else model
    return restore_callbacks(directory, into=[checkpoint(directory), *callbacks], model=model, **options)


# Attributes.


# Where the class is defined.


CELL = """
import keras
from callback_state import stateful

@stateful
class InCell(keras.callbacks.Callback):
    def __init__(self, start=0):
        super().__init__()
        self.count = start
    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
"""


def test_class_defined_in_a_notebook(tmp_path: Path) -> None:
    """A cell that is run again replaces its class; instances of the old one and the new one are restored."""
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL, notebook)
    old_class, old = notebook["InCell"], notebook["InCell"](3)
    train(tmp_path, [old])
    exec(CELL, notebook)
    new = notebook["InCell"](3)
    assert type(new) is not old_class
    go_on(tmp_path, [new])
    assert new.count == old.count == 3 + KILL
    rebuilt = restore_callbacks(tmp_path)["InCell"]
    assert type(rebuilt) is type(new) and rebuilt.count == 3 + KILL


SCRIPT = """
import keras
from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

@stateful
class Schedule(keras.callbacks.Callback):
    def __init__(self, peak):
        super().__init__()
        self.peak, self.steps, self.window = peak, 0, []
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.window = [*self.window, logs["loss"]][-3:]

def build():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    return model

if __name__ == "__main__":
    from harness import Strike, X, Y
    build().fit(X, Y, batch_size=32, epochs=4, verbose=0, callbacks=[
        ModelCheckpointEnhanced("{epoch}.weights.h5", save_weights_only=True), Schedule(0.5),
        Strike("epoch_begin", at=2)])
"""


def test_class_of_a_script_is_that_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that was killed is restored by a program that imports it: ``__main__.Schedule`` is
    ``train_once.Schedule``, with ``into=`` and from the file alone."""
    (tmp_path / "train_once.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Killed):
        runpy.run_path("train_once.py", run_name="__main__")
    monkeypatch.syspath_prepend(tmp_path)
    script = importlib.import_module("train_once")
    new, model = script.Schedule(0.5), script.build()
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    restored = restore_callbacks(tmp_path, into=[new, saver], model=model)
    assert (new.steps, len(new.window), restored.initial_epoch) == (4, 3, 2)
    rebuilt = restore_callbacks(tmp_path, model=script.build())["Schedule"]
    assert (rebuilt.peak, rebuilt.steps, rebuilt.window) == (0.5, 4, new.window)


# What cannot be saved.


class Pool:
    def __init__(self) -> None:
        self.lock = threading.Lock()


def locked(**options: Any) -> Any:
    @stateful(**options)
    class Locked(keras.callbacks.Callback):
        def __init__(self, *, later: bool = False) -> None:
            super().__init__()
            self.later, self.count, self.pool = later, 0, None if later else Pool()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.count += 1
            if self.later and epoch == 1:
                self.pool = Pool()

    return Locked


def test_unpicklable_attribute_is_an_error_when_training_starts(tmp_path: Path) -> None:
    """It names callback, path and the line that cures it, before the first batch; that line does cure it."""
    batches: list[int] = []
    heard = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    with pytest.raises(NotPicklableError, match=r'exclude=\("pool",\)') as raised:
        fresh_model().fit(X, Y, verbose=0, callbacks=[locked()(), heard, checkpoint(tmp_path)])
    assert raised.value.path == "Locked.pool.lock"
    assert batches == [] and list(tmp_path.iterdir()) == []
    cured = locked(exclude=("pool",))
    train(tmp_path, [cured()])
    new = cured()
    pool = new.pool
    go_on(tmp_path, [new])
    assert new.count == KILL and new.pool is pool


def test_one_that_appears_later_fails_the_save_and_not_the_run(tmp_path: Path) -> None:
    """The save fails with the line that cures it, also for what save_on_exception copies; the checkpoint before is
    intact, the run goes on, and it saves again when the attribute has gone."""

    class Letting(locked()):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            if epoch == 3:
                self.pool = None

    with pytest.warns(UserWarning) as caught:
        play([Letting(later=True), checkpoint(tmp_path, save_on_exception=True)], epochs=4)
    said = [str(w.message) for w in caught if "Letting.pool.lock" in str(w.message)]
    assert [text.partition(":")[0].rpartition("/")[2] for text in said] == [
        "2.weights.h5",
        "Letting.pool.lock",
        "3.weights.h5",
    ]
    assert all('exclude=("pool",)' in text for text in said)
    assert [c.epoch for c in list_checkpoints(tmp_path)] == [0, 3]


def test_it_ends_the_run_where_that_is_wanted(tmp_path: Path) -> None:
    """on_save_error="raise": the error names the attribute, and the checkpoint before is intact."""
    with pytest.raises(NotPicklableError) as raised:
        play([locked()(later=True), checkpoint(tmp_path, on_save_error="raise")], epochs=4)
    assert raised.value.path == "Locked.pool.lock"
    assert [c.epoch for c in list_checkpoints(tmp_path)] == [0]


def test_it_does_not_end_a_run_that_has_saved_nothing_yet(tmp_path: Path) -> None:
    """Neither at the first save nor at the end of the run, where no epoch was saved at all."""
    with pytest.warns(UserWarning, match=r"not saved .*Locked\.pool\.lock"):
        play([locked()(later=True), checkpoint(tmp_path, period=3)], epochs=2)
    assert list_checkpoints(tmp_path) == []


# What is stored by value.


@stateful
class ByValue(keras.callbacks.Callback):
    """Holds an object of a class that is neither plain nor registered, and code."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.foreign, self.count = function, Foreign(0), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count, self.foreign = self.function(self.count), Foreign(epoch + 7)


def test_other_objects_are_warned_of_with_into_too(tmp_path: Path) -> None:
    """There into= is no way without trust; the warning says what is."""
    callbacks = [ByValue(lambda count: count), checkpoint(tmp_path)]
    restore_callbacks(tmp_path, into=callbacks, missing_ok=True)
    with pytest.warns(
        UserWarning, match=r"also with into=: ByValue\.foreign\. .* @stateful, or exclude"
    ) as caught:
        for _ in range(2):
            play(callbacks, epochs=2)
    assert len([w for w in caught if "stored by value" in str(w.message)]) == 1


def test_somebody_elses_callback(tmp_path: Path) -> None:
    """An instance of a class that is not ours to decorate is registered by ``stateful(instance)``."""
    module = types.ModuleType("elsewhere")
    exec(CELL.replace("@stateful\n", "").replace("InCell", "Theirs"), module.__dict__)
    trained = stateful(module.Theirs(5), key="theirs", exclude=("sock",))
    trained.sock = threading.Lock()
    train(tmp_path, [trained])
    new = stateful(module.Theirs(5), key="theirs", exclude=("sock",))
    restored = go_on(tmp_path, [new])
    assert restored["theirs"] is new and new.count == 5 + KILL
