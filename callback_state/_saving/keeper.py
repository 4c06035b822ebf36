"""What one ``ModelCheckpointEnhanced`` does in one ``fit``: when it saves, and what follows if that fails."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

from .._callbacks.capture import keyed, note_began, saved_among
from .._callbacks.made import note_made
from .._callbacks.taken import Taken, take_state
from .._checkpoints.names import final_name, interim_name
from .._checkpoints.template import filled
from .._keras import hosts
from .._keras.epoch import history_of
from .._loop.listener import Listener
from .._loop.loop import Loop
from .._loop.running import Entry, Running
from .._loop.waiting import check_nobody_waits
from .._store.claims import Owner
from ..exceptions import NotPicklableError, RestoreError
from . import together
from .decision import Event, entered, number
from .ledger import Ledger, accepted
from .meta import last_logs, meta_and_run_of
from .notices import say_not_better, warn_of_missing_value
from .rescue import Copy, Rescue
from .saves import Decided, Saves
from .start import begin, begin_run, check_apart, open_directory
from .together import Pulse
from .writer import Writer


class Keeper(Listener):
    """Saves for a checkpoint callback, which holds the configuration and the state."""

    def __init__(self, checkpoint: Any, model: Any) -> None:
        self.checkpoint, self.model = checkpoint, model
        self.loop: Loop | None = None  # that of the fit; None where no CallbackList calls the callback
        self.epoch = 0  # the 0-based epoch that has begun last
        self._writer = Writer(checkpoint, model)
        self._saves = Saves(checkpoint, self._writer)
        self._directory = self._writer.directory
        self._event: Event | None = None
        # Keras's best value and the ledger, before the last decision.
        self._before: tuple[Any, Ledger] = (checkpoint.best, checkpoint.ledger)
        self._rescue: Rescue | None = None
        self._pulse = Pulse()

    @property
    def speaks(self) -> bool:  # type: ignore[override]
        return bool(self.checkpoint.verbose) and hosts.is_first()

    @property
    def saved(self) -> str | None:  # type: ignore[override]
        return self._writer.saved

    @property
    def has_joined(self) -> bool:
        """Whether a loop is known in which the callback hears its events."""
        return self.loop is not None

    def hear(self, event: Event) -> None:
        """The callback hears an event. In a loop, other callbacks have yet to hear it."""
        self._event = event
        if self.loop is None:
            self.decide(None)
            self.after_event(None)

    # What the loop calls.

    def before_train(self, running: Running) -> None:
        check_nobody_waits(running)
        checkpoint = self.checkpoint
        others = [keeper.checkpoint for keeper in _keepers(running) if keeper is not self]
        note_made(self.registered(running), is_new=False)
        hosts.each(lambda: check_apart(checkpoint, others, running), "the checkpoints of fit")
        begin(checkpoint, others, running)
        checkpoint.ledger = checkpoint.ledger.without_due()
        self._writer.wrote_at = time.monotonic()
        if checkpoint.hears_batches:
            running.hear_batches()
        if checkpoint.save_on_exception and running.trains:
            self._rescue = Rescue(self.copy) if hosts.count() == 1 else checkpoint.notices.tell_of_exceptions()
        self._writer.attempt(lambda: open_directory(checkpoint, self._directory, running), checkpoint.root)
        if running.trains and checkpoint.save_on_signal:
            running.listen_for_signals(checkpoint.save_on_signal, checkpoint.exit_code)

    def after_train_begin(self, running: Running) -> None:
        """Find out now, not at the first save, what cannot be saved; write what a kill left unwritten."""
        self._note_logs(running)
        checkpoint = self.checkpoint
        together.check_lengths(checkpoint.params)
        callbacks = self.registered(running)
        state = hosts.each(lambda: take_state(callbacks, self.model), "what can be saved")
        checkpoint.notices.warn_of_pickles(state, keyed(callbacks))
        try:
            checkpoint.ledger = accepted(checkpoint.ledger, checkpoint.template)
        except ValueError as error:  # this run cannot have written it
            raise RestoreError(f"{type(checkpoint).__name__}.ledger: {error}") from error
        if running.trains:
            if self._directory.has_replaced(checkpoint.ledger, checkpoint.own):
                checkpoint.ledger = replace(checkpoint.ledger, replaced=interim_name(checkpoint.template))
            self._directory.look_at_due(checkpoint)
            self._directory.delete(checkpoint)
        epochs = history_of(running.model)["epochs"]
        if epochs and running.entry in (Entry.EPOCH, Entry.END):
            self._write_what_is_due(Event(epochs[-1], None, last_logs(running.model)), running)
            self._saves.settle()
        if running.entry is not Entry.END:
            return
        if checkpoint.ledger.is_interim:  # as if this moment had not been saved
            checkpoint.ledger = checkpoint.ledger.without_due().without_interim()
        due = checkpoint.ledger.due
        path = checkpoint.root if due is None else self._directory.path_of(due)
        if due is None or not self._writer.attempt(lambda: self._writer.adopt(path, callbacks), path):
            self._writer.note_end(callbacks)

    def after_test_begin(self, running: Running) -> None:
        self._note_logs(running)

    def after_arrival(self, running: Running, epoch: int, batch: int) -> None:
        self._write_what_is_due(Event(epoch, batch, running.logs), running)

    def decide(self, running: Running | None) -> None:
        """Change every attribute of the callback that is state; nothing is written yet."""
        event, checkpoint = self._event, self.checkpoint
        if running is None:
            begin_run(checkpoint, (), None)
        is_time = self._pulse.asks(checkpoint, event, running, self.is_time)
        is_asked = self._is_asked(running)  # once: a signal may come at any time
        if event is not None:
            self._saves.make_way(event, stops=is_asked)
        checkpoint.ledger = checkpoint.ledger.without_due()
        if event is None:
            return
        self._before = checkpoint.best, checkpoint.ledger
        name = together.name_after(checkpoint, event)
        if name is not None:
            value = number(event.logs.get(checkpoint.monitor))
            if checkpoint.keep_best is not None and value is None:
                warn_of_missing_value(checkpoint, name)
            checkpoint.ledger = entered(
                checkpoint, name, value, is_there=lambda name: self._directory.may_delete(name, checkpoint)
            )
        elif is_asked or is_time():
            checkpoint.ledger = checkpoint.ledger.enter_interim()
        if checkpoint.ledger.due is not None:
            checkpoint.ledger = checkpoint.ledger.stamped(self.next_stamp(running))

    def after_event(self, running: Running | None) -> None:
        checkpoint, event, self._event = self.checkpoint, self._event, None
        if event is None:
            return
        due = checkpoint.ledger.due
        is_watched = running is not None and (due is not None or event.batch is None)
        if running is not None and is_watched:
            self._note_logs(running)
            running.look()
        if due is not None:
            self.save(due, event, running)
            if running is not None and self._is_asked(running):
                self._saves.settle()
                running.interrupt()
        elif event.batch is None and running is not None and running.is_last(event.epoch):
            self._saves.settle()
            self._writer.note_end(self.registered(running))
        if due is None and self.speaks and event.batch is None and checkpoint.wants_better(event):
            say_not_better(checkpoint, event)
        if running is not None and is_watched:
            running.unsaved.warn()
        if running is not None and self._rescue is not None:
            is_saved = due is not None and checkpoint.ledger.due == due
            self._rescue.note(event, running, is_saved=is_saved)

    def after_last_batch(self, running: Running) -> None:
        if self._rescue is not None:
            self._rescue.renew(running)

    def after_train_end(self, running: Running) -> None:
        for keeper in _keepers(running):  # the mark of the end says of each what it has saved
            keeper._saves.settle()
        if running.is_interrupted or running.epoch is None or not self._marks_the_end(running):
            return
        if self._writer.attempt(partial(self._finish, running.epoch, running), self.checkpoint.root):
            running.note_end(self._directory.absolute)

    def after_failure(self, running: Running) -> None:
        self._saves.settle(may_raise=False)
        copy = self._rescue.copy if self._rescue is not None else None
        if copy is not None and copy.ledger.due is not None:
            self.checkpoint.ledger = copy.ledger
            self._writer.write_copy(copy, copy.ledger.due)

    def leave(self, running: Running) -> None:
        self._saves.settle(may_raise=False)
        self._saves.close()
        if running.has_end(self._directory.absolute):
            self.checkpoint.ledger = self.checkpoint.ledger.without_interim()
            self._directory.delete(self.checkpoint)
        self._writer.leave()
        self.loop = None

    # When.

    def _is_asked(self, running: Running | None) -> bool:
        """Whether a signal has come that makes this checkpoint save."""
        return bool(self.checkpoint.save_on_signal) and running is not None and running.is_asked_to_stop

    def _note_logs(self, running: Running) -> None:
        """Note at once which log files the run has begun: a killed run has some that no checkpoint knows."""
        owner = Owner.of(self.checkpoint.own.run, [keeper.checkpoint.root for keeper in _keepers(running)])
        note_began(self.registered(running) if hosts.is_first() else [], owner)

    def is_time(self) -> bool:
        """Whether ``save_every`` seconds have passed since the last save, and none is still to be settled."""
        seconds = self.checkpoint.save_every
        is_late = seconds is not None and time.monotonic() - self._writer.wrote_at >= seconds
        return is_late and not self._saves.is_pending

    def next_stamp(self, running: Running | None) -> int:
        """Nanoseconds since 1970; more than at every save of the run, also where the clock was set back."""
        last = max(keeper.checkpoint.ledger.stamp for keeper in (self, *_keepers(running)))
        return int(hosts.first(lambda: max(time.time_ns(), 1 + last), "the time of a save"))

    # What.

    def registered(self, running: Running | None) -> list[Any]:
        """The callbacks whose state is saved."""
        if self.checkpoint.callbacks is not None:
            return [*self.checkpoint.callbacks, self.checkpoint]
        return saved_among([] if running is None else running.callbacks)

    def take(self, event: Event, running: Running | None, **changes: Any) -> Taken:
        """Take everything that this moment's state file is to say; ``changes`` are fields of ``Meta``."""
        beside = self._directory.beside
        meta, run, variables = meta_and_run_of(self.checkpoint, self.model, event, running, beside=beside)
        meta = replace(meta, **changes)
        if running is not None and running.reading is not None:
            running.reading.warn()
        held = None if running is None else running.held
        return together.take(self.registered(running), self.model, meta, run, held, variables)

    def copy(self, event: Event, running: Running) -> Copy | None:
        """Take an interim save of this moment and keep it in memory; None where that cannot be saved."""
        if any(k._saves.is_behind(event) for k in _keepers(running)):  # nothing may say yet that it is there
            return None
        checkpoint, before = self.checkpoint, self.checkpoint.ledger
        checkpoint.ledger = before.enter_interim().stamped(self.next_stamp(running))
        try:
            return Copy(self.take(event, running), checkpoint.ledger, self.model)
        except NotPicklableError as error:
            if checkpoint.on_save_error == "raise":
                raise
            checkpoint.notices.warn_of_no_copy(error)
            return None
        finally:
            checkpoint.ledger = before

    # How.

    def save(self, name: str, event: Event, running: Running | None) -> None:
        """Save under this name; if that fails, it is as if nothing had been decided."""
        for keeper in _keepers(running):
            keeper._saves.settle_earlier(event)
        fit, callbacks = None if running is None else running.fit, self.registered(running)
        decided = Decided(self._directory.path_of(name), event, self._before, callbacks, fit)
        self._saves.begin(decided, lambda: self.take(event, running))

    def _write_what_is_due(self, event: Event, running: Running) -> None:
        """A kill between the saves of two checkpoints of one moment left the second one unwritten."""
        checkpoint, due = self.checkpoint, self.checkpoint.ledger.due
        said = None if due is None else hosts.first(lambda: self._directory.moment_of(due), "the file that is due")
        if due is not None and said != [checkpoint.own.run, *event.moment]:
            self._before = checkpoint.best, checkpoint.ledger
            self.save(due, event, running)

    # The end.

    def _marks_the_end(self, running: Running) -> bool:
        """Of several checkpoints in one directory one marks the end: preferably one that saves all."""
        here = [k for k in _keepers(running) if k._directory.absolute == self._directory.absolute]
        return min(here, key=lambda k: k.checkpoint.save_best_only) is self

    def _finish(self, epoch: int, running: Running) -> None:
        """Mark the end of the run in the last checkpoint, or in one of its own if the end changed it."""
        callbacks, checkpoint = self.registered(running), self.checkpoint
        if self._writer.mark_finished(epoch, callbacks, running.held):
            return
        end = self._writer.end_of(epoch, callbacks)  # before the stamp, which is state too
        event = Event(epoch, None, last_logs(self.model))
        checkpoint.ledger = checkpoint.ledger.stamped(self.next_stamp(running))
        name = final_name(filled(checkpoint.template, epoch, -1, event.logs))  # {batch} is 0: no batch is last
        path = self._directory.path_of(name)
        self._writer.write(path, self.take(event, running, **end), interim=False)


def _keepers(running: Running | None) -> list[Keeper]:
    return [] if running is None else [k for k in running.listeners if isinstance(k, Keeper)]
