"""Calls of the system: durable writes, renames, digests.

Every change of a directory of checkpoints is a call of one of these functions, so a test can let each single step
fail. Errors of the disk are always passed on: what an ``fsync`` failed to write is lost for good. Nothing is
guaranteed where a disk, or the server of a network file system, reports writes that it has not made.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from . import presence

WINDOWS = os.name == "nt"
#: Bytes per system call: macOS and Windows refuse 2 GiB at once.
WRITE_SIZE = 1 << 26
READ_SIZE = 1 << 18
#: Of a file that takes less than this part of its size on the disk, hardly anything was ever written.
HOLES = 1000
#: Seconds between two tries of a rename on Windows, two seconds in all.
RETRY_DELAYS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.2, 0.5, 1.0)

_BINARY: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
# What FUSE and CIFS answer where a directory cannot be synced. EIO and ENOSPC are never among them.
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES})
_NO_FULL_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})

#: The directories whose own names this process has made durable, with their identity (device, number).
_DURABLE: set[tuple[str, int, int]] = set()


def write_bytes(path: str, data: bytes | memoryview) -> None:
    """Write a new file, and return when its content is on the disk.

    The name of the file is durable only after :func:`sync_directory`. Permissions are the umask's. Raises
    FileExistsError if there is such a file already; after another OSError, what is there is to be removed.
    """
    _write_and_close(create(path), data)


def create(path: str) -> int:
    """Open a new file for writing; permissions are the umask's. Raises FileExistsError, OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)


def append(path: str, data: bytes) -> None:
    """Append to a file that is no link, or begin it, and return when its content is on the disk. Raises OSError.

    The name of a new file is durable only after :func:`sync_directory`.
    """
    fd = _opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK | _BINARY)
    _write_and_close(fd, data)


def _write_and_close(fd: int, data: bytes | memoryview) -> None:
    try:
        write_all(fd, memoryview(data))
        sync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, rest: memoryview) -> None:
    """Write everything; a write that is refused, or that writes nothing, is an OSError."""
    while rest:
        written = os.write(fd, rest[:WRITE_SIZE])
        if written <= 0:
            raise OSError(errno.EIO, "the system wrote nothing and reported no error")
        rest = rest[written:]


def sync(fd: int) -> None:
    """Return when the content of an open file is on the disk. Raises OSError."""
    if sys.platform == "darwin":
        import fcntl

        # There, fsync ends at the drive's cache. Not every file system knows the stronger call.
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
    os.fsync(fd)


def begin_sync(fd: int) -> None:
    """Ask the system to write to the disk what an open file has so far, and go on at once; only advice.

    Linux does so where a program says that it will not read these bytes again. A later :func:`sync` waits less.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # sync tells of a disk that fails
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def close(fd: int) -> None:
    """Close an open file. Raises OSError."""
    os.close(fd)


def sync_file(path: str) -> None:
    """Return when the content of a closed file is on the disk. After an OSError the file is useless.

    Not guaranteed: that an error is reported here which the system has already reported to somebody else.
    """
    # Windows syncs only what is open for writing.
    fd = os.open(path, (os.O_RDWR if WINDOWS else os.O_RDONLY) | _BINARY)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Return when the names in a directory (``""``: the current one) are on the disk.

    Does nothing where a directory cannot be synced: on Windows, on some FUSE and CIFS mounts. Raises OSError if
    the directory is missing, or the disk failed (EIO, ENOSPC).
    """
    if WINDOWS:
        return
    try:
        sync_file(path or os.curdir)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def make_directory(path: str) -> None:
    """Make one new directory. Its name is not durable yet. Raises OSError."""
    os.mkdir(path)


def make_directories(path: str) -> None:
    """Make a directory and its missing parents, and make all their names durable up to the mount. Raises OSError.

    Names that are there already are synced too, once in a process: who made them may have died before it did so.
    """
    if not path or os.path.ismount(path) or _is_durable(path):
        return
    parent = os.path.dirname(path.rstrip(os.sep))
    make_directories(parent)
    # Another process may have been faster.
    os.makedirs(path, exist_ok=True)
    sync_directory(parent)
    found = os.stat(path)
    _DURABLE.add((path, found.st_dev, found.st_ino))


def _is_durable(path: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (path, found.st_dev, found.st_ino) in _DURABLE


def rename(source: str, target: str) -> None:
    """Rename a file, at once in the place of a file that had the name; not durable yet.

    On Windows it fails while a process reads the old file, and is tried again. After an OSError that one stays.
    """
    presence.goes(source)
    for delay in RETRY_DELAYS if WINDOWS else ():
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(delay)
        else:
            return
    os.replace(source, target)


def link(source: str, target: str) -> None:
    """Give a file a second name; not durable yet. Raises OSError, also where the system makes no such links."""
    os.link(source, target)


def remove(path: str) -> None:
    """Remove a file if it is there. Raises OSError."""
    presence.goes(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Remove a directory with its content, a file, or a link itself, if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path) if is_tree(path) else remove(path)


def is_tree(path: str) -> bool:
    """Whether a directory is there that is not a link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def identity(path: str) -> tuple[int, int, int, int] | None:
    """A value that stays when a file is renamed, and changes when another file takes its name; None if missing."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_there(path: str) -> bool:
    """Whether there is something of this name, a link included. Raises OSError if that cannot be told."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_directory(path: str) -> bool:
    """Whether a directory is there; a link is followed. Raises OSError if that cannot be told."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


class NoFileError(OSError):
    """The name is that of a pipe, a socket or a device, which may never end."""


def _opened(path: str, flags: int) -> int:
    """Open a file. Opening a pipe would wait for the other end; this does not."""
    fd = os.open(path, flags | _NO_WAIT, 0o666)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # Python refuses directories itself
        os.close(fd)
        raise NoFileError(errno.EINVAL, "expected a regular file, found a pipe, a socket or a device", path)
    return fd


def opened(path: str) -> io.FileIO:
    """Open a file to read it, that is no link. Raises NoFileError, OSError (a link: ELOOP)."""
    return io.FileIO(path, "rb", opener=lambda path, flags: _opened(path, flags | _NO_LINK))


def read_bytes(path: str) -> bytes:
    """The content of a file. Raises NoFileError, OSError."""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        return file.read()


def read_end(path: str, size: int) -> bytes:
    """The last bytes of a file, all if it is shorter. Raises NoFileError, OSError."""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        file.seek(-min(size, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read(size)


def is_hollow(path: str, size: int) -> bool:
    """Whether hardly any of the ``size`` bytes of a file was ever written, as far as the system tells."""
    blocks = getattr(os.stat(path), "st_blocks", None)  # of 512 bytes each; Windows has none
    return blocks is not None and blocks * 512 < size // HOLES


def memory() -> int | None:
    """How many bytes of memory the machine has; None if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def digest(path: str) -> tuple[bytes, int]:
    """SHA-256 (32 bytes) and size (bytes) of a file, also while it is replaced. Raises as read_bytes."""
    sha, size = hashlib.sha256(), 0
    view = memoryview(bytearray(READ_SIZE))
    with open(path, "rb", buffering=0, opener=_opened) as file:
        while count := file.readinto(view):
            sha.update(view[:count])
            size += count
    return sha.digest(), size


def sync_and_digest(path: str) -> tuple[bytes, int]:
    """:func:`sync_file`, and :func:`digest` at the same time."""
    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(sync_file, path)
        found = digest(path)
        syncing.result()
    return found
