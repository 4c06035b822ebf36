"""A Keras model file of which each byte is written and hashed once, straight from the memory of the variables.

Keras's own walk over the model says what is saved. It puts this into a
:class:`.skeleton.Skeleton` instead of a file. A ``.keras`` file is a zip archive of such an
HDF5 file, two texts, and what layers save as assets.

This uses private names of Keras, the same from 3.7 to 3.15. Where one is missing, Keras writes by itself.
"""

from __future__ import annotations

import functools
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy

from .._format.hdf5_meta import write_meta
from .._store.stream import CHUNK, Stream
from .backend import is_variable
from .classes import is_keras, is_of_keras, is_overridden
from .draft import Group
from .replaced import Replaced
from .skeleton import LARGE, Memory, Skeleton
from .values import Values


class Content:
    """What a model file is to hold. It can be written as long as ``values`` are those of this moment.

    The HDF5 file in it is a draft until it is written. Only Keras's older function, for a whole model in ``.h5``,
    takes nothing but a file of h5py, so there it is made at once.
    """

    def __init__(self, model: Any, path: str, *, weights_only: bool, meta: dict[str, Any], values: Values) -> None:
        """``meta`` is put into HDF5 files; only the ending of ``path`` counts."""
        self.memory = Memory()
        self._meta = meta if path.endswith(".h5") else None
        self._draft: Group | None = Group()
        self._texts: dict[str, bytes] = {}
        self._assets: Any = None
        self._is_gathered = False  # whether values come from other processes while they are written
        try:
            with _viewing(values):
                if path.endswith(".keras"):
                    self._take_model(model)
                elif weights_only:
                    _save_state(model, self._draft, None)
                else:
                    self._take_legacy(model)
            if self._draft is not None:
                self._draft.replace(values.keep)
            self.memory.arrays = {place: values.keep(array) for place, array in self.memory.arrays.items()}
            if values.are_divided:
                self._divide(values)
        except BaseException:
            self.close()
            raise

    def _take_legacy(self, model: Any) -> None:
        from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

        self._draft = None
        with Skeleton(self.memory) as skeleton:
            save_model_to_hdf5(model, skeleton)

    def _take_model(self, model: Any) -> None:
        from keras.src.saving import saving_lib

        config, metadata = saving_lib._serialize_model_as_json(model)
        names = (saving_lib._METADATA_FILENAME, saving_lib._CONFIG_FILENAME)
        self._texts = dict(zip(names, (metadata.encode(), config.encode()), strict=True))
        self._assets = saving_lib.DiskIOStore(saving_lib._ASSETS_DIRNAME, mode="w")
        _save_state(model, self._draft, self._assets)

    def _divide(self, values: Values) -> None:
        """Gather the small values that are divided among processes. Each large one is gathered when it is due."""
        if self._draft is None:
            raise ValueError(
                "a whole model in .h5 cannot be saved if its variables are divided among processes. Write a "
                "filepath that ends in .keras, or in .weights.h5 with save_weights_only=True."
            )
        self._draft.replace(lambda array: array if array.nbytes >= LARGE else values.whole(array))
        self._make()
        self.memory.whole, self._is_gathered = values.whole, True
        values.expect(array for _, array in self.memory.in_order())

    def write(self, path: str, meanwhile: Callable[[], None] = lambda: None) -> tuple[bytes, int]:
        """Write a new file; return its SHA-256 (32 bytes) and size (bytes) when it is on the disk.

        ``meanwhile`` is called when all is written, while the last of it is hashed. Raises OSError.
        """
        self._make()
        with Stream(path, is_borrowed=not self._is_gathered) as file:
            if self._texts:
                self._write_archive(file)
            else:
                for piece in self.memory.pieces():
                    file.write(piece)
            meanwhile()
            return file.finish()

    def _make(self) -> None:
        """Let HDF5 make what is not made yet."""
        if self._draft is not None:
            with Skeleton(self.memory) as skeleton:
                self._draft.make(skeleton)
        if self._meta is not None:
            write_meta(self.memory, self._meta)
        self._draft = self._meta = None

    def _write_archive(self, file: Stream) -> None:
        from keras.src.saving import saving_lib

        with zipfile.ZipFile(file, "w") as archive:
            for name, text in self._texts.items():
                with archive.open(name, "w") as entry:
                    entry.write(text)
            weights = zipfile.ZipInfo(saving_lib._VARS_FNAME_H5, time.localtime()[:6])
            weights.file_size = self.memory.size  # so that zipfile knows whether it needs 64 bits
            with archive.open(weights, "w") as entry:
                for piece in self.memory.pieces():
                    for start in range(0, len(piece), CHUNK):  # its checksum is taken while it is in the cache too
                        entry.write(piece[start : start + CHUNK])
            saving_lib._write_to_zip_recursively(archive, self._assets.working_dir, saving_lib._ASSETS_DIRNAME)

    def close(self) -> None:
        """Remove the files that layers have written for the archive."""
        if self._assets is not None:
            self._assets.close()


def _save_state(model: Any, draft: Any, assets: Any) -> None:
    from keras.src.saving import saving_lib

    store = _store_class(saving_lib.H5IOStore)(io.BytesIO(), mode="w")
    store.h5_file.close()
    store.h5_file = draft
    saving_lib._save_state(model, store, assets, "", set())


@functools.cache
def _store_class(keras_store: Any) -> Any:
    class Store(keras_store):
        """Keras's own, but that a layer can read back what it has put into a draft."""

        def __getitem__(self, key: str) -> Any:
            return numpy.array(self._h5_entry_group[key].value)

    return Store


def is_known(model: Any, *, weights_only: bool) -> bool:
    """Whether Keras saves this model in the way that this module goes."""
    method = "save_weights" if weights_only else "save"
    is_stock = is_keras(model, "Model") and not is_overridden(model, method)
    return is_stock and bool(model.built) and _is_known_keras()


def _is_known_keras() -> bool:
    try:
        from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5
        from keras.src.saving import saving_lib

        used = [getattr(saving_lib, name) for name in ("H5IOStore", "DiskIOStore", "_save_state")]
        used += [saving_lib._serialize_model_as_json, saving_lib._write_to_zip_recursively, save_model_to_hdf5]
        names = (saving_lib._METADATA_FILENAME, saving_lib._CONFIG_FILENAME, saving_lib._VARS_FNAME_H5)
        _views()
    except (ImportError, AttributeError):
        return False
    return all(map(is_of_keras, used)) and all(isinstance(name, str) for name in names)


# Views instead of copies.

_here = threading.local()


@contextmanager
def _viewing(values: Values) -> Iterator[None]:
    """Within the block, what Keras saves in this thread are the values of variables themselves, not copies."""
    with _VIEWS:
        _here.values = values
        try:
            yield
        finally:
            _here.values = None


def _views() -> list[tuple[Any, str, Any]]:
    """Keras copies each value twice: an optimizer when it gives it, a store when it takes it."""
    from keras.src import backend
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.optimizers.base_optimizer import BaseOptimizer
    from keras.src.saving import saving_lib

    given, taken = BaseOptimizer.save_own_variables, backend.convert_to_numpy

    @functools.wraps(given)
    def give(optimizer: Any, store: Any) -> None:
        if getattr(_here, "values", None) is None:
            given(optimizer, store)
            return
        for i, variable in enumerate(optimizer.variables):
            store[str(i)] = variable

    @functools.wraps(taken)
    def take(value: Any) -> Any:
        values: Values | None = getattr(_here, "values", None)
        return taken(value) if values is None or not is_variable(value) else values.of(value)

    viewing = SimpleNamespace(**{**vars(backend), "convert_to_numpy": take})
    return [
        (BaseOptimizer, "save_own_variables", give),
        (saving_lib, "backend", viewing),
        (legacy_h5_format, "backend", viewing),
    ]


_VIEWS = Replaced(_views)
