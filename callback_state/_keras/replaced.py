"""Attributes of another package's module or class, replaced while at least one thread needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Replaced:
    """A context in which attributes are replaced: (owner, name, value) for each of them.

    Several threads may be in it at once. All other threads see the replacements too, so these must do for them
    what the originals do.
    """

    def __init__(self, replacements: Callable[[], list[tuple[Any, str, Any]]]) -> None:
        self._replacements = replacements
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                for owner, name, value in self._replacements():
                    self._before.append((owner, name, vars(owner)[name]))
                    setattr(owner, name, value)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            while not self._inside and self._before:
                setattr(*self._before.pop())
