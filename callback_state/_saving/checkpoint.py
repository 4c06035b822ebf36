"""``ModelCheckpointEnhanced``: a ModelCheckpoint that saves the callbacks' state next to each model.

Keras's own class decides *whether* and under which name to save, on a stand-in for the model that only
takes note of the name. Then, when every callback has heard the event, the :class:`Keeper` writes.
"""

from __future__ import annotations

import os
from typing import Any

import keras

from .._callbacks.arguments import argument_of, mark_of
from .._callbacks.capture import is_registered
from .._callbacks.stateful import stateful
from .._format.trust import Keys
from .._keras.backend import check_backend
from .._loop.loop import Loop, join
from .._loop.signals import numbers_of
from ..exceptions import CallbackStateError
from .decision import Event, Recorder, ask_keras
from .keeper import Keeper
from .options import as_dict, check_options, seconds_of

__all__ = ["EXIT_CODE", "ModelCheckpointEnhanced"]

#: EX_TEMPFAIL of sysexits.h: try again later.
EXIT_CODE = 75


@stateful(
    exclude=(
        "callbacks",
        "training_args",
        "period",
        "max_to_keep",
        "keep_best",
        "save_every",
        "save_on_signal",
        "exit_code",
        "save_on_exception",
        "on_save_error",
        "keys",
        "_loop",
        "_keeper",
        "_recorder",
        "_replaced",
        "_told",
        "_is_restored_into",
        "_epoch",
    )
)
class ModelCheckpointEnhanced(keras.callbacks.ModelCheckpoint):
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
        filepath: a local path that ends in ``.keras``, ``.h5`` or (with ``save_weights_only``) ``.weights.h5``.
            Its name may have placeholders: ``{epoch}`` and ``{batch}``, which count from 1, and names of logs.
        monitor, save_best_only, save_weights_only, mode, initial_value_threshold: as in
            ``keras.callbacks.ModelCheckpoint``.
        verbose: 1: say in one line what was saved, and at a resume what was put back, what was not, and where the
            run goes on. The logger ``callback_state`` gets the same lines.
        save_freq: ``"epoch"``, or after how many batches, which are counted on across epochs.
        callbacks: the callbacks to save; by default all registered ones of the same ``fit``. The way
            out where these cannot be found.
        period: save every so many epochs only, counted from the first epoch of the run.
        max_to_keep: keep the newest so many checkpoints and delete older ones that this run wrote.
        keep_best: keep the best so many by ``monitor`` (beside those of ``max_to_keep``).
        training_args: your own arguments (a dict or an ``argparse.Namespace``), kept in every file.
        save_every: also save by the clock, at the end of a batch: seconds, a ``timedelta``, or a text such
            as ``"90s"``, ``"10min"``, ``"2h"``.
        save_on_signal: True for SIGTERM, SIGUSR1 and Windows' CTRL_BREAK, or a list of signals. When one
            comes, the run saves at the end of the batch (of a validation: of the epoch), every callback
            hears ``on_train_end``, the handler that was there before is called, and the process exits.
        exit_code: what it exits with then, 0 to 255; a scheduler can start it again on that. 75 is EX_TEMPFAIL of
            BSD's ``sysexits.h``: try again later. None: :class:`StoppedBySignal` leaves ``fit`` instead.
        save_on_exception: also save when an exception leaves ``fit``, if the run can be resumed exactly
            from where it is: between two batches, in a validation, or at the end of an epoch.
        on_save_error: ``"warn"``: training goes on when a save fails (a full disk, no permission), and the
            next one tries again. ``"raise"``: it ends.
        key: a secret (at least 16 bytes; a list: the first signs) with which every state file is signed; by
            default what the environment has in ``CALLBACK_STATE_KEY``. It is never written or shown.

    What ``save_every``, ``save_on_signal`` and ``save_on_exception`` save between two regular files has one
    fixed name, ``<filepath without braces>.interim<ending>``, and goes when a newer file is there.

    Raises:
        BackendError: Keras runs on another backend than TensorFlow.
        ValueError: an argument is none of those, or does not go with the others.
        InUseError: (in ``fit``) another process is writing into the directory.

    A model file is written under a temporary name and renamed together with its state file; see
    ``callback_state/_store/commit.py`` for the order and for what is not guaranteed.

    Example:
        >>> import keras
        >>> from callback_state import ModelCheckpointEnhanced
        >>> checkpoint = ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras", max_to_keep=3)
        >>> isinstance(checkpoint, keras.callbacks.ModelCheckpoint)
        True
    """

    __module__ = "callback_state"

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        callbacks: list[Any] | None = None,
        period: int | None = None,
        max_to_keep: int | None = None,
        keep_best: int | None = None,
        training_args: Any = None,
        save_every: Any = None,
        save_on_signal: Any = None,
        exit_code: int | None = EXIT_CODE,
        save_on_exception: bool = False,
        on_save_error: str = "warn",
        key: Any = None,
    ) -> None:
        check_backend()
        self._recorder: Recorder | None = None
        filepath = os.fspath(filepath)
        # Keras 3.7 refuses the .h5 that a newer Keras takes.
        whole_h5 = filepath.endswith(".h5") and not save_weights_only
        super().__init__(
            f"{filepath[:-3]}.keras" if whole_h5 else filepath,
            monitor,
            verbose,
            save_best_only,
            save_weights_only,
            mode,
            save_freq,
            initial_value_threshold,
        )
        self.filepath: str = filepath
        self.verbose: int = verbose
        check_options(
            filepath,
            save_freq,
            exit_code,
            on_save_error,
            period=period,
            max_to_keep=max_to_keep,
            keep_best=keep_best,
        )
        self.callbacks = (
            None
            if callbacks is None
            else [c if is_registered(c) else stateful(c) for c in callbacks if c is not self]
        )
        self._remember_arguments()
        self.period, self.max_to_keep, self.keep_best = period, max_to_keep, keep_best
        self.training_args: dict[str, Any] = as_dict(training_args)
        self.save_every, self.save_on_signal = seconds_of(save_every), numbers_of(save_on_signal)
        self.exit_code, self.save_on_exception = exit_code, save_on_exception
        self.on_save_error, self.keys = on_save_error, Keys.of(key)
        # What was written and is still there, oldest first: (name, monitored value). State.
        self._written: list[tuple[str, float | None]] = []
        # The file that is there only until the next regular one is, if any. State.
        self._interim: str | None = None
        self._replaced: str | None = None
        # What goes when the next save is durable. State.
        self._surplus: list[str] = []
        # The file that this very moment is to be saved as, if any. State.
        self._due: str | None = None
        # Nanoseconds since 1970 of the last save, made to grow also where the clock does not. State.
        self._stamp = 0
        self._loop: Loop | None = None
        self._keeper: Keeper | None = None
        # What is stored by value and was warned of.
        self._told: list[str] = []
        # Whether its script gives restore_callbacks the callbacks themselves, with functions of their own.
        self._is_restored_into = False
        self._epoch = 0

    def _remember_arguments(self) -> None:
        """No path of this machine, and nothing that is data of the run, is configuration in the file."""
        arguments = mark_of(self).arguments
        for name in ("callbacks", "training_args", "key"):
            arguments.pop(name, None)
        if "filepath" in arguments:
            arguments["filepath"] = argument_of(self.template)

    # What the keeper asks for.

    @property
    def root(self) -> str:
        """The directory of the checkpoints; what is state is relative to it."""
        return os.path.dirname(self.filepath) or os.curdir

    @property
    def template(self) -> str:
        """The part of ``filepath`` that does not depend on where the directory of the run is."""
        return os.path.relpath(self.filepath, self.root)

    def path_of(self, name: str) -> str:
        return os.path.normpath(os.path.join(self.root, name))

    @property
    def hears_batches(self) -> bool:
        """Whether it may save inside an epoch."""
        by_itself = self.save_every is not None or self.save_on_signal or self.save_on_exception
        return self.save_freq != "epoch" or bool(by_itself)

    def ask(self, event: Event) -> str | None:
        """The name to save under after this event, as Keras decides; None where it does not save."""
        if event.batch is None and self._passes_over(event.epoch):
            return None
        if event.batch is not None and self.save_freq == "epoch":
            return None
        recorder = self._recorder = Recorder(super().model)
        verbose, self.verbose = self.verbose, 0  # nothing is saved yet, so Keras has nothing to tell
        try:
            ask_keras(self, event)
        finally:
            self._recorder, self.verbose = None, verbose
        return None if recorder.path is None else os.path.relpath(recorder.path, self.root)

    def wants_better(self, event: Event) -> bool:
        """Whether it looks at the monitored value of this event, and saves only a better one."""
        asks = self.save_freq == "epoch" and not self._passes_over(event.epoch)
        return bool(self.save_best_only and asks and self.monitor in event.logs)

    def _passes_over(self, epoch: int) -> bool:
        """Whether ``period`` leaves out this 0-based epoch."""
        return self.period is not None and bool((epoch + 1) % self.period)

    def leave(self) -> None:
        """The ``fit`` has ended."""
        self._loop = None

    # What Keras calls.

    @property
    def model(self) -> Any:
        return self._recorder if self._recorder is not None else super().model

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._keeper = Keeper(self, model)
        self._loop = join(self, self._keeper, model)

    def on_train_begin(self, logs: Any = None) -> None:
        if self._loop is None and self._keeper is not None:
            # set_model was not called by the list, or for an earlier fit
            self._loop = join(self, self._keeper, super().model)
        if self._loop is None and (self.callbacks is None or self.save_on_signal):
            raise CallbackStateError(
                "ModelCheckpointEnhanced cannot find the other callbacks of this fit: it is not called by "
                "a keras.callbacks.CallbackList. Name them: ModelCheckpointEnhanced(..., callbacks=[...]), "
                "without save_on_signal=."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._hear(Event(epoch, None, logs if logs is not None else {}))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.hears_batches:
            self._hear(Event(self._epoch, batch, logs if logs is not None else {}))

    def _hear(self, event: Event) -> None:
        if self._keeper is not None:
            self._keeper.hear(event, None if self._loop is None else self._loop.running)
