"""Which attributes keep what the script has given: paths, URLs and functions.

A file says what a run has computed. It does not say where the run of this script writes, or what it calls: whoever
can write the file could otherwise send the output of the script anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from .._format.classes import attributes
from .._format.encode import same
from .._format.table import MISSING
from .arguments import mark_of
from .stock import adapter_of

#: A drive of Windows, a root, a home directory.
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]|~")


class Given:
    """The attributes of one callback that a file which is not trusted cannot set."""

    def __init__(self, callback: Any) -> None:
        self._arguments = mark_of(callback).arguments
        adapter, _ = adapter_of(type(callback))
        self._paths = frozenset() if adapter is None else adapter.paths
        self._now = attributes(callback)

    def keeps(self, name: str, value: Any) -> bool:
        """Whether the callback keeps what it has, whatever ``value`` a file gives."""
        now = self._now.get(name, MISSING)
        if name in self._paths:
            return True
        return self._is_argument(name, now) and (callable(now) or _has_path(now) or _has_path(value))

    def differs(self, name: str, value: Any) -> bool:
        """Whether the callback has something else than a file gives."""
        now = self._now.get(name, MISSING)
        return value is not now and not same(value, now)

    def now(self, name: str) -> Any:
        """What the callback has."""
        return self._now.get(name)

    def _is_argument(self, name: str, now: Any) -> bool:
        """Whether an attribute keeps an argument of the constructor: under its name, or under any other."""
        if name.lstrip("_") in self._arguments:
            return True
        return _has_path(now) and any(argument.equals(now) for argument in self._arguments.values())


def _has_path(value: Any) -> bool:
    return any(isinstance(item, PurePath) or callable(item) or _leads_out(item) for item in _items(value))


def _leads_out(item: Any) -> bool:
    if not isinstance(item, (str, bytes)):
        return False
    text = os.fsdecode(item) if isinstance(item, bytes) else item
    if "://" in text or _ABSOLUTE.match(text) or ".." in re.split(r"[/\\]", text):
        return True
    return ("/" in text or "\\" in text) and "\0" not in text and os.path.lexists(text)


def _items(value: Any) -> Iterator[Any]:
    """A value, and what is in it, in lists, tuples, sets and dicts."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        yield item
        if isinstance(item, (list, tuple, set, frozenset, dict)) and id(item) not in seen:
            seen.add(id(item))
            todo += [*item, *(item.values() if isinstance(item, dict) else ())]
