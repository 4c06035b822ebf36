"""The training loop of Keras, seen through the CallbackList that ``fit`` calls.

Each event is heard *before* any callback and *after* every callback, which is the only time when state is taken
or put back. How the list is found and its methods are replaced stands in :mod:`.._keras.callback_list`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

from .._input.reading import Reading
from .._keras.callback_list import HookedList
from .._keras.epoch import logs_of
from .._keras.fit import Fit, running_frame
from .listener import Listener
from .signals import StopSignals
from .trace import Course
from .unsaved import Watch

__all__ = ["Loop", "join"]


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
    hooked = HookedList.calling(callback)
    if hooked is None:
        return None
    loop: Loop = hooked.owner or Loop(hooked)
    loop.model = model
    loop.add(listener, first=first)
    return loop


#: The events of a CallbackList that are heard here, in their order; some only while they are needed.
_EVENTS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_epoch_end",
    "on_train_end",
)
_BATCH_EVENTS = ("on_train_batch_begin", "on_train_batch_end")


class Loop:
    """One CallbackList, and who listens to it.

    Attributes:
        callbacks: all callbacks of the list, in their order.
        model: the model being trained.
        watch: who is not saved, and changes.
        course: what the run has been through by the clock.
        fit: the arguments of ``fit``; None in a hand-written loop.
        reading: how ``fit`` reads its data; None in a hand-written loop.
        described: what is known of the data and arguments of ``fit``.
        epoch: the 0-based epoch that has ended last in this ``fit``; None before.
        logs: what the last train step gave, as it gave it.
        began: when the present epoch began, in seconds of ``time.monotonic``.
        enters: whether this ``fit`` begins inside an epoch.
        ends: whether the last epoch was trained before a restart, and only the end of the run is left.
        trains: false if this ``fit`` was given nothing to do, as its run has ended already.
        signals: those that ask the run to stop; None if nobody listens for them.
        is_interrupted: whether a signal ends the run before its end.
        has_end: whether the end of the run is on disk.
    """

    def __init__(self, hooked: HookedList) -> None:
        self._list = hooked
        self._listeners: list[Listener] = []
        self._watches_batches = False
        self._has_stepped = False
        self.model: Any = None
        self.fit: Fit | None = None
        self.reading: Reading | None = None
        self.described: dict[str, Any] = {}
        self.epoch: int | None = None
        self.logs: Any = None
        self.began = 0.0
        self.trains = True
        self.enters = False
        self.ends = False
        self._has_open_batches = False
        self.signals: StopSignals | None = None
        self.is_interrupted = False
        self.has_end = False
        self._has_left = False
        self.watch = Watch([])
        self.course = Course()
        hooked.owner = self
        for event in _EVENTS:
            if event not in _BATCH_EVENTS:
                self._hear(event)

    @property
    def callbacks(self) -> list[Any]:
        return self._list.callbacks

    @property
    def epochs(self) -> int | None:
        """How many epochs this run is to have, those before ``initial_epoch`` included."""
        if self.fit is not None:
            return self.fit.epochs
        return self._list.epochs

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
        """Hear the ends of all batches too; a run that saves once an epoch does not pay for them."""
        self._watches_batches = True
        self._hear("on_train_batch_end")

    def listen_for_signals(self, numbers: list[int], exit_code: int | None) -> None:
        """Stop the run when one of these comes; the first to ask says how the process ends.

        Raises:
            CallbackStateError: this is not the main thread.
        """
        if self.signals is None:
            self.signals = StopSignals(running_frame(self.model), exit_code)
        self.signals.listen(numbers)

    def _hear(self, event: str) -> None:
        """Let a method of ours be called in place of the list's, which it gets as its first argument."""
        self._list.hook(event, getattr(self, f"_{event}"), self._fail)

    def _on_train_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self.fit = fit = Fit.find(self.model)
        self.reading = None
        if fit is not None:
            self.reading = Reading(self.model, fit.epoch_iterator, fit.shuffle, fit.validation, self._fail)
            self.described = {**self.reading.training.described, **fit.described()}
        self.epoch, self.trains, self.enters, self.ends = None, True, False, False
        self._has_open_batches = self.is_interrupted = self.has_end = self._has_left = False
        self.signals = None
        self.course = Course()
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
        if self.trains and self.reading is not None:
            self.reading.warn()

    def _on_epoch_begin(self, heard: Callable[..., None], epoch: int, *args: Any, **kwargs: Any) -> None:
        self.began = time.monotonic()
        if not self.enters:
            self.course.start(epoch, 0)
        heard(epoch, *args, **kwargs)
        for listener in self._listeners:
            listener.after_epoch_begin(self)
        if self.reading is not None:
            if self.reading.after_epoch_begin(self._watches_batches):
                self._hear("on_train_batch_begin")
            if not self._has_stepped:
                self._hear("on_train_batch_end")

    def _on_train_batch_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        heard(*args, **kwargs)
        assert self.reading is not None
        self.reading.after_batch_begin()
        if self.reading.wants_batches(self._watches_batches):
            self._hear("on_train_batch_end")
        else:
            self._list.unhook("on_train_batch_begin")

    def _on_train_batch_end(self, heard: Callable[..., None], batch: int, logs: Any = None) -> None:
        reading, self._has_open_batches = self.reading, True
        if reading is not None:
            reading.before_batch_end()
        heard(batch, logs)
        self.logs = logs
        if reading is not None:
            reading.steps += reading.training.steps_per_execution
            if not self._has_stepped:
                self._has_stepped = True
                reading.after_first_batch()
            reading.warn()
        if self._watches_batches:
            self._after_event()
        elif reading is None or not reading.wants_batches(False):
            self._list.unhook("on_train_batch_end")

    def _on_test_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self._close_batches()
        if self.reading is not None:
            self.reading.on_test_begin()
        heard(*args, **kwargs)

    def _close_batches(self) -> None:
        """The epoch's last batch is over."""
        if self._has_open_batches:
            self._has_open_batches = False
            for listener in self._listeners:
                listener.after_last_batch(self)

    def _on_epoch_end(self, heard: Callable[..., None], epoch: int, *args: Any, **kwargs: Any) -> None:
        self._close_batches()
        heard(epoch, *args, **kwargs)
        self.epoch = epoch
        self.course.end_epoch(epoch, self.model)
        self._after_event()

    def _after_event(self) -> None:
        # Two rounds: what one checkpoint decides is state of the others.
        for listener in self._listeners:
            listener.decide(self)
        for listener in self._listeners:
            listener.after_event(self)
        if self.is_interrupted:
            if self.reading is not None:
                self.reading.forget_validation()
            self._list.end_training(logs_of(self.logs))

    def _on_train_end(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        heard(*args, **kwargs)
        for listener in self._listeners:
            listener.after_train_end(self)
        self._end()
        if self.signals is not None and self.signals.pending is not None:
            self.signals.stop()

    def _fail(self, error: BaseException) -> None:
        """An exception is leaving: the checkpoints may save, then all is as before.

        A hand-written loop may go on after one. A signal that has come is not lost: the process ends by it.
        """
        if self._has_left or self.fit is None:
            return
        self._has_left = True
        try:
            for listener in self._listeners:
                listener.after_failure(self)
        finally:
            self._end()
        if self.signals is not None and self.signals.pending is not None:
            warnings.warn(f"fit was told to stop, and failed before it could: {error!r}", stacklevel=2)
            self.signals.stop()

    def _end(self) -> None:
        self._has_left = True
        self._list.release(*_EVENTS)
        if self.signals is not None:
            self.signals.restore()
        for listener in self._listeners:
            listener.leave(self)
