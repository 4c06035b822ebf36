"""Runs that are killed after a step, in the middle of an epoch, and save after epochs or after batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from harness import Killed, Run, fit
from reused import fresh_model

#: Arguments of :func:`start`: a checkpoint every two epochs of four batches each, or every three batches.
SAVING: dict[str, dict[str, Any]] = {
    "epochs": {"checkpoint": {"period": 2}},
    "batches": {"checkpoint": {"save_freq": 3}, "name": "{epoch}-{batch}"},
}


class KillAtStep(keras.callbacks.Callback):
    """Dies after so many steps of the run, when the callbacks before it have heard of the last one."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations.numpy()) == self.step:
            raise Killed


def start(
    directory: Path, make: Callable[[], list[Any]], *, kill: int | None = None, epochs: int = 6, **options: Any
) -> Run | None:
    """One start of a script, with the callbacks that ``make`` makes; None if it was killed."""

    def callbacks() -> list[Any]:
        return [*make(), *([] if kill is None else [KillAtStep(kill)])]

    try:
        return fit(directory, callbacks, model=fresh_model(), epochs=epochs, **options)
    except Killed:
        return None
