"""Threads in the place of processes that train together, which exchange without JAX."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from callback_state._keras import hosts

#: Seconds after which an exchange to which somebody does not come fails.
PATIENCE = 20


class Numbers(threading.local):
    """Each thread counts its exchanges for itself."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)

    def __next__(self) -> int:
        return next(self.numbers)


def act_together(patch: pytest.MonkeyPatch, count: int, act: Callable[[int], Any]) -> list[Any]:
    """What ``act`` returns or raises in each of so many threads, which take each other for processes."""
    here, barrier = threading.local(), threading.Barrier(count, timeout=PATIENCE)
    rows: list[bytes] = [b""] * count

    def gather(data: bytes, size: int) -> list[bytes]:
        rows[here.index] = data.ljust(size, b"\0")
        barrier.wait()
        found = list(rows)
        barrier.wait()
        return found

    def one(index: int) -> Any:
        here.index = index
        try:
            return act(index)
        except Exception as error:
            return error

    patch.setattr(hosts, "count", lambda: count if hasattr(here, "index") else 1)
    patch.setattr(hosts, "index", lambda: getattr(here, "index", 0))
    patch.setattr(hosts, "_gather_bytes", gather)
    patch.setattr(hosts, "_numbers", Numbers())
    with ThreadPoolExecutor(count) as threads:
        return [*threads.map(one, range(count))]
