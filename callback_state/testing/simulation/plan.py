"""The plan of a simulated run: its length, its logs, and the points at which it can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: A function from (epoch, batch), both 0-based, to the logs after that step.
Logs = Callable[[int, int], dict[str, Any]]
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


def logs_of(given: Any, epochs: int, steps: int) -> Logs:
    """Make a function from (epoch, batch) to logs from a function or from series; without them a loss falls.

    Series are a dict or a ``keras.callbacks.History``, and have one value an epoch or one a step.
    """
    if given is None:
        return lambda epoch, batch: {"loss": 1.0 / (1 + epoch * steps + batch)}
    series = getattr(given, "history", given)
    if isinstance(series, Mapping):
        per_step = {name: _per_step(name, values, epochs, steps) for name, values in series.items()}
        return lambda epoch, batch: {name: values[epoch * steps + batch] for name, values in per_step.items()}
    if callable(given):
        return _checked(given)
    raise TypeError(
        f"logs: expected a function of (epoch, batch), a dict of lists or a History, found {given!r:.100}"
    )


def _per_step(name: str, values: Any, epochs: int, steps: int) -> list[Any]:
    if not hasattr(values, "__len__"):
        raise TypeError(f"logs[{name!r}] is {values!r:.50}; expected a list, one value an epoch or a step")
    if len(values) == epochs:
        return [value for value in values for _ in range(steps)]
    if len(values) == epochs * steps:
        return [*values]
    raise ValueError(
        f"logs[{name!r}] has {len(values)} values; expected {epochs}, one for each epoch, or {epochs * steps}, "
        f"one for each step"
    )


def _checked(function: Any) -> Logs:
    def logs(epoch: int, batch: int) -> dict[str, Any]:
        found = function(epoch, batch)
        if not isinstance(found, Mapping):
            raise TypeError(
                f"logs({epoch}, {batch}) returned {found!r:.100}; expected a dict such as {{'loss': 0.5}}"
            )
        return dict(found)

    return logs
