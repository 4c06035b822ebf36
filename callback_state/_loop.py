"""The training loop of Keras, seen through the CallbackList that ``fit`` calls.

``fit`` hands its CallbackList to nobody, so a callback finds it in the frames above its own
``set_model``. The list's methods are then wrapped on that one instance, for that one ``fit``: *before*
anybody hears an event, and *after* everybody has, which is the only time when state is taken or put
back. Everything here that leans on how Keras is written is tested on every supported version and raises
where it no longer holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from ._watch import Watch
from .exceptions import ResumeError

__all__ = ["Fit", "Listener", "Loop", "join"]

_LOOP = "_callback_state_loop"


class Listener(Protocol):
    """What takes part in a loop: a checkpoint, or a resume."""

    def before_train(self, loop: Loop) -> None: ...
    def after_train_begin(self, loop: Loop) -> None: ...
    def decide(self, loop: Loop) -> None: ...
    def after_event(self, loop: Loop) -> None: ...
    def after_train_end(self, loop: Loop) -> None: ...


@dataclass
class Fit:
    """The arguments of the running ``fit``, as read in its frame.

    Attributes:
        initial_epoch, epochs: 0-based first epoch and number of the epoch to stop before.
        order_is_known: whether the data are arrays that a new process reads in the same order.
    """

    initial_epoch: int
    epochs: int
    order_is_known: bool

    @classmethod
    def find(cls, model: Any) -> Fit | None:
        """The ``fit`` of ``model`` that is calling; None in a hand-written loop.

        Raises:
            ResumeError: Keras's ``fit`` is not written as it was.
        """
        for frame in _frames_above(2):
            if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
                return cls._read(frame.f_locals)
        return None

    @classmethod
    def _read(cls, names: dict[str, Any]) -> Fit:
        try:
            adapter = names["epoch_iterator"].data_adapter
            known = type(adapter).__name__ == "ArrayDataAdapter" and (
                not names["shuffle"] or _global_seed() is not None
            )
            return cls(names["initial_epoch"], names["epochs"], known)
        except (KeyError, AttributeError) as error:
            import keras

            raise ResumeError(
                f"keras {keras.__version__}: Model.fit has no {error}. This release of callback_state does "
                f"not support this Keras; install a newer callback_state or an older Keras."
            ) from error


def _global_seed() -> int | None:
    from tensorflow.python.eager import context

    seed: int | None = context.global_seed()
    return seed


def _frames_above(depth: int) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        yield frame
        frame = frame.f_back


def join(callback: Any, listener: Listener, model: Any, *, first: bool = False) -> Loop | None:
    """Let ``listener`` hear the CallbackList that is calling a method of ``callback`` now.

    Args:
        callback: one of the callbacks of that list.
        listener: who is to hear it.
        model: the model being trained.
        first: whether to hear it before the listeners that are there.

    Returns:
        The loop, one for each CallbackList; None where no CallbackList that holds the callback calls.
    """
    import keras

    for frame in _frames_above(2):
        caller: Any = frame.f_locals.get("self")
        is_list = isinstance(caller, keras.callbacks.CallbackList)
        if is_list and any(c is callback for c in caller.callbacks):
            loop = vars(caller).get(_LOOP) or Loop(caller)
            loop.model = model
            loop.add(listener, first=first)
            return loop
    return None


class Loop:
    """One CallbackList, and who listens to it.

    Attributes:
        callbacks: all callbacks of the list, in their order.
        model: the model being trained.
        watch: who is not saved, and changes.
        fit: the arguments of ``fit``; None in a hand-written loop.
        epoch: the 0-based epoch that has ended last in this ``fit``; None before.
        ends: whether the last epoch was trained before a restart, and only the end of the run is left.
        trains: false if this ``fit`` was given nothing to do, as its run has ended already.
    """

    def __init__(self, callback_list: Any) -> None:
        self._list = callback_list
        self._listeners: list[Listener] = []
        self.model: Any = None
        self.fit: Fit | None = None
        self.epoch: int | None = None
        self.trains = True
        self.ends = False
        self.watch = Watch([])
        setattr(callback_list, _LOOP, self)
        self._wrap("on_train_begin", self._on_train_begin)
        self._wrap("on_epoch_end", self._on_epoch_end)
        self._wrap("on_train_end", self._on_train_end)

    @property
    def callbacks(self) -> list[Any]:
        return list(self._list.callbacks)

    @property
    def epochs(self) -> int | None:
        """How many epochs this run is to have, those before ``initial_epoch`` included."""
        if self.fit is not None:
            return self.fit.epochs
        epochs = (getattr(self._list, "params", None) or {}).get("epochs")
        return epochs if isinstance(epochs, int) else None

    def is_last(self, epoch: int) -> bool:
        """Whether ``fit`` ends after this 0-based epoch."""
        return bool(self.model.stop_training or self.epochs == epoch + 1)

    @property
    def listeners(self) -> list[Listener]:
        return list(self._listeners)

    def add(self, listener: Listener, *, first: bool = False) -> None:
        if not any(known is listener for known in self._listeners):
            self._listeners.insert(0 if first else len(self._listeners), listener)

    def watch_batches(self) -> None:
        """Hear the ends of batches too; a run that saves once an epoch does not pay for them."""
        if "on_train_batch_end" not in vars(self._list):
            self._wrap("on_train_batch_end", self._on_train_batch_end)

    def _wrap(self, event: str, wrapper: Callable[..., None]) -> None:
        heard = getattr(self._list, event)
        setattr(self._list, event, lambda *args, **kwargs: wrapper(heard, *args, **kwargs))

    def _unwrap(self) -> None:
        for event in ("on_train_begin", "on_epoch_end", "on_train_batch_end", "on_train_end"):
            vars(self._list).pop(event, None)
        vars(self._list).pop(_LOOP, None)

    def _on_train_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self.fit = Fit.find(self.model)
        self.epoch, self.trains, self.ends = None, True, False
        for callback in self._list.callbacks:
            # Of a CallbackList that was made before the restore, set_model is not called again.
            waiting = getattr(vars(callback).get("set_model"), "listener", None)
            if waiting is not None:
                self.add(waiting, first=True)
        for listener in self._listeners:
            listener.before_train(self)
        heard(*args, **kwargs)
        for listener in self._listeners:
            listener.after_train_begin(self)
        self.watch = Watch(self.callbacks)

    def _on_epoch_end(
        self, heard: Callable[..., None], epoch: int, *args: Any, **kwargs: Any
    ) -> None:
        heard(epoch, *args, **kwargs)
        self.epoch = epoch
        self._after_event()

    def _on_train_batch_end(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        heard(*args, **kwargs)
        self._after_event()

    def _after_event(self) -> None:
        # Two rounds: what one checkpoint decides is state of the others.
        for listener in self._listeners:
            listener.decide(self)
        for listener in self._listeners:
            listener.after_event(self)

    def _on_train_end(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            heard(*args, **kwargs)
            for listener in self._listeners:
                listener.after_train_end(self)
        finally:
            self._unwrap()
