"""A length of time in words."""

from __future__ import annotations

import math

__all__ = ["duration"]

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units.

    Args:
        seconds: None or an infinity where it is not known.

    Example:
        >>> duration(0.25), duration(75), duration(3 * 3600 + 20)
        ('0.25 s', '1 min 15 s', '3 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 10:
        return f"{seconds:.2g} s"
    first = next((i for i, (_, size) in enumerate(_UNITS) if round(seconds) >= size))
    parts, left = [], round(seconds)
    for unit, size in _UNITS[first : first + 2]:
        count, left = divmod(left, size)
        parts += [f"{count:,} {unit}"] if count else []
    return " ".join(parts)
