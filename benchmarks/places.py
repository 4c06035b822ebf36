"""What the way into an epoch costs for data that know where they are: grain's, on each backend."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import tempfile
from typing import Any

import fits
import grain
import keras
import numpy as np
from arrival import Arrival

from callback_state import ModelCheckpointEnhanced, restore_callbacks

BATCH = 4


def _data(batches: int) -> Any:
    rows = np.random.default_rng(1).random((BATCH * batches, 4), dtype="float32")
    source = grain.MapDataset.source(range(len(rows))).shuffle(seed=1)
    return source.map(lambda i: (rows[i], rows[i, :1])).batch(BATCH)


class _Died(BaseException):
    """Stands for a kill."""


class _Die(keras.callbacks.Callback):
    """The run dies when this batch begins."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == self.batch:
            raise _Died


def entry_times(rounds: int, batch: int = 10_000) -> tuple[float, float]:
    """Median seconds from the beginning of an epoch to its first batch: (entered at ``batch``, at batch 1)."""
    model = fits.dense(4, 1)
    data = _data(batch + 10)

    def saver(directory: str, every: int) -> Any:
        path = os.path.join(directory, "{epoch}-{batch}.weights.h5")
        return ModelCheckpointEnhanced(path, save_weights_only=True, save_freq=every)

    def checkpoint(directory: str, batches: int) -> None:
        with contextlib.suppress(_Died):
            model.fit(data, verbose=0, callbacks=[saver(directory, batches), _Die(batches)])

    def seconds(saved: str, every: int) -> float:
        with tempfile.TemporaryDirectory() as directory:
            shutil.copytree(saved, directory, dirs_exist_ok=True)
            arrival, callback = Arrival(), saver(directory, every)
            restored = restore_callbacks(directory, into=[callback], model=model)
            model.fit(data, verbose=0, callbacks=[callback, arrival], initial_epoch=restored.initial_epoch)
        return arrival.seconds

    with tempfile.TemporaryDirectory() as late, tempfile.TemporaryDirectory() as early:
        checkpoint(late, batch)
        checkpoint(early, 1)
        pairs = list(fits.turns(rounds, lambda: seconds(late, batch), lambda: seconds(early, 1)))
    first, second = (statistics.median(times) for times in zip(*pairs[1:], strict=True))
    return first, second
