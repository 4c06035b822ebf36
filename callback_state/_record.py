"""What Keras tells its store of weights while it saves, to be told again to what compares the file.

Keras finds what to save by walking over every attribute of every layer, which takes longer than writing a
small model. So the second time, what it found is only repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

__all__ = ["Record"]


class Record:
    """The entries that were made in a store, in their order, with what was put into each.

    Values are kept, not copied: of a variable its value at the time of :meth:`repeat` counts.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[Any, ...], dict[str, Any], list[tuple[str, tuple[Any, ...]]]]] = []

    def __bool__(self) -> bool:
        return bool(self._entries)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What Keras saves in this block is noted.

        Nothing is where this Keras has no such store (3.7 to 3.15 have), nor of a whole model in ``.h5``.
        """
        from keras.src.saving import saving_lib

        known: Any = getattr(saving_lib, "H5IOStore", None)
        made = self._made
        if known is None:
            yield
            return

        class Recording(known):
            def make(self, *arguments: Any, **options: Any) -> Any:
                return made(super().make(*arguments, **options), arguments, options)

        saving_lib.H5IOStore = Recording
        try:
            yield
        finally:
            saving_lib.H5IOStore = known

    def _made(self, entry: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> _Entry:
        acts: list[tuple[str, tuple[Any, ...]]] = []
        self._entries.append((arguments, options, acts))
        return _Entry(entry, acts)

    def repeat(self, store: Any) -> None:
        """Makes the same entries in another store."""
        for arguments, options, acts in self._entries:
            entry = store.make(*arguments, **options)
            for name, values in acts:
                getattr(entry, name)(*values)


class _Entry:
    """An entry of a store: a mapping that notes how it is changed."""

    def __init__(self, entry: Any, acts: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._entry, self._acts = entry, acts

    def __setitem__(self, key: str, value: Any) -> None:
        self._entry[key] = value
        # What was read from the entry itself ends with it (Keras 3.7).
        kept = value[()] if isinstance(value, h5py.Dataset) else value
        self._acts.append(("__setitem__", (key, kept)))

    def __delitem__(self, key: str) -> None:
        del self._entry[key]
        self._acts.append(("__delitem__", (key,)))

    def __getitem__(self, key: str) -> Any:
        return self._entry[key]

    def __contains__(self, key: str) -> bool:
        return key in self._entry.keys()  # noqa: SIM118 - all that Keras 3.7 has

    def __len__(self) -> int:
        return len(self._entry)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry.keys())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)
