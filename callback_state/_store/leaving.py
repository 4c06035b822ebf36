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
_DUE: dict[object, Callable[[], object]] = {}
_process = 0


def when_leaving(act: Callable[[], object]) -> Callable[[], object]:
    """Call a function when the process ends, the one given last first. What this returns takes it back.

    A forked child does not call what its parent has given.
    """
    global _process
    if _process != os.getpid():
        _process = os.getpid()
        _DUE.clear()
        getattr(threading, "_register_atexit", atexit.register)(_leave, _process)
    key = object()
    _DUE[key] = act
    return lambda: _DUE.pop(key, None)


def _leave(process: int) -> None:
    while process == os.getpid() and _DUE:
        _DUE.popitem()[1]()
