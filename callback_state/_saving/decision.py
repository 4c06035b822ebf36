"""Whether a checkpoint is due, and under which name: Keras's own class decides, and writes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras

from .._keras.stock_callbacks import decide_direction


@dataclass(frozen=True)
class Event:
    """The end of a batch or of an epoch, as a checkpoint callback has heard it."""

    epoch: int  # 0-based
    batch: int | None  # 0-based; None at the end of an epoch
    logs: dict[str, Any]  # what Keras gave with the event

    @property
    def moment(self) -> tuple[int, int | None]:
        return self.epoch, self.batch


class Recorder:
    """Stands in for the model while Keras decides, and notes the path that Keras would have saved to."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.path: str | None = None

    def save(self, filepath: str, **options: Any) -> None:
        self.path = os.fspath(filepath)

    save_weights = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def ask_keras(checkpoint: Any, event: Event) -> None:
    """Let ``keras.callbacks.ModelCheckpoint`` decide after an event; its model is a :class:`Recorder`."""
    stock = keras.callbacks.ModelCheckpoint
    if event.batch is None:
        stock.on_epoch_end(checkpoint, event.epoch, event.logs)
        return
    if checkpoint.save_best_only and checkpoint.monitor_op is None:
        decide_direction(checkpoint)  # Keras does this only at the end of an epoch
    stock.on_train_batch_end(checkpoint, event.batch, event.logs)


def number(value: Any) -> float | None:
    """A monitored value as a number; None if it is none."""
    return float(value) if isinstance(value, (int, float)) else None
