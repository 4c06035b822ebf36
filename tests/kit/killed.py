"""Runs that are killed after a step, in the middle of an epoch, and save after epochs or after batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Killed, Run, Strike, fit
from reused import fresh_model

#: Arguments of :func:`start`: a checkpoint every two epochs of four batches each, or every three batches.
SAVING: dict[str, dict[str, Any]] = {
    "epochs": {"checkpoint": {"period": 2}},
    "batches": {"checkpoint": {"save_freq": 3}, "name": "{epoch}-{batch}"},
}


def start(
    directory: Path, make: Callable[[], list[Any]], *, kill: int | None = None, epochs: int = 6, **options: Any
) -> Run | None:
    """One start of a script, with the callbacks that ``make`` makes; None if it died, after ``kill`` steps."""

    def callbacks() -> list[Any]:
        return [*make(), *([] if kill is None else [Strike("train_batch_end", step=kill)])]

    try:
        return fit(directory, callbacks, model=fresh_model(), epochs=epochs, **options)
    except Killed:
        return None
