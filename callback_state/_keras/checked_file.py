"""HDF5 files that Keras writes through a file object of Python, so that no error of the system is hidden.

Where HDF5 writes into a file by itself, it may go on after the system has refused a write, or end the process with
a segmentation fault. So below it is a :class:`CheckedFile`. This keeps the first error, for the end of
:func:`checked_writes`. HDF5 does not hear of it: it goes on with a file that looks as if nothing had failed, and
can close all that it has opened.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import h5py

from .._store.disk import WRITE_SIZE
from .replaced import Replaced

#: Bytes: parts that describe data are smaller. HDF5 may read them again, but not the data.
_LARGE = 1 << 20


class CheckedFile(io.FileIO):
    """A file that raises its first error when it is closed.

    After the error of a write nothing is written any more. What would have been is kept in memory, unless it is
    large.
    """

    def __init__(self, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self._error: BaseException | None = None
        self._unwritten: list[tuple[int, bytes]] = []  # the place of each part, and its content

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, with zeros after the end of the file as HDF5 does."""
        view, start, filled = memoryview(buffer).cast("B"), self.tell(), 0
        try:
            while filled < len(view) and (count := super().readinto(view[filled:])):
                filled += count
        except OSError as error:  # what HDF5 makes of it is another error
            self._error = self._error or error
            raise
        view[filled:] = bytes(len(view) - filled)
        for at, data in self._unwritten:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        self.seek(start + len(view))
        return len(view)

    def write(self, data: Any) -> int:
        """Write everything: h5py does not look at what this returns."""
        view, start = memoryview(data).cast("B"), self.tell()
        with self._keeping():
            rest = view
            while rest and self._error is None:
                written = super().write(rest[:WRITE_SIZE])
                if not written:
                    raise OSError(errno.EIO, "the system wrote nothing and reported no error")
                rest = rest[written:]
        if self._error is not None and len(view) <= _LARGE:
            self._unwritten.append((start, bytes(view)))
        self.seek(start + len(view))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, as HDF5 does at the end."""
        size = self.tell() if size is None else size
        with self._keeping():
            if self._error is None:
                super().truncate(size)
        return size

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # Ctrl-C too may come here
            self._error = self._error or error

    def close(self) -> None:
        """Close the file. Raises the first error, once."""
        error, self._error = self._error, None
        super().close()
        if error is not None:
            raise error


@contextmanager
def checked_writes() -> Iterator[None]:
    """Within the block, Keras in this thread writes HDF5 files as :class:`CheckedFile`, closed at its end.

    Raises the first error of the system, though HDF5 and Keras may have seen none, or one that follows from it.
    """
    before = getattr(_here, "files", None)
    with _H5PY, ExitStack() as files:
        _here.files = files
        try:
            yield
        finally:
            _here.files = before


_here = threading.local()


class _AnyFile(type(h5py.File)):  # type: ignore[misc]
    """Keras asks whether something is a file of h5py."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, h5py.File)


class _File(h5py.File, metaclass=_AnyFile):
    """``h5py.File``, but for a new file at a path within :func:`checked_writes`."""

    def __init__(self, name: Any, mode: str = "r", **options: Any) -> None:
        files: ExitStack | None = getattr(_here, "files", None)
        if files is None or mode != "w" or not isinstance(name, (str, os.PathLike)):
            super().__init__(name, mode, **options)
            return
        file = CheckedFile(name, "w+")
        files.callback(file.close)
        super().__init__(file, mode, **options)
        files.callback(self.close)  # before the other: after an error Keras leaves it open


def _modules() -> list[tuple[Any, str, Any]]:
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.saving import saving_lib

    ours = SimpleNamespace(**{**vars(h5py), "File": _File})
    return [(saving_lib, "h5py", ours), (legacy_h5_format, "h5py", ours)]


_H5PY = Replaced(_modules)
