"""Whether a checkpoint is due, and under which name: Keras's own class decides, and writes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras

__all__ = ["Event", "Recorder", "ask_keras", "number"]


@dataclass
class Event:
    """An event that a checkpoint has heard: the end of a batch, or (batch None) of an epoch; 0-based."""

    epoch: int
    batch: int | None
    logs: dict[str, Any]


class Recorder:
    """Stands for the model while Keras decides: takes note of where it would have been saved."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.path: str | None = None

    def save(self, filepath: str, **options: Any) -> None:
        self.path = os.fspath(filepath)

    save_weights = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def ask_keras(checkpoint: Any, event: Event) -> None:
    """Let ``keras.callbacks.ModelCheckpoint`` hear an event; its model is a :class:`Recorder`."""
    stock = keras.callbacks.ModelCheckpoint
    if event.batch is None:
        stock.on_epoch_end(checkpoint, event.epoch, event.logs)
        return
    if checkpoint.save_best_only and checkpoint.monitor_op is None:
        checkpoint._set_monitor_op()  # Keras does this only at the end of an epoch
    stock.on_train_batch_end(checkpoint, event.batch, event.logs)


def number(value: Any) -> float | None:
    """A monitored value that can be compared, or None."""
    return float(value) if isinstance(value, (int, float)) else None
