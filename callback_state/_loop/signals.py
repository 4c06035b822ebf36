"""Signals that ask a run to stop: noted when they come, served at the next quiet point.

A handler of Python's runs between any two instructions, in the middle of an epoch as well as of a save.
So it only takes a note. It stays installed when an exception leaves ``fit``, of which nobody is told;
then a signal finds no ``fit`` running any more, and does what it would have done without us.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any, NoReturn

from ..exceptions import CallbackStateError, StoppedBySignal

__all__ = ["StopSignals", "numbers_of"]

#: What ``save_on_signal=True`` means, as far as the system has them.
_USUAL = ("SIGTERM", "SIGUSR1", "SIGBREAK")
_UNCATCHABLE = ("SIGKILL", "SIGSTOP")


def numbers_of(chosen: Any) -> list[int]:
    """The signals that ``save_on_signal=`` chooses.

    Args:
        chosen: True for SIGTERM, SIGUSR1 and Windows' CTRL_BREAK; False or None for no signal; else a
            list of ``signal.Signals``, numbers or names.

    Raises:
        ValueError: one of them is no signal, or one that no process can catch.
    """
    if chosen is None or chosen is False:
        return []
    if chosen is True:
        return [int(getattr(signal, name)) for name in _USUAL if hasattr(signal, name)]
    given = list(chosen) if isinstance(chosen, Iterable) and not isinstance(chosen, str) else [chosen]
    return [_number_of(one) for one in given]


def _number_of(one: Any) -> int:
    try:
        found = signal.Signals[one] if isinstance(one, str) else signal.Signals(one)
    except (KeyError, ValueError):
        raise ValueError(
            f"save_on_signal: {one!r} is no signal of this system; pass True or, for example, ['SIGTERM']"
        ) from None
    if found.name in _UNCATCHABLE:
        raise ValueError(f"save_on_signal: no process can catch {found.name}; save_every= is the way")
    return int(found)


class StopSignals:
    """The signals that are noted while one training goes on.

    Args:
        frame: of the ``fit``, or of the hand-written loop, that is running.
        exit_code: what the process ends with; None for a :class:`StoppedBySignal`.

    Attributes:
        pending: the first signal that came; None before.
    """

    def __init__(self, frame: FrameType, exit_code: int | None) -> None:
        self._frame: FrameType | None = frame
        self._exit_code = exit_code
        self._previous: dict[int, Any] = {}
        self.pending: int | None = None

    def listen(self, numbers: list[int]) -> None:
        """Note these signals from now on.

        Raises:
            CallbackStateError: this is not the main thread, to which Python gives all signals.
        """
        if threading.current_thread() is not threading.main_thread():
            raise CallbackStateError(
                "save_on_signal: expected fit in the main thread, which alone hears of signals, found it in "
                f"{threading.current_thread().name!r}. Call fit there, or use save_every=."
            )
        for number in numbers:
            if number not in self._previous:
                _release_stale(number)
                self._previous[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Put the previous handlers back; those that somebody has set since are left."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._note:
                # None: not a handler of Python's, which cannot be put back.
                signal.signal(number, signal.SIG_DFL if previous is None else previous)
        self._frame = None

    def stop(self) -> NoReturn:
        """End the process or the run, when it is safe, and after the handler that was there before.

        Raises:
            SystemExit, StoppedBySignal: or whatever that handler raises.
        """
        assert self.pending is not None
        previous = self._previous[self.pending]
        if callable(previous) and previous is not signal.default_int_handler:
            previous(self.pending, sys._getframe())
        if self._exit_code is None:
            raise StoppedBySignal(signal.Signals(self.pending).name)
        raise SystemExit(self._exit_code)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_running(frame):
            self.pending = self.pending or number
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


def _release_stale(number: int) -> None:
    """What a ``fit`` has left that an exception ended."""
    owner = getattr(signal.getsignal(number), "__self__", None)
    if isinstance(owner, StopSignals) and not owner._is_running(sys._getframe()):
        owner.restore()
