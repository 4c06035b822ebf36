"""What one ``ModelCheckpointEnhanced`` does in one ``fit``: when it saves, and what if that fails."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .._callbacks.capture import names, remember, saved_among
from .._callbacks.taken import take, take_state
from .._checkpoints.names import final_name, interim_name
from .._checkpoints.overwrites import names_of
from .._keras.epoch import history_of
from .._loop import messages
from .._loop.listener import Listener
from .._loop.running import Entry, Running
from .._loop.waiting import check_nobody_waits
from .._store import commit, lock
from ..exceptions import InUseError
from . import ledger
from .decision import Event
from .meta import last_logs, meta_of, moment_of, run_of
from .rescue import Rescue
from .saver import Saver, Taking

__all__ = ["Keeper"]


class Keeper(Listener):
    """Saves for a checkpoint callback, which holds what was configured and what is state.

    Args:
        checkpoint: the callback.
        model: the model being trained.
    """

    def __init__(self, checkpoint: Any, model: Any) -> None:
        self.checkpoint, self.model = checkpoint, model
        self._saver = Saver(checkpoint.keys)
        self._event: Event | None = None
        self._entries: dict[str, Any] = {}
        self._rescue: Rescue | None = None
        self._lock: lock.Held | None = None
        self._has_saved = False
        self._beside = 0
        self._saved_at = time.monotonic()

    @property
    def speaks(self) -> bool:  # type: ignore[override]
        return bool(self.checkpoint.verbose)

    def hear(self, event: Event, loop: Running | None) -> None:
        """The callback hears an event; in a loop, others have yet to."""
        self._event = event
        if loop is None:
            self.decide(None)
            self.after_event(None)

    # What the loop calls.

    def before_train(self, loop: Running) -> None:
        check_nobody_waits(loop)
        checkpoint = self.checkpoint
        checkpoint._due = None
        self._saved_at = time.monotonic()
        if checkpoint.hears_batches:
            loop.hear_batches()
        if checkpoint.save_on_exception and loop.trains:
            self._rescue = Rescue(self)
        self._warn_of_what_is_there()
        if loop.trains:
            self._attempt(self._enter_directory, checkpoint.root)
            if checkpoint.save_on_signal:
                loop.listen_for_signals(checkpoint.save_on_signal, checkpoint.exit_code)

    def after_train_begin(self, loop: Running) -> None:
        """Find out now, not at the first save, what cannot be saved; write what a kill left unwritten."""
        self._warn_of_code(loop)
        if loop.trains:
            ledger.find_replaced(self.checkpoint)
            ledger.delete_surplus(self.checkpoint)
        epochs = history_of(loop.model)["epochs"]
        if epochs and loop.entry in (Entry.EPOCH, Entry.END):
            self._write_what_is_due(Event(epochs[-1], None, last_logs(loop.model)), loop)
        if loop.entry is not Entry.END:
            return
        checkpoint = self.checkpoint
        if checkpoint._due == checkpoint._interim:  # as if this moment had not been saved
            checkpoint._due = None
            ledger.give_up_interim(checkpoint)
        if checkpoint._due is not None:
            self._saver.adopt(checkpoint.path_of(checkpoint._due), self.registered(loop), self.model)
        else:
            self._saver.note(self.registered(loop), self.model)

    def after_arrival(self, loop: Running, epoch: int, batch: int) -> None:
        self._write_what_is_due(Event(epoch, batch, loop.logs), loop)

    def decide(self, loop: Running | None) -> None:
        """Change every attribute of the callback that is state; then nothing is written yet."""
        event, checkpoint = self._event, self.checkpoint
        checkpoint._due = None
        if event is None:
            return
        self._entries = ledger.remember(checkpoint)
        name = checkpoint.ask(event)
        if name is not None:
            ledger.enter(checkpoint, name, event.logs.get(checkpoint.monitor))
        elif self._is_asked(loop) or self._is_time():
            ledger.enter_interim(checkpoint, interim_name(checkpoint.template))
        if checkpoint._due is not None:
            checkpoint._stamp = self.next_stamp(loop)

    def after_event(self, loop: Running | None) -> None:
        checkpoint, event, self._event = self.checkpoint, self._event, None
        if event is None:
            return
        due = checkpoint._due
        if loop is not None and (due is not None or event.batch is None):
            loop.watch.look()
        if due is not None:
            self._save(due, event, loop)
            if loop is not None and self._is_asked(loop):
                loop.interrupt()
        elif event.batch is None and loop is not None and loop.is_last(event.epoch):
            self._saver.note(self.registered(loop), self.model)
        if due is None and self.speaks and event.batch is None and checkpoint.wants_better(event):
            messages.say(
                messages.not_improved(messages.moment(event.epoch, None), checkpoint.monitor, checkpoint.best)
            )
        if loop is not None and (due is not None or event.batch is None):
            loop.watch.warn()
        if loop is not None and self._rescue is not None:
            self._rescue.note(event, loop, is_saved=due is not None and self.checkpoint._due == due)

    def after_last_batch(self, loop: Running) -> None:
        if self._rescue is not None:
            self._rescue.renew(loop)

    def after_train_end(self, loop: Running) -> None:
        if loop.is_interrupted or loop.epoch is None or not self._speaks_for_directory(loop):
            return
        epoch = loop.epoch
        if self._attempt(lambda: self._finish(epoch, loop), self.checkpoint.root):
            loop.note_end(self.checkpoint.root)

    def after_failure(self, loop: Running) -> None:
        copy = self._rescue.copy if self._rescue is not None else None
        if copy is not None:
            vars(self.checkpoint).update(copy.entries)
            path = self.checkpoint.path_of(copy.entries["_due"])
            with copy.put_in_place():
                self._attempt(lambda: self._write(path, copy.taking, interim=True), path, may_raise=False)

    def leave(self, loop: Running) -> None:
        if loop.has_end(self.checkpoint.root):
            ledger.give_up_interim(self.checkpoint)
            ledger.delete_surplus(self.checkpoint)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self.checkpoint.leave()

    # When.

    def _is_asked(self, loop: Running | None) -> bool:
        """Whether a signal has come that this checkpoint answers."""
        return bool(self.checkpoint.save_on_signal) and loop is not None and loop.is_asked_to_stop

    def _is_time(self) -> bool:
        seconds = self.checkpoint.save_every
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def next_stamp(self, loop: Running | None) -> int:
        """Later than every save of the run, also where the clock was set back."""
        stamps = [k.checkpoint._stamp for k in (self, *_keepers(loop))]
        return max(time.time_ns(), 1 + max(stamps))

    # What.

    def registered(self, loop: Running | None) -> list[Any]:
        if self.checkpoint.callbacks is not None:
            return [*self.checkpoint.callbacks, self.checkpoint]
        return saved_among([] if loop is None else loop.callbacks)

    def take(self, event: Event, loop: Running | None, **changes: Any) -> Taking:
        """Take everything that this moment's state file is to say; ``changes`` are fields of ``Meta``."""
        run = run_of(self.model, event, loop)
        meta = replace(meta_of(self.checkpoint, self.model, event, loop, beside=self._beside), **changes)
        if loop is not None and loop.reading is not None:
            loop.reading.warn()
        return Taking(take(self.registered(loop), self.model, meta, run), meta, run)

    # How.

    def _save(self, name: str, event: Event, loop: Running | None) -> None:
        path, interim = self.checkpoint.path_of(name), name == self.checkpoint._interim
        began = time.monotonic()
        taking = self.take(event, loop)
        if self._attempt(lambda: self._write(path, taking, interim=interim), path):
            self._tell(path, event, loop, time.monotonic() - began)
            ledger.delete_surplus(self.checkpoint)
        else:
            ledger.take_back(self.checkpoint, self._entries)

    def _tell(self, path: str, event: Event, loop: Running | None, seconds: float) -> None:
        if not self.speaks:
            return
        monitor, best = self.checkpoint.monitor, self.checkpoint.best
        improved = (
            messages.improvement(monitor, self._entries["best"], best) if self.checkpoint.save_best_only else ""
        )
        keys = [*names(self.registered(loop))]
        line = messages.saved(path, messages.moment(event.epoch, event.batch), keys, seconds, improved)
        messages.say(line, over_bar=messages.bar_is_open(event.batch, None if loop is None else loop.fit))

    def _write(self, path: str, taking: Taking, *, interim: bool) -> None:
        if self._lock is None:
            self._enter_directory()
        weights_only = self.checkpoint.save_weights_only
        self._saver.write(path, taking, self.model, weights_only=weights_only, interim=interim)
        self._has_saved = True
        self._saved_at = time.monotonic()

    def _attempt(self, act: Callable[[], None], path: str, *, may_raise: bool = True) -> bool:
        """Whether it succeeded; a disk that fails is told of, and training goes on.

        An error that is not the system's is raised unless a save has succeeded before: it would come again
        and again. (HDF5 reports a full disk in many ways.)
        """
        try:
            act()
        except Exception as error:
            lasting = isinstance(error, InUseError) or not (isinstance(error, OSError) or self._has_saved)
            if may_raise and (lasting or self.checkpoint.on_save_error == "raise"):
                raise
            warnings.warn(
                f"{path}: not saved ({type(error).__name__}: {error}). The checkpoint before is untouched, "
                f"training goes on, and the next save tries again. on_save_error='raise' ends training "
                f"instead.",
                stacklevel=2,
            )
            return False
        return True

    def _enter_directory(self) -> None:
        """Alone from now on; what a dead process left half done is completed or undone."""
        root = self.checkpoint.root
        self._lock = lock.hold(root)
        commit.recover_all(root)

    def _warn_of_what_is_there(self) -> None:
        checkpoint, root = self.checkpoint, self.checkpoint.root
        names, bare = names_of(checkpoint.template, root)
        self._beside = len(names)
        if bare and not names and not checkpoint._stamp:
            warnings.warn(
                f"{root} has model files of this name without state files ({', '.join(bare[:3])}), and this run "
                f"will write over them. Choose another filepath, or move them away.",
                stacklevel=2,
            )
        if names and not checkpoint._stamp:
            warnings.warn(
                f"{root} has checkpoints of this name ({', '.join(names[:3])}...), nothing was restored "
                f"from them, and this run will write over them. Call restore_callbacks({root!r}, "
                f"into=callbacks, model=model) before fit, or choose another filepath.",
                stacklevel=2,
            )

    def _warn_of_code(self, loop: Running) -> None:
        """An attribute that cannot be saved at all is an error here."""
        for callback in self.registered(loop):
            remember(callback)
        taken, checkpoint = take_state(self.registered(loop), self.model), self.checkpoint
        code = [] if checkpoint._is_restored_into else [p for p in taken.code if p not in checkpoint._told]
        objects = [path for path in taken.objects if path not in checkpoint._told]
        checkpoint._told += [*code, *objects]
        if code:
            warnings.warn(
                f"stored by value, as code that only a trusted file may run: {', '.join(code)}. "
                f"To restore without trust, give callbacks that hold their own: "
                f"restore_callbacks(..., into=callbacks).",
                stacklevel=2,
            )
        if objects:
            warnings.warn(
                f"stored by value, as objects that only a trusted file may make, with into= too: "
                f"{', '.join(objects)}. To restore without trust, make their classes plain data with @stateful, "
                f"or leave them out with exclude= and make them in the constructor.",
                stacklevel=2,
            )

    def _write_what_is_due(self, event: Event, loop: Running) -> None:
        """A kill between the saves of two checkpoints of one moment left the second one unwritten."""
        due = self.checkpoint._due
        if due is not None and moment_of(self.checkpoint.path_of(due)) != (event.epoch, event.batch):
            self._entries = ledger.remember(self.checkpoint)
            self._save(due, event, loop)

    # The end.

    def _speaks_for_directory(self, loop: Running) -> bool:
        """Of several checkpoints in one directory one marks the end: preferably one that saves all."""
        own = os.path.abspath(self.checkpoint.root)
        here = [k for k in _keepers(loop) if os.path.abspath(k.checkpoint.root) == own]
        return min(here, key=lambda k: k.checkpoint.save_best_only) is self

    def _finish(self, epoch: int, loop: Running) -> None:
        """Mark the end of the run in the last checkpoint, or in one of its own if the end changed it."""
        callbacks, checkpoint = self.registered(loop), self.checkpoint
        if self._saver.mark_finished(epoch, callbacks, self.model):
            return
        end = self._saver.end_of(epoch, callbacks, self.model)  # before the stamp: that is state too
        event = Event(epoch, None, last_logs(self.model))
        checkpoint._stamp = self.next_stamp(loop)
        path = final_name(checkpoint.filepath.format(epoch=epoch + 1, batch=0, **event.logs))
        self._write(path, self.take(event, loop, **end), interim=False)


def _keepers(loop: Running | None) -> list[Keeper]:
    return [] if loop is None else [k for k in loop.listeners if isinstance(k, Keeper)]
