"""Callbacks that change while training runs and are not saved: named in a warning, and in the next checkpoint."""

from __future__ import annotations

import warnings
from typing import Any

from .._callbacks.capture import BASE, is_registered
from .._callbacks.stock import adapter_of
from .._checkpoints.doubt import BEGINS_ANEW, Doubt
from .._format.classes import attributes
from .._format.encode import Encoder
from .._format.table import SCALARS, PlainError
from .._keras.backend import is_variable, value_of
from .._keras.classes import has_variables, is_keras


class Unsaved:
    """The callbacks of a ``fit`` as they were when training began, and a doubt for each that has changed so far.

    All attributes of a callback that is not registered are watched. Of a stock callback the arguments of its
    constructor are watched: they count as configuration, and are not saved even if they change.
    """

    def __init__(self, callbacks: list[Any]) -> None:
        self._callbacks = callbacks
        self._before = {id(c): _watched(c) for c in callbacks}
        self._untold: list[Doubt] = []
        self.found: list[Doubt] = []

    def look(self) -> None:
        """Find the callbacks that have changed since training began."""
        for callback in self._callbacks:
            before = self._before.get(id(callback))
            if before is None:
                continue
            now = _watched(callback)
            changed = sorted(name for name in now if now[name] != before.get(name))
            if changed:
                del self._before[id(callback)]
                self.found.append(_doubt(callback, changed))
                self._untold.append(self.found[-1])

    def warn(self) -> None:
        """Warn of each callback that was found, once."""
        while self._untold:
            warnings.warn(str(self._untold.pop(0)), stacklevel=2)


def _watched(callback: Any) -> dict[str, str]:
    values = attributes(callback)
    if is_registered(callback):
        adapter, _ = adapter_of(type(callback))
        arguments = () if adapter is None else adapter.arguments
        # Keras turns the sign of min_delta when it decides whether smaller or larger is better.
        names = [name for name in arguments if name in values and name != "min_delta"]
    else:
        names = [name for name in values if not name.startswith("_callback_state_") and name not in BASE]
    return {name: _print_of(values[name]) for name in names}


def _doubt(callback: Any, changed: list[str]) -> Doubt:
    name, listed = type(callback).__name__, ", ".join(changed)
    if is_registered(callback):
        return Doubt(
            f"{name}.{listed} changed while training ran, and configuration of a stock callback is not saved: a "
            f"resumed run will have what the constructor is given",
            "derive a class that keeps it in an attribute of another name, or set it in on_train_begin",
            BEGINS_ANEW,
        )
    return Doubt(
        f"{name} is not saved with the checkpoint, and its {listed} changed while training ran: a resumed run "
        f"will not have it",
        f"write @stateful above class {name}, or pass stateful({name}(...)); if it need not be saved, "
        f"@stateful(exclude=({changed[0]!r},))",
        BEGINS_ANEW,
    )


def _opaque(encoder: Encoder, value: Any, path: str) -> tuple[Any, ...]:
    """A variable as its value, another object as those of its attributes that are plain."""
    if is_variable(value):
        return ("variable", encoder.ref(value_of(value), path))
    if is_keras(value, "callbacks.Callback") or has_variables(value):
        return ("other", id(value))  # the model, or a callback that is watched itself
    plain = {n: v for n, v in attributes(value).items() if type(v) in SCALARS or is_variable(v)}
    return ("other", id(value), encoder.pairs(sorted(plain.items()), path, "."))


def _print_of(value: Any) -> str:
    """A text that changes when the value does. A value that is not plain is compared by identity."""
    try:
        return repr(Encoder(_opaque, canonical=True).table(value))
    except PlainError:
        return f"id {id(value)}"
