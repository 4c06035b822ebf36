"""Two records side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .record import Record

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Two records, and the points (epoch, batch) at which the second one was interrupted."""

    first: Record
    second: Record
    interruptions: tuple[tuple[int, int], ...] = ()

    @property
    def parts_at(self) -> tuple[int, int] | None:
        """The first step (epoch, batch) whose learning rate is another, or that only one of them has."""
        mine = dict(zip(self.first.steps, self.first.learning_rate, strict=True))
        theirs = dict(zip(self.second.steps, self.second.learning_rate, strict=True))
        return next((step for step in sorted(mine | theirs) if mine.get(step) != theirs.get(step)), None)

    def __str__(self) -> str:
        return self.second.difference(self.first) or "no difference"

    def plot(self, path: Any = None) -> Any:
        """Both learning rates over the steps, the interruptions marked, and the step at which they part.

        Args:
            path: where to save the picture; its ending says the format.

        Returns:
            A ``matplotlib`` figure; where matplotlib is missing (extra ``plot``) a text of two sparklines, which
            is written to ``path``.
        """
        from .picture import picture

        return picture(
            {"first": self.first, "second": self.second}, path, marks=self.interruptions, parts_at=self.parts_at
        )


def compare(first: Record, second: Record, *, interruptions: Iterable[tuple[int, int]] = ()) -> Comparison:
    """Two records side by side, to be printed or plotted.

    Args:
        first, second: what :func:`simulate` returned.
        interruptions: (epoch, batch), 0-based, at which the second run was interrupted and went on.

    Returns:
        A :class:`Comparison`.

    Example:
        >>> import keras
        >>> from callback_state.testing import compare, simulate
        >>> def run(factor):
        ...     schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * factor)
        ...     return simulate(schedule, epochs=2, steps_per_epoch=1, optimizer="numpy")
        >>> compare(run(0.5), run(0.5)).parts_at is None
        True
        >>> compare(run(0.5), run(0.25)).parts_at
        (0, 0)
    """
    return Comparison(first, second, tuple(interruptions))
