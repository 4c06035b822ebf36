"""What data that can be entered anywhere cost: an epoch of ``fit`` beside the same without them, and an entry.

The model is small, so that the data are much of a step. Ours and the others take turns, because the machine's
speed drifts, and of all epochs of each the lower quartile counts: what another process on the machine takes is
not the data's. The first epoch of each ``fit`` does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import fits
import keras
import numpy as np
import tensorflow as tf

from callback_state import data, stateful

BATCH = 64


@stateful(exclude=("begins",))
class EpochClock(keras.callbacks.Callback):
    """When each epoch begins, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begins.append(time.perf_counter())


def rows(count: int, features: int) -> tuple[Any, Any]:
    """Arrays of so many rows, in float32."""
    x = np.random.default_rng(1).random((count, features), dtype="float32")
    return x, x[:, :1]


def epoch_times(rounds: int, epochs: int, *fit: Callable[..., Any]) -> list[float]:
    """Seconds of an epoch with each of the functions, which are given ``epochs`` and ``callbacks``."""

    def run(function: Callable[..., Any]) -> list[float]:
        clock = EpochClock()
        function(epochs=epochs, callbacks=[clock], verbose=0)
        return [float(seconds) for seconds in np.diff(clock.begins)[1:]]

    runs = list(fits.turns(rounds, *(lambda function=function: run(function) for function in fit)))
    return [float(np.quantile(np.concatenate(column), 0.25)) for column in zip(*runs, strict=True)]


def shuffled_times(rounds: int, count: int = 32_000) -> tuple[float, float]:
    """Seconds of an epoch of shuffled arrays: (of ours, of the arrays passed to ``fit``)."""
    x, y = rows(count, 64)
    model = fits.dense(64, 64, 1)
    ours = data.shuffled(x, y, batch_size=BATCH, seed=1)
    first, second = epoch_times(
        rounds,
        5,
        lambda **options: model.fit(ours, shuffle=False, **options),
        lambda **options: model.fit(x, y, batch_size=BATCH, shuffle=True, **options),
    )
    return first, second


def epochs_times(rounds: int, count: int = 32_000) -> tuple[float, float]:
    """Seconds of an epoch of a tf.data pipeline: (made by epochs, the same one passed to ``fit``)."""
    x, y = rows(count, 64)
    model = fits.dense(64, 64, 1)
    slices = tf.data.Dataset.from_tensor_slices((x, y))  # once: it copies

    def make_epoch(epoch: int) -> Any:
        return slices.shuffle(count, seed=epoch).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    ours, theirs = data.epochs(make_epoch), make_epoch(0)
    first, second = epoch_times(
        rounds,
        5,
        lambda **options: model.fit(ours, shuffle=False, **options),
        lambda **options: model.fit(theirs, shuffle=False, **options),
    )
    return first, second


def entry_times(rounds: int, batches: int = 20_000) -> tuple[float, float]:
    """Median seconds to the first batch of a pass: (entered at epoch 1,000 and batch 10,000, at the beginning)."""
    train = data.shuffled(*rows(16 * batches, 4), batch_size=16, seed=1)

    def enter(epoch: int, batch: int) -> float:
        train.enter(epoch, batch)
        start = time.perf_counter()
        next(iter(train))
        return time.perf_counter() - start

    enter(0, 0)  # the first pass starts the threads of tf.data
    pairs = list(fits.turns(rounds, lambda: enter(1000, 10_000), lambda: enter(0, 0)))
    late, early = (statistics.median(times) for times in zip(*pairs, strict=True))
    return late, early
