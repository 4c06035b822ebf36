"""Comparing a model file that was just written with what Keras meant to write: no failed write is committed.

HDF5 may return normally after the system refused a write (one ENOSPC or EIO). It then leaves a file that loads,
with wrong weights. So the file is read again before it is committed, from the system and not from HDF5's memory.

Keras itself says what it meant: the calls that its saving made to its store are repeated to another store, whose
HDF5 file compares instead of writing. (For a whole model in ``.h5``, and where a difference is found, the saving
runs once more.) So everything that layers, optimizers and classes of the user write is compared, one variable at a
time. This uses private names of Keras, the same from 3.7 to 3.15, and the part of h5py that Keras's saving uses.
Where these change, an error says so.

Two things are not compared: bytes of the file that belong to nothing in it, and the checksum of the weights in a
``.keras`` file. Python's ``zipfile`` writes that checksum, and reports its errors.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from typing import Any, BinaryIO

import h5py
import numpy

from .._format import hdf5_meta
from .._store import disk
from ..exceptions import unsupported_keras
from . import model_file
from .hdf5 import Comparison, Window, refused
from .save_log import SaveLog


def verify(
    model: Any,
    path: str,
    *,
    weights_only: bool,
    meta: dict[str, Any],
    record: SaveLog | None = None,
    name: str | None = None,
) -> None:
    """Compare a file with what :func:`.model_file.write` had to write with the same arguments.

    Args:
        model: as it was when the file was written.
        path: the closed file.
        weights_only: as for writing.
        meta: as for writing.
        record: the one of writing; without it Keras's saving runs once more.
        name: the name of the file in an error, if not ``path``.

    Raises:
        WriteError: the file is not what was meant, or cannot be read.
        ResumeError: this Keras saves in another way.
    """
    name = name or path
    wrong = _differences(model, path, weights_only, meta, name, record)
    for _ in range(2 if wrong else 0):
        # A class of the user may save something else each time, for example the hour, or change it while it saves,
        # or write past Keras's store. Nobody knows what it meant, so only a difference that is found three times
        # counts.
        again = _differences(model, path, weights_only, meta, name)
        wrong = {where: what for where, what in wrong.items() if again.get(where) == what}
    if wrong:
        where, what = next(iter(wrong.items()))
        more = f" (the first of {len(wrong)} differences)" if len(wrong) > 1 else ""
        raise refused(name, f"{where}: {what}{more}")


def _differences(
    model: Any, path: str, weights_only: bool, meta: dict[str, Any], name: str, record: SaveLog | None = None
) -> dict[str, str]:
    with open(path, "rb", buffering=0) as file:
        whole = Window(file, 0, os.fstat(file.fileno()).st_size)
        window = whole if path.endswith(".h5") else _weights_of_archive(file, name)
        with Comparison(window, name) as comparison:
            if path.endswith(".h5") and not weights_only:
                _save_h5(model, _Group(comparison, ""))
            else:
                _save_state(model, _Group(comparison, ""), record)
            if path.endswith(".h5"):
                hdf5_meta.put_meta(_Group(comparison, ""), meta)
            return comparison.differences()


def _weights_of_archive(file: BinaryIO, name: str) -> Window:
    """The weights within a ``.keras`` file. The other entries are compared with their checksums."""
    try:
        from keras.src.saving.saving_lib import _CONFIG_FILENAME, _METADATA_FILENAME, _VARS_FNAME_H5
    except ImportError as error:
        raise unsupported_keras(f"the names of what is in a .keras file are elsewhere ({error})") from error
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            entries[_CONFIG_FILENAME], entries[_METADATA_FILENAME]
            weights = entries.pop(_VARS_FNAME_H5)
            for entry in entries.values():
                with archive.open(entry) as opened:
                    while opened.read(disk.READ_SIZE):  # at its end the checksum is compared
                        pass
        file.seek(weights.header_offset)
        # https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7: lengths of the name and more.
        signature, *lengths = struct.unpack("<4s22xHH", file.read(30))
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile(f"no entry {_VARS_FNAME_H5} at {weights.header_offset}")
    except Exception as error:  # zipfile raises many kinds for a damaged file
        what = f"expected a zip archive with Keras's entries, found what cannot be read ({error!r:.200})"
        raise refused(name, what) from error
    if weights.compress_type != zipfile.ZIP_STORED:
        raise unsupported_keras("the weights in a .keras file are compressed")
    return Window(file, weights.header_offset + 30 + sum(lengths), weights.file_size)


def _save_state(model: Any, root: _Group, record: SaveLog | None) -> None:
    """Save as Keras does for ``.weights.h5`` and for the weights in a ``.keras`` file, or repeat a record."""
    try:
        from keras.src.saving import saving_lib

        save, store = saving_lib._save_state, _store_of(saving_lib.H5IOStore)(io.BytesIO(), mode="w")
        store.h5_file.close()
    except (ImportError, AttributeError, TypeError) as error:
        raise unsupported_keras(f"saving weights goes another way ({error})") from error
    store.h5_file = root
    if record:
        record.repeat(store)
        return
    with model_file.SKIPSETS_REMEMBERED:
        save(model, store, None, "", set())


def _store_of(kind: Any) -> Any:
    """Keras's store for weights, without its copy of each value (Keras 3.15); Keras asks for this class."""
    import keras

    class Store(kind):
        def __setitem__(self, key: str, value: Any) -> None:
            known = isinstance(value, (keras.Variable, numpy.ndarray))
            super().__setitem__(key, _Uncopied(value) if known else value)

    return Store


class _Uncopied:
    """A variable or array that gives NumPy its own memory where NumPy asks for a copy; only for reading."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import tensorflow

        if isinstance(self._value, numpy.ndarray):
            return numpy.asarray(self._value, dtype)
        return numpy.asarray(tensorflow.convert_to_tensor(self._value), dtype)


def _save_h5(model: Any, root: _Group) -> None:
    """Save as Keras does for a whole model in ``.h5``."""
    try:
        from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5
    except ImportError as error:
        raise unsupported_keras(f"saving to .h5 goes another way ({error})") from error
    with model_file.compile_configuration_kept(model):
        save_model_to_hdf5(model, root)


class _Part(h5py.File):
    """A stand-in for a part of an HDF5 file that Keras writes.

    Keras asks whether it is a file of h5py, hence the base class. No file is opened, and everything that is not
    overridden raises.
    """

    def __init__(self, comparison: Comparison, path: str) -> None:
        self._comparison, self._path = comparison, path

    @property
    def id(self) -> Any:
        raise unsupported_keras("saving uses more of h5py than groups, data sets and attributes")

    def __bool__(self) -> bool:
        return True

    @property
    def attrs(self) -> Any:
        return _Attributes(self._comparison, self._path)


class _Group(_Part):
    """A group, or the whole file."""

    def _at(self, name: Any) -> str:
        name = name.decode() if isinstance(name, bytes) else name
        return f"{self._path}/{name}".strip("/")

    def create_group(self, name: Any, **options: Any) -> _Group:
        self._comparison.group(self._at(name))
        return _Group(self._comparison, self._at(name))

    def create_dataset(
        self, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **options: Any
    ) -> _Dataset:
        dataset = _Dataset(self._comparison, self._at(name))
        if data is not None:
            dataset[()] = data
        return dataset

    def __setitem__(self, name: Any, value: Any) -> None:
        self.create_dataset(name, data=value)

    def flush(self) -> None:
        """Nothing is to be written."""

    # Keras may read what it has written.

    def __delitem__(self, name: Any) -> None:
        self._comparison.take_back(self._at(name))

    def __iter__(self) -> Any:
        return iter(self._comparison.names(self._path))

    def __len__(self) -> int:
        return len(self._comparison.names(self._path))

    def __contains__(self, name: Any) -> bool:
        return name in self._comparison.names(self._path)

    def __getitem__(self, name: Any) -> Any:
        return self._comparison.found(self._path)[name]

    def get(self, name: Any, *arguments: Any, **options: Any) -> Any:
        return self._comparison.found(self._path).get(name, *arguments, **options)


class _Dataset(_Part):
    """A data set; it gets its value at once."""

    def __setitem__(self, where: Any, value: Any) -> None:
        self._comparison.dataset(self._path, value)


class _Attributes:
    """The attributes of a group or data set."""

    def __init__(self, comparison: Comparison, path: str) -> None:
        self._comparison, self._path = comparison, path

    def __setitem__(self, name: str, value: Any) -> None:
        self._comparison.attribute(self._path, name, value)
