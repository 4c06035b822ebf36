"""A Keras that is written in another way is refused with an error that says where, before anything goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from callback_state import ResumeError
from callback_state._keras.epoch import hand_over_logs
from callback_state._keras.epoch_iterator import EpochIterator
from callback_state._keras.fit import Fit, first_epoch, set_first_epoch
from callback_state._keras.randomness import layers_of
from callback_state._keras.stock_callbacks import decide_direction

MODEL = SimpleNamespace()


def running(model: Any) -> Fit | None:
    """A ``fit`` that has other names in it."""

    def fit(self: Any) -> Fit | None:
        return Fit.find(self)

    return fit(model)


LEANS: dict[str, tuple[Callable[[], Any], str]] = {
    "first epoch": (lambda: first_epoch(MODEL), "a model has no _initial_epoch"),
    "set first epoch": (lambda: set_first_epoch(MODEL, 1), "a model has no _initial_epoch"),
    "logs": (lambda: hand_over_logs(MODEL, {}), "fit asks the model for the logs of an epoch in another way"),
    "direction": (lambda: decide_direction(MODEL), "SimpleNamespace has no _set_monitor_op"),
    "epoch iterator": (lambda: EpochIterator(MODEL), "the iterator of Model.fit has no data_adapter"),
    "fit": (lambda: running(MODEL), "Model.fit has no 'initial_epoch'"),
}


@pytest.mark.parametrize("name", LEANS)
def test_a_keras_that_lacks_what_is_leant_on_is_refused(name: str) -> None:
    """By its release, and what it lacks."""
    call, lacks = LEANS[name]
    with pytest.raises(ResumeError, match=f"^keras {keras.__version__}: {lacks}. This release of callback_state"):
        call()


def test_a_keras_that_lists_no_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the states of dropout in them would be left out, and no error would say so."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    monkeypatch.delattr(keras.layers.Layer, "_flatten_layers")
    with pytest.raises(ResumeError, match=r"keras .*: a layer does not list the layers in it"):
        layers_of(model)
    assert layers_of(object()) == []
