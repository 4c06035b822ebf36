"""Listeners that wait for a ``fit``: each joins the one in which its callbacks or its model take part."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from .listener import Listener
from .running import Running

#: The listener that waits for the ``fit`` of a model.
_of_models: weakref.WeakKeyDictionary[Any, Listener] = weakref.WeakKeyDictionary()


class _SetModel:
    """Stands in for ``set_model`` of one callback: then the listener joins the ``fit`` that calls it."""

    def __init__(self, callback: Any, listener: Listener) -> None:
        self.callback, self.listener = callback, listener

    def __call__(self, model: Any) -> None:
        type(self.callback).set_model(self.callback, model)
        self.listener.join(self.callback, model)

    def __deepcopy__(self, memo: Any) -> _SetModel:
        return _SetModel(copy.deepcopy(self.callback, memo), self.listener)


def wait(listener: Listener, callbacks: list[Any], model: Any) -> None:
    """Let a listener join the next ``fit`` of these callbacks, with or without a checkpoint among them.

    If a model is given, its next ``fit`` must have these callbacks; see :func:`check_nobody_waits`.
    """
    for callback in callbacks:
        vars(callback)["set_model"] = _SetModel(callback, listener)
    if model is not None:
        _of_models[model] = listener


def forget(listener: Listener, callbacks: list[Any], model: Any) -> None:
    """The listener waits no longer."""
    if model is not None and _of_models.get(model) is listener:
        del _of_models[model]
    for callback in callbacks:
        vars(callback).pop("set_model", None)


def waiting_for(callbacks: list[Any]) -> list[Listener]:
    """The listeners that wait for a ``fit`` of these callbacks."""
    hooks = (vars(callback).get("set_model") for callback in callbacks)
    return [hook.listener for hook in hooks if isinstance(hook, _SetModel)]


def check_nobody_waits(running: Running) -> None:
    """Refuse a ``fit`` that continues a restored model without the callbacks that were restored with it.

    A ``fit`` that starts at another epoch is another run, from the weights of this one.
    """
    waiting, fit = _of_models.get(running.model), running.fit
    if waiting is not None and fit is not None and fit.initial_epoch < fit.epochs:
        waiting.check_present(running)
