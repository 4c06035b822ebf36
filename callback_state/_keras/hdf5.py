"""Comparing an HDF5 file, part by part, with what was meant to be in it; knows no Keras."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any, BinaryIO

import h5py
import numpy

from .._format.hdf5_meta import LAYOUT
from ..exceptions import WriteError

#: Bytes that are read and compared at once.
CHUNK = 1 << 18


def refused(name: str, what: str) -> WriteError:
    """The error for a file that is not what was meant; ``what``: where, expected, found."""
    return WriteError(
        name,
        f"{what}. So the new file was removed, and a checkpoint that was here before is as it was. Most likely "
        f"the system refused to write, and the library that wrote did not say so: is the disk full, or failing? "
        f"When that is repaired, start the run again; it goes on from its last checkpoint",
    )


class Window(io.RawIOBase):
    """A part of an open, unbuffered file, as a file that h5py reads."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, with zeros after the end of the file as HDF5 does; return the bytes that were there."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._at)
        there, read = max(0, min(len(view), self._size - self._at)), 0
        while read < there and (count := self._file.readinto(view[read:there])):  # type: ignore[attr-defined]
            read += count
        view[read:] = bytes(len(view) - read)
        self._at += read
        return read


class Comparison:
    """Is told what was meant, part by part, and remembers where the file is different.

    The differences count when everything has been told: until then a part may be taken back.

    Args:
        window: the file. It is no path, because HDF5 remembers a file that it could not close, and would show
            what it has in memory.
        name: the name of the file in an error.
    """

    def __init__(self, window: Window, name: str) -> None:
        self.name = name
        self._window = window
        self._meant: set[str] = set()
        self._buffer = numpy.empty(CHUNK, "u1")
        links: dict[bytes, int] = {}
        try:
            self._file = h5py.File(window, "r")
            self._file.id.links.visit(lambda link, info: links.update({link: info.type}), info=True)
        except Exception as error:  # whatever HDF5 makes of a damaged file
            raise refused(name, f"expected an HDF5 file, found what cannot be read ({_first(error)})") from error
        self._links = {link.decode("utf-8", "surrogateescape"): kind for link, kind in links.items()}
        soft = [link for link, kind in self._links.items() if kind != h5py.h5l.TYPE_HARD]
        self._wrong = dict.fromkeys(soft, "expected no link, found one")

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if "_sample" in vars(self):
            self._sample.close()

    @cached_property
    def _sample(self) -> Any:
        """A file in memory that shows what HDF5 makes of a value that is not an array of numbers."""
        return h5py.File(io.BytesIO(), "w", libver=LAYOUT)

    def group(self, path: str) -> None:
        """A group was meant here."""
        self._meant.add(path)
        with self._looking(path, "a group"):
            h5py.h5g.open(self._file.id, path.encode())

    def attribute(self, path: str, name: str, value: Any) -> None:
        """This attribute of a group or data set was meant."""
        expected = value if type(value) is str else self._in_sample(value)
        with self._looking(f"{path} (attribute {name})", _short(expected)):
            found = self._file[path or "/"].attrs[name]
            if not _same(expected, found):
                raise _OtherError(_short(found))

    def _in_sample(self, value: Any) -> Any:
        self._sample.attrs["value"] = value
        expected = self._sample.attrs["value"]
        del self._sample.attrs["value"]
        return expected

    def dataset(self, path: str, value: Any) -> None:
        """A data set with this value was meant here."""
        self._meant.add(path)
        if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufcV" and value.dtype.fields is None:
            with self._looking(path, f"{value.dtype} {value.shape}"):
                self._compare(path, numpy.asarray(value, order="C"))
            return
        self._sample["value"] = value
        expected = self._sample["value"]
        with self._looking(path, _short(expected[()])):
            found = self._file[path]
            if found.id.get_type() != expected.id.get_type() or not _same(expected[()], found[()]):
                raise _OtherError(_short(found[()]))
        del self._sample["value"]

    def take_back(self, path: str) -> None:
        """What was meant here is no longer meant."""
        self._meant.discard(path)
        for wrong in [w for w in self._wrong if w == path or w.startswith(f"{path} (")]:
            del self._wrong[wrong]

    def names(self, path: str) -> list[str]:
        """The names that were meant in this group."""
        start = f"{path}/" if path else ""
        inside = {m.removeprefix(start).partition("/")[0] for m in self._meant if m.startswith(start)}
        return sorted(inside)

    def found(self, path: str) -> Any:
        """What is in the file at this place."""
        return self._file[path or "/"]

    def differences(self) -> dict[str, str]:
        """By place: what is missing, what is different, and what is there and was not meant."""
        parents = {m[:at] for m in self._meant for at, letter in enumerate(m) if letter == "/"}
        surplus = sorted(self._links.keys() - self._meant - parents - self._wrong.keys())
        return {**self._wrong, **dict.fromkeys(surplus, "expected nothing of this name, found it")}

    @contextmanager
    def _looking(self, path: str, expected: str) -> Iterator[None]:
        try:
            yield
        except _OtherError as found:
            self._wrong[path] = f"expected {expected}, found {found}"
        except Exception as error:  # whatever HDF5 makes of a damaged file
            known = path.partition(" (")[0] in {"", *self._links}
            what = f"what cannot be read ({_first(error)})" if known else "nothing"
            self._wrong[path] = f"expected {expected}, found {what}"

    def _compare(self, path: str, value: Any) -> None:
        found = h5py.h5d.open(self._file.id, path.encode())
        if found.shape != value.shape or found.get_type() != _type_of(value.dtype):
            raise _OtherError(f"{found.dtype} {found.shape}")
        offset = found.get_offset()
        if offset is None:  # stored in chunks, or not at all
            other = numpy.asarray(h5py.Dataset(found)[()])
            if other.tobytes() != value.tobytes():
                raise _OtherError("other values")
        elif (wrong := self._difference(offset, value.reshape(-1).view("u1"))) is not None:
            raise _OtherError(self._describe(offset, value, wrong // value.itemsize))

    def _difference(self, offset: int, expected: Any) -> int | None:
        """The first byte that differs from those in the file there."""
        for start in range(0, expected.size, CHUNK):
            part = expected[start : start + CHUNK]
            found = self._buffer[: part.size]
            self._window.seek(offset + start)
            count = self._window.readinto(found)
            differs = found != part
            differs[count:] = True
            if differs.any():
                return start + int(differs.argmax())
        return None

    def _describe(self, offset: int, value: Any, index: int) -> str:
        """What is in the file in place of one number, counted from 0."""
        one = numpy.zeros(1, value.dtype)
        self._window.seek(offset + index * value.itemsize)
        if self._window.readinto(one.view("u1")) < value.itemsize:
            return "the end of the file"
        where = [int(i) for i in numpy.unravel_index(index, value.shape)]
        expected = value.reshape(-1)[index : index + 1]
        return f"at {where} {one[0]} ({one.tobytes().hex()}) for {expected[0]} ({expected.tobytes().hex()})"


class _OtherError(Exception):
    """What was found instead."""


def _first(error: Exception) -> str:
    """An error of HDF5 in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _short(value: Any) -> str:
    """A value in one line of at most 80 characters."""
    return " ".join(repr(value).split())[:80]


@lru_cache
def _type_of(dtype: Any) -> Any:
    return h5py.h5t.py_create(dtype, logical=1)


def _same(expected: Any, found: Any) -> bool:
    """Whether two values that h5py has read have one type, and the same bytes or texts."""
    a, b = numpy.asarray(expected), numpy.asarray(found)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(a.tolist() == b.tolist() if a.dtype.hasobject else a.tobytes() == b.tobytes())
