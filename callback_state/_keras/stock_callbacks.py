"""Keras's own callbacks: which of their attributes mean what, and the private ones that are touched."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._format.table import MISSING
from ..exceptions import unsupported_keras

#: The attributes of every Keras callback that are neither state nor configuration.
BASE = frozenset({"params", "_params", "_model", "validation_data", "set_model"})


@dataclass(frozen=True)
class StockCallback:
    """What the attributes of one of Keras's own callback classes are."""

    arguments: tuple[str, ...] = ()  # the constructor's parameters that are kept in attributes of the same name
    state: tuple[str, ...] = ()  # change while training runs
    other: tuple[str, ...] = ()  # follow from the rest, or are handles that the callback opens itself
    by_hand: tuple[str, ...] = ()  # parameters that reach outside the process or are code; never taken from a file
    direction: bool = False  # whether the callback decides lazily if smaller or larger is better
    #: For parameters of another name than the attributes that keep them, these attributes.
    kept_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _stock(arguments: str = "", state: str = "", other: str = "", by_hand: str = "", **more: Any) -> StockCallback:
    """The attributes of each kind, as names between spaces."""
    return StockCallback(
        tuple(arguments.split()), tuple(state.split()), tuple(other.split()), tuple(by_hand.split()), **more
    )


_LAST = "_last_batch_seen"
_BATCHES = f"_batches_seen_since_last_saving {_LAST}"
_COUNTERS = f"{_BATCHES} _current_epoch"
_SAVING = "monitor verbose save_best_only save_weights_only mode save_freq"

STOCK: dict[str, StockCallback] = {
    "EarlyStopping": _stock(
        "monitor min_delta patience verbose mode baseline restore_best_weights start_from_epoch",
        "wait stopped_epoch best best_weights best_epoch",
        direction=True,
    ),
    "ReduceLROnPlateau": _stock(
        "monitor factor patience verbose mode min_delta cooldown min_lr",
        "best cooldown_counter wait",
        direction=True,
    ),
    "ModelCheckpoint": _stock(_SAVING, f"best {_COUNTERS}", "min_delta", "filepath", direction=True),
    "BackupAndRestore": _stock(
        "save_freq double_checkpoint delete_checkpoint",
        _COUNTERS,
        "_weights_path _training_metadata_path _prev_weights_path _prev_training_metadata_path",
        "backup_dir",
    ),
    "OrbaxCheckpoint": _stock(
        f"{_SAVING} max_to_keep save_on_background",
        f"best _total_batches_seen {_BATCHES}",
        "min_delta checkpointer _async_futures _multihost_initialized",
        "directory",
        direction=True,
    ),
    "SwapEMAWeights": _stock("swap_on_epoch", "_ema_weights_in_model"),
    "LearningRateScheduler": _stock("verbose", by_hand="schedule"),
    "TerminateOnNaN": _stock("raise_error"),
    "LambdaCallback": _stock(
        by_hand="on_epoch_begin on_epoch_end on_train_begin on_train_end on_train_batch_begin on_train_batch_end"
    ),
    # keys: which columns there are is decided at the first epoch of the file, not of the process.
    "CSVLogger": _stock(
        "append", "keys", "sep writer append_header csv_file", "filename", kept_as={"separator": ("sep",)}
    ),
    "TensorBoard": _stock(
        "histogram_freq write_graph write_images write_steps_per_second update_freq embeddings_freq "
        "embeddings_metadata",
        "_global_train_batch _global_test_batch",
        "_previous_epoch_iterations _train_accumulated_time _batch_start_time _epoch_start_time _summary_module "
        "_writers _prev_summary_state _log_write_dir _train_dir _val_dir _should_write_train_graph _start_batch "
        "_stop_batch _profiler_started _batch_trace_context _is_tracing _should_trace",
        "log_dir",
        kept_as={"profile_batch": ("_start_batch", "_stop_batch")},
    ),
    "RemoteMonitor": _stock("field send_as_json", by_hand="root path headers"),
    # History is carried by the state of the run; the progress bar starts anew with every epoch.
    "History": _stock(other="history epoch"),
    "ProgbarLogger": _stock(other="seen progbar target verbose epochs _called_in_fit"),
}


_COUNTS = frozenset(
    f"wait stopped_epoch best_epoch cooldown_counter _total_batches_seen _global_train_batch _global_test_batch "
    f"{_COUNTERS}".split()
)


def state_for(live: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """The state that one of Keras's own callbacks may be given. What it holds as None may stay None.

    Raises ValueError if a value cannot be state of it: it would end training later.
    """
    state = dict(state)
    if state.get(_LAST, 0) is None:
        state[_LAST] = _no_batch()
    for name, value in state.items():
        if value is MISSING or (value is None and (name == _LAST or getattr(live, name, None) is None)):
            continue
        if name in _COUNTS and not _is_count(value):
            raise ValueError(f"{name}: expected an integer, found {value!r:.100}")
        if name == "best" and value is not None and not _is_number(value):
            raise ValueError(f"best: expected a number, found {value!r:.100}")
        if name == "keys" and not (isinstance(value, list) and all(isinstance(key, str) for key in value)):
            raise ValueError(f"keys: expected a list of names, found {value!r:.100}")
        if name == "_ema_weights_in_model" and not isinstance(value, bool):
            raise ValueError(f"{name}: expected True or False, found {value!r:.100}")
    return state


@functools.cache
def _no_batch() -> int | None:
    """What a ``ModelCheckpoint`` keeps where it has seen no batch yet: None in Keras 3.15, 0 in Keras 3.7."""
    import keras

    seen: int | None = getattr(keras.callbacks.ModelCheckpoint("x.keras"), _LAST)
    return seen


def _is_count(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and abs(operator.index(value)) < 1 << 63
    except TypeError:
        return False


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, (str, bytes, bytearray)) and float(value) is not None
    except (TypeError, ValueError, OverflowError):
        return False


def decide_direction(callback: Any) -> None:
    """Let a callback decide now if smaller or larger values are better; Keras does it after an epoch."""
    if not hasattr(callback, "_set_monitor_op"):
        raise unsupported_keras(f"{type(callback).__name__} has no _set_monitor_op")
    callback._set_monitor_op()


def flush_event_files(tensorboard: Any) -> None:
    """Let a ``TensorBoard`` write what it holds into its event files."""
    for writer in tensorboard._writers.values():
        writer.flush()


def acts_once(callback: Any) -> bool:
    """Whether a callback writes for the whole training, so that of several processes only the first lets it hear.

    Stock Keras lets each process write, all of them into the same file.
    """
    import keras

    once = (keras.callbacks.CSVLogger, keras.callbacks.TensorBoard, keras.callbacks.RemoteMonitor)
    return isinstance(callback, once)


def event_writers(tensorboard: Any) -> dict[str, Any]:
    """The writers that a ``TensorBoard`` has opened in this ``fit``, by their directories below its log_dir."""
    directories = {"train": "train", "val": "validation"}
    return {directories[name]: writer for name, writer in tensorboard._writers.items() if name in directories}


def orbax_saves_noted(callbacks: list[Any], note: Callable[[str], object]) -> list[tuple[Any, str, Any]]:
    """Replacements for :class:`Replaced`: an ``OrbaxCheckpoint`` notes where it would save, and writes nothing."""
    import keras

    cls = getattr(keras.callbacks, "OrbaxCheckpoint", None)
    if cls is None or not any(isinstance(callback, cls) for callback in callbacks):
        return []
    name = "_save_checkpoint"  # in every Keras that has the class, up to 3.15
    if not hasattr(cls, name):
        raise NotImplementedError(
            f"keras {keras.__version__}: OrbaxCheckpoint has no method {name} any more, and would write in a "
            f"simulation. Leave it out of the callbacks, and report this"
        )
    return [(cls, name, lambda self, step, logs=None: note(os.path.join(self.directory, str(step))))]
