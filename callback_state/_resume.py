"""A restored state on its way into the ``fit`` that goes on: checks before, protection during, then done.

What was restored waits in a :class:`Resume` that its callbacks share. The ``fit`` that they appear in
next is checked against the checkpoint; then every callback hears ``on_train_begin``, which resets half
of them, and everything is put back as it was before.
"""

from __future__ import annotations

import os
import warnings
import weakref
from contextlib import ExitStack
from typing import Any

from ._adapters import appending
from ._capture import state_of
from ._prepared import Prepared, prepare
from ._loop import Fit, Loop, join
from ._modelfile import load
from ._runstate import (
    digest_of, iterations_of, put_back_generators, put_back_history, put_back_seeds,
    put_back_variables, take_variables,
)
from ._snapshot import Snapshot, keep
from .exceptions import ResumeError

__all__ = ["Resume", "check_nobody_waits"]


#: The resume that waits for the ``fit`` of a model.
_waiting: weakref.WeakKeyDictionary[Any, Resume] = weakref.WeakKeyDictionary()


def check_nobody_waits(loop: Loop) -> None:
    """Refuse a ``fit`` that goes on where a restored model was, without the callbacks that were.

    One that starts at another epoch is another run, from the weights of this one.
    """
    waiting, fit = _waiting.get(loop.model), loop.fit
    if waiting is None or fit is None or fit.initial_epoch >= fit.epochs:
        return
    if fit.initial_epoch == waiting._meta["initial_epoch"]:
        waiting._check_callbacks(loop.callbacks)


class Resume:
    """One restored checkpoint that waits for its ``fit``.

    Args:
        snapshot: the checkpoint's contents.
        model_path: its model file.
        keyed: the callbacks that its state was put into, by their keys in the checkpoint.
        model: the model that it was loaded into, or None if the caller did that himself.
        skipped: (callback, attribute) of what only ``on_train_begin`` can make.
        trusted: whether code may be read from the checkpoint.
        strict: whether a ``fit`` that goes on from something else is an error, or only a warning.
    """

    def __init__(
        self, snapshot: Snapshot, model_path: str, keyed: dict[str, Any], *, model: Any,
        skipped: list[tuple[Any, str]], trusted: bool, strict: bool,
    ) -> None:
        self._snapshot, self._meta, self._path = snapshot, snapshot.meta, model_path
        self._keyed, self._model, self._trusted, self._strict = keyed, model, trusted, strict
        self._skipped = {(id(callback), name) for callback, name in skipped}
        self._done = False
        self._mode = "none"
        self._kept: Kept | None = None
        self._guard = ExitStack()
        self._logs: list[Any] = []
        for callback in keyed.values():
            _hook(callback, self)
        if model is not None:
            _waiting[model] = self

    # What the loop calls.

    def decide(self, loop: Loop) -> None:
        """Nothing: a resume saves nothing."""

    def before_train(self, loop: Loop) -> None:
        self._mode = self._choose(loop)
        if self._mode == "none":
            return
        model, loop.trains = loop.model, self._mode != "nothing"
        if self._mode == "go on":
            self._go_back_to_last_epoch(model)
        if self._mode in ("resume", "go on", "end"):
            self._check_epoch(loop.fit)
            self._check_callbacks(loop.callbacks)
        if self._mode != "nothing" or self._is_the_finished(loop.fit):
            self._check_model(model)
        self._kept = Kept(self._keyed, model, self._skipped, self._snapshot.where)
        self._logs = self._guard.enter_context(appending(loop.callbacks))

    def after_train_begin(self, loop: Loop) -> None:
        if self._mode == "none":
            return
        self._guard.close()
        assert self._kept is not None
        self._kept.put_back()
        # Keras prefers this to the argument of fit; BackupAndRestore sets it and never takes it back.
        loop.model._initial_epoch = None
        if self._mode in ("nothing", "end"):
            assert loop.fit is not None
            loop.model._initial_epoch = loop.fit.epochs
        if self._mode == "end":
            loop.epoch, loop.ends = self._meta["epoch"], True
        if self._mode != "nothing":
            self._check_skipped()
        put_back_seeds(loop.model, self._snapshot.run["seeds"])
        put_back_history(loop.model, self._meta["history"])
        put_back_generators(self._snapshot.run["generators"])
        if self._mode != "nothing":
            self._warn(loop.fit)
            self._finish()

    def after_event(self, loop: Loop) -> None:
        """Nothing: what was restored has been put back before the first epoch."""

    def after_train_end(self, loop: Loop) -> None:
        for log in self._logs:
            log.append_header = True
        self._logs = []
        if self._mode == "nothing" and self._kept is not None:
            self._kept.put_back()
            if self._is_the_finished(loop.fit):
                self._finish()  # a later fit is another run
        if self._mode in ("nothing", "end"):
            loop.model._initial_epoch = None
        self._mode, self._kept = "none", None

    # The rest.

    def _choose(self, loop: Loop) -> str:
        """What this ``fit`` is to the run that was restored.

        "resume": it goes on. "go on": beyond the epochs of a run that had finished. "end": the last epoch
        was saved, and the kill came before the end of the run was. "nothing" is left to train.
        "none": it is another run.
        """
        if self._done or self._is_of_another_model(loop.model):
            return "none"
        fit, target = loop.fit, self._meta["epochs"]
        if fit is None:
            return "resume"
        if self._meta["finished"]:
            return "go on" if target is None or fit.epochs > target else "nothing"
        has_epochs = fit.epochs > (loop.model._initial_epoch or fit.initial_epoch)
        if self._meta["last"] and target is not None and fit.epochs <= target:
            return "end" if has_epochs or fit.epochs == target else "nothing"
        return "resume" if has_epochs else "nothing"

    def _is_of_another_model(self, model: Any) -> bool:
        if self._model is None or model is self._model:
            return False
        shapes = [[(v.shape, v.dtype) for v in m.weights] for m in (model, self._model)]
        if shapes[0] == shapes[1]:
            self._complain(
                "fit trains another model than the one that was given to restore_callbacks(..., "
                "model=model), which was perhaps built anew since. Restore after the model is built."
            )
        return True

    def _is_the_finished(self, fit: Fit | None) -> bool:
        """Whether this ``fit`` is the one that had finished when the checkpoint was written."""
        return bool(self._meta["finished"]) and fit is not None and fit.epochs == self._meta["epochs"]

    def _check_callbacks(self, callbacks: list[Any]) -> None:
        own = {e["key"] for e in self._meta["callbacks"] if e["class"].startswith("callback_state.")}
        here = {id(callback) for callback in callbacks}
        gone = [k for k, c in self._keyed.items() if k not in own and id(c) not in here and state_of(c)]
        if gone:
            self._complain(
                f"{', '.join(gone)} got the state of the checkpoint, and is not among the callbacks of this "
                f"fit. Pass the very objects that were restored: callbacks=[*restored]."
            )

    def _check_epoch(self, fit: Fit | None) -> None:
        expected = self._meta["initial_epoch"]
        if fit is not None and fit.initial_epoch != expected:
            self._complain(
                f"fit starts at epoch {fit.initial_epoch} (0-based), the checkpoint goes on at {expected}. "
                f"Write model.fit(..., initial_epoch=restored.initial_epoch)."
            )

    def _check_model(self, model: Any) -> None:
        """Refuse, before anything is trained, to go on from other weights than the checkpoint's."""
        saved = self._meta["model"]
        if iterations_of(model) != saved["iterations"]:
            self._complain(
                f"the optimizer has taken {iterations_of(model)} steps, the checkpoint's had taken "
                f"{saved['iterations']}. Compile first, then restore_callbacks(..., model=model), which "
                f"loads weights and optimizer."
            )
        elif digest_of(model) != saved["digest"]:
            self._complain(
                "weights or optimizer are not those of the checkpoint. Write "
                "restore_callbacks(..., model=model), after the model was built and compiled."
            )

    def _complain(self, message: str) -> None:
        message = f"{self._path}: {message} (restore_callbacks(..., strict=False) goes on all the same.)"
        if self._strict:
            raise ResumeError(message)
        warnings.warn(message, stacklevel=2)

    def _go_back_to_last_epoch(self, model: Any) -> None:
        """A finished run goes on from its last epoch, not from what its end made of the weights."""
        name = self._meta["goes_on_from"]
        if name is None:
            if not self._meta["exact_end"]:
                warnings.warn(
                    f"{self._path}: the end of the run replaced the weights of its last epoch, which were "
                    f"not saved: going on from the replaced ones.",
                    stacklevel=2,
                )
            return
        path = os.path.join(os.path.dirname(self._path), name)
        snapshot = Snapshot.open(path)
        prepared = snapshot.prepare(self._keyed, model=model, trusted=self._trusted)
        load(model, path, snapshot.meta["model"]["digest"])
        prepared.put_back()
        self._snapshot, self._meta, self._path = snapshot, snapshot.meta, path

    def _warn(self, fit: Fit | None) -> None:
        """Say what cannot be exact."""
        if self._meta["batch"] is not None:
            warnings.warn(
                f"{self._path}: was saved inside epoch {self._meta['epoch']} (0-based), after batch "
                f"{self._meta['batch']}. Going on inside an epoch is not supported yet: the epoch begins "
                f"again, with the weights of that batch. Save with save_freq='epoch' to resume exactly.",
                stacklevel=2,
            )
        elif fit is not None and not fit.order_is_known:
            warnings.warn(
                "resuming on data whose order cannot be proved to be that of the run that was interrupted: "
                "exact are arrays and tensors, unshuffled or after keras.utils.set_random_seed(...).",
                stacklevel=2,
            )

    def _check_skipped(self) -> None:
        for callback in self._keyed.values():
            for owner, name in self._skipped:
                if owner == id(callback) and getattr(callback, name, None) is None:
                    raise ResumeError(
                        f"{self._path}: {type(callback).__name__}.{name} was code or a part of the model, "
                        f"and neither the constructor nor on_train_begin made it again. "
                        f"Make it there, or pass trusted=True."
                    )

    def _finish(self) -> None:
        self._done = True
        if self._model is not None and _waiting.get(self._model) is self:
            del _waiting[self._model]
        for callback in self._keyed.values():
            vars(callback).pop("set_model", None)


class Kept:
    """The state of callbacks and model before ``on_train_begin``, to be put back after it."""

    def __init__(
        self, keyed: dict[str, Any], model: Any, skipped: set[tuple[int, str]], where: str
    ) -> None:
        self._keyed, self._model, self._where, self._skipped = keyed, model, where, skipped
        # Putting it back once resolves what stood for variables of a model that was not there.
        self._table, self._objects = keep(keyed, model)
        self._prepare().put_back()
        self._variables = take_variables(model)

    def put_back(self) -> None:
        put_back_variables(self._variables)
        self._prepare().put_back()

    def _prepare(self) -> Prepared:
        prepared = prepare(
            self._table, self._keyed, None, where=self._where, model=self._model, pickles=None,
            kept=self._objects,
        )
        prepared.attributes = [
            a for a in prepared.attributes if (id(a[0]), a[1]) not in self._skipped
        ]
        return prepared


def _hook(callback: Any, resume: Resume) -> None:
    """Hear of the ``fit`` that the callback takes part in, whether or not a checkpoint does too."""
    set_model = type(callback).set_model

    def joining(model: Any) -> None:
        set_model(callback, model)
        join(callback, resume, model, first=True)

    joining.listener = resume  # type: ignore[attr-defined]
    vars(callback)["set_model"] = joining

