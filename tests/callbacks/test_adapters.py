"""The table of the stock callbacks is complete on this Keras, and what it decides is decided once."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import X_VAL, Y_VAL, X, Y, halve
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, restore_callbacks
from callback_state._callbacks.capture import configuration, is_registered, state_of
from callback_state._callbacks.csv_log import appending
from callback_state._callbacks.stock import ADAPTERS, adapter_of, set_direction
from callback_state.testing import simulate

EXPORTED = sorted(
    name
    for name in dir(keras.callbacks)
    if isinstance(getattr(keras.callbacks, name), type) and name not in ("Callback", "CallbackList")
)
#: What Keras gives every callback.
BASE = set(vars(keras.callbacks.Callback()))
#: Parameters that an older Keras does not have yet, and the class that is new.
NEW = {("TerminateOnNaN", "raise_error"): "after 3.7", "OrbaxCheckpoint": "after 3.7"}
#: Parameters that become state, and are remembered as that.
BECOME_STATE = {
    ("ModelCheckpoint", "initial_value_threshold"): "best",
    ("OrbaxCheckpoint", "initial_value_threshold"): "best",
}


def make(name: str) -> Any:
    """A callback of each stock class; what it writes goes into the current directory."""
    arguments: dict[str, tuple[Any, ...]] = {
        "BackupAndRestore": ("backup",),
        "CSVLogger": ("log.csv",),
        "LambdaCallback": (lambda epoch, logs: None,),
        "LearningRateScheduler": (halve,),
        "ModelCheckpoint": ("m.weights.h5", "val_loss", 0, True, True),
        "OrbaxCheckpoint": (os.path.abspath("orbax"),),
        "TensorBoard": ("tb", 1, True, True, True, 2),
    }
    options: dict[str, dict[str, Any]] = {
        "EarlyStopping": {"restore_best_weights": True, "patience": 5},
        "ReduceLROnPlateau": {"patience": 1},
        "SwapEMAWeights": {"swap_on_epoch": True},
        "RemoteMonitor": {"send_as_json": True},
        "OrbaxCheckpoint": {"save_on_background": False},
    }
    if name == "OrbaxCheckpoint":
        pytest.importorskip("orbax.checkpoint")
    return getattr(keras.callbacks, name)(*arguments.get(name, ()), **options.get(name, {}))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty directory, and nothing is sent from it."""
    monkeypatch.chdir(tmp_path)
    requests = pytest.importorskip("requests")
    monkeypatch.setattr(requests, "post", lambda *args, **options: None)


def fit(callbacks: list[Any], **options: Any) -> Any:
    model = fresh_model(ema=True)
    options = {"epochs": 2, "batch_size": 16, "validation_data": (X_VAL, Y_VAL), "verbose": 0, **options}
    model.fit(X, Y, callbacks=callbacks, **options)
    return model


@pytest.mark.parametrize("name", EXPORTED)
def test_every_stock_class_has_an_adapter(name: str) -> None:
    """A class that a later Keras exports has none, and is missed here."""
    assert name in ADAPTERS
    assert adapter_of(getattr(keras.callbacks, name)) == (ADAPTERS[name], True)


def test_every_adapter_has_a_class() -> None:
    """The table speaks of no class that Keras does not have, save for those that are newer."""
    assert set(ADAPTERS) - set(EXPORTED) <= {name for name in NEW if isinstance(name, str)}


@dataclass
class Fitted:
    """A callback, what it was when it was made, and another one."""

    callback: Any
    attributes: set[str]
    state: str
    configuration: dict[str, Any]


def configured(callback: Any) -> dict[str, Any]:
    return {n: a.to_plain() for n, a in configuration(callback).items()}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Fitted]:
    """A callback of each class that has been in a fit, made once."""

    @functools.cache
    def made(name: str) -> Fitted:
        os.chdir(tmp_path_factory.mktemp(name))  # and back by the fixture of the test
        callback = make(name)
        found = Fitted(callback, set(vars(callback)), repr(state_of(callback)), configured(callback))
        fit([callback], epochs=1)
        return found

    return made


@pytest.mark.parametrize("name", EXPORTED)
def test_every_attribute_is_known(fitted: Any, name: str) -> None:
    """After a fit, every attribute is in the table: a new one of Keras would be lost, or saved, unseen."""
    now = set(vars(fitted(name).callback)) - BASE - {"_callback_state_mark"}
    assert [a for a in now if not ADAPTERS[name].owns(a)] == []


@pytest.mark.parametrize("name", EXPORTED)
def test_every_name_in_the_table_is_an_attribute(fitted: Any, name: str) -> None:
    """What the table names is there in every callback of the class, made or fitted."""
    there = fitted(name).attributes | set(vars(fitted(name).callback))
    adapter = ADAPTERS[name]
    absent = {*adapter.arguments, *adapter.state, *adapter.other} - there
    assert {n for n in absent if (name, n) not in {**NEW, **ABSENT}} == set()


#: Attributes that not every supported Keras has.
ABSENT = {("ModelCheckpoint", "mode"): "after 3.7", ("ModelCheckpoint", "min_delta"): "after 3.7"}


@pytest.mark.parametrize("name", EXPORTED)
def test_arguments_are_parameters(name: str) -> None:
    """The table names the constructor's parameters, each and no other, save for those said here."""
    parameters = set(list(inspect.signature(getattr(keras.callbacks, name).__init__).parameters)[1:])
    adapter = ADAPTERS[name]
    named = {*adapter.arguments, *adapter.by_hand, *adapter.kept_as}
    assert {(name, n) for n in named - parameters} <= set(NEW)
    assert {(name, n) for n in parameters - named - {"kwargs"}} <= set(BECOME_STATE)


GIVEN: dict[str, dict[str, Any]] = {
    "CSVLogger": {"filename": "a.csv", "separator": ";", "append": True},
    "EarlyStopping": {"monitor": "loss", "min_delta": 0.5, "mode": "min", "baseline": 3.0},
    "TensorBoard": {"log_dir": "logs", "update_freq": 3, "profile_batch": (2, 3)},
    "ReduceLROnPlateau": {"factor": 0.25, "min_delta": 0.5, "cooldown": 2, "min_lr": 0.001},
}


@pytest.mark.parametrize("name", GIVEN)
def test_configuration_is_what_the_constructor_was_given(name: str) -> None:
    """Also where Keras keeps an argument under another name, or changes it when it decides."""
    callback = getattr(keras.callbacks, name)(**GIVEN[name])
    fit([callback], epochs=1)
    found = {n: a.data for n, a in configuration(callback).items()}
    assert {n: found[n] for n in GIVEN[name]} == GIVEN[name]


@pytest.mark.parametrize("name", EXPORTED)
def test_a_fit_changes_no_configuration(fitted: Any, name: str) -> None:
    """Two callbacks made alike have equal states and configurations; a fit changes no configuration."""
    found, other = fitted(name), make(name)
    assert found.state == repr(state_of(other))
    assert found.configuration == configured(found.callback)
    assert found.configuration.keys() == configured(other).keys()


def test_own_class_is_no_stock_class() -> None:
    """A class of the user's is none of the table, whatever it is called; its stock base is found."""

    class EarlyStopping(keras.callbacks.Callback):
        pass

    class Mine(keras.callbacks.ReduceLROnPlateau):
        pass

    assert adapter_of(EarlyStopping) == (None, False)
    assert not is_registered(EarlyStopping())
    assert adapter_of(Mine) == (ADAPTERS["ReduceLROnPlateau"], False)


# Which direction is better.

MODES: dict[str, tuple[str, str, str]] = {
    "max": ("val_loss", "max", "greater"),
    "auto, loss": ("val_loss", "auto", "less"),
    "auto, a metric that grows": ("val_accuracy", "auto", "greater"),
}


def stopping(monitor: str = "val_loss", mode: str = "auto") -> Any:
    return keras.callbacks.EarlyStopping(monitor, 0.25, mode=mode, patience=9)


@pytest.mark.parametrize("name", MODES)
def test_rule_is_not_inverted(tmp_path: Path, name: str) -> None:
    """What is an improvement for the callback before is one after, around the edge of ``min_delta``."""
    monitor, mode, direction = MODES[name]
    callback, saver = stopping(monitor, mode), ModelCheckpointEnhanced("{epoch}.keras")
    model = fit([callback, saver], epochs=1)
    other = stopping(monitor, mode)
    for _ in range(3):
        restore_callbacks(tmp_path, into=[other, ModelCheckpointEnhanced("{epoch}.keras")], strict=False)
    assert other.monitor_op.__name__ == callback.monitor_op.__name__ == direction
    assert other.min_delta == callback.min_delta == (-0.25 if direction == "less" else 0.25)
    other.set_model(model)
    values = np.arange(-1, 1, 0.125)
    improved = [bool(callback._is_improvement(v, 0.0)) for v in values]
    assert [bool(other._is_improvement(v, 0.0)) for v in values] == improved
    assert 0 < sum(improved) < len(values)


@pytest.mark.parametrize(
    ("now", "decided"),
    [
        (lambda: stopping(mode="max"), "less val_loss"),
        (lambda: stopping(mode="min"), "greater val_loss"),
        (lambda: stopping("val_accuracy"), "less val_loss"),
    ],
    ids=["mode max", "mode min", "another series"],
)
def test_configuration_wins_over_a_decision(now: Callable[[], Any], decided: str) -> None:
    """Where mode or monitored series are other ones now, the old decision is not taken over."""
    callback = now()
    set_direction(callback, decided)
    assert callback.monitor_op is None and callback.min_delta == 0.25
    callback.set_model(fresh_model())
    callback._set_monitor_op()
    expected = {"val_accuracy": "greater"}.get(callback.monitor, {"max": "greater"}.get(callback.mode, "less"))
    assert callback.monitor_op.__name__ == expected


# Log files.


def test_appending_erases_nothing_and_changes_nothing() -> None:
    """Inside, a logger appends to its file; afterwards it says what it was told."""
    Path("log.csv").write_text("epoch,loss\n0,1.0\n")
    new, old = keras.callbacks.CSVLogger("log.csv"), keras.callbacks.CSVLogger("log.csv", append=True)
    with appending([new, old, make("EarlyStopping")]) as erasing:
        assert erasing == [new]
        simulate(new, epochs=0, steps_per_epoch=1)
    with pytest.raises(RuntimeError, match="broken"), appending([new]):  # in on_train_begin
        raise RuntimeError("broken")
    assert (new.append, old.append) == (False, True)
    assert Path("log.csv").read_text() == "epoch,loss\n0,1.0\n"
