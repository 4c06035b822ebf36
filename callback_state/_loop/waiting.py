"""Who waits for a ``fit``: what was restored hears of the one that its callbacks or its model take part in."""

from __future__ import annotations

import weakref
from typing import Any

from .listener import Listener
from .loop import Loop, join

__all__ = ["check_nobody_waits", "forget", "wait"]

#: The listener that waits for the ``fit`` of a model.
_waiting: weakref.WeakKeyDictionary[Any, Listener] = weakref.WeakKeyDictionary()


def wait(listener: Listener, callbacks: list[Any], model: Any) -> None:
    """Let a listener join the next ``fit`` of these callbacks, whether or not a checkpoint takes part in it too.

    Args:
        listener: who waits.
        callbacks: in whose ``fit`` it joins.
        model: whose ``fit`` it is asked about by :func:`check_nobody_waits`, or None.
    """
    for callback in callbacks:
        _hook(callback, listener)
    if model is not None:
        _waiting[model] = listener


def forget(listener: Listener, callbacks: list[Any], model: Any) -> None:
    """It waits no longer."""
    if model is not None and _waiting.get(model) is listener:
        del _waiting[model]
    for callback in callbacks:
        vars(callback).pop("set_model", None)


def check_nobody_waits(loop: Loop) -> None:
    """Refuse a ``fit`` that goes on where a restored model was, without the callbacks that were.

    One that starts at another epoch is another run, from the weights of this one.
    """
    waiting, fit = _waiting.get(loop.model), loop.fit
    if waiting is not None and fit is not None and fit.initial_epoch < fit.epochs:
        waiting.check_present(loop)


def _hook(callback: Any, listener: Listener) -> None:
    set_model = type(callback).set_model

    def joining(model: Any) -> None:
        set_model(callback, model)
        join(callback, listener, model, first=True)

    joining.listener = listener  # type: ignore[attr-defined]
    vars(callback)["set_model"] = joining
