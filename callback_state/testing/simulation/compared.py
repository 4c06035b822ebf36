"""Two records side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .record import Record


@dataclass(frozen=True)
class Comparison:
    """Two records side by side.

    Attributes:
        first, second: the records.
        interruptions: the points (epoch, batch), 0-based, at which the second run was interrupted.
    """

    first: Record
    second: Record
    interruptions: tuple[tuple[int, int], ...] = ()

    @property
    def parts_at(self) -> tuple[int, int] | None:
        """The first step (epoch, batch) with different learning rates, or that only one record has; else None."""
        mine = dict(zip(self.first.steps, self.first.learning_rate, strict=True))
        theirs = dict(zip(self.second.steps, self.second.learning_rate, strict=True))
        return next((step for step in sorted(mine | theirs) if mine.get(step) != theirs.get(step)), None)

    def __str__(self) -> str:
        return self.second.difference(self.first) or "no difference"

    def plot(self, path: Any = None) -> Any:
        """Draw both learning rates over the steps, with the interruptions and the step at which they part.

        Args:
            path: where to save the picture; the ending chooses the format. None to save nothing.

        Returns:
            A ``matplotlib`` figure; without matplotlib (extra ``plot``) a text of two sparklines, which is then
            written to ``path``.
        """
        from .picture import picture

        return picture(
            {"first": self.first, "second": self.second}, path, marks=self.interruptions, parts_at=self.parts_at
        )


def compare(first: Record, second: Record, *, interruptions: Iterable[tuple[int, int]] = ()) -> Comparison:
    """Compare two records; the result can be printed and plotted.

    Args:
        first, second: two results of :func:`simulate`.
        interruptions: the points (epoch, batch), 0-based, at which the second run was interrupted and went on.

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
