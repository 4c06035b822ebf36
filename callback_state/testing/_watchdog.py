"""A hook that never returns is interrupted, and named."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["Watchdog", "called"]


class Watchdog:
    """Watches over the calls of hooks within its block.

    Only the main thread can be interrupted, and only where Ctrl-C raises a ``KeyboardInterrupt``; elsewhere
    nobody watches.

    Args:
        seconds: how long one call may take; None for as long as it likes.

    Attributes:
        call: (callback, hook, index) of the call that is going on; a new tuple for each call.

    Raises (from its block):
        TimeoutError: a call took longer; it was interrupted by a ``KeyboardInterrupt``.
    """

    def __init__(self, seconds: float | None) -> None:
        self.call: Any = None
        self._seconds = seconds
        self._late: Any = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watchdog:
        interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._seconds is not None and interrupts and threading.current_thread() is threading.main_thread():
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._late is not None and kind is KeyboardInterrupt:
            raise TimeoutError(
                f"{called(self._late)} had not returned after {self._seconds:g} s, and was interrupted: it never "
                f"ends, or waits for something that a simulation does not do. timeout= gives it more time"
            ) from error

    def _watch(self) -> None:
        seen = self.call
        while not self._over.wait(self._seconds):
            if self.call is seen and seen is not None:
                self._late = seen
                _interrupt_main()
                return
            seen = self.call


def called(call: tuple[Any, str, tuple[int, ...]]) -> str:
    """A call of a hook, in words."""
    callback, hook, index = call
    return f"{type(callback).__name__}.{hook}({', '.join(map(str, index))})"


def _interrupt_main() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)  # wakes it where it waits for the system too
    else:
        import _thread

        _thread.interrupt_main()
