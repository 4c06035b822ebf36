"""The training loop of Keras, seen through the CallbackList that ``fit`` calls.

Listeners hear an event *before* the first callback hears it, and *after* the last one has. Only then is state
taken or put back. How the list is found and its methods are replaced stands in :mod:`.._keras.callback_list`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .._callbacks.in_place import Held
from .._input.reading import Reading
from .._keras import hosts
from .._keras.backend import backend
from .._keras.callback_list import HookedList
from .._keras.configuration import note
from .._keras.epoch import logs_of
from .._keras.epoch_iterator import forget_validation
from .._keras.fit import Fit, hear_failures
from .._keras.stock_callbacks import acts_once
from .._warn import warn
from . import messages
from .listener import Listener
from .running import Entry, Event, Phase, Running
from .unsaved import Unsaved
from .waiting import waiting_for


def join(callback: Any, listener: Listener, model: Any, *, first: bool = False) -> Loop | None:
    """Let a listener hear the CallbackList that is calling ``callback`` now; None if no list is calling it."""
    hooked = HookedList.calling(callback)
    if hooked is None:
        return None
    loop: Loop = hooked.owner or Loop(hooked)
    loop.running.model = model
    loop.add(listener, first=first)
    return loop


#: The events of a CallbackList that are heard here; those of batches only while they are needed.
_EVENTS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_epoch_end",
    "on_train_end",
)


class Loop:
    """One CallbackList and its listeners; ``running`` is the ``fit`` that calls the list now, or that will."""

    def __init__(self, hooked: HookedList) -> None:
        self._list = hooked
        self._listeners: list[Listener] = []
        self.running = Running(hooked, None, self._listeners)
        #: Whether the events of batches are heard to the end: what callbacks raise there is heard in no other way.
        self._stays = False
        self._hear_no_failures: Callable[[], None] = lambda: None
        hooked.owner = self
        for event in _EVENTS:
            if "batch" not in event:
                self._hear(event)

    def add(self, listener: Listener, *, first: bool = False) -> None:
        if not any(known is listener for known in self._listeners):
            self._listeners.insert(0 if first else len(self._listeners), listener)

    def _hear(self, event: str) -> None:
        """Let a method of ours be called in place of the list's, which it gets as its first argument."""
        self._list.hook(event, getattr(self, f"_{event}"), self._fail)

    def _on_train_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        model, reading = self.running.model, None
        note(model)
        fit = Fit.find(model)
        if fit is not None:
            reading = Reading(model, fit.epoch_iterator, fit.shuffle, fit.validation, self._fail)
        self._stays = reading is not None and not backend().hears_steps
        if self._stays:
            self._hear_no_failures = hear_failures(model, self._fail)
        if not hosts.is_first():
            self._list.leave_out(acts_once)
        self.running = running = Running(self._list, model, self._listeners, fit, reading)
        # A list that was made before the restore does not call set_model again.
        for listener in waiting_for(running.callbacks):
            self.add(listener, first=True)
        for listener in self._listeners:
            listener.before_train(running)
        for event in ("on_train_batch_begin", "on_train_batch_end") if self._stays else ():
            self._hear(event)
        if running.hears_batches:
            self._hear("on_train_batch_end")
        heard(*args, **kwargs)
        # Before a resume puts the state back: what it binds anew is not what the script has made.
        running.held = Held(running.callbacks)
        shared = {} if reading is None else running.held.among(reading.training.keras.named_by_generator)
        for listener in self._listeners:
            listener.after_train_begin(running)
        running.unsaved = Unsaved(running.callbacks, shared)
        if running.trains and reading is not None:
            reading.warn()

    def _on_epoch_begin(self, heard: Callable[..., None], epoch: int, *args: Any, **kwargs: Any) -> None:
        running, reading = self.running, self.running.reading
        running.began = time.monotonic()
        if running.entry is not Entry.BATCH:
            running.trace.start(epoch, 0)
        heard(epoch, *args, **kwargs)
        for listener in self._listeners:
            listener.after_epoch_begin(running)
        if reading is not None:
            if reading.after_epoch_begin(running.hears_batches):
                self._hear("on_train_batch_begin")
            if running.phase is Phase.NEW:
                self._hear("on_train_batch_end")

    def _on_train_batch_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        heard(*args, **kwargs)
        running, reading = self.running, self.running.reading
        assert reading is not None
        reading.after_batch_begin()
        if reading.wants_batches(running.hears_batches):
            self._hear("on_train_batch_end")
        elif not self._stays:
            self._list.unhook("on_train_batch_begin")

    def _on_train_batch_end(self, heard: Callable[..., None], batch: int, logs: Any = None) -> None:
        running, reading = self.running, self.running.reading
        if reading is not None:
            reading.before_batch_end()
        heard(batch, logs)
        before = running.move(Event.BATCH_END)
        running.logs = logs
        if reading is not None:
            reading.steps += reading.training.keras.steps_per_execution
            if before is Phase.NEW:
                reading.after_first_batch()
                running.unsaved.look_at_step(running.model)
                running.unsaved.warn()
            reading.warn()
        if running.hears_batches:
            self._after_event()
        elif not self._stays and (reading is None or not reading.wants_batches(False)):
            self._list.unhook("on_train_batch_end")

    def _on_test_begin(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self._close_batches()
        if self.running.reading is not None:
            self.running.reading.on_test_begin()
        heard(*args, **kwargs)
        for listener in self._listeners:
            listener.after_test_begin(self.running)

    def _close_batches(self) -> None:
        if self.running.move(Event.LAST_BATCH) is Phase.BATCHES:
            for listener in self._listeners:
                listener.after_last_batch(self.running)

    def _on_epoch_end(self, heard: Callable[..., None], epoch: int, *args: Any, **kwargs: Any) -> None:
        self._close_batches()
        heard(epoch, *args, **kwargs)
        self.running.epoch = epoch
        if self.running.fit is None:
            self.running.unsaved.look_at_loop(self.running.model)
        self._after_event(epoch)

    def _after_event(self, ended: int | None = None) -> None:
        """A batch is over, or with it the 0-based epoch that has ``ended``."""
        running = self.running
        # Two rounds: what one checkpoint decides is state that another one saves.
        for listener in self._listeners:
            listener.decide(running)
        if ended is not None:
            running.trace.end_epoch(ended, running.model, running.callbacks)
        for listener in self._listeners:
            listener.after_event(running)
        if running.phase is Phase.INTERRUPTED:
            if running.reading is not None:
                forget_validation(running.model)
            self._list.end_training(logs_of(running.logs))

    def _on_train_end(self, heard: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        heard(*args, **kwargs)
        self.running.hear_signals()
        self.running.move(Event.TRAIN_END)
        for listener in self._listeners:
            listener.after_train_end(self.running)
        self._leave()
        self._stop_if_asked()

    def _fail(self, error: BaseException) -> None:
        """An exception leaves ``fit``: the checkpoints may save, and the list becomes what it was.

        A signal that has come is not lost: it still ends the process.
        """
        running = self.running
        is_over = running.phase in (Phase.FAILED, Phase.LEFT)
        if is_over or running.fit is None:  # a loop of one's own may go on
            return
        running.move(Event.FAILURE)
        try:
            for listener in self._listeners:
                listener.after_failure(running)
        finally:
            self._leave()
        if running.is_asked_to_stop:
            warn(f"fit was asked to stop, and failed before it could: {error!r}")
        self._stop_if_asked()

    def _leave(self) -> None:
        running = self.running
        running.move(Event.LEAVE)
        self._list.release(*_EVENTS)
        self._hear_no_failures()
        if running.signals is not None:
            running.signals.leave()
        for listener in self._listeners:
            listener.leave(running)

    def _stop_if_asked(self) -> None:
        signals = self.running.signals
        if signals is None or signals.pending is None:
            return
        signals.ignore()
        signals.hand_on()
        speaking = [listener for listener in self._listeners if listener.speaks]
        if speaking:
            saved = [listener.saved for listener in speaking if listener.saved is not None]
            messages.say(messages.stopped(signals.name, saved, signals.end))
        signals.stop()
