"""Memory for copies of arrays, which is used again: to get new memory takes longer than to copy."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Room:
    """The copies that one save needs, in the memory of those of the save before."""

    def __init__(self) -> None:
        self._free: defaultdict[Any, list[Any]] = defaultdict(list)
        self._used: list[Any] = []

    def copy(self, array: Any) -> Any:
        """A copy of an array of NumPy, for as long as :meth:`clear` is not called."""
        import numpy

        free = self._free[array.shape, array.dtype]
        copied = free.pop() if free else numpy.empty(array.shape, array.dtype)
        numpy.copyto(copied, array)
        self._used.append(copied)
        return copied

    def clear(self) -> None:
        """Nobody needs the copies any more. What was not used for the last ones is given back to the system."""
        self._free.clear()
        for array in self._used:
            self._free[array.shape, array.dtype].append(array)
        self._used = []
