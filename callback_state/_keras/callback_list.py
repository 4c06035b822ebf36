"""Keras's CallbackList: finding the one that calls a callback, and hearing its events around all callbacks.

``fit`` gives its list to nobody, so a callback finds it in the frames above its own ``set_model``. The methods of
that one list are then replaced by ours, which call Keras's. This is how an event is heard *before* any callback
and *after* every callback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .fit import frames_above

#: The attribute of a CallbackList that holds its HookedList.
_HOOKED = "_callback_state_hooked"
_BATCH_EVENTS = ("on_train_batch_begin", "on_train_batch_end")


class HookedList:
    """One CallbackList, and the methods of it that are replaced; ``owner`` is what hears the events."""

    def __init__(self, callback_list: Any) -> None:
        self._list = callback_list
        self._all: list[Any] | None = None  # with those that are left out
        self.owner: Any = None
        setattr(callback_list, _HOOKED, self)

    @classmethod
    def calling(cls, callback: Any) -> HookedList | None:
        """The list that is calling a method of ``callback`` now; None if none that holds the callback calls.

        A CallbackList has the same HookedList until :meth:`release`.
        """
        import keras

        for frame in frames_above():
            caller: Any = frame.f_locals.get("self")
            if isinstance(caller, keras.callbacks.CallbackList) and any(c is callback for c in caller.callbacks):
                return vars(caller).get(_HOOKED) or cls(caller)
        return None

    @property
    def callbacks(self) -> list[Any]:
        """All callbacks of the list, in their order."""
        return list(self._list.callbacks if self._all is None else self._all)

    def leave_out(self, which: Callable[[Any], bool]) -> None:
        """Let some of the callbacks hear nothing until :meth:`release`."""
        self._all = list(self._list.callbacks)
        self._list.callbacks = [callback for callback in self._all if not which(callback)]

    @property
    def epochs(self) -> int | None:
        """How many epochs the list was told of; a hand-written loop may tell none."""
        epochs = (getattr(self._list, "params", None) or {}).get("epochs")
        return epochs if isinstance(epochs, int) else None

    def hook(self, event: str, ours: Callable[..., None], fail: Callable[[BaseException], None]) -> None:
        """Let ``ours`` be called in place of a method of the list, which it gets as its first argument.

        ``fail`` is called with an exception that leaves ``ours``. Nothing happens if the method is hooked already.
        """
        if event in vars(self._list):
            return
        heard = getattr(self._list, event)

        def hear(*args: Any, **kwargs: Any) -> None:
            try:
                ours(heard, *args, **kwargs)
            except BaseException as error:
                fail(error)
                raise

        setattr(self._list, event, hear)

    def unhook(self, *events: str) -> None:
        """Let Keras's own methods be called again."""
        for event in events:
            vars(self._list).pop(event, None)

    def release(self, *events: str) -> None:
        """Unhook the events, and forget the list: its next ``fit`` has another HookedList."""
        self.unhook(*events, _HOOKED)
        if self._all is not None:
            self._list.callbacks, self._all = self._all, None

    def skip_step(self, model: Any) -> None:
        """Let the step of JAX that comes next train on nothing, and no callback hear of it."""
        train, heard = model.train_function, {n: vars(self._list).get(n) for n in _BATCH_EVENTS}

        def begin(*args: Any, **kwargs: Any) -> None:
            model.train_function = lambda state, iterator: ({}, state)

        def end(*args: Any, **kwargs: Any) -> None:
            model.train_function = train
            self.unhook(*_BATCH_EVENTS)
            vars(self._list).update({name: method for name, method in heard.items() if method is not None})

        vars(self._list).update(zip(_BATCH_EVENTS, (begin, end), strict=True))

    def end_training(self, logs: dict[str, Any]) -> None:
        """Call ``on_train_end``, as ``fit`` does at its end."""
        self._list.on_train_end(logs)
