"""What a simulated run is to be: how long, what it hears, and the points at which it can be interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._logs import Logs, logs_of

__all__ = ["Plan", "Point"]

#: Where a run stands between two events: the 0-based epoch, and the batch that comes next.
Point = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """What a run is to be: its length, and what it hears."""

    epochs: int
    steps: int
    logs: Logs
    validation_steps: int = 0
    watch: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, epochs: int, steps_per_epoch: int, logs: Any, validation_steps: int = 0, watch: Iterable[str] = ()
    ) -> Plan:
        """A plan, checked.

        Raises:
            ValueError, TypeError: something in it is no number of steps, or does not fit to the rest.
        """
        counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}
        for name, value in counts.items():
            least = int(name == "steps_per_epoch")
            if type(value) is not int or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer from {least}")
        watched = (watch,) if isinstance(watch, str) else tuple(watch)
        return cls(epochs, steps_per_epoch, logs_of(logs, epochs, steps_per_epoch), validation_steps, watched)

    def contains(self, point: Any) -> bool:
        """Whether a run of this plan can go on there."""
        match point:
            case (int(epoch), int(batch)):
                return 0 <= epoch < self.epochs and 0 <= batch <= self.steps
        return False
