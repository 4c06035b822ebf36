"""What a ``fit`` must be to go on where a checkpoint was: else a silent difference begins here."""

from __future__ import annotations

import warnings
from typing import Any

from .._callbacks.capture import state_of
from .._checkpoints.schema import DataState, Meta
from .._keras.fit import Fit
from .._keras.weights import digest_of, iterations_of, mismatches
from ..exceptions import CallbackStateError, ResumeError

__all__ = ["Expected"]


class Expected:
    """What a checkpoint expects of the ``fit`` that goes on from it.

    Args:
        meta: of its state file.
        path: its model file, for errors.
        strict: whether a difference is an error, or only a warning.
        error: of which class.

    The message of each check says the argument that is missing.
    """

    def __init__(
        self, meta: Meta, path: str, *, strict: bool, error: type[CallbackStateError] = ResumeError
    ) -> None:
        self._meta, self._path, self._strict, self._error = meta, path, strict, error

    def check_epoch(self, fit: Fit | None) -> None:
        expected = self._meta.initial_epoch
        if fit is not None and fit.initial_epoch != expected:
            self.complain(
                f"fit starts at epoch {fit.initial_epoch} (0-based), the checkpoint goes on at {expected}. "
                f"Write model.fit(..., initial_epoch=restored.initial_epoch)."
            )

    def check_callbacks(self, keyed: dict[str, Any], callbacks: list[Any]) -> None:
        own = {e.key for e in self._meta.callbacks if e.class_.startswith("callback_state.")}
        here = {id(callback) for callback in callbacks}
        gone = [k for k, c in keyed.items() if k not in own and id(c) not in here and state_of(c)]
        if gone:
            self.complain(
                f"{', '.join(gone)} got the state of the checkpoint, and is not among the callbacks of this "
                f"fit. Pass the very objects that were restored: callbacks=[*restored]."
            )

    def check_model(self, model: Any) -> None:
        """Refuse, before anything is trained, to go on from other weights than the checkpoint's."""
        saved = self._meta.model
        self.check_variables(model)
        if iterations_of(model) != saved.iterations:
            self.complain(
                f"the optimizer has taken {iterations_of(model)} steps, the checkpoint's had taken "
                f"{saved.iterations}. Compile first, then restore_callbacks(..., model=model), which "
                f"loads weights and optimizer."
            )
        elif digest_of(model) != saved.digest:
            self.complain(
                "weights or optimizer are not those of the checkpoint. Write "
                "restore_callbacks(..., model=model), after the model was built and compiled."
            )

    def check_variables(self, model: Any) -> None:
        """Refuse a model whose variables are not named and shaped like the checkpoint's."""
        different = mismatches(model, self._meta.model.variables)
        if different:
            self.complain(
                f"the model is another one than was saved: {'; '.join(different)}. Build and compile it as it was."
            )

    def check_data(self, found: dict[str, Any]) -> None:
        """Refuse other data, another batch size, other steps: epochs and batches would mean something else."""
        saved = self._meta.data
        different = [
            f"{name}: expected {saved[name]}, found {value}"
            for name, value in found.items()
            if name in saved and saved[name] != value
        ]
        if different:
            self.complain(
                f"the data of this fit are not those of the run that is resumed: {'; '.join(different)}. "
                f"Pass the same data and arguments (batch_size=, steps_per_epoch=, shuffle=...), and compile with "
                f"the same steps_per_execution=."
            )

    def check_place(self, fit: Fit | None, data: DataState | None) -> None:
        """Refuse to enter an epoch where nobody knows how far its data had been read."""
        batch = self._meta.batch
        if fit is not None and batch is not None and data is None:
            self.complain(
                f"was saved after batch {batch} (0-based) by a training loop of your own, and fit cannot go on "
                f"inside that epoch: it would begin it again. Go on in that loop."
            )

    def complain(self, message: str) -> None:
        message = f"{self._path}: {message} (restore_callbacks(..., strict=False) goes on all the same.)"
        if self._strict:
            raise self._error(message)
        warnings.warn(message, stacklevel=2)
