"""A restored checkpoint on its way into ``fit``: it waits, it is checked, it is put back, it is done.

:class:`Resume` joins the next ``fit`` of the callbacks that were restored. Before the ``fit`` begins, it is
compared with the checkpoint. Then every callback hears ``on_train_begin``, which resets half of the state, and
everything is put back as it was. Inside an epoch the same happens after ``on_epoch_begin``, and the data are
read up to the batch of the checkpoint.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .._callbacks.capture import keyed, note_outside, pick_up, saved_among, state_of, wind_back
from .._callbacks.csv_log import appending
from .._callbacks.prepare import prepare_from
from .._checkpoints.names import is_ours
from .._checkpoints.snapshot import Snapshot
from .._format.trust import Trust
from .._keras import hosts
from .._keras.configuration import take_over
from .._keras.epoch import build_metrics, hand_over_logs, put_back_history, put_back_metrics, show_progress
from .._keras.fit import first_epoch, set_first_epoch
from .._keras.randomness import put_back_generators, tell_of_seed
from .._keras.stock_callbacks import acts_once
from .._keras.weights import rate_of
from .._loop import messages, waiting
from .._loop.listener import Listener
from .._loop.loop import join
from .._loop.running import Entry, Running
from .._loop.trace import Trace
from .._store.claims import Owner
from .._warn import warn
from ..exceptions import ResumeError
from .allowed import Allowed
from .checks import Expected
from .mode import Mode, adds_epochs, choose, in_words, is_the_finished
from .processes import opened_by_all
from .put_in import Kept, complete, put_in


class Resume(Listener):
    """One restored checkpoint that waits for its ``fit``.

    ``by_key`` has its callbacks, ``model`` is the model that it was loaded into, or None, and ``skipped`` has
    (callback, attribute) of what only ``on_train_begin`` can make. Of what is ``allowed`` there is only a warning.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        model_path: str,
        by_key: dict[str, Any],
        *,
        model: Any,
        skipped: list[tuple[Any, str]],
        trust: Trust,
        allowed: Allowed,
    ) -> None:
        self._keyed, self._trust, self._allowed = by_key, trust, allowed
        # A resume that waits for ever must not keep the model alive.
        self._model = None if model is None else weakref.ref(model)
        self._shapes, self._rate = _shapes_of(model), rate_of(model)
        self._skipped = {(id(callback), name) for callback, name in skipped}
        self._look_at(snapshot, model_path)
        # Whether it is over; whether a fit had nothing to train and was not the one that the checkpoint is for.
        self._is_done = self._let_pass = False
        # Of one fit; None where this is not the fit that the checkpoint is for.
        self._mode: Mode | None = None
        self._kept: Kept | None = None
        self._guard = ExitStack()
        self._logs: list[Any] = []
        owner = Owner.of(self._meta.run_id, [os.path.dirname(model_path) or os.curdir], self._meta.initial_epoch)
        self._each_outside(lambda callback, _: note_outside(callback, owner))
        waiting.wait(self, [*by_key.values()], model)

    def _look_at(self, snapshot: Snapshot, path: str) -> None:
        self._snapshot, self._meta, self._run, self._path = snapshot, snapshot.meta, snapshot.run, path
        self._expected = Expected(snapshot.meta, path, self._allowed)

    # What the loop calls.

    def join(self, callback: Any, model: Any) -> None:
        join(callback, self, model, first=True)

    def check_present(self, running: Running) -> None:
        if running.fit is not None and running.fit.initial_epoch == self._meta.initial_epoch:
            self._expected.check_callbacks(self._keyed, running.callbacks)

    def before_train(self, running: Running) -> None:
        if self._is_done or self._is_of_another_model(running.model):
            return
        self._mode = mode = choose(self._meta, running.fit, begins=first_epoch(running.model))
        if mode is Mode.EXTEND:
            self._go_back_to_last_epoch(running.model)
        running.extends = adds_epochs(mode, self._meta, running.fit)
        self._check(mode, running)
        # fit cannot enter an epoch if it is unknown how far the data were read: it begins the epoch again.
        is_known = running.fit is None or self._run.data is not None
        entry = mode.entry(inside=self._meta.batch is not None and is_known)
        running.enter(entry, Trace(self._meta, self._keyed), self._meta.epoch if entry is Entry.END else None)
        self._kept = Kept(self._snapshot, self._path, self._keyed, running.model, self._skipped)
        self._logs = self._guard.enter_context(appending(running.callbacks))
        running.run_id = self._meta.run_id
        running.follows, running.repeats = self._meta.follows, self._meta.repeats
        if running.trains:
            self._each_outside(wind_back)
        for saved in self._meta.callbacks:
            callback = self._keyed.get(saved.key)
            if callback is not None and is_ours(callback):
                callback.adopt(self._meta.run_id, saved.files)

    def after_train_begin(self, running: Running) -> None:
        if self._mode is None:
            return
        assert self._kept is not None
        self._guard.close()
        self._kept.put_back()
        # Keras prefers this attribute to the argument of fit; BackupAndRestore sets it and never takes it back.
        all_trained = running.entry in (Entry.END, Entry.NOTHING)
        set_first_epoch(running.model, running.fit.epochs if all_trained and running.fit is not None else None)
        if running.trains:
            self._check_skipped()
        put_back_history(running.model, vars(self._meta.history))
        self._wind(self._mode, running)
        tell_of_seed(self._run.generators)
        put_back_generators(self._run.generators, but=self._drawn_from)
        if running.entry is Entry.BATCH:
            return
        if running.trains:
            self._each_outside(pick_up)
            self._finish()
        self._tell(running)

    def after_epoch_begin(self, running: Running) -> None:
        if running.entry is not Entry.BATCH or self._mode is None or self._is_done:
            return
        assert self._kept is not None
        # Callbacks and generators have heard this beginning before, in the run that is resumed.
        self._kept.put_back()
        running.model.stop_training = self._meta.stops
        if running.reading is None:
            self._arrive(running)
        else:
            hand_over_logs(running.model, self._run.logs)
        self._each_outside(pick_up)

    def after_train_end(self, running: Running) -> None:
        for log in self._logs:
            log.append_header = True
        self._logs = []
        if self._mode is Mode.NOTHING and self._kept is not None:
            self._kept.put_back()
            if is_the_finished(self._meta, running.fit):
                self._finish()  # a later fit begins anew
            self._let_pass = True
        if self._mode is not None and not self._mode.trains:
            set_first_epoch(running.model, None)

    def leave(self, running: Running) -> None:
        self._guard.close()  # it is open if a callback failed in on_train_begin
        self._mode, self._kept = None, None

    # Before the first step.

    def _check(self, mode: Mode, running: Running) -> None:
        expected = self._expected
        hosts.each(lambda: self._check_fit(mode, running), "the beginning of fit")
        if mode is not Mode.NOTHING or is_the_finished(self._meta, running.fit):
            if self._model is None:
                expected.check_variables(running.model)
                complete(self._snapshot, self._path, running.model)
                take_over(running.model, self._meta.model.configuration)
            expected.check_model(running.model, self._rate)

    def _check_fit(self, mode: Mode, running: Running) -> None:
        expected = self._expected
        if mode is not Mode.NOTHING or is_the_finished(self._meta, running.fit):
            expected.check_loop(is_extended_first=running.extends and not self._let_pass)
        if mode is not Mode.NOTHING:
            expected.check_epoch(running.fit)
            expected.check_callbacks(self._keyed, running.callbacks)
        if mode.trains:
            expected.check_data(running.described)
            expected.check_place(running.fit, self._run.data)

    def _is_of_another_model(self, model: Any) -> bool:
        if self._model is None or model is self._model():
            return False
        if _shapes_of(model) == self._shapes:
            self._expected.complain(
                "this fit trains another model than the one that was passed to restore_callbacks(..., "
                "model=model), although both look alike. Build the model once, and restore after that.",
                "model",
            )
        return True

    def _go_back_to_last_epoch(self, model: Any) -> None:
        """Take the checkpoint of the last epoch: the end of a run may have replaced the weights."""
        name = self._meta.goes_on_from
        if name is not None:
            path = os.path.join(os.path.dirname(self._path), name)
            snapshot = opened_by_all(path, self._trust)
            if snapshot.meta.run_id != self._meta.run_id:
                raise ResumeError(
                    f"{self._path}: expected {name} beside it, with the last epoch of this run, found a "
                    f"checkpoint of another run. Put the run's own file back, or pass an older checkpoint to "
                    f"restore_callbacks."
                )
            put_in(snapshot, path, prepare_from(snapshot, self._keyed, model=model, trust=self._trust), model)
            self._look_at(snapshot, path)
        elif not self._meta.exact_end:
            warn(
                f"{self._path}: at its end the run replaced the weights of the last epoch, which were not saved. "
                f"Training continues with the weights after the end."
            )

    # Where the checkpoint was.

    def _wind(self, mode: Mode, running: Running) -> None:
        """Bring the data to where they were."""
        reading, saved, fit = running.reading, self._run.data, running.fit
        if reading is None or saved is None or fit is None:
            return
        if mode is Mode.NOTHING:
            reading.pass_by(saved)
        elif running.entry is Entry.EPOCH:
            reading.wind(saved, verbose=fit.shows)
        elif running.entry is Entry.BATCH:
            reading.enter(
                saved,
                lambda: self._arrive(running),
                verbose=fit.shows,
                stops=self._meta.stops,
                idle=running.skip_step,
            )

    def _arrive(self, running: Running) -> None:
        """The next batch is the one after the checkpoint."""
        model, run, epoch, batch = running.model, self._run, self._meta.epoch, self._meta.batch
        assert batch is not None
        if running.reading is not None:
            build_metrics(model, running.reading.training.keras.dataset, len(run.metrics))
        put_back_metrics(model, run.metrics, partly=running.reading is None)
        put_back_generators(run.generators, but=self._drawn_from)
        running.arrive(run.logs, run.seconds)
        running.trace.start(epoch, batch + 1)
        show_progress(running.callbacks, batch, run.logs, run.seconds)
        for listener in running.listeners:
            listener.after_arrival(running, epoch, batch)
        self._finish()
        self._tell(running)

    @property
    def _drawn_from(self) -> list[str]:
        """The global generators that input threads draw from: these have read ahead of the training."""
        return self._run.data.drawn_from if self._run.data is not None and self._meta.batch is not None else []

    def _each_outside(self, act: Callable[[Any, Any], None]) -> None:
        """Act on what each callback has written outside this process, such as a log file."""
        for entry in self._meta.callbacks:
            callback = self._keyed.get(entry.key)
            if callback is not None and (hosts.is_first() or not acts_once(callback)):
                act(callback, entry.outside)

    def _check_skipped(self) -> None:
        for callback in self._keyed.values():
            for owner, name in self._skipped:
                if owner == id(callback) and getattr(callback, name, None) is None:
                    raise ResumeError(
                        f"{self._path}: {type(callback).__name__}.{name} was code or a part of the model. It is "
                        f"not in the checkpoint as data, and is None now. Set it in the constructor or in "
                        f"on_train_begin, or pass trusted=True to restore_callbacks."
                    )

    # The end.

    def _tell(self, running: Running) -> None:
        """Print what was put back and where the run goes on, if a checkpoint has verbose=1."""
        if self._mode is None or not any(listener.speaks for listener in running.listeners):
            return
        live, known = keyed(saved_among(running.callbacks)), {*map(id, self._keyed.values())}
        missing = [entry.key for entry in self._meta.callbacks if entry.key not in self._keyed]
        new = [key for key, callback in live.items() if id(callback) not in known and state_of(callback)]
        goes_on = in_words(self._mode, self._meta, running.epochs)
        line = messages.resumed(self._path, [*self._keyed], missing, new, goes_on)
        batch = self._meta.batch if running.entry is Entry.BATCH else None
        messages.say(line, over_bar=messages.bar_is_open(batch, running.fit))

    def _finish(self) -> None:
        self._is_done = True
        self._kept = None  # it has a copy of the model
        waiting.forget(self, [*self._keyed.values()], None if self._model is None else self._model())


def _shapes_of(model: Any) -> list[Any]:
    return [] if model is None else [(v.shape, v.dtype) for v in model.weights]
