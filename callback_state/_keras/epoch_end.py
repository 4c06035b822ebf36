"""What of a half-done epoch Keras keeps in places of its own: the last logs of ``fit``, and the progress bar."""

from __future__ import annotations

from functools import partial
from typing import Any

__all__ = ["hand_over_logs", "show_progress"]


def hand_over_logs(model: Any, saved: dict[str, Any]) -> None:
    """``fit`` ends an epoch with what its last step gave; it has none where no step was left: then ``saved``."""
    # Of the class: one that was handed over to a fit which was killed may still be there.
    give = partial(type(model)._get_metrics_result_or_logs, model)

    def given(logs: Any) -> Any:
        del model._get_metrics_result_or_logs
        return give(logs or saved)

    model._get_metrics_result_or_logs = given


def show_progress(callbacks: list[Any], batch: int, logs: dict[str, Any], seconds: float) -> None:
    """Let Keras's progress bar start where it was.

    Args:
        callbacks: all of the list; those that are no bar are left.
        batch: the 0-based batch that was the last.
        logs: what its step gave.
        seconds: how long the epoch had taken.
    """
    import keras

    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ProgbarLogger):
            # From which it tells the time that is left; without it that is wrong until the epoch ends.
            if hasattr(callback.progbar, "_start"):
                callback.progbar._start -= seconds
            callback.on_train_batch_end(batch, dict(sorted(logs.items())))
