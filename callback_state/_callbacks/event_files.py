"""The event files of a ``TensorBoard``: how long they were at a save, and how the rest is removed.

TensorFlow begins a new event file in each process, with the time in its name. A file that existed at the save is
cut to the size that it had then. A file that the killed run has begun later is removed. Both only if the run has
noted that the file is its own (:mod:`.._store.claims`): other runs may log to the same directory.

A file is noted soon after it is begun, at the beginning of the training or of its first validation. A kill between
the two leaves a file that no note has and that holds no step yet; it stays.
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Any
from weakref import WeakKeyDictionary

from .._keras.stock_callbacks import event_writers, flush_event_files
from .._store import disk
from .._store.claims import Owner, claim, claimed
from .._store.staging import cut
from .._warn import warn
from .csv_log import is_remote, natural

#: Where the callback writes, below its log_dir.
_DIRECTORIES = ("train", "validation")
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\..*", re.DOTALL)
#: So many names a warning has.
_SHOWN = 10

#: For a restored callback: the event files at the restore.
_noted: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()
#: For whom a callback logs.
_owners: WeakKeyDictionary[Any, Owner] = WeakKeyDictionary()
#: Of a callback, by directory: its writer, the name of the writer's file, and for whom the file was noted.
_written: WeakKeyDictionary[Any, dict[str, tuple[Any, str | None, Owner | None]]] = WeakKeyDictionary()
#: The paths of the event files whose writers are known.
_known: set[str] = set()


def outside(callback: Any) -> dict[str, Any]:
    """The size in bytes of each event file of the run, by its name relative to log_dir; and seconds since 1970."""
    flush_event_files(callback)
    own = _own(callback)
    return {"files": {n: s for n, s in _sizes(callback.log_dir).items() if n in own}, "at": int(time.time())}


def began(callback: Any, owner: Owner) -> None:
    """Note that the event files which the callback has begun are of this run."""
    _owners[callback] = owner
    if is_remote(callback.log_dir):
        return
    known, fresh = _written.setdefault(callback, {}), []
    for directory, writer in event_writers(callback).items():
        before, name, noted = known.get(directory, (None, None, None))
        if before is not writer:
            name, noted = _newest(callback.log_dir, directory), None
        if noted != owner and name is not None and owner.directories:
            fresh.append(name)
            noted = owner
        known[directory] = writer, name, noted
    _claim(callback, fresh, owner)


def note(callback: Any, owner: Owner) -> None:
    """Remember which event files exist before the resumed ``fit`` begins one of its own."""
    _noted[callback], _owners[callback] = frozenset(_sizes(callback.log_dir)), owner


def wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Cut the run's event files that existed, and remove those that it has begun later.

    A name from the checkpoint is never used as a path. Only files found in the directories are changed.
    """
    then = {name: natural(size) for name, size in taken["files"].items()}
    at, noted = natural(taken["at"]), _noted.get(callback, frozenset())
    problems = _hidden_parts(callback.log_dir)
    now, own = _sizes(callback.log_dir), _own(callback)
    for name, size in then.items():
        if now.get(name, -1) < size:
            found = f"has {now[name]} now" if name in now else "does not exist now"
            problems.append(f"{name} had {size} bytes when the checkpoint was written, and {found}")
    foreign = []
    for name, size in now.items():
        is_later = name in noted - then.keys()
        if not is_later and not then.get(name, size + 1) <= size:
            continue
        try:
            if name not in own:
                if (_time_of(name) >= at) if is_later else (then[name] < size):
                    foreign.append(name)
            elif not is_later:
                _cut(callback, name, then[name], size)
            elif _time_of(name) >= at:
                disk.remove(os.path.join(callback.log_dir, name))
            else:
                problems.append(f"{name} was begun before the checkpoint, which does not know it")
        except OSError as error:
            problems.append(f"what the killed run wrote cannot be removed from {name} ({error})")
    if foreign:
        problems.append(
            f"{_listed(foreign)}: not noted as begun by the run that goes on, and left as found: another run may "
            f"have written there"
        )
    if problems:
        warn(
            f"{type(callback).__name__}: {callback.log_dir}: {'; '.join(problems)}. Steps may be shown twice, or "
            f"be missing."
        )


def _own(callback: Any) -> set[str]:
    """The names of the event files that the run of this callback has begun; none if no run is known."""
    owner = _owners.get(callback)
    return set() if owner is None or is_remote(callback.log_dir) else claimed(callback.log_dir, owner)


def _claim(callback: Any, names: list[str], owner: Owner) -> None:
    try:
        claim(callback.log_dir, names, owner)
    except OSError as error:
        warn(
            f"{type(callback).__name__}: {callback.log_dir}: it cannot be noted that this run has begun "
            f"{', '.join(names)} ({error}). After a restart these files are left as they are, and steps may be "
            f"shown twice."
        )


def _newest(log_dir: str, directory: str) -> str | None:
    """The name of the event file that this process has begun last, and whose writer is not known yet.

    TensorFlow does not tell which file a writer has. It numbers the files of a process.
    """
    mine = re.compile(
        rf"events\.out\.tfevents\.\d{{10}}\.{re.escape(socket.gethostname())}\.{os.getpid()}\.(\d+)\.v2"
    )
    found = [
        (int(match[1]), name) for name in _sizes(log_dir) if (match := mine.fullmatch(name.partition("/")[2]))
    ]
    paths = {name: os.path.abspath(os.path.join(log_dir, name)) for _, name in found}
    fresh = [(n, name) for n, name in found if name.startswith(f"{directory}/") and paths[name] not in _known]
    if not fresh:
        return None
    _, name = max(fresh)
    _known.add(paths[name])
    return name


def _cut(callback: Any, name: str, size: int, now: int) -> None:
    path = os.path.realpath(os.path.join(callback.log_dir, name))
    # A writer of this process that was not closed still writes what it holds when it is deleted.
    is_mine = f".{os.getpid()}." in os.path.basename(path)
    if is_mine or size < now:
        before = os.stat(path).st_ino
        cut(path, size, anew=is_mine)
        if os.stat(path).st_ino != before:
            _claim(callback, [name], _owners[callback])  # the note has the number of the old file


def _hidden_parts(log_dir: str) -> list[str]:
    """Why a part of the logs is not looked at."""
    if is_remote(log_dir):
        return ["it is not a local directory, and only local ones are wound back"]
    links = [name for name in _DIRECTORIES if os.path.islink(os.path.join(log_dir, name))]
    return [f"{name} is a link, and what is behind it is left as it is" for name in links]


def _sizes(log_dir: str) -> dict[str, int]:
    """The size of each event file that is behind no link, by a name such as ``train/events...``, sorted."""
    found: dict[str, int] = {}
    for directory in _DIRECTORIES:
        path = os.path.join(log_dir, directory)
        if not is_remote(log_dir) and os.path.isdir(path) and not os.path.islink(path):
            with os.scandir(path) as entries:
                events = [e for e in entries if _NAME.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            found |= {f"{directory}/{entry.name}": entry.stat().st_size for entry in events}
    return dict(sorted(found.items()))


def _time_of(name: str) -> int:
    """When an event file was begun, from its name: seconds since 1970."""
    match = _NAME.fullmatch(name.partition("/")[2])
    return -1 if match is None else int(match[1])


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
