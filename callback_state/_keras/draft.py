"""What an HDF5 file is to hold, before there is one: groups, their attributes, and arrays.

To let HDF5 make a file takes ten times as long as Keras's walk over a model. So at the quiet point the walk fills
a draft, and the file is made when it is written, which may be in another thread.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy


class Attributes(dict[str, Any]):
    """What is put in is copied: the caller may change it before the file is made."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, copy.deepcopy(value))


class Array:
    """A data set of a draft. A layer may read back what it has saved (Keras 3.7 gives it the data set itself)."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.attrs = Attributes()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return numpy.array(self.value, dtype)

    def __getitem__(self, where: Any) -> Any:
        return numpy.array(self.value[where])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def dtype(self) -> Any:
        return self.value.dtype


class Group(MutableMapping[str, Any]):
    """A group of a draft: what Keras uses of a group of h5py, and no more."""

    def __init__(self) -> None:
        self.attrs = Attributes()
        self._parts: dict[str, Group | Array] = {}

    def create_group(self, path: str) -> Group:
        """A new group, with those above it. Raises ValueError if it is there already."""
        made = Group()
        self._add(path, made)
        return made

    def create_dataset(self, path: str, data: Any) -> Array:
        """A new data set, with the groups above it. Raises ValueError if it is there already."""
        made = Array(data)
        self._add(path, made)
        return made

    def _add(self, path: str, part: Group | Array) -> None:
        *above, name = path.split("/")
        group: Any = self
        for step in above:
            group = group._parts.setdefault(step, Group())
            if not isinstance(group, Group):
                raise ValueError(f"{path}: expected a group at {step}, found a data set")
        if name in group._parts:
            raise ValueError(f"{path}: expected a new name, found one that is there already")
        group._parts[name] = part

    def __setitem__(self, name: str, value: Any) -> None:
        self.create_dataset(name, value)

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]

    def __delitem__(self, name: str) -> None:
        del self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True  # as a file that is open

    # When the walk has ended.

    def replace(self, by: Callable[[Any], Any]) -> None:
        """Put something in the place of the value of each data set."""
        for part in self._parts.values():
            if isinstance(part, Group):
                part.replace(by)
            else:
                part.value = by(part.value)

    def make(self, group: Any) -> None:
        """Make all of it in a group of h5py."""
        for name, value in self.attrs.items():
            group.attrs[name] = value
        for name, part in self._parts.items():
            if isinstance(part, Group):
                part.make(group.create_group(name))
                continue
            made = group.create_dataset(name, data=part.value)
            for attribute, value in part.attrs.items():
                made.attrs[attribute] = value
