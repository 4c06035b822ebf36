"""What is measured of simulated runs: 100,000 steps of a schedule that sets the rate of each."""

from __future__ import annotations

import time
from typing import Any

import keras

from callback_state import stateful
from callback_state.testing import simulate

STEPS = 100_000


@stateful
class Schedule(keras.callbacks.Callback):
    """A rate for every step."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self.model.optimizer.learning_rate = 1 / self.step


def seconds(optimizer: str | None, steps: int = STEPS) -> float:
    """Seconds for so many steps, a hundred in an epoch."""
    start = time.perf_counter()
    record = simulate(Schedule(), epochs=steps // 100, steps_per_epoch=100, optimizer=optimizer)
    assert len(record.steps) == steps
    return time.perf_counter() - start
