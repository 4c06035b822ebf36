"""Something else happens between two steps of a writer or a reader."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from callback_state._store import disk


def between(patch: pytest.MonkeyPatch, name: str, n: int, action: Callable[[], Any], module: Any = disk) -> None:
    """Let an action happen just after the n-th call (1-based) of a function of ``disk``, or of another module."""
    function, calls = getattr(module, name), itertools.count(1)

    def call(*args: Any) -> Any:
        result = function(*args)
        if next(calls) == n:
            action()
        return result

    patch.setattr(module, name, call)
