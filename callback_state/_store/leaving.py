"""What is to be done when the process ends, while its threads still work.

``atexit`` is too late: Python has shut down all executors by then, and a request to a store needs one to find its
host. Python itself ends them in a list of functions that has no public name; ours come before. Where that list is
missing, ``atexit`` has to do.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

#: In the order in which they were given; and the process that has given them.
_DUE: dict[int, Callable[[], object]] = {}
_process = 0


def when_leaving(act: Callable[[], object]) -> Callable[[], None]:
    """Call a function when the process ends, the one given last first. What this returns takes it back.

    A forked child does not call what its parent has given.
    """
    global _process
    if _process != os.getpid():
        _process = os.getpid()
        _DUE.clear()
        getattr(threading, "_register_atexit", atexit.register)(_leave, _process)
    number = max(_DUE, default=0) + 1
    _DUE[number] = act
    return lambda: _take_back(number)


def _take_back(number: int) -> None:
    _DUE.pop(number, None)


def _leave(process: int) -> None:
    while process == os.getpid() and _DUE:
        _DUE.popitem()[1]()
