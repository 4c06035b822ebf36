"""One process at a time writes into a directory of checkpoints; readers need no lock.

The lock is the system's (``flock``, on Windows ``LockFileEx``) on the hidden file ``.callback_state.lock``, by way
of the library filelock, so it ends with its process, however that dies. The file says who holds it, for the error
that another process gets. It holds no path: a directory that is copied or moved takes at most a file along that
nobody has locked, and the next holder uses it.

The file is removed by its holder *before* he lets go: who had opened it meanwhile gets the lock of a file without
a name, sees that and opens the new one. It stays behind only where its holder was killed, or may not remove it.

What the lock proves: that no other process of this package which asked for it writes here, as far as the file
system carries locks. A local one carries them to all containers of a host; a network file system may be mounted
with locks that end at the host (``local_lock``, ``localflock``).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import os
import socket
import sys
import threading
import time
import warnings
import weakref
from typing import Any

from ..exceptions import InUseError
from . import disk

NAME = ".callback_state.lock"
#: Seconds to wait for one who is just letting go.
PATIENCE = 0.5
#: Bytes of the file that are read: whoever can write there can write more.
_RECORD_SIZE = 1000
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

#: The locks of this process, by (device, number) of their directories.
_LOCKS: dict[tuple[int, int], _Lock] = {}
_GUARD = threading.RLock()  # a finalizer may come in between
#: The directories of which a warning has said that they cannot be locked.
_TOLD: set[str] = set()


class Held:
    """A directory that this process holds; it lets go with :meth:`release`, or when it is forgotten."""

    def __init__(self, lock: _Lock | None) -> None:
        self._leave = weakref.finalize(self, _leave, lock)
        self._leave.atexit = False  # _free_all comes earlier, while filelock still holds

    def release(self) -> None:
        """Let go; the last holder of this process lets others in. The second call does nothing."""
        self._leave()


def hold(directory: str | os.PathLike[str]) -> Held:
    """Keep other processes from writing into a directory. Within this process the holders are counted.

    Args:
        directory: made if it is missing.

    Returns:
        What releases it. Where the file system cannot lock (a warning says so, once), it holds nothing.

    Raises:
        InUseError: another process holds it; names that.
        OSError: the directory cannot be made or written, and so no checkpoint either.

    A child that was forked holds nothing of its parent's and releases nothing. A directory that was removed
    while it was held, and is asked for again, is locked anew.
    """
    path = os.path.realpath(directory)
    disk.make_directories(path)
    found = os.stat(path)
    key = found.st_dev, found.st_ino
    with _GUARD:
        lock = _LOCKS.get(key)
        if lock is not None:
            lock.count += 1
            if lock.is_in_place():
                return Held(lock)
            lock.count -= 1
            lock.file.release(force=True)
        lock = _Lock(path)
        if not lock.acquire():
            return Held(None)
        lock.count = 1
        _LOCKS[key] = lock
        return Held(lock)


def locked_at(directory: str | os.PathLike[str]) -> float | None:
    """When this process locked the directory, by the clock of its file system; None if it has not.

    Seconds since 1970, comparable with the times of files there.
    """
    found = os.stat(directory)
    with _GUARD:
        lock = _LOCKS.get((found.st_dev, found.st_ino))
        return os.stat(lock.path).st_mtime if lock is not None and lock.is_in_place() else None


class _Lock:
    """The lock of one directory, which all its holders in this process share."""

    def __init__(self, directory: str) -> None:
        self.directory, self.path = directory, os.path.join(directory, NAME)
        self.count = 0
        self.identity: tuple[int, int] | None = None
        self.file = _filelock().FileLock(
            self.path, thread_local=False, fallback_to_soft=False, on_acquired=self._sign
        )

    def acquire(self) -> bool:
        """Whether it could be locked; false where the file system has no locks. Raises as :func:`hold`."""
        try:
            self.file.acquire(timeout=PATIENCE, poll_interval=0.02)
        except _filelock().Timeout:
            raise _in_use(self.directory, self.path) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            disk.remove(self.path)
            _warn(self.directory, error)
            return False
        return True

    def _sign(self, fd: int) -> None:
        """Say who holds the lock, in the very file that is locked."""
        found = os.fstat(fd)
        self.identity = found.st_dev, found.st_ino
        if found.st_nlink > 1:  # under its other name it may be anybody's file
            return
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            os.write(fd, _record())
        except OSError as error:
            # It is locked all the same, and who wants to make room has to lock. The record is for messages only.
            if error.errno not in _FULL:
                raise

    def is_in_place(self) -> bool:
        """Whether who comes now finds this lock: it is held, and its file has not been removed."""
        return bool(self.file.is_locked) and (disk.WINDOWS or self._is_file())

    def _is_file(self) -> bool:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def free(self) -> None:
        """Let others in."""
        for key in [key for key, lock in _LOCKS.items() if lock is self]:
            del _LOCKS[key]
        if not self.file.is_locked:
            return
        # Windows removes no file that is open; there filelock does it afterwards.
        if not disk.WINDOWS and self._is_file():
            with contextlib.suppress(OSError):  # a directory that has become read-only keeps it
                os.unlink(self.path)
        self.file.release(force=True)


def _leave(lock: _Lock | None) -> None:
    if lock is None:
        return
    with _GUARD:
        lock.count -= 1
        if lock.count == 0:
            lock.free()


@functools.cache
def _filelock() -> Any:
    """The library, imported when the first directory is held; it takes 35 ms."""
    import filelock

    atexit.register(_free_all)  # after filelock's own, so it is called before
    return filelock


def _free_all() -> None:
    for lock in list(_LOCKS.values()):
        lock.free()


def _reset_after_fork() -> None:
    """In a forked child filelock has closed its copies of the files, and nothing is locked there."""
    global _GUARD
    _GUARD = threading.RLock()  # another thread of the parent may have had it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _warn(directory: str, error: OSError) -> None:
    if directory not in _TOLD:
        _TOLD.add(directory)
        warnings.warn(
            f"{directory}: its file system cannot lock files ({error.strerror}), so nothing keeps a second run "
            f"from writing here too. See to it that none does.",
            stacklevel=4,
        )


def _record() -> bytes:
    """Process, host, time and program, a line each, behind the one byte that Windows locks for reading too."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    lines = ["", str(os.getpid()), socket.gethostname(), since, _program(), ""]
    return "\n".join(lines).encode(errors="replace")


def _program() -> str:
    """The program's name; its arguments may be secrets, and its directory is of this machine."""
    directory, name = os.path.split(sys.argv[0] if sys.argv else "")
    return (os.path.basename(directory) if name == "__main__.py" else name) or "python"


def _in_use(directory: str, path: str) -> InUseError:
    return InUseError(
        directory,
        f"expected to be the only run that writes here, found {_holder(path)}. Each would delete and replace "
        f"checkpoints of the other. Wait until it has ended, stop it, or choose another directory.",
    )


def _holder(path: str) -> str:
    """What the lock's file says of its holder; it is believed in words only."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(1)
            lines = file.read(_RECORD_SIZE).decode(errors="replace").split("\n")
    except OSError:
        lines = []
    if len(lines) != 5 or not all(line.isprintable() for line in lines):
        return "another process"
    pid, host, since, program, _ = lines
    return f"process {pid} on {host} ({program}), at work since {since}"
