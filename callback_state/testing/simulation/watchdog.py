"""A watchdog that interrupts and names a hook that does not return."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Watchdog:
    """A context manager that limits the time that one callback may take for one hook within its block.

    Only the main thread can be interrupted, and only if Ctrl-C raises a ``KeyboardInterrupt`` there. In any other
    case the time is not limited.
    """

    def __init__(self, seconds: float | None) -> None:
        #: (hook, index) of the running hook, a new tuple each time; None between two hooks.
        self.event: tuple[str, tuple[int, ...]] | None = None
        self.callback: Any = None
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
        if kind is KeyboardInterrupt and self._late is not None and self._late is self.event:
            raise TimeoutError(
                f"{self.called} did not return within {self._seconds:g} s and was interrupted: it never ends, or "
                f"it waits for something that a simulation does not do. timeout= gives it more time"
            ) from error

    @property
    def called(self) -> str:
        """The running call in words; empty between two hooks."""
        if self.event is None:
            return ""
        hook, index = self.event
        return f"{type(self.callback).__name__}.{hook}({', '.join(map(str, index))})"

    def _watch(self) -> None:
        seen: Any = None, None
        while not self._over.wait(self._seconds):
            now = self.event, self.callback
            if now[0] is not None and now[0] is seen[0] and now[1] is seen[1]:
                self._late = self.event
                _interrupt_main()
            seen = now


def _interrupt_main() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)  # this also ends a system call that waits
    else:
        import _thread

        _thread.interrupt_main()
