"""The attributes of a user's data set that change while training runs.

A ``keras.utils.PyDataset`` shuffles in ``on_epoch_end``: its order is an attribute, or follows from a
generator that is one. Whatever differs from what it was when ``fit`` began is saved, and put back.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from ._fields import attributes
from ._fingerprint import fingerprint
from ._plain import Encoder, PlainError
from ._table import SCALARS

__all__ = ["Attributes"]

#: Larger arrays, in bytes, are taken for the data themselves, and not looked at.
_LARGE = 1 << 28


class Attributes:
    """The attributes of one data set.

    Args:
        dataset: a ``PyDataset`` whose ``fit`` has not begun.

    Attributes:
        lost: the names of those that have changed and cannot be saved.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._before = {name: _print_of(value) for name, value in attributes(dataset).items()}
        self._changed: set[str] = set()
        self.lost: set[str] = set()

    def take(self) -> dict[str, Any]:
        """Copies of those that have changed since, by name."""
        taken = {}
        for name, value in attributes(self._dataset).items():
            now = _print_of(value)
            if name not in self._changed and now == self._before.get(name):
                continue
            self._changed.add(name)
            if now.startswith("id"):
                self.lost.add(name)
            else:
                taken[name] = copy.deepcopy(value)
        return taken

    def put_back(self, taken: dict[str, Any]) -> None:
        """Let the data set have them."""
        self._changed |= taken.keys()
        for name, value in copy.deepcopy(taken).items():
            object.__setattr__(self._dataset, name, value)


def _print_of(value: Any) -> str:
    """What changes when a value does; that of one which cannot be saved begins with "id"."""
    import numpy

    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return "large" if value.nbytes > _LARGE else fingerprint([value])
    if not _is_light(value):
        return "data"
    try:
        return repr(Encoder(canonical=True).table(value))
    except PlainError:
        return f"id {id(value)}"


def _is_light(value: Any, depth: int = 0) -> bool:
    """Whether a container holds only scalars, and small containers of them; what holds arrays is data."""
    if not isinstance(value, (list, tuple, set, frozenset, dict, deque)):
        return depth == 0 or type(value) in SCALARS
    items = value.values() if isinstance(value, dict) else value
    return depth < 3 and all(_is_light(item, depth + 1) for item in items)
