"""``ModelCheckpointEnhanced``: a ModelCheckpoint that saves the callbacks' state next to each model.

Keras's own class decides *whether* and under which name to save, on a stand-in for the model that only
takes note of the name. Then, when every callback has heard the event, this class writes.
"""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from typing import Any

import keras

from . import _pair, _retention, _runstate, _snapshot, _store
from ._capture import is_registered, remember
from ._find import names_of
from ._loop import Listener, Loop, join
from ._metrics import logs_of, take_metrics
from ._options import as_dict, check_backend, check_options
from ._resume import check_nobody_waits
from ._saver import Saver
from ._snapshot import Snapshot
from ._arguments import argument_of, mark_of
from ._stateful import stateful
from .exceptions import CallbackStateError

__all__ = ["ModelCheckpointEnhanced"]


@dataclass
class Event:
    """An event that the checkpoint has heard: the end of a batch, or (batch None) of an epoch."""

    epoch: int
    batch: int | None
    logs: dict[str, Any]


class _Recorder:
    """Stands for the model while Keras decides: takes note of where it would have been saved."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.path: str | None = None

    def save(self, filepath: str, **options: Any) -> None:
        self.path = filepath

    save_weights = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@stateful(
    exclude=(
        "callbacks", "training_args", "period", "max_to_keep", "keep_best",
        "_loop", "_event", "_recorder", "_saver", "_warned", "_epoch",
    )
)
class ModelCheckpointEnhanced(keras.callbacks.ModelCheckpoint, Listener):
    """A ``keras.callbacks.ModelCheckpoint`` that also saves what the callbacks know.

    Next to each model file ``M`` it writes ``M.callbacks.pkl`` with the state and configuration of
    every registered callback of the same ``fit`` (stock ones, ``@stateful`` ones, itself), and the
    run's other state: dropout seeds, global generators, history. The state is the one after *every*
    callback has heard the event, wherever each stands in the list; so with ``SwapEMAWeights`` the model
    is saved after the swap. When the run has ended, the last checkpoint is marked as finished; if the
    end changed the weights (``restore_best_weights``, EMA) or the last epoch was not saved, the final
    model is written as ``<name>.final<ending>`` beside it. With an integer ``save_freq`` it saves inside
    epochs, and the run goes on at the batch after the last save; what cannot be exact then, or at all, is
    told in a warning when training starts.

    Args:
        filepath, monitor, verbose, save_best_only, save_weights_only, mode, save_freq,
            initial_value_threshold: as in ``keras.callbacks.ModelCheckpoint``. ``filepath`` ends in
            ``.keras``, ``.h5`` or (with ``save_weights_only``) ``.weights.h5`` and is a local path.
            ``{epoch}`` in it counts from 1.
        callbacks: the callbacks to save; by default all registered ones of the same ``fit``. The way
            out where these cannot be found.
        period: save every so many epochs only, counted from the first epoch of the run.
        max_to_keep: keep the newest so many checkpoints and delete older ones that this run wrote.
        keep_best: keep the best so many by ``monitor`` (beside those of ``max_to_keep``).
        training_args: your own arguments (a dict or an ``argparse.Namespace``), kept in every file.

    Raises:
        BackendError: Keras runs on another backend than TensorFlow.
        ValueError: ``period``, ``max_to_keep`` or ``keep_best`` is not a positive integer, or does not
            go with the other arguments.

    A model file is written under a temporary name and renamed together with its state file; see
    ``callback_state/_store.py`` for the order and for what is not guaranteed.

    Example:
        >>> from callback_state import ModelCheckpointEnhanced
        >>> checkpoint = ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras", max_to_keep=3)
        >>> isinstance(checkpoint, keras.callbacks.ModelCheckpoint)
        True
    """

    __module__ = "callback_state"

    def __init__(
        self, filepath: Any, monitor: str = "val_loss", verbose: int = 0,
        save_best_only: bool = False, save_weights_only: bool = False, mode: str = "auto",
        save_freq: str | int = "epoch", initial_value_threshold: float | None = None, *,
        callbacks: list[Any] | None = None, period: int | None = None,
        max_to_keep: int | None = None, keep_best: int | None = None, training_args: Any = None,
    ) -> None:
        check_backend()
        self._recorder: _Recorder | None = None
        filepath = os.fspath(filepath)
        # Keras 3.7 refuses the .h5 that a newer Keras takes.
        whole_h5 = filepath.endswith(".h5") and not save_weights_only
        super().__init__(
            f"{filepath[:-3]}.keras" if whole_h5 else filepath, monitor, verbose, save_best_only,
            save_weights_only, mode, save_freq, initial_value_threshold,
        )
        self.filepath: str = filepath
        check_options(filepath, save_freq, period=period, max_to_keep=max_to_keep, keep_best=keep_best)
        self.callbacks = None if callbacks is None else [
            c if is_registered(c) else stateful(c) for c in callbacks if c is not self
        ]
        self._remember_arguments()
        self.period, self.max_to_keep, self.keep_best = period, max_to_keep, keep_best
        self.training_args: dict[str, Any] = as_dict(training_args)
        # What was written and is still there, oldest first: (name, monitored value). State.
        self._written: list[tuple[str, float | None]] = []
        # What goes when the next save is durable. State.
        self._surplus: list[str] = []
        # The file that this very moment is to be saved as, if any. State.
        self._due: str | None = None
        # Nanoseconds since 1970 of the last save, made to grow also where the clock does not. State.
        self._stamp = 0
        self._loop: Loop | None = None
        self._event: Event | None = None
        self._saver = Saver()
        self._warned = False
        self._epoch = 0

    def _remember_arguments(self) -> None:
        """No path of this machine, and nothing that is data of the run, is configuration in the file."""
        arguments = mark_of(self).arguments
        for name in ("callbacks", "training_args"):
            arguments.pop(name, None)
        if "filepath" in arguments:
            arguments["filepath"] = argument_of(self.template)

    @property
    def template(self) -> str:
        """The part of ``filepath`` that does not depend on where the directory of the run is."""
        return os.path.relpath(self.filepath, self._root())

    @property
    def model(self) -> Any:
        return self._recorder if self._recorder is not None else super().model

    # What Keras calls.

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._event, self._saver = None, Saver()
        self._loop = join(self, self, model)

    def on_train_begin(self, logs: Any = None) -> None:
        if self._loop is None:  # set_model was not called by the list, or for an earlier fit
            self._loop = join(self, self, self.model)
        if self._loop is None and self.callbacks is None:
            raise CallbackStateError(
                "ModelCheckpointEnhanced cannot find the other callbacks of this fit: it is not called by "
                "a keras.callbacks.CallbackList. Name them: ModelCheckpointEnhanced(..., callbacks=[...])."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._hear(Event(epoch, None, logs if logs is not None else {}))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.save_freq != "epoch":
            self._hear(Event(self._epoch, batch, logs if logs is not None else {}))

    def _hear(self, event: Event) -> None:
        self._event = event
        if self._loop is None:
            self.decide(None)
            self.after_event(None)

    # What the loop calls when everybody has heard the event.

    def before_train(self, loop: Loop) -> None:
        check_nobody_waits(loop)
        self._due = None
        if self.save_freq != "epoch":
            loop.watch_batches()
        directory = self._root()
        if not self._stamp and (names := names_of(self.template, directory)[0]):
            warnings.warn(
                f"{directory} has checkpoints of this name ({', '.join(names[:3])}...), nothing was restored "
                f"from them, and this run will write over them. Call restore_callbacks({directory!r}, "
                f"into=callbacks, model=model) before fit, or choose another filepath.",
                stacklevel=2,
            )

    def after_train_begin(self, loop: Loop) -> None:
        """Find out now, not at the first save, what cannot be saved; write what a kill left unwritten."""
        for callback in self._registered(loop):
            remember(callback)
        by_value = _snapshot.take(self._registered(loop), super().model, {}, {}).by_value
        if by_value and not self._warned:
            self._warned = True
            warnings.warn(
                f"stored by value, as code that only a trusted file may run: {', '.join(by_value)}. "
                f"To restore without trust, give callbacks that hold their own: "
                f"restore_callbacks(..., into=callbacks).",
                stacklevel=2,
            )
        epochs = _runstate.history_of(loop.model)["epochs"]
        if epochs and loop.trains and not loop.enters:
            self._write_what_is_due(Event(epochs[-1], None, _last_of(loop.model)), loop)
        if loop.ends and self._due is not None:
            self._saver.adopt(self._path(self._due), self._registered(loop), super().model)
        elif loop.ends:
            self._saver.note(self._registered(loop), super().model)

    def after_arrival(self, loop: Loop, epoch: int, batch: int) -> None:
        self._write_what_is_due(Event(epoch, batch, loop.logs), loop)

    def decide(self, loop: Loop | None) -> None:
        """Let Keras decide, and change every attribute of ours that is state; then nothing is written yet."""
        event, self._due = self._event, None
        if event is None or (event.batch is None and not self._is_turn(event.epoch)):
            return
        self._due = self._ask_keras(event)
        if self._due is not None:
            self._stamp = self._next_stamp(loop)
            self._note(self._due, event.logs.get(self.monitor))

    def after_event(self, loop: Loop | None) -> None:
        event, self._event = self._event, None
        if event is None or (self._due is None and event.batch is not None):
            return
        if self._due is not None:
            self._save(self._path(self._due), self._meta(event, loop), loop)
            for name in self._surplus:
                _store.delete(self._path(name))
        elif loop is not None and loop.is_last(event.epoch):
            self._saver.note(self._registered(loop), super().model)
        if loop is not None:
            loop.watch.warn()

    def after_train_end(self, loop: Loop) -> None:
        if loop.epoch is not None and self._speaks_for_directory(loop):
            self._finish(loop.epoch, loop)
        self._loop = None

    # The rest.

    def _next_stamp(self, loop: Loop | None) -> int:
        """Later than every save of the run, also where the clock was set back."""
        savers = [] if loop is None else [c for c in loop.listeners if isinstance(c, ModelCheckpointEnhanced)]
        return max(time.time_ns(), 1 + max(c._stamp for c in (self, *savers)))

    def _is_turn(self, epoch: int) -> bool:
        return self.period is None or (epoch + 1) % self.period == 0

    def _ask_keras(self, event: Event) -> str | None:
        recorder = self._recorder = _Recorder(super().model)
        try:
            if event.batch is None:
                super().on_epoch_end(event.epoch, event.logs)
            else:
                if self.save_best_only and self.monitor_op is None:
                    self._set_monitor_op()  # Keras does this only at the end of an epoch
                super().on_train_batch_end(event.batch, event.logs)
        finally:
            self._recorder = None
        if recorder.path is None:
            return None
        return os.path.relpath(os.fspath(recorder.path), self._root())

    def _root(self) -> str:
        """The directory of the checkpoints; what is state is relative to it."""
        return os.path.dirname(self.filepath) or os.curdir

    def _path(self, name: str) -> str:
        return os.path.normpath(os.path.join(self._root(), name))

    def _registered(self, loop: Loop | None) -> list[Any]:
        if self.callbacks is not None:
            return [*self.callbacks, self]
        apart = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
        siblings = [] if loop is None else loop.callbacks
        return [c for c in siblings if is_registered(c) and not isinstance(c, apart)]

    def _note(self, name: str, value: Any) -> None:
        """Enter the new file among those written, and choose which of the old ones are to go."""
        value = value if isinstance(value, (int, float)) else None
        written = [(n, v) for n, v in self._written if n != name] + [(name, value)]
        if self.keep_best is not None and self.monitor_op is None:
            self._set_monitor_op()
        if self.keep_best is not None and value is None:
            warnings.warn(
                f"keep_best={self.keep_best} follows {self.monitor!r}, of which this epoch has no value: "
                f"{name} is kept. Pass monitor= with a name that is in the logs.",
                stacklevel=2,
            )
        gone = _retention.surplus(
            written, newest=self.max_to_keep, best=self.keep_best, better=self.monitor_op
        )
        # Those of the last time once more: a kill may have come before they were deleted.
        self._surplus = gone or [n for n in self._surplus if n != name]
        self._written = [(n, v) for n, v in written if n not in gone]

    def _meta(self, event: Event, loop: Loop | None) -> dict[str, Any]:
        value = event.logs.get(self.monitor)
        epochs = (self.params or {}).get("epochs") if loop is None else loop.epochs
        return {
            "saved_at": self._stamp,
            "versions": _snapshot.versions(),
            "epoch": int(event.epoch),
            "batch": None if event.batch is None else int(event.batch),
            "initial_epoch": int(event.epoch) + (event.batch is None),
            "epochs": None if epochs is None else int(epochs),
            "last": event.batch is None and loop is not None and loop.is_last(event.epoch),
            "finished": False,
            "goes_on_from": None,
            "exact_end": True,
            "stops": bool(super().model.stop_training),
            "data": {} if loop is None else loop.described,
            "doubts": [],
            "template": self.template,
            "monitor": (self.monitor, float(value) if isinstance(value, (int, float)) else None),
            "history": _runstate.history_of(super().model),
            "training_args": self.training_args,
        }

    def _save(self, path: str, meta: dict[str, Any], loop: Loop | None) -> None:
        model, inside = super().model, meta["batch"] is not None
        reading = None if loop is None else loop.reading
        epoch = {
            "metrics": take_metrics(model) if inside else [],
            "logs": logs_of(loop.logs) if inside and loop is not None else {},
            "seconds": time.monotonic() - loop.began if inside and loop is not None else 0.0,
            "data": None if reading is None else reading.take(inside=inside),
        }
        if reading is not None:
            meta = {**meta, "doubts": list(reading.doubts)}
            reading.warn()
        self._saver.save(path, self._registered(loop), model, meta, epoch, self.save_weights_only)

    def _write_what_is_due(self, event: Event, loop: Loop) -> None:
        """A kill between the saves of two checkpoints of one moment left the second one unwritten."""
        if self._due is not None and _moment_of(self._path(self._due)) != (event.epoch, event.batch):
            self._save(self._path(self._due), self._meta(event, loop), loop)

    def _speaks_for_directory(self, loop: Loop) -> bool:
        """Of several checkpoints in one directory one marks the end: preferably one that saves all."""
        own = os.path.abspath(os.path.dirname(self.filepath))
        checkpoints = [c for c in loop.listeners if isinstance(c, ModelCheckpointEnhanced)]
        here = [c for c in checkpoints if os.path.abspath(os.path.dirname(c.filepath)) == own]
        return min(here, key=lambda c: c.save_best_only) is self

    def _finish(self, epoch: int, loop: Loop) -> None:
        """Mark the end of the run in the last checkpoint, or in one of its own if the end changed it."""
        callbacks, model = self._registered(loop), super().model
        if self._saver.mark_finished(epoch, callbacks, model):
            return
        end = self._saver.end_of(epoch, callbacks, model)  # before the stamp: that is state too
        event = Event(epoch, None, _last_of(model))
        self._stamp = self._next_stamp(loop)
        meta = {**self._meta(event, loop), **end}
        self._save(self._final_path(event), meta, loop)

    def _final_path(self, event: Event) -> str:
        path = self.filepath.format(epoch=event.epoch + 1, batch=0, **event.logs)
        ending = next(e for e in _pair.MODEL_SUFFIXES if path.endswith(e))
        return f"{path.removesuffix(ending)}.final{ending}"


def _last_of(model: Any) -> dict[str, Any]:
    """The logs of the last epoch, as the history has them."""
    return {name: values[-1] for name, values in _runstate.history_of(model)["series"].items() if values}


def _moment_of(path: str) -> tuple[int, int | None] | None:
    """The (epoch, batch) of a checkpoint, None if there is none that is whole."""
    try:
        meta = Snapshot.open(path).meta
    except CallbackStateError:
        return None
    return meta["epoch"], meta["batch"]
