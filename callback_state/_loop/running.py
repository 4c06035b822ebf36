"""One ``fit`` from its beginning to its end: where it enters the run, how far it is, how it ends.

Everything that changes while one ``fit`` runs is in one object, :class:`Running`, which is made when the ``fit``
begins and thrown away after it. So the next ``fit`` with the same callbacks starts with nothing of the last one.

An :class:`Entry` says where the ``fit`` enters the run; a resume sets it before any callback hears
``on_train_begin``. A :class:`Phase` says how far the ``fit`` is. It moves by events (:class:`Event`), and only as
``TRANSITIONS`` allows:

- At first no batch is known (``NEW``). The end of the first one is always heard, because then the train step
  has been compiled. Later ones are heard only where a listener asks for them, so that a run that saves once an
  epoch pays nothing per batch.
- After the end of a batch (``BATCHES``) it is not known whether it was the last of its epoch. A validation or
  the end of the epoch tells (``BETWEEN``). Only the move from ``BATCHES`` to ``BETWEEN`` is the end of the last
  batch: it happens once an epoch, and never where the batches of the epoch are not heard.
- A ``fit`` ends in one of three ways: by itself (``ENDED``), by a signal after a save (``INTERRUPTED``), or by an
  exception (``FAILED``). The callbacks hear ``on_train_end`` in the first two, so an exception can still follow.
- In the end the listeners leave (``LEFT``), once. What is raised after that, such as the ``SystemExit`` by which a
  signal ends the process, is no failure of the ``fit``.

A training loop of one's own may go on after an exception, so it never fails here. It may also leave out
``on_train_begin``; then the object that is made with the list serves it.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

from .._callbacks.in_place import Held
from .._input.reading import Reading
from .._keras.backend import backend
from .._keras.callback_list import HookedList
from .._keras.fit import Fit, running_frame
from .listener import Listener
from .signals import StopSignals
from .trace import Trace
from .unsaved import Unsaved


class Entry(Enum):
    """Where a ``fit`` enters the run."""

    EPOCH = "at the beginning of an epoch"
    BATCH = "inside an epoch"
    END = "after the last epoch: only the end of the run is missing"
    NOTHING = "after the end of the run: nothing is left to do"


class Phase(Enum):
    """How far a ``fit`` is."""

    NEW = "no batch has ended"
    BATCHES = "a batch has ended, perhaps the last of its epoch"
    BETWEEN = "the last batch of an epoch has ended"
    ENDED = "every callback has heard the end of the training"
    INTERRUPTED = "a signal has asked the run to stop, and the run is saved"
    FAILED = "an exception leaves the fit"
    LEFT = "the listeners have left"


class Event(Enum):
    """What moves a ``fit`` from one phase to the next."""

    BATCH_END = "a batch has ended"
    LAST_BATCH = "a validation or the end of an epoch follows"
    TRAIN_END = "every callback has heard on_train_end"
    SIGNAL = "a save for a signal is on disk"
    FAILURE = "an exception has been raised"
    LEAVE = "the listeners leave"


_ENDS = {Event.TRAIN_END: Phase.ENDED, Event.SIGNAL: Phase.INTERRUPTED, Event.FAILURE: Phase.FAILED}

TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.NEW: {Event.BATCH_END: Phase.BATCHES, Event.LAST_BATCH: Phase.NEW, **_ENDS},
    Phase.BATCHES: {Event.BATCH_END: Phase.BATCHES, Event.LAST_BATCH: Phase.BETWEEN, **_ENDS},
    Phase.BETWEEN: {Event.BATCH_END: Phase.BATCHES, Event.LAST_BATCH: Phase.BETWEEN, **_ENDS},
    Phase.ENDED: {Event.FAILURE: Phase.FAILED, Event.LEAVE: Phase.LEFT},
    # A second checkpoint may save for the same signal. on_train_end, which follows, does not end the run.
    Phase.INTERRUPTED: {
        Event.SIGNAL: Phase.INTERRUPTED,
        Event.TRAIN_END: Phase.INTERRUPTED,
        Event.FAILURE: Phase.FAILED,
        Event.LEAVE: Phase.LEFT,
    },
    Phase.FAILED: {Event.LEAVE: Phase.LEFT},
    Phase.LEFT: {},
}


class Running:
    """One ``fit``, as its listeners see it; ``fit`` and ``reading`` are None in a training loop of one's own."""

    def __init__(
        self,
        hooked: HookedList,
        model: Any,
        listeners: list[Listener],
        fit: Fit | None = None,
        reading: Reading | None = None,
    ) -> None:
        self._list, self.model, self.listeners = hooked, model, listeners
        self.fit, self.reading = fit, reading
        #: What is known of the data and arguments of ``fit``.
        self.described: dict[str, Any] = {}
        if fit is not None and reading is not None:
            self.described = {**reading.training.keras.described(), **fit.described()}
        self.entry, self.phase = Entry.EPOCH, Phase.NEW
        #: The identity of the run that a resume has put back; None if nothing was restored.
        self.run_id: str | None = None
        #: Whether this fit adds epochs to a run that had finished.
        self.extends = False
        #: Whether an earlier fit of this process has trained the run, and whether this one begins with an epoch
        #: that it has trained. A fit that resumes a checkpoint stands where the interrupted one stood.
        self.follows = self.repeats = False
        #: The 0-based epoch that has ended last.
        self.epoch: int | None = None
        #: Of the last train step, as it returned them.
        self.logs: Any = None
        #: When the present epoch began, in seconds of ``time.monotonic``.
        self.began = 0.0
        self.hears_batches = False
        self.signals: StopSignals | None = None
        self.unsaved, self.trace = Unsaved([]), Trace()
        #: The containers that callbacks held when training began.
        self.held = Held([])
        self._ends_in: set[str] = set()

    @property
    def callbacks(self) -> list[Any]:
        """All callbacks of the list, in their order."""
        return self._list.callbacks

    @property
    def epochs(self) -> int | None:
        """How many epochs the run is to have, including those before ``initial_epoch``; None if unknown."""
        return self._list.epochs if self.fit is None else self.fit.epochs

    def is_last(self, epoch: int) -> bool:
        """Whether ``fit`` ends after this 0-based epoch."""
        stops = getattr(self.model, "stop_training", False)  # compile sets it
        return bool(stops or self.epochs == epoch + 1)

    @property
    def trains(self) -> bool:
        """Whether anything is left to do in this run."""
        return self.entry is not Entry.NOTHING

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal ends the run before its end."""
        return self.phase is Phase.INTERRUPTED

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether a signal has come."""
        return self.signals is not None and self.signals.pending is not None

    # What listeners ask for in before_train.

    def enter(self, entry: Entry, trace: Trace, epoch: int | None = None) -> None:
        """A resume says where the ``fit`` enters the run.

        ``epoch`` is the 0-based epoch that has ended last, where no other will (``Entry.END``).
        """
        self.entry, self.trace, self.epoch = entry, trace, epoch

    def hear_batches(self) -> None:
        """A listener wants to hear the end of every batch; a run that saves once an epoch does not pay for it."""
        self.hears_batches = True

    def listen_for_signals(self, numbers: list[int], exit_code: int | None) -> None:
        """Stop the run when one of these signals comes; the exit code of the first call holds."""
        if self.signals is None:
            self.signals = StopSignals(running_frame(self.model), exit_code)
        self.signals.listen(numbers)

    def hear_signals(self) -> None:
        """Hear of the signals that other processes of the training have noted."""
        if self.signals is not None:
            self.signals.exchange()

    # What happens to it.

    def arrive(self, logs: Any, seconds: float) -> None:
        """A resume inside an epoch is where the checkpoint was; the epoch had taken so many seconds until then."""
        self.logs = logs
        self.began -= seconds

    def look(self) -> None:
        """Find what has changed and is not saved."""
        backend().sync(self.model)
        self.unsaved.look()

    def skip_step(self) -> None:
        """The step that comes next is none: the epoch was over, and ``fit`` needs one."""
        self._list.skip_step(self.model)

    def interrupt(self) -> None:
        """A checkpoint has saved because of a signal: now the run stops."""
        self.move(Event.SIGNAL)

    def note_end(self, directory: str) -> None:
        """The end of the run is on disk in this directory."""
        self._ends_in.add(os.path.abspath(directory))

    def has_end(self, directory: str) -> bool:
        """Whether the end of the run is on disk in this directory."""
        return os.path.abspath(directory) in self._ends_in

    def move(self, event: Event) -> Phase:
        """Go to the phase that follows from an event, and return the phase before."""
        before = self.phase
        if event not in TRANSITIONS[before]:
            raise AssertionError(f"{event.name} in the phase {before.name}")
        self.phase = TRANSITIONS[before][event]
        return before
