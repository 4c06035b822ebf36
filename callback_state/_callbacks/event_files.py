"""The event files of a ``TensorBoard``: how long they were at a save, and how the rest is removed.

TensorFlow begins a new event file in each process, with the time in its name. A file that existed at the save is
cut to the size that it had then. A file that the killed run has begun later is removed.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any
from weakref import WeakKeyDictionary

from .._keras.stock_callbacks import flush_event_files
from .._store import disk
from .._store.staging import cut
from .._warn import warn
from .csv_log import is_remote, natural

#: Where the callback writes, below its log_dir.
_DIRECTORIES = ("train", "validation")
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\..*", re.DOTALL)

#: For a restored callback: the event files at the restore, and the time in seconds since 1970.
_noted: WeakKeyDictionary[Any, tuple[frozenset[str], int]] = WeakKeyDictionary()


def outside(callback: Any) -> dict[str, Any]:
    """The size in bytes of each event file, by its name relative to log_dir; and the seconds since 1970."""
    flush_event_files(callback)
    return {"files": _sizes(callback.log_dir), "at": int(time.time())}


def note(callback: Any, taken: dict[str, Any]) -> None:
    """Remember which event files exist before the resumed ``fit`` begins one of its own."""
    # The process number in their names is no help: a notebook restores in the process that was interrupted.
    _noted[callback] = frozenset(_sizes(callback.log_dir)), int(time.time())


def wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Cut the event files that existed, and remove those that were begun later.

    A name from the checkpoint is never used as a path. Only files found in the directories are changed.
    """
    then = {name: natural(size) for name, size in taken["files"].items()}
    noted, until = _noted.get(callback, (frozenset(), 0))
    problems = (
        ["it is not a local directory, and only local ones are wound back"] if is_remote(callback.log_dir) else []
    )
    now = _sizes(callback.log_dir)
    for name, size in then.items():
        if now.get(name, -1) < size:
            found = f"has {now[name]} now" if name in now else "does not exist now"
            problems.append(f"{name} had {size} bytes when the checkpoint was written, and {found}")
    for name in now:
        try:
            if name in then and then[name] <= now[name]:
                _cut(os.path.join(callback.log_dir, name), then[name], now[name])
            elif name in noted - then.keys() and natural(taken["at"]) <= _time_of(name) <= until:
                disk.remove(os.path.join(callback.log_dir, name))
        except OSError as error:
            problems.append(f"what the killed run wrote cannot be removed from {name} ({error})")
    if problems:
        warn(
            f"{type(callback).__name__}: {callback.log_dir}: {'; '.join(problems)}. Steps may be shown twice, or "
            f"be missing."
        )


def _cut(path: str, size: int, now: int) -> None:
    # A writer of this process that was not closed still writes what it holds when it is deleted.
    if f".{os.getpid()}." in os.path.basename(path):
        cut(os.path.realpath(path), size, anew=True)
    elif size < now:
        cut(path, size)


def _sizes(log_dir: str) -> dict[str, int]:
    """The size of each event file that is no link, by a name such as ``train/events...``, sorted."""
    found: dict[str, int] = {}
    for directory in _DIRECTORIES:
        path = os.path.join(log_dir, directory)
        if not is_remote(log_dir) and os.path.isdir(path):
            with os.scandir(path) as entries:
                events = [e for e in entries if _NAME.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            found |= {f"{directory}/{entry.name}": entry.stat().st_size for entry in events}
    return dict(sorted(found.items()))


def _time_of(name: str) -> int:
    """When an event file was begun, from its name: seconds since 1970."""
    match = _NAME.fullmatch(name.partition("/")[2])
    return -1 if match is None else int(match[1])
