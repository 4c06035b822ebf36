"""When a fit that enters an epoch has its first batch."""

from __future__ import annotations

import time
from typing import Any

import keras

from callback_state import stateful


@stateful(exclude=("began", "seconds"))
class Arrival(keras.callbacks.Callback):
    """Seconds from the beginning of the first epoch to its first batch; then training stops."""

    began = seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.seconds = self.seconds or time.perf_counter() - self.began

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = bool(self.seconds) and batch > 0
