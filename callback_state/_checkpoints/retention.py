"""Which of the checkpoints that a run wrote it may delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def surplus(
    written: Sequence[tuple[str, float | None]],
    *,
    newest: int | None,
    best: int | None,
    better: Callable[[Any, Any], Any] | None,
) -> list[str]:
    """The names of the checkpoints to delete, oldest first: those that no rule keeps.

    ``written`` has (name, monitored value or None) of those there are, oldest first. ``newest`` and ``best`` say
    how many to keep of these; None for no such rule. ``better(a, b)`` is true if the value a is better; not needed
    without ``best``.

    The newest is kept always: nothing is deleted before its successor is there. Of equal values the earlier is the
    better; NaN is none. One without a value is not deleted for not being among the best.
    """
    if newest is None and best is None:
        return []
    kept = {name for name, _ in written[-max(newest or 0, 1) :]}
    if newest is None:
        kept |= {name for name, value in written if value is None}
    valued = [(name, value) for name, value in written if value is not None and value == value]
    for i, (name, value) in enumerate(valued if best is not None else ()):
        assert better is not None
        ahead = sum(bool(better(other, value)) for _, other in valued)
        ahead += sum(other == value for _, other in valued[:i])
        if best is not None and ahead < best:
            kept.add(name)
    return [name for name, _ in written if name not in kept]
