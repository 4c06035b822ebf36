"""The HDF5 file in a ``.keras`` archive, read where it stands.

Keras reads it through :mod:`zipfile`, which copies each byte twice and takes its checksum: three quarters of the
time of loading a large model. Its entries are stored as they are, and a restore has checked the SHA-256 of the
whole archive. So HDF5 may read its part of the file straight into the arrays.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from .replaced import Replaced

#: The header before an entry's name: its size, and where the lengths of the name and of what follows it stand
#: (PKWARE's APPNOTE, 4.3.7).
_HEADER, _LENGTHS = 30, struct.Struct("<26x2H")


class Part(io.RawIOBase):
    """``size`` bytes of an open file from the byte ``start`` on, as a file of its own."""

    def __init__(self, file: Any, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as there are bytes: h5py does not look at what this returns."""
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.seek(self._start + self._at)
        filled = 0
        while filled < len(view) and (count := self._file.readinto(view[filled:])):
            filled += count
        self._at += filled
        return filled


@contextmanager
def read_in_place() -> Iterator[None]:
    """Within the block, Keras in this thread reads what archives store as :class:`Part`."""
    with _ZIPFILE:
        _here.reads = True
        try:
            yield
        finally:
            _here.reads = False


_here = threading.local()


class _Archive(zipfile.ZipFile):
    """``zipfile.ZipFile``, but for what is read within :func:`read_in_place`."""

    def open(self, name: Any, mode: Any = "r", *args: Any, **options: Any) -> Any:
        if mode == "r" and getattr(_here, "reads", False):
            entry = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
            if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:  # 1: encrypted
                return self._part(entry)
        return super().open(name, mode, *args, **options)

    def _part(self, entry: zipfile.ZipInfo) -> Part:
        file: Any = self.fp
        file.seek(entry.header_offset)
        name, extra = _LENGTHS.unpack(file.read(_HEADER))
        return Part(file, entry.header_offset + _HEADER + name + extra, entry.file_size)


def _modules() -> list[tuple[Any, str, Any]]:
    from keras.src.saving import saving_lib

    if not hasattr(saving_lib, "zipfile"):
        return []  # a Keras that reads archives otherwise takes longer
    return [(saving_lib, "zipfile", SimpleNamespace(**{**vars(zipfile), "ZipFile": _Archive}))]


_ZIPFILE = Replaced(_modules)
