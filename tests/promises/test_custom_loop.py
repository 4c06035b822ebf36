"""A training loop of one's own that drives a CallbackList is resumed exactly."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from harness import Batches, PerBatch, X, Y, bytes_of, states_of

from callback_state import ModelCheckpointEnhanced, ResumeError, data, restore_callbacks
from callback_state._checkpoints.snapshot import Snapshot

EPOCHS, BATCHES = 2, 4


def network() -> Any:
    """A small network with dropout, new each time: the loop gives it a metric."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(4),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(1, "sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(), jit_compile=False)
    return model


def checkpoint(directory: Path) -> ModelCheckpointEnhanced:
    return ModelCheckpointEnhanced(directory / "last.weights.h5", "loss", save_weights_only=True, save_freq=1)


def train(
    directory: Path, *, kill: tuple[int, int] | None = None, history: bool = True, pipeline: bool = False
) -> Any:
    """One start of a loop of one's own; None if it was killed before that batch.

    Its data are a ``tf.data`` pipeline, or those of this package.
    """
    model, batches = network(), Batches()
    mean = model.mean_loss = keras.metrics.Mean("mean_loss")
    source = data.shuffled(X, Y, batch_size=16, seed=5)
    rows = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(64, seed=5).batch(16) if pipeline else None
    saver = checkpoint(directory)
    made = [PerBatch(0.02), batches, saver]
    callbacks = keras.callbacks.CallbackList(made, add_history=history, model=model, epochs=EPOCHS, steps=BATCHES)
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    callbacks.on_train_begin()
    for epoch in range(restored.initial_epoch, EPOCHS):
        mean.reset_state()
        callbacks.on_epoch_begin(epoch)
        for step, (x, y) in (
            restored.batches(rows, epoch) if pipeline else source.batches(epoch, restored.first_batch(epoch))
        ):
            if (epoch, step) == kill:
                return None
            callbacks.on_train_batch_begin(step)
            loss = step_on(model, x, y)
            mean.update_state(loss)
            callbacks.on_train_batch_end(step, {"loss": loss})
        if (epoch, BATCHES) == kill:
            return None
        callbacks.on_epoch_end(epoch, {"loss": float(mean.result())})
    callbacks.on_train_end()
    found = model.history.history if history else None
    return bytes_of(model.weights), bytes_of(model.optimizer.variables), found, batches.seen, states_of(made)


def step_on(model: Any, x: Any, y: Any) -> float:
    """One step, with dropout; the metrics of the model are not touched."""
    with tf.GradientTape() as tape:
        loss = model.loss(y[:, None], model(x, training=True))
    model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return float(loss)


@pytest.mark.parametrize(
    ("kill", "history", "pipeline"),
    [
        ((1, 2), True, False),
        ((1, BATCHES), False, False),
        ((1, 2), True, True),
        ((1, BATCHES), False, True),
        pytest.param((0, 1), False, False, marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_own_loop_is_exact(tmp_path: Path, kill: tuple[int, int], history: bool, pipeline: bool) -> None:
    """Weights, optimizer, history, averages, batches and states are those of the loop that nobody killed,
    also after an epoch's last batch."""
    whole = train(tmp_path / "whole", history=history, pipeline=pipeline)
    assert train(tmp_path / "killed", kill=kill, history=history, pipeline=pipeline) is None
    assert train(tmp_path / "killed", history=history, pipeline=pipeline) == whole


def test_first_batch_of_other_epochs_is_0(tmp_path: Path) -> None:
    """Only the epoch that was interrupted begins further on."""
    train(tmp_path, kill=(1, 2))
    model = network()
    model.mean_loss = keras.metrics.Mean("mean_loss")
    restored = restore_callbacks(tmp_path, into=[PerBatch(0.02), Batches()], model=model, strict=False)
    assert (restored.epoch, restored.batch, restored.initial_epoch) == (1, 1, 1)
    assert [restored.first_batch(epoch) for epoch in range(4)] == [0, 2, 0, 0]


def test_fit_does_not_go_on_where_an_own_loop_was(tmp_path: Path) -> None:
    """Inside an epoch it cannot know how far the data had been read; asked to, it begins the epoch again."""
    train(tmp_path, kill=(1, 2))
    for strict in (True, False):
        model = network()
        model.mean_loss = keras.metrics.Mean("mean_loss")
        made = [PerBatch(0.02), Batches(), checkpoint(tmp_path)]
        restored = restore_callbacks(tmp_path, into=made, model=model, strict=strict)
        arguments = {"x": X, "y": Y, "batch_size": 16, "epochs": EPOCHS, "verbose": 0, "callbacks": made}
        if strict:
            with pytest.raises(ResumeError, match="by a training loop of your own"):
                model.fit(**arguments, initial_epoch=restored.initial_epoch)
            continue
        with pytest.warns(UserWarning, match="by a training loop of your own"):
            model.fit(**arguments, initial_epoch=restored.initial_epoch)
        assert [seen[:2] for seen in made[1].seen[-BATCHES:]] == [(1, b) for b in range(BATCHES)]


def test_metrics_that_are_not_there_are_warned_of(tmp_path: Path) -> None:
    """Metrics whose sums were saved, and that this loop's model does not have yet, are named."""
    train(tmp_path, kill=(1, 2))
    model = network()
    made = [PerBatch(0.02), Batches(), checkpoint(tmp_path)]
    callbacks = keras.callbacks.CallbackList(made, model=model, epochs=EPOCHS, steps=BATCHES)
    restore_callbacks(tmp_path, into=callbacks, model=model)
    callbacks.on_train_begin()
    with pytest.warns(UserWarning, match="mean_loss/count, mean_loss/total have no variables yet"):
        callbacks.on_epoch_begin(1)


def drive(directory: Path, read: Any, model: Any) -> None:
    """A loop of one epoch that trains nothing."""
    made = [ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", "loss", save_weights_only=True)]
    callbacks = keras.callbacks.CallbackList(made, model=model, epochs=1)
    rows = tf.data.Dataset.range(4).shuffle(4, seed=1)
    restored = restore_callbacks(directory, into=callbacks, missing_ok=True)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    assert len([*read(restored, rows)]) == 4
    callbacks.on_epoch_end(0, {"loss": 1.0})
    callbacks.on_train_end()


def test_a_loop_that_enumerates_shuffled_data_is_warned(tmp_path: Path) -> None:
    """The checkpoint keeps the doubt; the way that the warning names is not doubted."""
    drive(tmp_path / "told", lambda restored, rows: restored.batches(rows, 0), network())
    with pytest.warns(UserWarning, match=r"by itself \(rows\).*restored\.batches\(rows, epoch\)"):
        drive(tmp_path / "doubt", lambda restored, rows: enumerate(rows), network())
    doubts = Snapshot.open(str(tmp_path / "doubt" / "1.weights.h5")).meta.doubts
    assert ["restored.batches" in doubt.cure for doubt in doubts] == [True]


def test_a_loop_without_compile_is_saved(tmp_path: Path) -> None:
    """Its optimizer is an attribute that the script has set."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.optimizer = keras.optimizers.SGD()
    drive(tmp_path, lambda restored, rows: restored.batches(rows, 0), model)
    assert restore_callbacks(tmp_path).epoch == 0


def test_a_loop_that_saves_old_values_is_warned(tmp_path: Path) -> None:
    """A step that leaves its results elsewhere, as a stateless one of JAX, is told once."""
    model = network()
    model.optimizer.build(model.trainable_variables)
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=1)
    callbacks = keras.callbacks.CallbackList([saver], model=model)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for batch, steps in enumerate((0, 0, 3, 4, 4, 4)):
            model.optimizer.iterations.assign(steps)
            callbacks.on_train_batch_begin(batch)
            callbacks.on_train_batch_end(batch, {"loss": 1.0})
    (told,) = [str(w.message) for w in caught if "as many as at the save before" in str(w.message)]
    assert "1-5.weights.h5: the optimizer has made 4 steps" in told and "on_train_batch_end" in told
