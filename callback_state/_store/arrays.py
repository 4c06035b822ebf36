"""Arrays files, ``<model file>.callbacks.<64 hex digits>.arrays``: the large arrays of a checkpoint.

The digits come from the digests in the state file (see :mod:`.._format.blocks`). No text in a state file becomes a
part of a path. The same arrays have the same digits in each checkpoint. So a save that finds them in another one
makes a hard link, and writes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable

from .._format.blocks import ArraysFile, Entry, LiveFile, files_of
from ..exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError
from . import disk, presence
from .staging import refuse_link

_NAME = re.compile(r"(?P<base>.+)\.callbacks\.[0-9a-f]{64}\.arrays", re.ASCII | re.DOTALL)
#: How many saves one file serves, by links. Then it is written again, so no damaged block is in all checkpoints.
SAVES = 10
_AGAIN = "use another checkpoint, or a copy of this file"
#: What a system answers that makes no link here, or no further one. EIO and ENOSPC are never among them.
_NO_LINK = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.EMLINK,
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.ENOENT,
    }
)

#: How many saves of this process each file (device, number) has served. Links that were deleted count too.
_SERVED: dict[tuple[int, int], int] = {}


def path_of(model: str, file: ArraysFile) -> str:
    """Where an arrays file of a model file is."""
    return f"{model}.callbacks.{file.digest.hex()}.arrays"


def paths_of(model: str, blocks: Iterable[Entry]) -> list[str]:
    """Where the arrays files of a state are. Where the model file is a link, they are beside what it leads to."""
    real = os.path.realpath(model) if os.path.islink(model) else model
    return [path_of(real, file) for file in files_of(blocks)]


def model_of(name: str) -> str | None:
    """The name of the model file to which an arrays file of this name belongs; None if it is no such name."""
    match = _NAME.fullmatch(name)
    return None if match is None else match["base"]


# Writing.


def stage(directory: str, model: str, files: Iterable[LiveFile]) -> list[tuple[str, str]]:
    """Make arrays files durable in a staging directory; returns (staged path, path that it is to get) of each.

    A file that is in its place, and whole, is left out. Raises OSError, also where a link is in its place.
    """
    staged = []
    for file in files:
        path = path_of(model, file.described)
        refuse_link(path)
        if _may_serve(path, file.described) and _is_whole(path, file.described):
            _sync(path)
            continue
        new = os.path.join(directory, os.path.basename(path))
        if not any(_linked(other, new, file.described) for other in _others(path)):
            _write(new, file)
        staged.append((new, path))
    return staged


def _others(path: str) -> list[str]:
    """The same arrays of other checkpoints in the directory."""
    directory, name = os.path.split(path)
    ending = name.removeprefix(str(model_of(name)))
    names = sorted(os.listdir(directory or os.curdir), reverse=True)  # the newest has served least
    return [os.path.join(directory, n) for n in names if n.endswith(ending) and n != name and model_of(n)]


def _may_serve(path: str, file: ArraysFile) -> bool:
    """Whether there is a file of the right size that may serve one save more."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    served = max(_SERVED.get((found.st_dev, found.st_ino), 0), found.st_nlink)
    return stat.S_ISREG(found.st_mode) and found.st_size == file.size and served < SAVES


def _is_whole(path: str, file: ArraysFile) -> bool:
    try:
        _verify(path, file)
    except (CallbackStateError, OSError):  # also where the disk cannot read it any more
        return False
    return True


def _sync(path: str) -> None:
    """Let a whole file serve one save more: somebody may have copied it, and nobody has synced it yet."""
    found = os.lstat(path)
    number = (found.st_dev, found.st_ino)
    served, _SERVED[number] = _SERVED.get(number, 0), SAVES  # after a sync that fails it serves no more
    disk.sync_file(path)
    _SERVED[number] = max(served + 1, found.st_nlink)


def _linked(source: str, new: str, file: ArraysFile) -> bool:
    """Whether a file of another checkpoint could be linked. It is verified under its new name, which stays."""
    if presence.is_away(source) or not _may_serve(source, file):
        return False
    try:
        disk.link(source, new)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    if not _is_whole(new, file):
        disk.remove(new)
        return False
    _sync(new)
    return True


def _write(path: str, file: LiveFile) -> None:
    fd = disk.create(path)
    try:
        for block in file.blocks:
            sha = hashlib.sha256()
            for start in range(0, block.size, disk.READ_SIZE):
                piece = block.memory[start : start + disk.READ_SIZE]
                sha.update(piece)
                disk.write_all(fd, piece)
            if sha.digest() != block.digest:
                raise OSError(errno.EBUSY, "an array of a callback was changed while it was saved", path)
        disk.sync(fd)
    finally:
        disk.close(fd)
    found = os.lstat(path)
    _SERVED[found.st_dev, found.st_ino] = 1


# Reading.


def check(model: str, blocks: Iterable[Entry], *, only_size: bool = False) -> None:
    """Raise a CallbackStateError unless all arrays files of a state are beside its model file, and whole.

    With ``only_size`` they are not read. Raises OSError if the system refuses to read one.
    """
    blocks = tuple(blocks)
    for file, path in zip(files_of(blocks), paths_of(model, blocks), strict=True):
        try:
            if only_size:
                _check_size(path, file, os.lstat(path).st_size)
            else:
                _verify(path, file)
        except FileNotFoundError:
            raise _missing(path) from None


def read_block(model: str, file: ArraysFile, number: int, memory: memoryview) -> None:
    """Read a block, by its 0-based number in its file, into memory of its size. Raises a CallbackStateError."""
    path, block = path_of(model, file), file.blocks[number]
    presence.be_here(path)
    try:
        with disk.opened(path) as opened:
            _check_size(path, file, opened.seek(0, os.SEEK_END))
            opened.seek(file.starts[number])
            filled = 0
            while filled < block.size and (count := opened.readinto(memory[filled : filled + disk.WRITE_SIZE])):
                filled += count
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise CorruptCheckpointError(path, f"cannot be read: {error}") from error
    if hashlib.sha256(memory).digest() != block.digest:
        raise _damaged(path)


def _verify(path: str, file: ArraysFile) -> None:
    """Raise CorruptCheckpointError unless a file has these blocks; FileNotFoundError, OSError."""
    presence.be_here(path)
    view = memoryview(bytearray(disk.READ_SIZE))
    try:
        with disk.opened(path) as opened:
            _check_size(path, file, opened.seek(0, os.SEEK_END))
            _check_holes(path, file.size)
            opened.seek(0)
            for block in file.blocks:
                sha, left = hashlib.sha256(), block.size
                while left and (count := opened.readinto(view[: min(left, len(view))])):
                    sha.update(view[:count])
                    left -= count
                if sha.digest() != block.digest:
                    raise _damaged(path)
    except (disk.NoFileError, IsADirectoryError) as error:
        raise CorruptCheckpointError(path, f"expected a regular file of arrays: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CorruptCheckpointError(
                path, "expected a file of arrays, found a link; put the file itself there"
            ) from None
        raise


def _check_size(path: str, file: ArraysFile, size: int) -> None:
    if size != file.size:
        raise CorruptCheckpointError(
            path, f"expected {file.size} bytes of arrays, as the state file says, found {size}; {_AGAIN}"
        )


def _check_holes(path: str, size: int) -> None:
    """Raise CorruptCheckpointError if hardly any of so many bytes was written, and they could fill the memory.

    Arrays of zeros may take as little, on a disk that compresses them.
    """
    memory = disk.memory()
    if memory is not None and size > memory // 2 and disk.is_hollow(path, size):
        raise CorruptCheckpointError(
            path, f"has {size} bytes, of which the disk holds hardly any: the rest was never written; {_AGAIN}"
        )


def _missing(path: str) -> CheckpointNotFoundError:
    return CheckpointNotFoundError(
        path,
        "expected this file, which has the large arrays of the callbacks, found none; put it back, or use another "
        "checkpoint",
    )


def _damaged(path: str) -> CorruptCheckpointError:
    return CorruptCheckpointError(path, f"does not have the SHA-256 that the state file gives; {_AGAIN}")
