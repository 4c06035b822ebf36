"""The seam to the file system: durable writes, renames, staging directories, digests.

Everything that changes a directory of checkpoints goes through here, so that a test can let each
single step fail. An error of the disk is always passed on: what an ``fsync`` failed to write is
lost, however often it is tried again. Not guaranteed: anything on a disk that lies about its cache,
or on a network file system whose server does not keep its promises.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

WINDOWS = os.name == "nt"
#: Bytes per system call: macOS and Windows refuse 2 GiB at once.
WRITE_SIZE = 1 << 26
READ_SIZE = 1 << 18
#: Seconds between two tries of a rename on Windows, two seconds in all.
RETRY_DELAYS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.2, 0.5, 1.0)

_BINARY: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
# What FUSE and CIFS answer where a directory cannot be synced. EIO and ENOSPC are never among them.
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES})
_NO_FULL_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})

#: The staging directories in use by this process; one with its number that is not here is older.
_ACTIVE: set[str] = set()
#: The directories whose own names this process has made durable, with their identity (device, number).
_DURABLE: set[tuple[str, int, int]] = set()


def write_bytes(path: str, data: bytes | memoryview) -> None:
    """Writes a new file, and returns when its content is on the disk.

    The name of the file is durable only after :func:`sync_directory`. Permissions are the umask's.

    Raises:
        FileExistsError: there is such a file already.
        OSError: the system could not open, write, sync or close; what is there is to be removed.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        _write_all(fd, memoryview(data))
        _sync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, rest: memoryview) -> None:
    while rest:
        written = os.write(fd, rest[:WRITE_SIZE])
        if written <= 0:
            raise OSError(errno.EIO, "the system wrote nothing and reported no error")
        rest = rest[written:]


def _sync(fd: int) -> None:
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


def sync_file(path: str) -> None:
    """Returns when the content of a file that somebody else wrote and closed is on the disk.

    Raises:
        OSError: as the system says; the file is then to be thrown away.

    Not guaranteed: that an error is reported which the system met before and told somebody else.
    """
    # Windows syncs only what is open for writing.
    fd = os.open(path, (os.O_RDWR if WINDOWS else os.O_RDONLY) | _BINARY)
    try:
        _sync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Returns when the names in a directory (``""``: the current one) are on the disk.

    Does nothing where a directory cannot be synced: on Windows, on some FUSE and CIFS mounts.

    Raises:
        OSError: the directory is missing, or the disk failed (EIO, ENOSPC).
    """
    if WINDOWS:
        return
    try:
        sync_file(path or os.curdir)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def make_directory(path: str) -> None:
    """Makes one new directory; its name is not yet durable. Raises OSError."""
    os.mkdir(path)


def make_directories(path: str) -> None:
    """Makes a directory and its missing parents, and each name durable up to the mount. Raises OSError.

    Also the names that are there already, once in a process: whoever made them may have died before
    he synced them, and no one can see that.
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
    """Gives a file another name, at once and instead of a file that had it; not yet durable.

    On Windows this fails while somebody reads the old file, and is tried again for two seconds.

    Raises:
        OSError: as the system says; the old file is then still there.
    """
    for delay in RETRY_DELAYS if WINDOWS else ():
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(delay)
        else:
            return
    os.replace(source, target)


def remove(path: str) -> None:
    """Removes a file if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Removes a directory and all in it, if it is there; of a link, or a file, only that. Raises OSError."""
    if not is_tree(path):
        remove(path)
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def is_tree(path: str) -> bool:
    """Whether a directory is there, and no link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


@contextlib.contextmanager
def staging(path: str) -> Iterator[str]:
    """A new directory ``.<base>.tmp-<host>-<pid>-<random>`` beside a file, removed in the end.

    That it cannot be removed is no error: what is to last has been renamed out of it by then, and
    the next process finds it with :func:`stagings`. Raises OSError if it cannot be made.
    """
    stage = f"{_stem(path)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    _ACTIVE.add(stage)
    try:
        make_directory(stage)
        yield stage
    finally:
        try:
            with contextlib.suppress(OSError):
                remove_tree(stage)
        finally:
            _ACTIVE.discard(stage)


def stagings(path: str) -> tuple[list[str], list[str]]:
    """The staging directories beside a file: (those that a dead process left, the others).

    Only processes of this host can be known to be dead, and on Windows only earlier ones of the
    same number. Not guaranteed: that a number in use is not another process by now; that two
    containers of one host name, which see only their own processes, know each other as alive.
    """
    directory, stem = os.path.split(_stem(path))
    found = [os.path.join(directory, n) for n in os.listdir(directory) if n.startswith(stem)]
    dead = [stage for stage in found if _is_dead(stage, _stem(path) + _host())]
    return dead, [stage for stage in found if stage not in dead]


def _stem(path: str) -> str:
    directory, base = os.path.split(path)
    return os.path.join(directory, f".{base}.tmp-")


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname(), flags=re.ASCII)


def _is_dead(stage: str, stem: str) -> bool:
    tail = re.fullmatch(r"-([1-9][0-9]{0,8})-[0-9a-f]{8}", stage.removeprefix(stem))
    if tail is None:
        return False
    pid = int(tail[1])
    if pid == os.getpid():
        return stage not in _ACTIVE
    return not _is_running(pid)


def _is_running(pid: int) -> bool:
    if WINDOWS:  # signal 0 would not ask there, it would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def identity(path: str) -> tuple[int, int, int, int] | None:
    """What changes when another file takes this name, and not when a file is renamed to it."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class NoFileError(OSError):
    """A name stands for something from which one may read for ever."""


def _opened(path: str, flags: int) -> int:
    """Opens a file for reading; without waiting, as the opening of a pipe would wait for a writer."""
    fd = os.open(path, flags | _NO_WAIT)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # Python refuses directories itself
        os.close(fd)
        raise NoFileError(errno.EINVAL, "expected a regular file, found a pipe, a socket or a device", path)
    return fd


def read_bytes(path: str) -> bytes:
    """The content of a file. Raises NoFileError, OSError."""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        return file.read()


def read_end(path: str, size: int) -> bytes:
    """The last bytes of a file, all if it is shorter. Raises NoFileError, OSError."""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        file.seek(-min(size, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read(size)


def digest(path: str) -> tuple[bytes, int]:
    """SHA-256 (32 bytes) and size (bytes) of a file, also while it is replaced. Raises as read_bytes."""
    sha, size = hashlib.sha256(), 0
    view = memoryview(bytearray(READ_SIZE))
    with open(path, "rb", buffering=0, opener=_opened) as file:
        while count := file.readinto(view):
            sha.update(view[:count])
            size += count
    return sha.digest(), size


def sync_and_digest(path: str, meanwhile: Callable[[str], object] = lambda path: None) -> tuple[bytes, int]:
    """:func:`sync_file` and :func:`digest`, in threads, while this one reads the file too.

    Args:
        path: a file that is closed.
        meanwhile: is called with the path; what it raises is raised when the others have ended.
    """
    with ThreadPoolExecutor(2) as pool:
        syncing, found = pool.submit(sync_file, path), pool.submit(digest, path)
        meanwhile(path)
        syncing.result()
    return found.result()
