"""Quantities in words."""

from __future__ import annotations

__all__ = ["size_of"]


def size_of(size: int) -> str:
    """Bytes in decimal units: ``"29.8 kB"``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB" if amount < 999.5 else f"{amount:.0f} TB"
