"""What the state of each stock Keras callback is, and how it is made again: a table.

No name of a private Keras module gets into a file: what Keras keeps as a private function
(``monitor_op``) is stored as the word "less" or "greater".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ADAPTERS", "Adapter", "adapter_of", "appending", "direction_of", "set_direction"]


@dataclass(frozen=True)
class Adapter:
    """Which attributes of a stock callback mean what; all others belong to a subclass.

    Attributes:
        arguments: the constructor's parameters that are kept in attributes of the same name.
        state: attributes that change while training runs.
        other: attributes that follow from the rest, or are handles that the callback opens itself.
        outside: parameters that reach outside the process or are code; never taken from a file.
        direction: whether the callback decides lazily if smaller or larger is better.
        kept_as: for parameters of another name than the attributes that keep them, these attributes.
    """

    arguments: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    direction: bool = False
    kept_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def given(self, callback: Any) -> dict[str, Any]:
        """What the constructor was given, by the name of the parameter; not what it was not given."""
        now = vars(callback)
        given = {name: now[name] for name in self.arguments if name in now}
        given |= {name: now[name] for name in self.outside if now.get(name) is not None}
        for name, attributes in self.kept_as.items():
            values = tuple(now[attribute] for attribute in attributes)
            given[name] = values if len(values) > 1 else values[0]
        if "min_delta" in given:  # changes its sign when the direction is decided
            given["min_delta"] = abs(given["min_delta"])
        return given

    def owns(self, attribute: str) -> bool:
        names = (*self.arguments, *self.state, *self.other, *self.outside)
        return attribute in names or (self.direction and attribute in ("monitor_op", "mode"))


_BATCHES = ("_batches_seen_since_last_saving", "_last_batch_seen")
_COUNTERS = (*_BATCHES, "_current_epoch")
_SAVING = ("monitor", "verbose", "save_best_only", "save_weights_only", "mode", "save_freq")

ADAPTERS: dict[str, Adapter] = {
    "EarlyStopping": Adapter(
        ("monitor", "min_delta", "patience", "verbose", "mode", "baseline",
         "restore_best_weights", "start_from_epoch"),
        ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
        direction=True,
    ),
    "ReduceLROnPlateau": Adapter(
        ("monitor", "factor", "patience", "verbose", "mode", "min_delta", "cooldown", "min_lr"),
        ("best", "cooldown_counter", "wait"),
        direction=True,
    ),
    "ModelCheckpoint": Adapter(
        _SAVING, ("best", *_COUNTERS), ("min_delta",), ("filepath",), direction=True
    ),
    "BackupAndRestore": Adapter(
        ("save_freq", "double_checkpoint", "delete_checkpoint"), _COUNTERS,
        ("_weights_path", "_training_metadata_path", "_prev_weights_path",
         "_prev_training_metadata_path"), ("backup_dir",),
    ),
    "OrbaxCheckpoint": Adapter(
        (*_SAVING, "max_to_keep", "save_on_background"), ("best", "_total_batches_seen", *_BATCHES),
        ("min_delta", "checkpointer", "_async_futures", "_multihost_initialized"), ("directory",),
        direction=True,
    ),
    "SwapEMAWeights": Adapter(("swap_on_epoch",), ("_ema_weights_in_model",)),
    "LearningRateScheduler": Adapter(("verbose",), outside=("schedule",)),
    "TerminateOnNaN": Adapter(("raise_error",)),
    "LambdaCallback": Adapter(
        outside=("on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end",
                 "on_train_batch_begin", "on_train_batch_end"),
    ),
    # keys: which columns there are is decided at the first epoch of the file, not of the process.
    "CSVLogger": Adapter(
        ("append",), ("keys",), ("sep", "writer", "append_header", "csv_file"), ("filename",),
        kept_as={"separator": ("sep",)},
    ),
    "TensorBoard": Adapter(
        ("histogram_freq", "write_graph", "write_images", "write_steps_per_second", "update_freq",
         "embeddings_freq", "embeddings_metadata"),
        ("_global_train_batch", "_global_test_batch"),
        ("_previous_epoch_iterations", "_train_accumulated_time", "_batch_start_time",
         "_epoch_start_time", "_summary_module", "_writers", "_prev_summary_state", "_log_write_dir",
         "_train_dir", "_val_dir", "_should_write_train_graph", "_start_batch", "_stop_batch",
         "_profiler_started", "_batch_trace_context", "_is_tracing", "_should_trace"),
        ("log_dir",), kept_as={"profile_batch": ("_start_batch", "_stop_batch")},
    ),
    "RemoteMonitor": Adapter(
        ("field", "send_as_json"), outside=("root", "path", "headers")
    ),
    # History is carried by the state of the run; the progress bar starts anew with every epoch.
    "History": Adapter(other=("history", "epoch")),
    "ProgbarLogger": Adapter(
        other=("seen", "progbar", "target", "verbose", "epochs", "_called_in_fit")
    ),
}


def adapter_of(cls: type) -> tuple[Adapter | None, bool]:
    """The adapter for a class or for the stock class that it derives from; whether it *is* stock."""
    keras = sys.modules.get("keras")
    for base in cls.__mro__ if keras is not None else ():
        if getattr(keras.callbacks, base.__name__, None) is base:  # type: ignore[union-attr]
            return ADAPTERS.get(base.__name__), base is cls
    return None, False


def direction_of(callback: Any) -> str | None:
    """Which values the callback takes for better, and of which series: ``"less val_loss"``.

    None where that is undecided.
    """
    name = getattr(callback.monitor_op, "__name__", None)
    return f"{name} {callback.monitor}" if name in ("less", "greater") else None


def set_direction(callback: Any, decided: str | None) -> None:
    """Let the callback hold that decision, as if it had made it: once ``min_delta`` has its sign.

    Where the callback holds one already (an older Keras decides in ``on_train_begin``), or where its
    configuration says otherwise by now, it stays.
    """
    direction, _, monitor = (decided or "").partition(" ")
    modes = {"less": ("min", "auto"), "greater": ("max", "auto")}.get(direction, ())
    # Keras 3.7 has no attribute mode in a ModelCheckpoint, but always a decision.
    if callback.monitor_op is not None or callback.monitor != monitor or callback.mode not in modes:
        return
    import keras

    callback.monitor_op = getattr(keras.ops, direction)
    if direction == "less":
        callback.min_delta = -abs(callback.min_delta)


@contextmanager
def appending(callbacks: list[Any]) -> Iterator[list[Any]]:
    """While the callbacks hear ``on_train_begin``, let none of them erase its log file.

    Gives those that would have. A CSVLogger remembers forever that its file had a header: when training
    has ended, their ``append_header`` is to be true again.
    """
    import keras

    erasing = [c for c in callbacks if isinstance(c, keras.callbacks.CSVLogger) and not c.append]
    for callback in erasing:
        callback.append = True
    try:
        yield erasing
    finally:
        for callback in erasing:
            callback.append = False
