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
        """Make a plan from checked arguments."""
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
        """The points (epoch, batch) that the argument ``at`` stands for, at least one."""
        if isinstance(at, str):
            if at not in ("every step", "every epoch"):
                raise ValueError(f"at={at!r}: expected 'every step', 'every epoch' or points (epoch, batch)")
            steps = range(self.steps + 1 if at == "every step" else 1)
            points = [(epoch, batch) for epoch in range(self.epochs) for batch in steps][1:]
        else:
            points = self._given(at)
        if not points:
            raise ValueError(f"at={at!r} of {self.epochs} epochs is no point at all, so nothing would be tested")
        return points

    def _given(self, at: Any) -> list[Point]:
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
