"""What the state of each stock Keras callback is, how it is made again, what it does outside: a table.

No name of a private Keras module gets into a file: what Keras keeps as a private function
(``monitor_op``) is stored as the word "less" or "greater".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._keras.classes import stock_name
from . import csv_log, event_files
from .adapter import Adapter, given_to
from .csv_log import appending
from .stateful import registration_of

__all__ = ["ADAPTERS", "adapter_of", "appending", "direction_of", "set_direction"]

_BATCHES = ("_batches_seen_since_last_saving", "_last_batch_seen")
_COUNTERS = (*_BATCHES, "_current_epoch")
_SAVING = ("monitor", "verbose", "save_best_only", "save_weights_only", "mode", "save_freq")

ADAPTERS: dict[str, Adapter] = {
    "EarlyStopping": Adapter(
        (
            "monitor",
            "min_delta",
            "patience",
            "verbose",
            "mode",
            "baseline",
            "restore_best_weights",
            "start_from_epoch",
        ),
        ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
        direction=True,
    ),
    "ReduceLROnPlateau": Adapter(
        ("monitor", "factor", "patience", "verbose", "mode", "min_delta", "cooldown", "min_lr"),
        ("best", "cooldown_counter", "wait"),
        direction=True,
    ),
    "ModelCheckpoint": Adapter(_SAVING, ("best", *_COUNTERS), ("min_delta",), ("filepath",), direction=True),
    "BackupAndRestore": Adapter(
        ("save_freq", "double_checkpoint", "delete_checkpoint"),
        _COUNTERS,
        ("_weights_path", "_training_metadata_path", "_prev_weights_path", "_prev_training_metadata_path"),
        ("backup_dir",),
    ),
    "OrbaxCheckpoint": Adapter(
        (*_SAVING, "max_to_keep", "save_on_background"),
        ("best", "_total_batches_seen", *_BATCHES),
        ("min_delta", "checkpointer", "_async_futures", "_multihost_initialized"),
        ("directory",),
        direction=True,
    ),
    "SwapEMAWeights": Adapter(("swap_on_epoch",), ("_ema_weights_in_model",)),
    "LearningRateScheduler": Adapter(("verbose",), by_hand=("schedule",)),
    "TerminateOnNaN": Adapter(("raise_error",)),
    "LambdaCallback": Adapter(
        by_hand=(
            "on_epoch_begin",
            "on_epoch_end",
            "on_train_begin",
            "on_train_end",
            "on_train_batch_begin",
            "on_train_batch_end",
        )
    ),
    # keys: which columns there are is decided at the first epoch of the file, not of the process.
    "CSVLogger": Adapter(
        ("append",),
        ("keys",),
        ("sep", "writer", "append_header", "csv_file"),
        ("filename",),
        kept_as={"separator": ("sep",)},
        outside=csv_log.outside,
        wind_back=csv_log.wind_back,
        pick_up=csv_log.pick_up,
    ),
    "TensorBoard": Adapter(
        (
            "histogram_freq",
            "write_graph",
            "write_images",
            "write_steps_per_second",
            "update_freq",
            "embeddings_freq",
            "embeddings_metadata",
        ),
        ("_global_train_batch", "_global_test_batch"),
        (
            "_previous_epoch_iterations",
            "_train_accumulated_time",
            "_batch_start_time",
            "_epoch_start_time",
            "_summary_module",
            "_writers",
            "_prev_summary_state",
            "_log_write_dir",
            "_train_dir",
            "_val_dir",
            "_should_write_train_graph",
            "_start_batch",
            "_stop_batch",
            "_profiler_started",
            "_batch_trace_context",
            "_is_tracing",
            "_should_trace",
        ),
        ("log_dir",),
        kept_as={"profile_batch": ("_start_batch", "_stop_batch")},
        outside=event_files.outside,
        note=event_files.note,
        wind_back=event_files.wind_back,
    ),
    "RemoteMonitor": Adapter(("field", "send_as_json"), by_hand=("root", "path", "headers")),
    # History is carried by the state of the run; the progress bar starts anew with every epoch.
    "History": Adapter(other=("history", "epoch")),
    "ProgbarLogger": Adapter(other=("seen", "progbar", "target", "verbose", "epochs", "_called_in_fit")),
}


def adapter_of(cls: type) -> tuple[Adapter | None, bool]:
    """What is known of a class, from the table and from ``adapter(...)``; whether it *is* a stock class."""
    stock = next(filter(None, map(stock_name, cls.__mro__)), "")
    found = ADAPTERS.get(stock)
    for base in reversed(cls.__mro__):
        said = given_to(base)
        if said is not None:
            found = said if found is None else said.over(found)
        elif found is not None and found.closed and _is_decorated(base):
            found = replace(found, closed=False)  # a subclass with @stateful: what it adds is state
    return found, stock_name(cls) is not None


def _is_decorated(cls: type) -> bool:
    registration = registration_of(cls)
    return registration is not None and registration.cls is cls


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
