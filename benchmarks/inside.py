"""What saving inside an epoch costs a batch, and what the way to batch 10,000 costs a resume."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import fits
import keras
import numpy as np
import tensorflow as tf
from arrival import Arrival

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful
from callback_state._input.catch_up import Reader


def batch_times(rounds: int, every: int = 1000) -> tuple[float, float]:
    """Seconds of a batch, its share of the saves included, where every so many are saved: (ours, Keras's).

    Of the steps between two saves the lower quartile, of the saves the median.
    """
    model = fits.dense(784, 512, 512, 10)
    x, y = fits.data(model, 64 * (every + 20))

    def run(kind: Any) -> Any:
        clock = fits.StepClock()
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = kind(os.path.join(directory, "last.keras"), "loss", save_freq=every)
            model.fit(x, y, batch_size=64, shuffle=False, verbose=0, callbacks=[clock, checkpoint])
        return np.diff(clock.times[10:])

    def share(runs: Any) -> float:
        quick = float(np.quantile(np.concatenate(runs), 0.25))
        return quick + (statistics.median(max(steps) for steps in runs) - quick) / every

    kinds = ModelCheckpointEnhanced, keras.callbacks.ModelCheckpoint
    run(kinds[1])  # compiles the train function
    ours, theirs = zip(*fits.turns(rounds, *(lambda kind=kind: run(kind) for kind in kinds)), strict=True)
    return share(ours), share(theirs)


@stateful(exclude=("batch",))
class StopAfter(keras.callbacks.Callback):
    """Stops training after this 0-based batch."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = batch >= self.batch


def pipeline(batches: int) -> Any:
    """A shuffled pipeline with a map, of so many batches."""
    rows = tf.data.Dataset.range(16 * (batches + 100)).shuffle(1000, seed=1)
    features = rows.map(lambda i: tf.random.stateless_normal((8,), [i, 1]), num_parallel_calls=tf.data.AUTOTUNE)
    return features.map(lambda x: (x, x[:1])).batch(16).prefetch(tf.data.AUTOTUNE)


def entry_times(rounds: int, batches: int = 10_000) -> tuple[float, float]:
    """Seconds: (from a resume's first epoch to its batch 10,000, of reading 10,000 batches in a loop)."""
    data = pipeline(batches)
    model = fits.dense(8, 1)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "last.keras")
        saver = ModelCheckpointEnhanced(path, "loss", save_freq=batches)
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[saver, StopAfter(batches)])

        def resume() -> float:
            arrival = Arrival()
            callbacks = [arrival, saver]
            restored = restore_callbacks(path, into=callbacks, model=model)
            model.fit(
                pipeline(batches),
                epochs=2,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
                initial_epoch=restored.initial_epoch,
            )
            return arrival.seconds

        def read() -> float:
            start = time.perf_counter()
            for _ in itertools.islice(data, batches):
                pass
            return time.perf_counter() - start

        pairs = list(fits.turns(rounds, resume, read))
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    return ours, theirs


def generator_times(rounds: int, batches: int = 100_000) -> tuple[float, float]:
    """Seconds: (of reading a Python generator up to a checkpoint, of iterating it)."""
    batch = np.zeros((16, 8), "float32"), np.zeros((16, 1), "float32")

    def endless() -> Iterator[Any]:
        while True:
            yield batch

    def read() -> float:
        start = time.perf_counter()
        Reader(batches, verbose=False).read(endless)
        return time.perf_counter() - start

    def iterate() -> float:
        start = time.perf_counter()
        for _ in itertools.islice(endless(), batches):
            pass
        return time.perf_counter() - start

    pairs = list(fits.turns(rounds, read, iterate))
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    return ours, theirs
