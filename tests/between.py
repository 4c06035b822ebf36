"""Something else happens between two steps of a writer or a reader."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from callback_state import _atomic


def between(patch: pytest.MonkeyPatch, name: str, n: int, action: Callable[[], Any]) -> None:
    """Let an action happen just after the n-th call (1-based) of a function of ``_atomic``."""
    function, calls = getattr(_atomic, name), itertools.count(1)

    def call(*args: Any) -> Any:
        result = function(*args)
        if next(calls) == n:
            action()
        return result

    patch.setattr(_atomic, name, call)
