"""One thread of one process at a time writes into a directory of checkpoints; readers need no lock.

The lock is the system's (``flock``, on Windows ``LockFileEx``) on the hidden file ``.callback_state.lock``, by way
of the library filelock, so it ends with its process, however that dies. The file says which process holds it, for
the error that another process gets. It contains no path: in a directory that is copied or moved it is a file that
nobody has locked, and the next holder uses it.

The holder removes the file *before* it releases the lock. A process that had opened the file by then gets the lock
of a file without a name, notices that, and opens the new file. The file stays only if its holder was killed, or
was not allowed to remove it.

What the lock proves: no other process that asks for it writes here, as far as the file system shares locks. A
local file system shares them with all containers of a host. A network file system can be mounted so that locks are
not shared between hosts (``local_lock``, ``localflock``).
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
import weakref
from typing import Any

from .._warn import warn
from ..exceptions import InUseError
from . import disk

NAME = ".callback_state.lock"
#: Seconds to wait for a holder that is about to release the lock.
PATIENCE = 0.5
#: Only so many bytes of the file are read: anybody may have written more into it.
_RECORD_SIZE = 1000
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

_IN_USE = (
    "expected to be the only run that writes here, found {}. Each would delete and replace checkpoints of the "
    "other. Wait until it has ended, stop it, or choose another directory."
)

#: The locks of this process, by (device, number) of their directories.
_LOCKS: dict[tuple[int, int], _Lock] = {}
_GUARD = threading.RLock()  # a finalizer may run while this thread has it
#: The directories that cannot be locked, and of which a warning has said so.
_TOLD: set[str] = set()


class Held:
    """A directory that this process holds, until :meth:`release` or until this object is collected."""

    def __init__(self, lock: _Lock | None) -> None:
        self._lock = lock
        self._leave = weakref.finalize(self, _leave, lock)
        self._leave.atexit = False  # _free_all is called earlier, while filelock still has the lock

    @property
    def is_in_place(self) -> bool:
        """Whether this still keeps others out: the directory and the file are where they were."""
        return self._lock is None or self._lock.is_in_place()

    def release(self) -> None:
        """Release it. The last holder of this process releases the lock. A second call does nothing."""
        self._leave()


def hold(directory: str | os.PathLike[str]) -> Held:
    """Lock a directory, which is made if it is missing. Within one thread the holders are counted.

    Where the file system has no locks, a warning says so once, and the result holds nothing. A forked child holds
    and releases nothing of its parent's. A directory that was removed while it was held is locked anew. Raises
    InUseError, which names the other process or thread, or OSError if the directory cannot be made or written.
    """
    path = os.path.realpath(directory)
    disk.make_directories(path)
    found = os.stat(path)
    key = found.st_dev, found.st_ino
    with _GUARD:
        lock = _LOCKS.get(key)
        if lock is not None:
            if lock.is_in_place():
                lock.check_thread()
                lock.count += 1
                return Held(lock)
            lock.unlock()
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


def is_held(directory: str | os.PathLike[str]) -> bool:
    """Whether a process writes into a directory now, for a table; no lock is taken that another would notice.

    On Windows a file that a killed process has left counts too.
    """
    try:
        with open(os.path.join(directory, NAME), "rb") as file:
            return disk.WINDOWS or _is_locked(file.fileno())
    except OSError:
        return False


def _is_locked(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # whoever asks for the lock now waits
    except OSError:
        return True
    return False


class _Lock:
    """The lock of one directory, which all its holders in this process share."""

    def __init__(self, directory: str) -> None:
        self.directory, self.path = directory, os.path.join(directory, NAME)
        self.count = 0
        self.thread = threading.current_thread()  # of the holders; a fork leaves no other thread alive
        self.identity: tuple[int, int] | None = None
        self.file = _filelock().FileLock(
            self.path, thread_local=False, fallback_to_soft=False, on_acquired=self._sign
        )

    def acquire(self) -> bool:
        """Lock it; false where the file system has no locks. Raises as :func:`hold`."""
        if os.path.islink(self.path):  # the lock would be, and be written into, what it leads to
            disk.remove(self.path)
        try:
            self.file.acquire(timeout=PATIENCE, poll_interval=0.02)
        except _filelock().Timeout:
            raise InUseError(self.directory, _IN_USE.format(_holder(self.path))) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            disk.remove(self.path)
            if self.directory not in _TOLD:
                _TOLD.add(self.directory)
                warn(
                    f"{self.directory}: its file system cannot lock files ({error.strerror}), so nothing keeps a "
                    f"second run from writing here too. Make sure that no other run writes here."
                )
            return False
        return True

    def check_thread(self) -> None:
        """Let this thread be the holder. Raises InUseError if another thread, which is alive, holds the lock."""
        here = threading.current_thread()
        if self.count and self.thread is not here and self.thread.is_alive():
            raise InUseError(
                self.directory, _IN_USE.format(f"the thread {self.thread.name!r} of this process, {os.getpid()}")
            )
        self.thread = here

    def _sign(self, fd: int) -> None:
        """Write into the locked file which process holds it."""
        found = os.fstat(fd)
        self.identity = found.st_dev, found.st_ino
        if found.st_nlink > 1 or os.path.islink(self.path):  # it has another name: the file may be anybody's
            return
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            os.write(fd, _record())
        except OSError as error:
            # On a full disk the lock holds all the same, and it is needed to make room. The record is only for
            # messages.
            if error.errno not in _FULL:
                raise

    def is_in_place(self) -> bool:
        """Whether another process would find this lock: it is held, and its file was not removed."""
        return bool(self.file.is_locked) and (disk.WINDOWS or self._is_file())

    def _is_file(self) -> bool:
        try:
            found = os.stat(self.path)
        except OSError:  # missing, or the directory has gone away
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def free(self) -> None:
        """Release the lock of the system."""
        for key in [key for key, lock in _LOCKS.items() if lock is self]:
            del _LOCKS[key]
        self.unlock()

    def unlock(self) -> None:
        """Unlock the file and remove it. A failure is warned of: training goes on, and the lock ends with it."""
        if not self.file.is_locked:
            return
        # Windows removes no file that is open; there filelock does it afterwards.
        if not disk.WINDOWS and self._is_file():
            with contextlib.suppress(OSError):  # the directory may have become read-only
                os.unlink(self.path)
        try:
            self.file.release(force=True)
        except OSError as error:
            warn(
                f"{self.directory}: its lock could not be released ({error}). Until this process has ended, "
                f"another run cannot write there."
            )


def _leave(lock: _Lock | None) -> None:
    if lock is None:
        return
    with _GUARD:
        lock.count -= 1
        if lock.count == 0:
            lock.free()


@functools.cache
def _filelock() -> Any:
    """The library. It is imported when the first directory is locked, as that takes 35 ms."""
    import filelock

    atexit.register(_free_all)  # registered after filelock's own function, so called before it
    return filelock


def _free_all() -> None:
    for lock in list(_LOCKS.values()):
        lock.free()


def _reset_after_fork() -> None:
    """In a forked child filelock has closed its files, so nothing is locked there."""
    global _GUARD
    _GUARD = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _record() -> bytes:
    """Process, host, time and program, one line each, after one byte: Windows lets nobody read the locked byte."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    # The program without its arguments, which may be secret, and without its directory.
    directory, name = os.path.split(sys.argv[0] if sys.argv else "")
    program = (os.path.basename(directory) if name == "__main__.py" else name) or "python"
    lines = ["", str(os.getpid()), socket.gethostname(), since, program, ""]
    return "\n".join(lines).encode(errors="replace")


def _holder(path: str) -> str:
    """What the lock file says of its holder; used only in messages."""
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
