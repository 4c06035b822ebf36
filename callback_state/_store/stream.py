"""A new file that is written once, from its beginning to its end, and hashed meanwhile."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import disk

#: Bytes that are hashed and written together, so that both find them in the cache of the processor.
CHUNK = 1 << 20
#: From so many bytes on, hashing goes on beside writing; a thread for less would cost more than it saves.
_BESIDE = 1 << 22
#: How many chunks hashing may be behind: it takes longer than to write, and the disk can work meanwhile. Fewer
#: where the bytes take memory of their own until they are hashed.
_WAITING, _FEW = 1 << 8, 1 << 4
#: After so many bytes the disk is asked to begin.
_BEGIN = 1 << 23


class Stream(io.RawIOBase):
    """A file object that can only be written to. What is given to it must not change until :meth:`finish`.

    Every write is checked, and every error is raised. A zip archive can be made in it, as one makes it in a pipe.
    ``is_borrowed``: what is given lies in memory that is there anyway.
    """

    def __init__(self, path: str, *, is_borrowed: bool = True) -> None:
        super().__init__()
        self._behind = _WAITING if is_borrowed else _FEW
        self.size = self._begun = 0
        self._sha = hashlib.sha256()
        self._hashing: deque[Future[None]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._fd: int | None = disk.create(path)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation("this file has no place that one could come back to")

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        assert self._fd is not None, "the file is closed"
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            self._hash(chunk)
            disk.write_all(self._fd, chunk)
            self.size += len(chunk)
            if self.size - self._begun >= _BEGIN:
                self._begun = self.size
                disk.begin_sync(self._fd)
        return len(view)

    def _hash(self, chunk: memoryview) -> None:
        if self._thread is None and self.size >= _BESIDE:
            self._thread = ThreadPoolExecutor(1, "hashing")
        if self._thread is None:
            self._sha.update(chunk)
            return
        try:
            self._hashing.append(self._thread.submit(self._sha.update, chunk))
        except RuntimeError:  # the interpreter ends, and no thread takes work any more
            self._catch_up()
            self._sha.update(chunk)
        self._catch_up(self._behind)

    def _catch_up(self, behind: int = 0) -> None:
        """Wait until hashing is no more than so many chunks behind."""
        while len(self._hashing) > behind:
            self._hashing.popleft().result()

    def finish(self) -> tuple[bytes, int]:
        """SHA-256 (32 bytes) and size (bytes), when the content is on the disk. Raises OSError."""
        assert self._fd is not None, "the file is closed"
        disk.sync(self._fd)
        self._catch_up()
        return self._sha.digest(), self.size

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if self._thread is not None:
            self._thread.shutdown()
        if fd is not None:
            disk.close(fd)
        super().close()
