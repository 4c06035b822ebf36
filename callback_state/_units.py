"""Sizes, durations, ages, times and moments of a run in words."""

from __future__ import annotations

import math
from datetime import datetime, timezone

#: The units of time in seconds, the largest first.
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def size_of(size: int) -> str:
    """Write a number of bytes in decimal units: ``"29.8 kB"``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB" if amount < 999.5 else f"{amount:.0f} TB"


def duration(seconds: float | None) -> str:
    """Write a duration in its two largest units; one that is None or infinite is not known."""
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


def age_of(saved_at: int, now: float) -> str:
    """Write an age in the largest unit of which it has at least two.

    ``saved_at`` is in nanoseconds since 1970, ``now`` in seconds.
    """
    seconds = now - saved_at / 1e9
    unit, length = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), _UNITS[-1])
    return f"{max(seconds, 0) // length:.0f} {unit}"


def time_of(nanoseconds: int) -> str:
    """Write a time, given in nanoseconds since 1970, in UTC; only the number if no calendar has it."""
    try:
        moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return f"{nanoseconds} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def moment(epoch: int, batch: int | None = None, of: int | None = None) -> str:
    """Write a 0-based epoch, of so many, and a 0-based batch in it, counted from 1 as Keras prints them.

    ``"epoch 4/8, batch 12"`` is where twelve batches of the fourth epoch are over.
    """
    inside = "" if batch is None else f", batch {batch + 1}"
    return f"epoch {epoch + 1}{'' if of is None else f'/{of}'}{inside}"


def beginning(epoch: int, batch: int, of: int | None = None) -> str:
    """Write the 0-based epoch and batch with which training begins or goes on; the first batch is not named."""
    return moment(epoch, batch or None, of)
