"""Numbers that no run reaches: Python refuses to write some integers, and to take others for a time."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from .._summary import Summary
from ..exceptions import CorruptCheckpointError

__all__ = ["check_meta", "check_summary"]

_BITS = 63
_MOMENT = ("saved_at", "epoch", "batch", "initial_epoch", "epochs")
_START = ("at", "epoch", "batch")


def check_summary(where: str, summary: Summary) -> None:
    """Refuse a summary with such a number. Raises CorruptCheckpointError."""
    _check(where, astuple(summary))


def check_meta(where: str, meta: dict[str, Any]) -> None:
    """Refuse a ``meta`` with such a number where it is shown as it is. Raises CorruptCheckpointError."""
    starts = [start[name] for start in meta["starts"] for name in _START]
    versions = [entry["version"] for entry in meta["callbacks"]]
    _check(where, (*(meta[n] for n in _MOMENT), *meta["monitor"], meta["model"]["iterations"], *starts, *versions))


def _check(where: str, values: tuple[Any, ...]) -> None:
    if any(type(value) is int and value.bit_length() > _BITS for value in values):
        raise CorruptCheckpointError(where, f"holds a number of more than {_BITS} bits, which no run reaches")
