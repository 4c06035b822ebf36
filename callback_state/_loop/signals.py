"""Signals that ask a run to stop: noted when they come, acted on after the next save.

Python calls a signal handler between any two instructions, also in the middle of a save. So the handler only
takes a note. If a loop of one's own ends with an exception, the handler stays installed, because nothing calls us
then. It sees that the loop is not running any more, and lets the signal do what it did before.

A supervisor may send a signal again and again. From the first one until the process has ended, further ones are
ignored, so that the process ends with the exit status that asks for a restart. While Python ends, it removes every
handler that is a function, and then the next signal would kill the process. So the system itself is told to ignore
the signals before the process exits. A program that catches the ``SystemExit`` and calls ``fit`` again hears them
again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any, NoReturn

from .._keras import hosts
from ..exceptions import CallbackStateError, StoppedBySignal

#: The signals of ``save_on_signal=True``. Not every system has all of them.
_USUAL = ("SIGTERM", "SIGUSR1", "SIGBREAK")
_UNCATCHABLE = ("SIGKILL", "SIGSTOP")

#: The signals that are ignored because the process is about to exit, and the handlers that they had.
_IGNORED: dict[int, Any] = {}


def numbers_of(chosen: Any) -> list[int]:
    """The numbers of the signals that ``save_on_signal=`` chooses: True, None, or signals by number or name."""
    if chosen is None or chosen is False:
        return []
    if chosen is True:
        return [int(getattr(signal, name)) for name in _USUAL if hasattr(signal, name)]
    given = list(chosen) if isinstance(chosen, Iterable) and not isinstance(chosen, str) else [chosen]
    return [_number_of(one) for one in given]


def _number_of(one: Any) -> int:
    try:
        if isinstance(one, bool):  # Python takes True for the number 1
            raise ValueError
        found = signal.Signals[one] if isinstance(one, str) else signal.Signals(one)
    except (KeyError, ValueError):
        raise ValueError(
            f"save_on_signal: {one!r} is not a signal of this system. Pass True or, for example, ['SIGTERM']."
        ) from None
    if found.name in _UNCATCHABLE:
        raise ValueError(f"save_on_signal: no process can catch {found.name}. Use save_every= instead.")
    return int(found)


class StopSignals:
    """The signals that are noted while one ``fit``, or a training loop of one's own, runs in ``frame``.

    ``exit_code`` is that of the process; None to raise :class:`StoppedBySignal` instead.
    """

    def __init__(self, frame: FrameType, exit_code: int | None) -> None:
        self._frame: FrameType | None = frame
        self._exit_code = exit_code
        self._previous: dict[int, Any] = {}
        #: The first signal that has come to this process.
        self.noted: int | None = None
        #: The one on which the run stops. If several processes train together, one of them has noted it.
        self.pending: int | None = None

    @property
    def name(self) -> str:
        """The name of the signal that has come."""
        assert self.pending is not None
        return signal.Signals(self.pending).name

    @property
    def end(self) -> str:
        """How the run ends after a signal, in words."""
        code = self._exit_code
        return "fit raises StoppedBySignal" if code is None else f"exit status {code}"

    def listen(self, numbers: list[int]) -> None:
        """Note these signals from now on. Python handles signals only in the main thread; any other is refused."""
        if threading.current_thread() is not threading.main_thread():
            raise CallbackStateError(
                f"save_on_signal: fit runs in the thread {threading.current_thread().name!r}, but Python handles "
                f"signals only in the main thread. Call fit there, or use save_every=."
            )
        for number in numbers:
            if number not in self._previous:
                owner = getattr(signal.getsignal(number), "__self__", None)
                if isinstance(owner, StopSignals) and not owner._is_running(sys._getframe()):
                    owner.restore()  # of a loop that has ended with an exception
                before = signal.signal(number, self._note)
                ignored = _IGNORED.pop(number, before)  # by a fit after which the process went on all the same
                self._previous[number] = ignored if before == signal.SIG_IGN else before

    def exchange(self) -> None:
        """Hear of the signals that other processes of the training have noted."""
        if hosts.count() > 1:
            told = hosts.gather(b"" if self.noted is None else str(self.noted).encode(), "a signal")
            self.pending = self.pending or next((int(number) for number in told if number), None)

    def leave(self) -> None:
        """The ``fit`` is over. After a signal this goes on noting, until :meth:`ignore`."""
        if self.pending is None:
            self.restore()

    def restore(self) -> None:
        """Install the previous handlers again, except where another one has been installed since."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._note:
                # None: the handler was not installed from Python, so it cannot be installed again.
                signal.signal(number, signal.SIG_DFL if previous is None else previous)
        self._frame = None

    def ignore(self) -> None:
        """From now on the system ignores these signals, if the process is about to exit."""
        if self._exit_code is None:
            self.restore()
            return
        for number, previous in self._previous.items():
            _IGNORED[number] = previous
            signal.signal(number, signal.SIG_IGN)
        self._frame = None

    def hand_on(self) -> None:
        """Call the handler that the signal had before."""
        assert self.pending is not None
        previous = self._previous[self.pending]
        if callable(previous) and previous is not signal.default_int_handler:
            previous(self.pending, sys._getframe())

    def stop(self) -> NoReturn:
        """End the process or the run, which is saved now."""
        if self._exit_code is None:
            raise StoppedBySignal(self.name)
        raise SystemExit(self._exit_code)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_running(frame):
            self.noted = self.noted or number
            if hosts.count() == 1:
                self.pending = self.noted
            return
        self.restore()
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        elif previous != signal.SIG_IGN:
            signal.raise_signal(number)

    def _is_running(self, frame: FrameType | None) -> bool:
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        return frame is not None
