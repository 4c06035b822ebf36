"""The state of callbacks and model while ``on_train_begin`` resets half of them."""

from __future__ import annotations

from typing import Any

from .._callbacks.prepare import Prepared, prepare
from .._callbacks.taken import keep
from .._keras.weights import put_back_variables, take_variables

__all__ = ["Kept"]


class Kept:
    """What callbacks and model are now, to be put back when everybody has heard an event."""

    def __init__(self, keyed: dict[str, Any], model: Any, skipped: set[tuple[int, str]], where: str) -> None:
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
            self._table, self._keyed, None, where=self._where, model=self._model, opener=None, kept=self._objects
        )
        prepared.attributes = [a for a in prepared.attributes if (id(a[0]), a[1]) not in self._skipped]
        return prepared
