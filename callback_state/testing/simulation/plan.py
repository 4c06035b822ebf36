"""The plan of a simulated run: its length, its logs, and the points at which it can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .logs import Logs, logs_of

#: A point between two events: the 0-based epoch, and the 0-based batch that comes next.
Point = tuple[int, int]


class Drawn(list[Point]):
    """Points that hypothesis has drawn. Unlike points that a user gives, those after an early stop are skipped."""


@dataclass(frozen=True)
class Plan:
    """The plan of a run; the arguments of :func:`simulate` explain its fields."""

    epochs: int
    steps: int
    logs: Logs
    validation_steps: int = 0
    watch: tuple[str, ...] = ()
    timeout: float | None = 60.0

    @classmethod
    def of(
        cls,
        epochs: int,
        steps_per_epoch: int,
        logs: Any,
        validation_steps: int = 0,
        watch: Iterable[str] = (),
        timeout: float | None = 60.0,
    ) -> Plan:
        """Make a plan from checked arguments.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}
        for name, value in counts.items():
            least = int(name == "steps_per_epoch")
            if type(value) is not int or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer from {least}")
        if timeout is not None and not (type(timeout) in (int, float) and 0 < timeout <= threading.TIMEOUT_MAX):
            raise ValueError(f"timeout={timeout!r}: expected seconds above 0, or None for no limit")
        watched = (watch,) if isinstance(watch, str) else tuple(watch)
        heard = logs_of(logs, epochs, steps_per_epoch)
        return cls(epochs, steps_per_epoch, heard, validation_steps, watched, timeout)

    def contains(self, point: Any) -> bool:
        """Whether a run of this plan can go on at a point."""
        match point:
            case (int(epoch), int(batch)):
                return 0 <= epoch < self.epochs and 0 <= batch <= self.steps
        return False

    def points(self, at: Any) -> list[Point]:
        """The points (epoch, batch) that the argument ``at`` stands for.

        Raises:
            ValueError: there is none, or one is not within the run.
        """
        points = self._points(at)
        if not points:
            raise ValueError(f"at={at!r} of {self.epochs} epochs is no point at all, so nothing would be tested")
        return points

    def _points(self, at: Any) -> list[Point]:
        if at == "every step":
            inside = [(e, b) for e in range(self.epochs) for b in range(1, self.steps + 1)]
            return sorted([*inside, *self._points("every epoch")])
        if at == "every epoch":
            return [(e, 0) for e in range(1, self.epochs)]
        if isinstance(at, str):
            raise ValueError(f"at={at!r}: expected 'every step', 'every epoch' or points (epoch, batch)")
        if not isinstance(at, Iterable) or (isinstance(at, tuple) and self.contains(at)):
            raise ValueError(
                f"at={at!r}: expected 'every step', 'every epoch' or a list of points, such as [(1, 0)]"
            )
        points = [tuple(point) if isinstance(point, (list, tuple)) else point for point in at]
        for point in points:
            if not self.contains(point) or point == (0, 0):
                raise ValueError(
                    f"at: {point!r} is not within the run; expected (epoch, batch), 0-based, up to "
                    f"{(self.epochs - 1, self.steps)}, and after the first step"
                )
        return points
