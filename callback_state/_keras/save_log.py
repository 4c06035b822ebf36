"""A record of the calls that Keras makes to its store of weights while it saves, to repeat them.

Keras finds what to save by walking over every attribute of every layer, which takes longer than writing a small
model. So the comparison of the file repeats the calls, and Keras walks once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy

from .replaced import Replaced

_here = threading.local()


class SaveLog:
    """The entries that were made in a store, in their order, and what was put into each.

    Arrays are copied. For a variable, its value at the time of :meth:`repeat` counts.
    """

    def __init__(self) -> None:
        self._acts: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __bool__(self) -> bool:
        return bool(self._acts)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what Keras saves in this thread, within the block.

        Nothing is noted for a whole model in ``.h5``, or where Keras has no such store (3.7 to 3.15 have it).
        """
        before = getattr(_here, "record", None)
        with _STORE:
            _here.record = self
            try:
                yield
            finally:
                _here.record = before

    def note(self, act: str, *arguments: Any, **options: Any) -> None:
        """Note one call of a store, or of an entry of it."""
        self._acts.append((act, tuple(map(_kept, arguments)), options))

    def repeat(self, store: Any) -> None:
        """Make the same entries in another store."""
        entry = None
        for act, arguments, options in self._acts:
            if act == "make":
                entry = store.make(*arguments, **options)
            else:
                getattr(entry, act)(*arguments)


def _kept(value: Any) -> Any:
    if isinstance(value, h5py.Dataset):  # read from an entry, and closed with it (Keras 3.7)
        return value[()]
    return value.copy() if isinstance(value, numpy.ndarray) else value


def _hooks() -> list[tuple[Any, str, Any]]:
    """Replacements for the methods of Keras's store, which note their calls where a thread listens."""
    from keras.src.saving import saving_lib

    store = getattr(saving_lib, "H5IOStore", None)
    entry = getattr(saving_lib, "H5Entry", store)  # in 3.7 an entry is an object of its own
    hooked = [(store, "make"), (entry, "__setitem__"), (entry, "__delitem__")]
    return [(owner, name, _noting(getattr(owner, name), name)) for owner, name in hooked if hasattr(owner, name)]


def _noting(method: Any, name: str) -> Any:
    def noting(self: Any, *arguments: Any, **options: Any) -> Any:
        result = method(self, *arguments, **options)
        record = getattr(_here, "record", None)
        if record is not None:
            record.note(name, *arguments, **options)
        return result

    return noting


_STORE = Replaced(_hooks)
