"""The saves of one ``fit``, one at a time, at once or beside training; and what follows when one has ended.

Beside training, a save is *under way* from its quiet point until it is durable. When it has ended, it is *settled*
at the next event of the ``fit``. Only then, in the thread that trains, do the ledger, the best value and the files
to delete change.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._callbacks.capture import keyed
from .._callbacks.taken import Taken
from .._keras import hosts
from .._store.leaving import when_leaving
from .._warn import warn
from .decision import Event
from .ledger import Ledger
from .notices import say_saved, say_saved_beside, say_saving
from .save import Save
from .writer import Writer

#: Of a save beside training, on the scale of Unix from 0 to 19 (the last): it has time, and training has not.
NICE = 10


@dataclass
class Decided:
    """A save that was decided at a quiet point."""

    path: str
    event: Event
    before: tuple[Any, Ledger]  # Keras's best value and the ledger, before the decision
    callbacks: list[Any]  # whose state is saved
    fit: Any
    began: float = field(default_factory=time.monotonic)
    is_told: bool = False  # whether lines say so: ``verbose``, which is off while Keras decides on a later event
    is_beside: bool = False  # whether training goes on meanwhile
    waited: float = 0.0  # seconds that training has waited at the quiet point
    unheard: Exception | None = None  # what a function of on_saved= has raised


class Saves:
    """The saves of a checkpoint callback in one ``fit``."""

    def __init__(self, checkpoint: Any, writer: Writer) -> None:
        self._checkpoint, self._writer = checkpoint, writer
        self._present: tuple[Decided, Save] | None = None  # not settled yet
        self._future: Future[Exception | None] | None = None  # of the one that is beside training
        self._thread: ThreadPoolExecutor | None = None
        self._process = 0  # the one in which that is
        self._tell_at_exit: Any = None
        self._take_back: Callable[[], object] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a save is being written beside training."""
        return self._future is not None and not self._future.done()

    @property
    def is_pending(self) -> bool:
        """Whether a save is not settled yet."""
        return self._present is not None

    def begin(self, decided: Decided, take: Callable[[], Taken]) -> None:
        """Save the present moment, whose state ``take`` takes; or begin to, if that goes on beside training."""
        checkpoint = self._checkpoint
        decided.is_told = bool(checkpoint.verbose) and hosts.is_first()

        def prepare() -> None:
            beside, interim = checkpoint.save_on_background, checkpoint.ledger.is_interim
            if beside and hosts.count() > 1:
                beside = False
                checkpoint.notices.tell_of_processes()
            save = self._writer.prepare(decided.path, take(), interim=interim, beside=beside)
            if beside and not save.needs_model:
                self._start(decided, save)
            self._present = decided, save

        if self._attempt(prepare, decided) and self._future is None:
            self.settle()

    def _start(self, decided: Decided, save: Save) -> None:
        if decided.is_told:
            say_saving(self._checkpoint, decided)
        decided.is_beside = True
        decided.waited = time.monotonic() - decided.began
        self._process = os.getpid()
        self._thread = self._thread or ThreadPoolExecutor(1, "callback_state saves", _stand_back)
        try:
            self._future = self._thread.submit(self._write, decided, save)
        except RuntimeError:  # the system has no thread to give, so this is written at once
            self._thread, decided.is_beside = None, False
            return
        # A loop of one's own need not have an end at which the save is settled.
        self._tell_at_exit = weakref.finalize(self, _tell_of, self._future, decided.path, self._process)
        self._take_back = when_leaving(self._tell_at_exit)

    def _write(self, decided: Decided, save: Save) -> Exception | None:
        """What may be done beside training. After a save that has succeeded, an error is left for later.

        Returns why the store lacks the checkpoint, if it does.
        """
        save.run()
        if not hosts.is_first():
            return None
        is_durable = self._writer.published.announce(decided.path, save.meta, is_told=decided.is_told)
        seconds = time.monotonic() - decided.began
        if decided.is_told and is_durable and decided.is_beside:
            say_saved_beside(decided, seconds)
        elif decided.is_told and is_durable:
            say_saved(self._checkpoint, decided, seconds)
        decided.unheard = self._writer.published.call()
        return self._writer.published.error

    def settle(self, *, may_raise: bool = True) -> None:
        """Wait for the save that is under way. If it has failed, it is as if it had never been decided.

        A forked child has no thread that would end it, and leaves it to its parent.
        """
        if self._future is not None and self._process != os.getpid():
            self._present = self._future = self._thread = None
        if self._present is None:
            return
        if self._future is not None:
            wait([self._future])  # if Ctrl-C comes now, the save is still under way
            self._forget_exit()
        (decided, save), future = self._present, self._future
        self._present = self._future = None
        act = partial(self._write, decided, save) if future is None else future.result
        if not self._attempt(act, decided, may_raise=may_raise, is_late=future is not None):
            if save.values.have_moved:
                self._writer.note_moved()
            return
        self._writer.note(save)
        notices, extra = self._checkpoint.notices, save.taken.run.extra
        notices.warn_of_pickles(save.taken.state, keyed(decided.callbacks))
        notices.tell_of_extra(decided.path, sum(values.nbytes for values in extra.values))
        self._writer.directory.delete(self._checkpoint)
        if future is None and hosts.is_first():
            # Else the next save takes the deletions along, and training does not wait for them.
            self._writer.published.push_deletions()
        self._writer.tell(decided.path, decided.unheard, may_raise=may_raise)

    def _forget_exit(self) -> None:
        assert self._take_back is not None
        self._take_back()
        self._tell_at_exit.detach()
        self._tell_at_exit = self._take_back = None

    def settle_earlier(self, event: Event) -> None:
        """Wait for a save of an earlier moment than this event: another file is about to say that it is there."""
        if self.is_behind(event):
            self.settle()

    def is_behind(self, event: Event) -> bool:
        """Whether a save of an earlier moment than this event is not settled yet."""
        return self._present is not None and self._present[0].event.moment != event.moment

    def close(self) -> None:
        """The ``fit`` is over, and all is settled: keep no thread, which nobody can copy."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def make_way(self, event: Event, *, stops: bool) -> None:
        """Before a decision, hear how the save has ended; wait for it if one is due now, and say so once.

        What was not saved must not count: neither as the best value, nor as a file that is kept. ``stops``: the
        run is asked to stop after this event.
        """
        if self._present is None or (self.is_under_way and not stops and not self._checkpoint.is_due(event)):
            return
        path, waits, began = self._present[0].path, self.is_under_way, time.monotonic()
        self.settle()
        if waits and not stops:
            self._checkpoint.notices.tell_of_waiting(path, time.monotonic() - began)

    def _attempt(self, act: Callable[[], object], decided: Decided, **options: bool) -> bool:
        try:
            is_saved = self._writer.attempt(act, decided.path, **options)
        except Exception:
            self._undo(decided)
            raise
        if not is_saved:
            self._undo(decided)
        return is_saved

    def _undo(self, decided: Decided) -> None:
        checkpoint = self._checkpoint
        best, ledger = decided.before
        checkpoint.best = best
        checkpoint.ledger = ledger.without_due().stamped(checkpoint.ledger.stamp)


def _stand_back() -> None:
    """Let the threads that train go first, where threads have priorities of their own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # only a courtesy
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _tell_of(future: Future[Exception | None], path: str, process: int) -> None:
    """The process ends, or the callback goes, and nobody has heard how a save has ended."""
    if os.getpid() != process:  # a fork has no thread that would end it
        return
    error = future.exception()
    if error is not None:
        warn(f"{path}: not saved ({type(error).__name__}: {error}). The checkpoint before is unchanged.")
    elif (error := future.result()) is not None:
        warn(f"{path}: saved on this machine, and not in the store ({error}).")
