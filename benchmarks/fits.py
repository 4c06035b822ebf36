"""What is measured inside a real ``fit``: the time of a save, of a step, and the size of a state file.

A save is timed from outside, so that nothing depends on how it is made: from the moment the first callback
hears ``on_epoch_end`` to the moment it hears the next ``on_epoch_begin``, with nothing in between but the
checkpoint. Ours and Keras's take turns, and go first in turn, because the machine's speed drifts.
"""

from __future__ import annotations

import collections
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

Make = Callable[[str], keras.callbacks.Callback]


class Sync:
    """The seconds spent in ``os.fsync`` while active."""

    seconds = 0.0

    @classmethod
    @contextmanager
    def measured(cls) -> Iterator[None]:
        fsync = os.fsync

        def timed(fd: Any) -> None:
            start = time.perf_counter()
            try:
                fsync(fd)
            finally:
                cls.seconds += time.perf_counter() - start

        os.fsync = timed
        try:
            yield
        finally:
            os.fsync = fsync


@stateful(exclude=("samples", "start"))
class SaveClock(keras.callbacks.Callback):
    """Seconds of what follows each epoch but the first and last: (wall, of these in fsync, CPU); stands first."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[tuple[float, float, float]] = []

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), Sync.seconds, time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.start = self._now()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch > 1:
            wall, synced, cpu = (now - then for now, then in zip(self._now(), self.start, strict=True))
            self.samples.append((wall, synced, cpu))


@stateful(exclude=("times",))
class StepClock(keras.callbacks.Callback):
    """When each batch begins, in seconds; stands first."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.times.append(time.perf_counter())


def dense(inputs: int, *units: int) -> Any:
    """A compiled stack of dense layers."""
    model = keras.Sequential([keras.Input((inputs,)), *(keras.layers.Dense(n, "relu") for n in units)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def data(model: Any, samples: int) -> tuple[Any, Any]:
    """Zeros that fit the model."""
    return np.zeros((samples, *model.input_shape[1:]), "float32"), np.zeros((samples, *model.output_shape[1:]))


def turns(rounds: int, *functions: Callable[[], Any]) -> Iterator[list[Any]]:
    """What the functions return, ``rounds`` times; they change their order every time."""
    for turn in range(rounds):
        order = list(enumerate(functions))[:: -1 if turn % 2 else 1]
        results = {index: function() for index, function in order}
        yield [results[index] for index in range(len(functions))]


def touch(count: int = 6 << 30) -> None:
    """Use so many bytes of memory once, and give them back.

    A virtual machine gets its memory at the first use of each page: the first 200 MB in new pages of the file
    cache took 400 ms longer than the next, whoever came first.
    """
    np.ones(count, "u1")


@dataclass(frozen=True)
class Cost:
    """Median seconds of a save: wall, of these in fsync, and CPU."""

    wall: float
    synced: float
    cpu: float


def save_times(model: Any, name: str, rounds: int, epochs: int, *, backup: bool = False) -> list[Cost]:
    """What a save costs: ours, that of Keras's ``ModelCheckpoint``, and with ``backup`` of ``BackupAndRestore``.

    Args:
        name: the model file's name, perhaps with ``{epoch}``; its ending says the format.
        rounds: fits of each kind.
        epochs: epochs of each fit, of which all but two give a sample.
    """
    weights_only = name.endswith(".weights.h5")

    def saves(make: Callable[[str], Any]) -> list[tuple[float, float, float]]:
        clock = SaveClock()
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = make(directory)
            os.sync() if hasattr(os, "sync") else None  # nobody pays for what the other left unwritten
            model.fit(*data(model, 1), epochs=epochs, verbose=0, callbacks=[clock, checkpoint])
        return clock.samples

    def checkpoint(kind: Callable[..., Any]) -> Callable[[str], Any]:
        return lambda directory: kind(os.path.join(directory, name), save_weights_only=weights_only)

    makes = [checkpoint(ModelCheckpointEnhanced), checkpoint(keras.callbacks.ModelCheckpoint)]
    makes += [keras.callbacks.BackupAndRestore] if backup else []
    touch()
    with Sync.measured():
        found = list(turns(rounds, *(partial(saves, make) for make in makes)))
    columns = ([sample for samples in of_kind for sample in samples] for of_kind in zip(*found, strict=True))
    return [Cost(*map(statistics.median, zip(*samples, strict=True))) for samples in columns]


def raw_times(count: int, rounds: int) -> float:
    """Median seconds to write so many bytes into a new file and sync it."""
    block, times = np.ones(count, "u1"), []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory, open(os.path.join(directory, "raw"), "wb", 0) as file:
            start = time.perf_counter()
            file.write(block.data)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def load_times(model: Any, name: str, rounds: int) -> tuple[float, float]:
    """Median seconds to load a checkpoint: (``restore_callbacks(model=)``, stock ``load_weights`` of its file)."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, name)
        checkpoint = ModelCheckpointEnhanced(path, save_weights_only=name.endswith(".weights.h5"))
        model.fit(*data(model, 1), verbose=0, callbacks=[checkpoint])

        def seconds(load: Callable[[], Any]) -> float:
            start = time.perf_counter()
            load()
            return time.perf_counter() - start

        ours: Callable[[], float] = partial(seconds, partial(restore_callbacks, path, [checkpoint], model=model))
        theirs: Callable[[], float] = partial(seconds, partial(model.load_weights, path))
        pairs = list(turns(rounds, ours, theirs))
    first, second = (statistics.median(times) for times in zip(*pairs[1:], strict=True))
    return first, second


def step_times(rounds: int, steps: int = 100) -> tuple[float, float]:
    """Seconds of a training step, everything that callbacks do in it included: (in a run with ours, with Keras's).

    The lower quartile of all steps: what another process on the machine takes is not the step's.
    """
    model = dense(784, 512, 512, 10)
    x, y = data(model, 64 * steps)

    def run(kind: Callable[[str], Any]) -> Any:
        clock = StepClock()
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = kind(os.path.join(directory, "model.keras"))
            model.fit(x, y, batch_size=64, shuffle=False, verbose=0, callbacks=[clock, checkpoint])
        return np.diff(clock.times[10:])

    run(keras.callbacks.ModelCheckpoint)  # compiles the train function
    pairs = list(turns(rounds, lambda: run(ModelCheckpointEnhanced), lambda: run(keras.callbacks.ModelCheckpoint)))
    ours, theirs = (float(np.quantile(np.concatenate(runs), 0.25)) for runs in zip(*pairs, strict=True))
    return ours, theirs


@stateful
class Ramp(keras.callbacks.Callback):
    """Counts batches and adds a sixth series to the history."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total, self.step = total, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["ramp"] = self.step / self.total


@stateful
class Window(keras.callbacks.Callback):
    """Remembers the last ten losses."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: collections.deque[float] = collections.deque(maxlen=10)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.losses.append(logs["loss"])


@stateful
class Best(keras.callbacks.Callback):
    """Remembers the best value of every metric."""

    def __init__(self) -> None:
        super().__init__()
        self.best: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in logs.items():
            self.best[name] = min(value, self.best.get(name, math.inf))


def half(epoch: int, rate: float) -> float:
    return rate / 2 if epoch == 50 else rate


def state_size(epochs: int = 100) -> tuple[int, list[str]]:
    """(bytes of the state file of ten callbacks after so many epochs, the series of its history)."""
    model = dense(8, 4)
    x, y = data(model, 32)
    x += np.linspace(0, 1, x.size, dtype="float32").reshape(x.shape)  # values with all their digits
    stock = keras.callbacks
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        callbacks = [
            stock.EarlyStopping(patience=1000),
            stock.ReduceLROnPlateau(),
            stock.LearningRateScheduler(half),
            stock.TerminateOnNaN(),
            stock.CSVLogger(str(where / "log.csv")),
            stock.BackupAndRestore(str(where / "backup")),
            stock.ModelCheckpoint(str(where / "best.keras"), save_best_only=True),
            Ramp(epochs),
            Window(),
            Best(),
        ]
        ours = ModelCheckpointEnhanced(str(where / "model.keras"))
        history = model.fit(x, y, epochs=epochs, verbose=0, validation_data=(x, y), callbacks=[*callbacks, ours])
        return (where / "model.keras.callbacks.pkl").stat().st_size, list(history.history)
