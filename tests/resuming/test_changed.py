"""Arguments of the optimizer, the loss and the layers that changed are told at the restore, with what holds."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, restore_callbacks
from callback_state._resuming.changed import changes_of, is_restored
from callback_state._resuming.match import Change
from callback_state._saving.decision import Event
from callback_state._saving.meta import meta_and_run_of


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run whose rate was lowered while it was trained."""
    directory = tmp_path_factory.mktemp("run")
    fresh_model().fit(X, Y, epochs=1, verbose=0, callbacks=[Lowers(), saver(directory)])
    return directory


class Lowers(keras.callbacks.Callback):
    """Halves the rate."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.025


def saver(directory: Path) -> Any:
    return ModelCheckpointEnhanced(os.path.join(directory, "{epoch}.weights.h5"), save_weights_only=True)


def model_of(rate: float = 0.05, loss: Any = None, dropout: float = 0.3, **options: Any) -> Any:
    """The model of that run, as a new process makes it, or with other arguments."""
    config = fresh_model().get_config()
    config["layers"][2]["config"]["rate"] = dropout
    model = keras.Sequential.from_config(config)
    adam = keras.optimizers.Adam(rate, **{"use_ema": False, "ema_momentum": 0.9, **options})
    model.compile(adam, loss or keras.losses.BinaryCrossentropy(), metrics=fresh_metrics())
    return model


def fresh_metrics() -> list[Any]:
    return [keras.metrics.BinaryAccuracy(name="accuracy")]


def restore(directory: Path, model: Any) -> Any:
    return restore_callbacks(directory, into=[Lowers(), saver(directory)], model=model)


def test_nothing_is_told_where_nothing_changed(directory: Path) -> None:
    """Neither where training has changed the rate, nor where Keras numbers the layers otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = restore(directory, model_of())
    assert restored.report.model_changed == ()


def test_each_argument_that_changed_is_told_and_which_value_holds(directory: Path) -> None:
    """One warning, at the line of the restore; it names the line that sets the rate."""
    model = model_of(0.25, keras.losses.BinaryCrossentropy(label_smoothing=0.5), 0.125, clipnorm=1.0)
    with pytest.warns(UserWarning) as caught:
        restored = restore(directory, model)
    (told,) = caught
    text = str(told.message)
    assert told.filename == __file__
    assert "was None, is 1.0" in text.partition("The restored values hold")[0]
    assert "layers[2] Dropout.rate was 0.3, is 0.125" in text
    assert "loss.label_smoothing was 0.0, is 0.5" in text
    assert "The restored values hold: optimizer Adam.learning_rate was 0.05, is 0.25. To set the rate" in text
    assert "model.optimizer.learning_rate = 0.25 after restore_callbacks" in text
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025) and model.optimizer.clipnorm == 1.0
    assert {change.argument for change in restored.report.model_changed} == {
        "clipnorm",
        "learning_rate",
        "loss.label_smoothing",
        "rate",
    }


@pytest.mark.filterwarnings("ignore:.*other arguments than in the saved run")
def test_the_line_in_the_warning_sets_the_rate(tmp_path: Path) -> None:
    """``fit`` takes a rate that was set after the restore, and trains with it."""
    model = fresh_model()
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[saver(tmp_path)])
    model = fresh_model()
    callbacks = [saver(tmp_path)]
    restored = restore_callbacks(tmp_path, into=callbacks, model=model)
    model.optimizer.learning_rate = 0.25
    model.fit(X, Y, epochs=2, initial_epoch=restored.initial_epoch, verbose=0, callbacks=callbacks)
    assert float(model.optimizer.learning_rate) == 0.25


def test_only_a_number_is_restored() -> None:
    """A schedule has no variable: that of the script holds, whichever of the two it was before."""
    assert is_restored(Change("optimizer Adam", "learning_rate", 0.05, 0.25))
    assert not is_restored(Change("optimizer Adam", "learning_rate", 0.05, "CosineDecay"))
    assert not is_restored(Change("optimizer Adam", "learning_rate", "CosineDecay", 0.25))


def test_another_keras_may_say_more(directory: Path) -> None:
    """Then only what both say is compared."""
    event = Event(0, None, {})
    checkpoint = saver(directory)
    meta, *_ = meta_and_run_of(checkpoint, fresh_model(), event, None)
    now = {part: {**values, "newly": True} for part, values in meta.model.configuration.items()}
    assert {change.argument for change in changes_of(meta, now)} == {"newly"}
    meta.versions["keras"] = "3.0.1"
    assert changes_of(meta, now) == []
