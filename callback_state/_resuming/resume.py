"""A restored state on its way into the ``fit`` that goes on: checks before, protection during, then done.

What was restored waits in a :class:`Resume` that its callbacks share. The ``fit`` that they appear in
next is checked against the checkpoint; then every callback hears ``on_train_begin``, which resets half
of them, and everything is put back as it was before.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .._callbacks.capture import names, pick_up, saved_among, state_of, wind_back
from .._callbacks.prepare import prepare_from
from .._callbacks.stock import appending
from .._checkpoints.snapshot import Snapshot
from .._format.trust import Trust
from .._keras.epoch import build_metrics, hand_over_logs, put_back_history, put_back_metrics, show_progress
from .._keras.fit import first_epoch, set_first_epoch
from .._keras.model_file import load
from .._keras.randomness import put_back_generators, put_back_seeds
from .._loop import messages, waiting
from .._loop.listener import Listener
from .._loop.loop import Loop
from .._loop.trace import Course
from ..exceptions import ResumeError
from .checks import Expected
from .kept import Kept
from .mode import choose, in_words, is_the_finished

__all__ = ["Resume"]


class Resume(Listener):
    """One restored checkpoint that waits for its ``fit``.

    Args:
        snapshot: the checkpoint's contents.
        model_path: its model file.
        keyed: the callbacks that its state was put into, by their keys in the checkpoint.
        model: the model that it was loaded into, or None if the caller did that himself.
        skipped: (callback, attribute) of what only ``on_train_begin`` can make.
        trust: whether code may be read from the checkpoint.
        strict: whether a ``fit`` that goes on from something else is an error, or only a warning.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        model_path: str,
        keyed: dict[str, Any],
        *,
        model: Any,
        skipped: list[tuple[Any, str]],
        trust: Trust,
        strict: bool,
    ) -> None:
        self._snapshot, self._meta, self._path = snapshot, snapshot.meta, model_path
        self._keyed, self._model, self._trust, self._strict = keyed, model, trust, strict
        self._run = snapshot.run
        self._expected = Expected(self._meta, model_path, strict=strict)
        self._skipped = {(id(callback), name) for callback, name in skipped}
        self._done = False
        self._mode = "none"
        self._kept: Kept | None = None
        self._guard = ExitStack()
        self._logs: list[Any] = []
        waiting.wait(self, [*keyed.values()], model)

    # What the loop calls.

    def check_present(self, loop: Loop) -> None:
        if loop.fit is not None and loop.fit.initial_epoch == self._meta.initial_epoch:
            self._expected.check_callbacks(self._keyed, loop.callbacks)

    def before_train(self, loop: Loop) -> None:
        self._mode = self._choose(loop)
        if self._mode == "none":
            return
        model, loop.trains = loop.model, self._mode != "nothing"
        if self._mode == "go on":
            self._go_back_to_last_epoch(model)
        if self._mode in ("resume", "go on", "end"):
            self._expected.check_epoch(loop.fit)
            self._expected.check_callbacks(self._keyed, loop.callbacks)
        if self._mode != "nothing" or is_the_finished(self._meta, loop.fit):
            self._expected.check_model(model)
        if self._mode in ("resume", "go on"):
            self._expected.check_data(loop.described)
            self._expected.check_place(loop.fit, self._run.data)
        self._kept = Kept(self._keyed, model, self._skipped, self._snapshot.where)
        self._logs = self._guard.enter_context(appending(loop.callbacks))
        loop.course = Course(self._meta)
        if self._mode != "nothing":
            self._each_outside(wind_back)

    def after_train_begin(self, loop: Loop) -> None:
        if self._mode == "none":
            return
        self._guard.close()
        self._put_back(loop.model)
        # Keras prefers this to the argument of fit; BackupAndRestore sets it and never takes it back.
        set_first_epoch(loop.model, None)
        if self._mode in ("nothing", "end"):
            assert loop.fit is not None
            set_first_epoch(loop.model, loop.fit.epochs)
        if self._mode == "end":
            loop.epoch, loop.ends = self._meta.epoch, True
        if self._mode != "nothing":
            self._check_skipped()
        put_back_history(loop.model, vars(self._meta.history))
        self._wind(loop)
        put_back_generators(self._run.generators, but=self._drawn_from)
        loop.enters = self._mode == "resume" and self._meta.batch is not None
        if loop.fit is not None and self._run.data is None:
            loop.enters = False
        if self._mode != "nothing" and not loop.enters:
            self._each_outside(pick_up)
            self._finish()
        if not loop.enters:
            self._tell(loop)

    def after_epoch_begin(self, loop: Loop) -> None:
        """Inside an epoch: its beginning has been heard before, by callbacks and generators."""
        if not loop.enters or self._done:
            return
        self._put_back(loop.model)
        loop.model.stop_training = self._meta.stops
        loop.began -= self._run.seconds
        if loop.reading is None:
            self._arrive(loop)
        else:
            hand_over_logs(loop.model, self._run.logs)
        self._each_outside(pick_up)

    def after_train_end(self, loop: Loop) -> None:
        for log in self._logs:
            log.append_header = True
        self._logs = []
        if self._mode == "nothing" and self._kept is not None:
            self._kept.put_back()
            if is_the_finished(self._meta, loop.fit):
                self._finish()  # a later fit is another run
        if self._mode in ("nothing", "end"):
            set_first_epoch(loop.model, None)
        self._mode, self._kept = "none", None

    # Into the middle of an epoch.

    def _wind(self, loop: Loop) -> None:
        """Bring the data to where they were."""
        reading, saved = loop.reading, self._run.data
        if reading is None or saved is None:
            return
        assert loop.fit is not None
        if self._mode == "nothing":
            reading.pass_by(saved)
        elif self._mode != "end" and self._meta.batch is None:
            reading.wind(saved, verbose=loop.fit.shows)
        elif self._mode != "end":
            reading.enter(saved, lambda: self._arrive(loop), verbose=loop.fit.shows, stops=self._meta.stops)

    def _arrive(self, loop: Loop) -> None:
        """The next batch would be the one after the checkpoint."""
        model = loop.model
        metrics = self._run.metrics
        if loop.reading is not None:
            build_metrics(model, loop.reading.training.dataset, len(metrics))
        put_back_metrics(model, metrics, partly=loop.reading is None)
        put_back_generators(self._run.generators, but=self._drawn_from)
        loop.logs = self._run.logs
        epoch, batch = self._meta.epoch, self._meta.batch
        assert batch is not None
        loop.course.start(epoch, batch + 1)
        show_progress(loop.callbacks, batch, self._run.logs, self._run.seconds)
        for listener in loop.listeners:
            listener.after_arrival(loop, epoch, batch)
        self._finish()
        self._tell(loop)

    # The rest.

    @property
    def _drawn_from(self) -> list[str]:
        """The global generators that input threads go on with, reading ahead of the training."""
        return self._run.data.drawn_from if self._run.data is not None and self._meta.batch is not None else []

    def _put_back(self, model: Any) -> None:
        assert self._kept is not None
        self._kept.put_back()
        put_back_seeds(model, vars(self._run.seeds))

    def _each_outside(self, act: Callable[[Any, Any], None]) -> None:
        """Let what the callbacks have done outside this process follow."""
        for entry in self._meta.callbacks:
            if entry.key in self._keyed:
                act(self._keyed[entry.key], entry.outside)

    def _choose(self, loop: Loop) -> str:
        if self._done or self._is_of_another_model(loop.model):
            return "none"
        return choose(self._meta, loop.fit, begins=first_epoch(loop.model))

    def _is_of_another_model(self, model: Any) -> bool:
        if self._model is None or model is self._model:
            return False
        shapes = [[(v.shape, v.dtype) for v in m.weights] for m in (model, self._model)]
        if shapes[0] == shapes[1]:
            self._expected.complain(
                "fit trains another model than the one that was given to restore_callbacks(..., "
                "model=model), which was perhaps built anew since. Restore after the model is built."
            )
        return True

    def _go_back_to_last_epoch(self, model: Any) -> None:
        """A finished run goes on from its last epoch, not from what its end made of the weights."""
        name = self._meta.goes_on_from
        if name is None:
            if not self._meta.exact_end:
                warnings.warn(
                    f"{self._path}: the end of the run replaced the weights of its last epoch, which were "
                    f"not saved: going on from the replaced ones.",
                    stacklevel=2,
                )
            return
        path = os.path.join(os.path.dirname(self._path), name)
        snapshot = Snapshot.open(path, self._trust.keys)
        prepared = prepare_from(snapshot, self._keyed, model=model, trust=self._trust)
        saved = snapshot.meta.model
        load(model, path, saved.digest, optimizes=saved.optimizes)
        prepared.put_back()
        self._snapshot, self._meta, self._run, self._path = snapshot, snapshot.meta, snapshot.run, path
        self._expected = Expected(self._meta, path, strict=self._strict)

    def _check_skipped(self) -> None:
        for callback in self._keyed.values():
            for owner, name in self._skipped:
                if owner == id(callback) and getattr(callback, name, None) is None:
                    raise ResumeError(
                        f"{self._path}: {type(callback).__name__}.{name} was code or a part of the model, "
                        f"and neither the constructor nor on_train_begin made it again. "
                        f"Make it there, or pass trusted=True."
                    )

    def _tell(self, loop: Loop) -> None:
        """Say what was put back and where the run goes on, if a checkpoint is to speak."""
        if not any(listener.speaks for listener in loop.listeners):
            return
        live, known = names(saved_among(loop.callbacks)), {id(callback) for callback in self._keyed.values()}
        missing = [entry.key for entry in self._meta.callbacks if entry.key not in self._keyed]
        new = [key for key, callback in live.items() if id(callback) not in known and state_of(callback)]
        goes_on = in_words(self._mode, self._meta, loop.epochs)
        line = messages.resumed(self._path, [*self._keyed], missing, new, goes_on)
        messages.say(line, over_bar=messages.bar_is_open(self._meta.batch if loop.enters else None, loop.fit))

    def _finish(self) -> None:
        self._done = True
        waiting.forget(self, [*self._keyed.values()], self._model)
