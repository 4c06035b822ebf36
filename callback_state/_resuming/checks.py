"""Is this the ``fit`` that the checkpoint is for? If not, the resumed run would silently be another one."""

from __future__ import annotations

from typing import Any

from .._callbacks.capture import state_of
from .._checkpoints.schema import DataState, Meta
from .._keras.fit import Fit
from .._keras.weights import digest_of, have_same_shapes, iterations_of, mismatches
from .._loop import messages
from .._units import moment
from .._warn import warn
from ..exceptions import CallbackStateError, ResumeError
from .allowed import Allowed


class Expected:
    """What a checkpoint expects of the ``fit`` that resumes it.

    Each check compares one thing. Its message says what to write instead. ``path`` is the model file, for
    messages. A difference that is ``allowed`` is only a warning.
    """

    def __init__(
        self, meta: Meta, path: str, allowed: Allowed, *, error: type[CallbackStateError] = ResumeError
    ) -> None:
        self._meta, self._path, self._allowed, self._error = meta, path, allowed, error
        self._told: set[str] = set()

    def check_epoch(self, fit: Fit | None) -> None:
        """``fit`` must start with the epoch that follows the checkpoint."""
        expected = self._meta.initial_epoch
        if fit is not None and fit.initial_epoch != expected:
            is_later_fit = 0 < fit.initial_epoch < expected  # of a script of several: each has its own epochs
            begin = (
                f"max({fit.initial_epoch}, restored.initial_epoch)" if is_later_fit else "restored.initial_epoch"
            )
            self.complain(
                f"fit starts with {moment(fit.initial_epoch)} (initial_epoch={fit.initial_epoch}), but the "
                f"checkpoint goes on with {moment(expected)} (initial_epoch={expected}). "
                f"Write model.fit(..., initial_epoch={begin}).",
                "epoch",
            )

    def check_loop(self, *, is_extended_first: bool) -> None:
        """In a loop of fits it must be known which of them is resumed.

        ``is_extended_first`` tells whether the first fit of this process adds epochs to the finished one.
        """
        if self._meta.repeats:
            self.complain(
                f"the fit that saved this began with an epoch that an earlier fit of the same process had "
                f"trained, so it is unknown how often a restart is to train it. {messages.LOOP}",
                "loop",
            )
        elif self._meta.follows and is_extended_first:
            self.complain(
                f"the fit that saved this had finished, and was not the first of its process. Each fit begins "
                f"anew with what callbacks reset in on_train_begin; this one would go on with what they held at "
                f"its end. {messages.LOOP}",
                "loop",
            )

    def check_callbacks(self, keyed: dict[str, Any], callbacks: list[Any]) -> None:
        """The restored callbacks that have state must be among those of the ``fit``."""
        own = {e.key for e in self._meta.callbacks if e.is_ours}
        here = {id(callback) for callback in callbacks}
        gone = [k for k, c in keyed.items() if k not in own and id(c) not in here and state_of(c)]
        if gone:
            self.complain(
                f"{', '.join(gone)}: restored from the checkpoint, but not among the callbacks of this fit. "
                f"Pass the same objects that were restored: callbacks=[*restored].",
                "callbacks",
            )

    def check_model(self, model: Any, rate: Any = None) -> None:
        """Variables, optimizer and their values must be those of the checkpoint.

        ``rate`` is the learning rate that was restored: the script may have set another one since.
        """
        saved = self._meta.model
        self.check_variables(model)
        if iterations_of(model) != saved.iterations:
            self.complain(
                f"the optimizer has made {iterations_of(model)} steps, but {saved.iterations} in the checkpoint. "
                f"Compile the model first, then call restore_callbacks(..., model=model): it loads weights and "
                f"optimizer.",
                "optimizer",
                "weights",
            )
        elif digest_of(model) != saved.digest and (rate is None or digest_of(model, rate=rate) != saved.digest):
            self.complain(
                "the weights or the optimizer are not those of the checkpoint. Build and compile the model "
                "first, then call restore_callbacks(..., model=model).",
                "weights",
            )

    def check_variables(self, model: Any, *, loads: bool = False) -> None:
        """The variables must have the names and shapes of the checkpoint's.

        ``loads``: the checkpoint is about to be loaded into them, which other shapes do not allow.
        """
        saved = self._meta.model.variables
        different = mismatches(model, saved)
        if different:
            self.complain(
                f"this is not the model that was saved: {'; '.join(different)}. Build and compile it as before.",
                "model",
                may_go_on=not loads or have_same_shapes(model, saved),
            )

    def check_data(self, found: dict[str, Any]) -> None:
        """Data, batch size and steps must be the same, or a number of batches means something else."""
        saved = self._meta.data
        names = [name for name, value in found.items() if name in saved and saved[name] != value]
        if names:
            different = [f"{name}: expected {saved[name]}, found {found[name]}" for name in names]
            length, first = found.get("batches of an epoch"), self._meta.first_batch
            self.complain(
                f"the data of this fit differ from those of the saved run: {'; '.join(different)}. Pass the same "
                f"data and arguments (batch_size=, steps_per_epoch=, shuffle=, ...), and compile with the same "
                f"steps_per_execution=.",
                *sorted(_words_of(names)),
                may_go_on=not isinstance(length, int) or length >= first,
            )

    def check_place(self, fit: Fit | None, data: DataState | None) -> None:
        """It must be known how far the data were read; only ``fit`` saves that, a loop of one's own does not."""
        batch = self._meta.batch
        if fit is not None and batch is not None and data is None:
            self.complain(
                f"saved after batch {batch + 1} of an epoch by a training loop of your own. fit cannot continue "
                f"inside that epoch, and would begin it again. Continue with your own loop.",
                "own loop",
            )

    def complain(self, message: str, word: str, *more: str, may_go_on: bool = True) -> None:
        """Raise the error; or, if its words allow it and something ``may_go_on``, warn once."""
        message, words = f"{self._path}: {message}", {word, *more}
        if not may_go_on:
            raise self._error(message)
        if not self._allowed.covers(words):
            raise self._error(f"{message} (To continue anyway: {self._allowed.line(words)}.)")
        if message not in self._told:
            self._told.add(message)
            warn(message)


def _words_of(names: list[str]) -> set[str]:
    """The words that allow the data to differ in this; what follows from another difference needs none."""
    own, follow = {"batch size", "steps_per_epoch", "steps_per_execution"}, set[str]()
    if "kind" in names or "batch size" in names:
        follow = {"batches of an epoch", "samples in the last batch"}
    if "kind" in names:
        follow.add("batch size")
    return {name if name in own else "data" for name in names if name not in follow}
