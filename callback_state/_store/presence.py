"""Files that are only in an object store as yet. What stands in their place here is empty, and as large.

Whoever reads a model file or a file beside it says so here first. For a directory that is no near copy of a store,
nothing happens.
"""

from __future__ import annotations

import os
from typing import Protocol


class Source(Protocol):
    """What can fetch the files of one directory."""

    number: int

    def be_here(self, name: str) -> None: ...

    def is_away(self, name: str) -> bool: ...

    def turn(self, name: str) -> int: ...

    def goes(self, name: str) -> None: ...


#: By the path of the directory.
_SOURCES: dict[str, Source] = {}


def register(directory: str, source: Source) -> None:
    """Fetch the files of a directory, an absolute path, from this source."""
    _SOURCES[directory] = source


def source_of(directory: str) -> Source | None:
    """What fetches the files of a directory; None where all of its files are there."""
    return _SOURCES.get(directory)


def be_here(path: str) -> None:
    """Return when the content of a file is there. Raises StoreError if the store does not give it."""
    source, name = _at(path)
    if source is not None:
        source.be_here(name)


def is_away(path: str) -> bool:
    """Whether a file is only in the store."""
    source, name = _at(path)
    return source is not None and source.is_away(name)


def turn(path: str) -> int:
    """A number that changes when the content of a file comes or goes."""
    source, name = _at(path)
    return 0 if source is None else source.turn(name)


def goes(path: str) -> None:
    """This process is about to remove a file, or to give it another name. What others remove is not said here."""
    source, name = _at(path)
    if source is not None:
        source.goes(name)


def number_of(directory: str) -> int | None:
    """A number for a directory that stands for one in a store, the same on each machine; None for another one."""
    source = _SOURCES.get(directory)
    return None if source is None else source.number


def _at(path: str) -> tuple[Source | None, str]:
    directory, name = os.path.split(path)
    return _SOURCES.get(directory), name
