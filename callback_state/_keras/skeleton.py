"""An HDF5 file that is made without its large arrays, to be written in one pass.

HDF5 makes the *skeleton* of the file in memory: groups, attributes, headers, small data sets. For each large array
it sets space aside, and writes nothing there. Then skeleton and arrays leave in the order of their places. So no
array is copied, HDF5 never touches the disk, and whoever writes sees each byte once, while it is in the cache.

A :class:`Skeleton` is a ``h5py.File``. Whatever writes to an open file of h5py can write to it, and can read back
what it has written.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy

#: Bytes. HDF5 writes a smaller array into the skeleton, which takes less time than to keep it.
LARGE = 1 << 16
_PAGE, _PAGES = 1 << 12, 1 << 8
_EMPTY = bytes(_PAGE)
#: The kinds of arrays whose memory is what HDF5 writes: numbers, truth values, and types that NumPy does not know.
_KINDS = frozenset("biufcV")


class Memory(io.RawIOBase):
    """A file in memory, with nothing in the places that were never written; these read as zeros.

    Attributes:
        arrays: by its place in the file (bytes), each array that is a part of it and was not copied.
        whole: gives the array with the bytes, where another one stands for it.
        size: of the whole file, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrays: dict[int, numpy.ndarray] = {}
        self.whole: Callable[[numpy.ndarray], numpy.ndarray] = lambda array: array
        self.size = 0
        self._at = 0
        self._pages: defaultdict[int, bytearray] = defaultdict(lambda: bytearray(_PAGE))

    def pieces(self) -> Iterator[memoryview]:
        """All bytes of the file, in their order."""
        at = 0
        for place, array in self.in_order():
            yield from self._between(at, place)
            yield memoryview(numpy.ascontiguousarray(self.whole(array)).reshape(-1).view("u1").data)
            at = place + array.nbytes
        yield from self._between(at, self.size)

    def in_order(self) -> list[tuple[int, numpy.ndarray]]:
        """The arrays with their places, as they follow in the file."""
        return sorted(self.arrays.items(), key=lambda item: item[0])

    def _between(self, at: int, end: int) -> Iterator[memoryview]:
        """The bytes from one place to another, of what was written; in pieces of some pages."""
        while at < end:
            page, start = divmod(at, _PAGE)
            length = min(_PAGES * _PAGE - start, end - at)
            pages = range(page, page + (start + length - 1) // _PAGE + 1)
            yield memoryview(b"".join(self._pages.get(i, _EMPTY) for i in pages))[start : start + length]
            at += length

    # What HDF5 calls.

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self.size = self._at if size is None else size
        return self.size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        for piece in self._between(self._at, self._at + len(view)):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        self._at += filled
        return filled

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        rest = view
        while rest:
            page, start = divmod(self._at, _PAGE)
            length = min(_PAGE - start, len(rest))
            self._pages[page][start : start + length] = rest[:length]
            rest = rest[length:]
            self._at += length
        self.size = max(self.size, self._at)
        return len(view)


class _Parts:
    """What a group does otherwise than one of h5py: it keeps large arrays beside the file."""

    _memory: Memory

    def create_group(self, name: Any, *arguments: Any, **options: Any) -> Any:
        return _Group(super().create_group(name, *arguments, **options), self._memory)  # type: ignore[misc]

    def require_group(self, name: Any) -> Any:
        return _Group(super().require_group(name), self._memory)  # type: ignore[misc]

    def create_dataset(
        self, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **options: Any
    ) -> Any:
        create = super().create_dataset  # type: ignore[misc]
        if options or (shape is not None and data is not None) or not _is_large(shape, dtype, data):
            return create(name, shape, dtype, data, **options)
        shape, dtype = (shape, dtype) if data is None else (data.shape, data.dtype)
        made = _Dataset(create(name, shape, dtype, dcpl=_set_aside()), self._memory)
        if data is not None:
            self._memory.arrays[made.id.get_offset()] = data
        return made

    def __getitem__(self, name: Any) -> Any:
        found = super().__getitem__(name)  # type: ignore[misc]
        if isinstance(found, h5py.Group):
            return _Group(found, self._memory)
        return _Dataset(found, self._memory) if isinstance(found, h5py.Dataset) else found

    def __delitem__(self, name: Any) -> None:
        for dataset in _datasets_in(self[name]):
            self._memory.arrays.pop(dataset.id.get_offset(), None)
        super().__delitem__(name)  # type: ignore[misc]


class Skeleton(_Parts, h5py.File):
    """A new HDF5 file in a :class:`Memory`. What is put into it must not change until it is written."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        super().__init__(memory, "w")


class _Group(_Parts, h5py.Group):
    def __init__(self, group: Any, memory: Memory) -> None:
        super().__init__(group.id)
        self._memory = memory


class _Dataset(h5py.Dataset):
    """A data set; a large array that is put into it at once is kept as it is."""

    def __init__(self, dataset: Any, memory: Memory) -> None:
        super().__init__(dataset.id)
        self._memory = memory

    def __setitem__(self, where: Any, value: Any) -> None:
        whole = where is Ellipsis or (isinstance(where, (tuple, slice)) and where in ((), slice(None)))
        same = isinstance(value, numpy.ndarray) and (value.shape, value.dtype) == (self.shape, self.dtype)
        place = self.id.get_offset()
        if whole and same and place is not None and _is_large(None, None, value):
            self._memory.arrays[place] = value
        else:
            self._fill()
            super().__setitem__(where, value)

    def __getitem__(self, where: Any, *arguments: Any, **options: Any) -> Any:
        self._fill()
        return super().__getitem__(where, *arguments, **options)

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        self._fill()
        return super().__array__(*arguments, **options)

    def _fill(self) -> None:
        """Let HDF5 write what was kept, for a reader or a writer of a part of it."""
        array = self._memory.arrays.pop(self.id.get_offset(), None)
        if array is not None:
            super().__setitem__((), array)


def _is_large(shape: Any, dtype: Any, data: Any) -> bool:
    """Whether a data set of that shape and type, or of these data, is kept beside the skeleton."""
    if data is not None:
        is_array = type(data) is numpy.ndarray and dtype in (None, data.dtype)
        return is_array and data.dtype.kind in _KINDS and data.nbytes >= LARGE and not data.dtype.hasobject
    if shape is None or dtype is None:
        return False
    kind = numpy.dtype(dtype)
    return kind.kind in _KINDS and not kind.hasobject and kind.itemsize * int(numpy.prod(shape)) >= LARGE


def _set_aside() -> Any:
    """The properties of a data set whose space is there at once, and is not written."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return properties


def _datasets_in(found: Any) -> list[Any]:
    if isinstance(found, h5py.Dataset):
        return [found]
    if not isinstance(found, h5py.Group):
        return []
    inside: list[Any] = []
    found.visititems(lambda name, item: inside.append(item) if isinstance(item, h5py.Dataset) else None)
    return inside
