"""``ModelCheckpointEnhanced``: a ModelCheckpoint that saves the callbacks' state next to each model.

Keras's own class decides whether to save. It is given a stand-in for the model, which only notes that it was
asked to save. When all callbacks have heard the event, the :class:`Keeper` writes.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from .._callbacks.adapter import Adapter, give
from .._callbacks.arguments import argument_of, mark_of
from .._callbacks.capture import is_registered
from .._callbacks.stateful import stateful
from .._checkpoints.template import filled, split
from .._format.trust import Keys
from .._keras.backend import backend
from .._loop.loop import join
from .._loop.signals import numbers_of
from .._store.bucket.places import local
from ..exceptions import CallbackStateError
from .decision import Event, Recorder, ask_keras
from .keeper import Keeper
from .ledger import Ledger, accept
from .notices import Notices
from .on_saved import functions_of
from .options import ARGUMENTS, as_dict, check_options, seconds_of
from .own import Own
from .start import working_directory

#: EX_TEMPFAIL of sysexits.h: try again later.
EXIT_CODE = 75


@stateful(exclude=("notices", "own", "_keeper", "_recorder"))
class ModelCheckpointEnhanced(keras.callbacks.ModelCheckpoint):
    """A ``keras.callbacks.ModelCheckpoint`` that also saves the state of the callbacks.

    Next to each model file ``M`` it writes ``M.callbacks.pkl``. This state file holds the state and the
    configuration of every registered callback of the same ``fit``: stock callbacks, ``@stateful`` ones, and this
    one. It also holds the rest of the run: dropout seeds, global generators and the history.

    A checkpoint is written when all callbacks have heard the event, so the order of the callbacks does not
    matter. With ``SwapEMAWeights``, the model is saved after the swap.

    When the run has ended, the last checkpoint is marked as finished. If the end of training changed the weights
    (``restore_best_weights``, EMA), or if the last epoch was not saved, the final model is written to a file of
    its own, ``<name>.final<ending>``.

    With an integer ``save_freq`` it saves inside epochs, and a resumed run goes on with the next batch. If a run
    cannot be resumed exactly, a warning says so when training starts.

    Args:
        filepath: a path that ends in ``.keras``, ``.h5`` or (with ``save_weights_only``) ``.weights.h5``. It may
            be a URL of an object store, such as ``s3://bucket/run/{epoch:03d}.keras``; see "A bucket" in the docs.
            The file name may have placeholders: ``{epoch}`` and ``{batch}``, which count from 1, and names of
            logs, also with a slash or a blank in them.
        monitor, save_best_only, save_weights_only, mode, initial_value_threshold: as in
            ``keras.callbacks.ModelCheckpoint``.
        verbose: 1: print one line for each save, and one for a resume: what was restored, what was not, and
            where the run goes on. After a signal the last line says which signal it was, what was saved, and the
            exit status. The logger ``callback_state`` gets the same lines.
        save_freq: ``"epoch"``, or a number of batches. The batches are counted across epochs.
        callbacks: the callbacks to save; by default all registered callbacks of the same ``fit``. You need it
            only in a training loop of your own that has no ``CallbackList``.
        period: save only after every so many epochs, counted from the first epoch of the run.
        max_to_keep: keep only this number of the newest checkpoints. Older ones that this run wrote are deleted.
        keep_best: keep this number of the best checkpoints by ``monitor``, besides those of ``max_to_keep``.
        training_args: your own arguments (a dict or an ``argparse.Namespace``). They are stored in every file.
        save_every: also save at the end of a batch when this time has passed: seconds, a ``timedelta``, or a
            text such as ``"90s"``, ``"10min"`` or ``"2h"``.
        save_on_signal: also save when a signal comes, and then stop. True stands for SIGTERM, SIGUSR1 and
            Windows' CTRL_BREAK; or give a list of signals. The run saves at the end of the present batch; if it
            is validating, at the end of the epoch. Then every callback hears ``on_train_end``, the signal's
            former handler is called, and the process exits. Signals of these kinds that come after the first one,
            until the process has ended, are ignored. If your program catches the ``SystemExit`` and goes on
            without another ``fit``, set its handlers yourself, or pass ``exit_code=None``.
        exit_code: the exit status of a process that a signal has stopped, 0 to 255. A scheduler can start the
            job again when it sees this status. The default 75 is EX_TEMPFAIL of BSD's ``sysexits.h``: try again
            later. With None, ``fit`` raises :class:`StoppedBySignal` instead.
        save_on_exception: also save when ``fit`` raises an exception. By then it is too late to take the state, so
            a copy is kept in memory: of a moment between two batches, before a validation, or at the end of an
            epoch. A new copy is made so often that this takes a hundredth of the time. The last one is saved.
        on_save_error: ``"warn"``: when a save fails (the disk is full, the directory has gone away), training goes
            on, and the next save tries again. ``"raise"``: training ends with the error.
        save_on_background: write beside training. At the end of the batch or epoch only references to the values
            and the callbacks' state are taken; a thread writes, syncs and commits while training goes on. One save
            is under way at a time: the next one waits for it, and one of ``save_every`` is left out. What a
            signal, an exception or the end of ``fit`` needs is waited for. An error is reported at the next event.
            It needs memory for one more model. A model with a ``save`` of its own is written at once all the same.
        on_saved: a function, or a list of functions, called with each :class:`Checkpoint` when it is durable: to
            upload it, to send a message, to evaluate it. With ``save_on_background`` it is called in the thread
            that saves, so it must not use the model that is being trained. The files stay until it returns, and
            the next save waits for it. What it raises is reported like a failed save, and the checkpoint stays.
            The functions are never stored.
        key: a secret of at least 16 bytes that signs every state file, or a list of secrets, of which the first
            one signs. The default is the environment variable ``CALLBACK_STATE_KEY``. The secret is never
            written or shown.

    What ``save_every``, ``save_on_signal`` and ``save_on_exception`` save between two regular checkpoints has one
    fixed name, ``<filepath without braces>.interim<ending>``. It is deleted when a newer checkpoint is written.

    Raises:
        BackendError: Keras runs on a backend that is not known here.
        ValueError: an argument has a wrong value, or does not go with another argument.
        InUseError: (in ``fit``) another process, or another thread of this one, writes into the directory.

    A model file is written under a temporary name and renamed together with its state file. See
    ``callback_state/_store/commit.py`` for the order of the steps, and for what is not guaranteed.

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
        save_on_background: bool = False,
        on_saved: Any = None,
        key: Any = None,
    ) -> None:
        backend()
        self._recorder: Recorder | None = None
        filepath = os.fspath(filepath)
        # Keras 3.7 refuses the .h5 that a newer Keras takes.
        path = filepath if save_weights_only or not filepath.endswith(".h5") else f"{filepath[:-3]}.keras"
        options = (save_best_only, save_weights_only, mode, save_freq, initial_value_threshold)
        super().__init__(path, monitor, verbose, *options)
        counts = {"period": period, "max_to_keep": max_to_keep, "keep_best": keep_best}
        check_options(filepath, save_weights_only, save_freq, exit_code, on_save_error, save_on_background, counts)
        self.filepath: str = filepath
        self.verbose: int = verbose
        # Paths of this machine, secrets and the run's own data stay out of the stored configuration.
        arguments = mark_of(self).arguments
        for name in ("callbacks", "training_args", "on_saved", "key"):
            arguments.pop(name, None)
        if "filepath" in arguments:
            arguments["filepath"] = argument_of(self.template)
        self.callbacks = callbacks
        if callbacks is not None:
            self.callbacks = [c if is_registered(c) else stateful(c) for c in callbacks if c is not self]
        self.period, self.max_to_keep, self.keep_best = period, max_to_keep, keep_best
        self.training_args: dict[str, Any] = as_dict(training_args)
        self.save_every = seconds_of(save_every)
        self.save_on_signal = numbers_of(save_on_signal)
        self.exit_code, self.save_on_exception, self.on_save_error = exit_code, save_on_exception, on_save_error
        self.save_on_background, self.on_saved = save_on_background, functions_of(on_saved)
        self.keys = Keys.of(key)
        # What this callback has written: state. Its best value and its counters are Keras's.
        self.ledger = Ledger(self.template)
        self.notices = Notices(made_in=working_directory())
        # What is known of the files that this run has written: no state.
        self.own = Own()
        # What saves in the present fit.
        self._keeper: Keeper | None = None

    # What the keeper asks for.

    @property
    def root(self) -> str:
        """The directory of the checkpoints on this machine. The names in the state are relative to it.

        It is the near copy of a store, where ``filepath`` is a URL.
        """
        return local(split(self.filepath)[0]) or os.curdir

    @property
    def template(self) -> str:
        """The file name with its placeholders, without the directory."""
        return split(self.filepath)[1]

    @property
    def saves_between(self) -> bool:
        """Whether it may save between two regular checkpoints."""
        return bool(self.save_every is not None or self.save_on_signal or self.save_on_exception)

    @property
    def hears_batches(self) -> bool:
        """Whether it may save inside an epoch."""
        return self.save_freq != "epoch" or self.saves_between

    def ask(self, event: Event) -> str | None:
        """The name to save under after this event; None if Keras decides that nothing is to be saved."""
        if event.batch is None and self._passes_over(event.epoch):
            return None
        if event.batch is not None and self.save_freq == "epoch":
            return None
        recorder = self._recorder = Recorder(self._model)
        try:
            ask_keras(self, event)
        finally:
            self._recorder = None
        return filled(self.template, event.epoch, event.batch, event.logs) if recorder.was_asked else None

    def wants_better(self, event: Event) -> bool:
        """Whether it looks at the monitored value of this event, and saves only a better one."""
        asks = self.save_freq == "epoch" and not self._passes_over(event.epoch)
        return bool(self.save_best_only and asks and self.monitor in event.logs)

    def is_due(self, event: Event) -> bool:
        """Whether it would save after this event, or would if the event's value were better. Nothing changes."""
        with self.unchanged():
            self.save_best_only = False
            return self.ask(event) is not None

    def _passes_over(self, epoch: int) -> bool:
        """Whether ``period`` leaves out this 0-based epoch."""
        return self.period is not None and bool((epoch + 1) % self.period)

    # What other parts of the package ask for.

    def use(self, keeper: Keeper | None) -> None:
        """Let this keeper save for the callback from now on; None: nothing is saved."""
        self._keeper = keeper

    def adopt(self, run_id: str, files: dict[str, str]) -> None:
        """Go on as this run, which has written these files: by name, the SHA-256 of a model file."""
        self.own = Own(run_id, files, is_resumed=True)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """After the block the callback has the attributes that it had before."""
        before = {**vars(self), "notices": copy.copy(self.notices)}
        try:
            yield
        finally:
            self.__dict__ = before

    # What Keras calls.

    @property
    def model(self) -> Any:
        return self._recorder if self._recorder is not None else super().model

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        keeper = self._keeper = Keeper(self, model)
        keeper.loop = join(self, keeper, model)

    def on_train_begin(self, logs: Any = None) -> None:
        keeper = self._keeper
        if keeper is not None and not keeper.has_joined:
            # set_model was not called by the list, or for an earlier fit
            keeper.loop = join(self, keeper, super().model)
        if (keeper is None or not keeper.has_joined) and (self.callbacks is None or self.save_on_signal):
            raise CallbackStateError(
                "ModelCheckpointEnhanced cannot find the other callbacks of this fit, because no "
                "keras.callbacks.CallbackList calls it. Pass them: ModelCheckpointEnhanced(..., "
                "callbacks=[...]), without save_on_signal=."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._keeper is not None:
            self._keeper.epoch = epoch
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._keeper is not None:
            self._keeper.hear(Event(epoch, None, logs if logs is not None else {}))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._keeper is not None and self.hears_batches:
            self._keeper.hear(Event(self._keeper.epoch, batch, logs if logs is not None else {}))


give(ModelCheckpointEnhanced, Adapter(other=ARGUMENTS, accept=accept))
