"""Whether a checkpoint is due: Keras's own class decides, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from .._keras.stock_callbacks import decide_direction
from .ledger import Ledger


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
    """Stands in for the model while Keras decides, and notes whether Keras would have saved."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.was_asked = False

    def save(self, filepath: str, **options: Any) -> None:
        self.was_asked = True

    save_weights = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def ask_keras(checkpoint: Any, event: Event) -> None:
    """Let ``keras.callbacks.ModelCheckpoint`` decide after an event; its model is a :class:`Recorder`.

    Keras would make the directory of a path, which may fail, so it gets a bare name.
    """
    stock = keras.callbacks.ModelCheckpoint
    filepath, checkpoint.filepath = checkpoint.filepath, "model"
    verbose, checkpoint.verbose = checkpoint.verbose, 0  # nothing is saved yet, so Keras has nothing to say
    try:
        if event.batch is None:
            stock.on_epoch_end(checkpoint, event.epoch, event.logs)
            return
        if checkpoint.save_best_only and checkpoint.monitor_op is None:
            decide_direction(checkpoint)  # Keras does this only at the end of an epoch
        stock.on_train_batch_end(checkpoint, event.batch, event.logs)
    finally:
        checkpoint.filepath, checkpoint.verbose = filepath, verbose


def number(value: Any) -> float | None:
    """A monitored value as a number; None if it is none."""
    return float(value) if isinstance(value, (int, float)) else None


def entered(checkpoint: Any, name: str, value: float | None, *, is_there: Callable[[str], bool]) -> Ledger:
    """The ledger of a checkpoint callback with one more name, and the value of its monitored series."""
    if checkpoint.keep_best is not None and checkpoint.monitor_op is None:
        decide_direction(checkpoint)
    ledger: Ledger = checkpoint.ledger
    return ledger.enter(
        name,
        value,
        newest=checkpoint.max_to_keep,
        best=checkpoint.keep_best,
        better=checkpoint.monitor_op,
        is_there=is_there,
    )
