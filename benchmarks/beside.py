"""Saves beside training: how long training stands still, beside a copy of the variables, and beside Orbax.

A *stall* is what a save costs the training: the time of the step after which it begins, of the save at the quiet
point and of the five steps that follow, less six plain steps. A step that writes over held values makes new ones,
in memory that the system may have to give first, so it belongs to the cost.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from fits import data, dense, save_times, touch, turns

from callback_state import ModelCheckpointEnhanced, stateful

#: Steps between two saves; the last of them are plain, as the save has ended.
STEPS = 20
AFTER = 6
UNITS = (2048,) * 5


@stateful(exclude=("ended", "begins", "at"))
class Clock(keras.callbacks.Callback):
    """When each batch begins, and when the first callback hears of its end, in seconds; stands first."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self.ended = ended
        self.begins: list[float] = []
        self.at: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch % STEPS == AFTER + 1:
            self.ended()  # the steps that follow are plain ones
        self.begins.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.at.append(time.perf_counter())


def _fit(model: Any, directory: str, kind: str, saves: int) -> tuple[list[float], list[float]]:
    """(seconds of each quiet point, seconds of each stall) in a fit that saves beside training."""
    done = threading.Event()
    done.set()
    if kind == "orbax":
        checkpoint: Any = keras.callbacks.OrbaxCheckpoint(directory, save_freq=STEPS)

        def ended() -> None:
            checkpoint.wait_until_finished()
    else:
        name = os.path.join(directory, "{epoch}-{batch}" + kind)
        checkpoint = ModelCheckpointEnhanced(
            name,
            save_weights_only=kind == ".weights.h5",
            save_freq=STEPS,
            save_on_background=True,
            max_to_keep=1,
            on_saved=lambda saved: done.set(),
        )

        def ended() -> None:
            if len(clock.begins) > STEPS:
                done.wait()
                done.clear()

    clock = Clock(ended)
    steps = STEPS * (saves + 1)
    model.fit(*data(model, 32 * steps), batch_size=32, shuffle=False, verbose=0, callbacks=[clock, checkpoint])
    begins = np.array(clock.begins)
    each = np.diff(begins)
    place = np.arange(len(each)) % STEPS
    plain = float(np.median(each[(place > AFTER + 1) & (place < STEPS - 1)]))
    points, stalls = [], []
    for save in range(2, saves + 1):  # the first one makes what the others find
        last = save * STEPS - 1
        points.append(begins[last + 1] - clock.at[last])
        stalls.append(begins[last + AFTER] - begins[last] - AFTER * plain)
    return points, stalls


def stall_times(kind: str, rounds: int, saves: int = 5) -> tuple[float, float]:
    """Median seconds of (a quiet point, a stall), for an ending of a model file or ``"orbax"``; 200 MB."""
    model = dense(*UNITS)
    touch()
    points, stalls = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            more = _fit(model, directory, kind, saves)
        points += more[0]
        stalls += more[1]
    return statistics.median(points), statistics.median(stalls)


def copy_times(rounds: int) -> tuple[float, float]:
    """Median seconds of a copy of the variables of the same model: (into memory in use, into new memory)."""
    model = dense(*UNITS)
    model.optimizer.build(model.trainable_variables)
    values = [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]
    used = [np.empty_like(value) for value in values]
    warm, new = [], []
    for _ in range(4 * rounds):
        start = time.perf_counter()
        for value, to in zip(values, used, strict=True):
            np.copyto(to, value)
        warm.append(time.perf_counter() - start)
        start = time.perf_counter()
        copies = [value.copy() for value in values]
        new.append(time.perf_counter() - start)
        del copies
    return statistics.median(warm[1:]), statistics.median(new[1:])


def fit_times(rounds: int, epochs: int = 5) -> tuple[float, float, float]:
    """Seconds of a whole fit: (saving each epoch beside training, without a checkpoint, of one save at once).

    An epoch lasts five saves at once. The model has 200 MB.
    """
    model = dense(*UNITS)
    touch()

    def seconds(steps: int, *callbacks: Any) -> float:
        x, y = data(model, 32 * steps)
        start = time.perf_counter()
        model.fit(x, y, batch_size=32, shuffle=False, epochs=epochs, verbose=0, callbacks=[*callbacks])
        return time.perf_counter() - start

    def saving(steps: int) -> float:
        with tempfile.TemporaryDirectory() as directory:
            name = os.path.join(directory, "{epoch}.keras")
            return seconds(steps, ModelCheckpointEnhanced(name, max_to_keep=1, save_on_background=True))

    save = save_times(model, "{epoch}.keras", 1, epochs)[0].wall
    seconds(10)
    steps = round(5 * save / (seconds(10) / epochs / 10))
    pairs = list(turns(rounds, lambda: saving(steps), lambda: seconds(steps)))
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    return ours, theirs, save


def peak(beside: bool) -> int:
    """The most memory (bytes) of a process that trains a model of 200 MB and saves it three times."""
    code = f"import beside; beside.train_for_peak({beside})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _paths()))}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    return int(done.stdout.split()[-1])


def _paths() -> list[Path]:
    here = Path(__file__).resolve().parent
    return [here, here.parent]


def train_for_peak(beside: bool) -> None:
    """Print the peak of this process (bytes), as Linux knows it: ``ru_maxrss`` would be that of the parent too."""
    model = dense(*UNITS)
    with tempfile.TemporaryDirectory() as directory:
        name = os.path.join(directory, "{epoch}.keras")
        checkpoint = ModelCheckpointEnhanced(name, max_to_keep=1, save_on_background=beside)
        model.fit(*data(model, 32 * 10), batch_size=32, epochs=3, verbose=0, callbacks=[checkpoint])
    status = Path("/proc/self/status").read_text()
    print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
