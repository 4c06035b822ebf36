"""The one place where state goes into a model and its callbacks: from a checkpoint, or after a reset by Keras."""

from __future__ import annotations

from typing import Any

from .._callbacks.prepare import Prepared, prepare
from .._callbacks.taken import keep
from .._checkpoints.snapshot import Snapshot
from .._keras.extra import build_optimizers, put_back_extra
from .._keras.model_file import load
from .._keras.weights import put_back_variables, take_variables
from ..exceptions import RestoreError


def put_in(snapshot: Snapshot, path: str, prepared: Prepared, model: Any) -> None:
    """Put a checkpoint, whose model file is at ``path``, into callbacks and model.

    ``prepared`` is the state of the callbacks, decoded. ``model`` is None if only the callbacks are restored. If
    anything fails, both are as before.
    """
    if model is None:
        prepared.put_back()
        return

    saved = snapshot.meta.model
    # The model first: its file is what may not fit.
    extra = vars(snapshot.run.extra)
    load(model, path, saved.digest, optimizes=saved.optimizes, extra=extra, then=prepared.put_back)


def complete(snapshot: Snapshot, path: str, model: Any) -> None:
    """Put what the model file does not hold into a model that Keras has loaded from it.

    Raises:
        RestoreError: the model has no place for it.
    """
    extra = vars(snapshot.run.extra)
    try:
        build_optimizers(model, extra["trained"])
        put_back_extra(model, extra, path)
    except ValueError as error:
        raise RestoreError(
            f"{path}: {error}. Build and compile the model in your script, and call restore_callbacks(..., "
            f"model=model)."
        ) from error


class Kept:
    """What callbacks and model are now. ``on_train_begin`` resets half of it; then it is put back.

    ``skipped`` has (id of the callback, attribute) of what only ``on_train_begin`` can make.
    """

    def __init__(
        self, snapshot: Snapshot, path: str, keyed: dict[str, Any], model: Any, skipped: set[tuple[int, str]]
    ) -> None:
        self._path = path
        self._snapshot, self._keyed, self._model, self._skipped = snapshot, keyed, model, skipped
        self._in_place = {
            entry.key: {n for n in entry.in_place if (id(keyed[entry.key]), n) not in skipped}
            for entry in snapshot.meta.callbacks
            if entry.key in keyed
        }
        self._table, self._objects = keep(keyed, model)
        # This finds the variables that the state refers to, if the model was not there at the restore.
        self._prepare().put_back()
        self._variables = take_variables(model)

    def put_back(self) -> None:
        """Put back the variables, the state of the callbacks, and what no Keras file holds of the model."""
        put_back_variables(self._variables)
        self._prepare().put_back()
        put_back_extra(self._model, vars(self._snapshot.run.extra), self._path, warns=False)

    def _prepare(self) -> Prepared:
        where = self._snapshot.where
        prepared = prepare(
            self._table,
            self._keyed,
            None,
            where=where,
            model=self._model,
            opener=None,
            kept=self._objects,
            in_place=self._in_place,
        )
        prepared.attributes = [a for a in prepared.attributes if (id(a[0]), a[1]) not in self._skipped]
        return prepared
