"""The values of variables at one moment, held while they are written.

A value is held without a copy. That is safe if a step makes new values, and does not change those that somebody
holds. TensorFlow works so, but does not promise it for every operation and device. So it is checked: a *sample* of
each value's bytes is taken when it is held, and compared when all is written.

A sample cannot find everything: of a table of which one row changes in place, that row may be in no sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from .._format.room import Room
from ..exceptions import WriteError
from . import hosts
from .backend import backend, values_of
from .fingerprint import joined, parts_of

#: Bytes of a sample, and the bytes of each of its parts.
_SAMPLE, _PART = 1 << 12, 8


class Values:
    """The values of variables, each taken when it is asked for first.

    Args:
        beside: whether training goes on while these are used. Otherwise they are valid until the next step.
        room: where they are copied to in that case; None if they are held as they are.
    """

    def __init__(self, *, beside: bool = False, room: Room | None = None) -> None:
        self.beside, self._room = beside, room
        #: Whether a value has changed while it was held.
        self.have_moved = False
        self._arrays: dict[int, numpy.ndarray] = {}
        self._ours: set[int] = set()  # the ids of these arrays
        self._variables: list[Any] = []  # so that their ids stay theirs
        self._samples: list[tuple[numpy.ndarray, bytes]] = []
        #: The variables whose value is divided among processes, by the ids of the arrays that stand for them.
        self._divided: dict[int, Any] = {}
        #: What the fingerprint needs of those that were gathered, by the ids of the variables.
        self._parts: dict[int, list[bytes]] = {}
        self._due: list[numpy.ndarray] = []

    def of(self, variable: Any) -> numpy.ndarray:
        """The value of a variable; the same array each time.

        If the value is divided among processes, this is an array of zeros that stands for it: see :meth:`whole`.
        """
        array = self._arrays.get(id(variable))
        if array is None:
            inner = backend().inner(variable)
            if hosts.is_divided(inner):
                array = numpy.broadcast_to(numpy.zeros((), inner.dtype), inner.shape)
                self._divided[id(array)] = variable
            else:
                array = self._held(next(values_of([variable])))
            self._arrays[id(variable)] = array
            self._ours.add(id(array))
            self._variables.append(variable)
        return array

    def _held(self, array: numpy.ndarray) -> numpy.ndarray:
        if self.beside and self._room is not None:
            return self._room.copy(array)
        if self.beside:
            self._samples.append((array, _sample(array)))
        return array

    def keep(self, array: numpy.ndarray) -> numpy.ndarray:
        """An array that stays as it is: what is no value of a variable may change, so it is copied."""
        if not self.beside or id(array) in self._ours:
            return array
        return array.copy() if self._room is None else self._room.copy(array)

    # Values that are divided among processes.

    @property
    def are_divided(self) -> bool:
        """Whether a value is divided among processes."""
        return bool(self._divided)

    def whole(self, array: numpy.ndarray) -> numpy.ndarray:
        """The value for which an array stands, gathered now, by all processes; any other array as it is."""
        variable = self._divided.get(id(array))
        if variable is None:
            return array
        self._due = [due for due in self._due if due is not array]
        (found,) = values_of([variable])
        self._parts[id(variable)] = [bytes(part) for part in parts_of(found)]
        return found

    def expect(self, arrays: Iterable[numpy.ndarray]) -> None:
        """Those of these arrays that stand for a value will be asked for in this order, on every process."""
        self._due = [array for array in arrays if id(array) in self._divided]

    def complete(self, variables: Iterable[Any]) -> None:
        """Gather now what the fingerprint of these variables needs, and nobody will ask for."""
        due = {id(array) for array in self._due}
        for variable in variables:
            array = self.of(variable)
            if id(array) in self._divided.keys() - due and id(variable) not in self._parts:
                self.whole(array)

    def drain(self) -> None:
        """Gather what this process does not ask for: it writes nothing, or cannot go on, and others wait."""
        while self._due:
            self.whole(self._due[0])

    def fingerprint(self, variables: Iterable[Any]) -> str:
        """See :mod:`.fingerprint`. Values that are divided were gathered before."""
        return joined(self._parts.get(id(v)) or parts_of(self.of(v)) for v in variables)

    def check(self, path: str) -> None:
        """Raise WriteError if a value has changed while it was held, for the file at this path."""
        self.have_moved = any(_sample(array) != sample for array, sample in self._samples)
        if self.have_moved:
            raise WriteError(
                path,
                "expected the values that the model had when the save began, found that training has changed "
                "them in place while they were written. The new file was removed. From now on this run copies the "
                "values before it goes on, which takes longer and needs memory for one more model",
            )

    def clear(self) -> None:
        """Hold nothing any more."""
        self._arrays, self._ours, self._variables, self._samples = {}, set(), [], []
        self._divided, self._parts, self._due = {}, {}, []
        if self._room is not None:
            self._room.clear()


def _sample(array: numpy.ndarray) -> bytes:
    """Bytes from all over an array: parts of eight bytes, at equal distances, and the last one."""
    data = numpy.ascontiguousarray(array).reshape(-1).view("u1")
    if len(data) <= _SAMPLE:
        return data.tobytes()
    parts = data[: len(data) // _PART * _PART].reshape(-1, _PART)
    return parts[:: len(parts) * _PART // _SAMPLE + 1].tobytes() + data[-_PART:].tobytes()
