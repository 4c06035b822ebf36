"""The record of a simulated run: its steps with their learning rates, its events, its stop and its saves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Any, NamedTuple

from ..._format.encode import same

#: A record with more lines is printed without its middle.
LINES = 20


class Event(NamedTuple):
    """A hook that was called on every callback.

    Attributes:
        hook: the name of the hook.
        at: the 0-based epoch or batch; None if the hook has none.
        logs: the logs after all callbacks have seen and perhaps changed them.
    """

    hook: str
    at: int | None
    logs: dict[str, Any]


class Save(NamedTuple):
    """A save of the model or its weights.

    Attributes:
        path: the file.
        epoch, batch: the 0-based step after which it was saved.
        hook: the hook in which it was saved.
    """

    path: str
    epoch: int
    batch: int
    hook: str


#: Rates that differ from the numbers of a list by less than this part of themselves are equal to it: an optimizer
#: keeps them in 32 bits, which have no 0.1.
TOLERANCE = 1e-6


class Rates(list[float]):
    """The learning rates of a record. They equal a list of numbers if each is as near as :data:`TOLERANCE`."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(map(_is_close, self, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def differences(self, expected: list[Any] | tuple[Any, ...]) -> list[str]:
        """What differs from a list of numbers, in lines for people."""
        lines = ["the learning rates are not those of the list"]
        if len(self) != len(expected):
            lines.append(f"expected {len(expected)} of them, found {len(self)}")
        pairs = enumerate(zip(self, expected, strict=False))
        lines += [f"at index {i}: expected {e}, found {r}" for i, (r, e) in pairs if not _is_close(r, e)]
        return lines


def _is_close(rate: float, expected: Any) -> bool:
    is_number = isinstance(expected, (int, float))
    return is_number and (
        math.isclose(rate, expected, rel_tol=TOLERANCE) or (rate != rate and expected != expected)
    )


@dataclasses.dataclass(eq=False)
class Record:
    """A simulated run. Two records are equal if everything in them is equal, to the last bit; NaN equals NaN.

    Attributes:
        steps: (epoch, batch) of each training step, 0-based.
        learning_rate: the learning rate of the optimizer in each step. It equals a list of numbers if each rate is
            within a millionth of its number: ``record.learning_rate == [0.1, 0.05]``.
        watched: for each watched name the value after each step.
        events: an :class:`Event` for every hook that was called, in order.
        stopped: (epoch, batch) of the step after which ``stop_training`` was set; None if it was not.
        saves: the saves, each a :class:`Save`.
        history: what ``fit`` returns as ``history.history``.
    """

    steps: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    learning_rate: list[float] = dataclasses.field(default_factory=list)
    watched: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    events: list[Event] = dataclasses.field(default_factory=list)
    stopped: tuple[int, int] | None = None
    saves: list[Save] = dataclasses.field(default_factory=list)
    history: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.learning_rate = Rates(self.learning_rate)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.difference(other) is None

    __hash__ = None  # type: ignore[assignment]

    def difference(self, other: Record) -> str | None:
        """Describe the first difference to another record; None if there is none."""
        for i, (mine, theirs) in enumerate(zip(self.steps, other.steps, strict=False)):
            if mine != theirs:
                return f"step {i} is {mine}, expected {theirs}"
            rate, expected = self.learning_rate[i], other.learning_rate[i]
            if not same(rate, expected):
                return f"the learning rate of step {mine} is {rate!r}, expected {expected!r}"
            for name in self.watched.keys() & other.watched.keys():
                value, expected = self.watched[name][i], other.watched[name][i]
                if not same(value, expected):
                    return f"{name} after step {mine} is {value!r}, expected {expected!r}"
        if len(self.steps) != len(other.steps):
            return f"there are {len(self.steps)} steps, expected {len(other.steps)}"
        return self._other_difference(other)

    def _other_difference(self, other: Record) -> str | None:
        for mine, theirs in zip(self.events, other.events, strict=False):
            if mine[:2] != theirs[:2]:
                return f"the event is {_event(mine)}, expected {_event(theirs)}"
            if not same(mine.logs, theirs.logs):
                return f"the logs of {_event(mine)} are {mine.logs}, expected {theirs.logs}"
        for name in ("stopped", "saves", "watched", "history"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not same(mine, theirs):
                return f"{name} is {mine!r}, expected {theirs!r}"
        if len(self.events) != len(other.events):
            return f"there are {len(self.events)} events, expected {len(other.events)}"
        return None

    def since(self, point: tuple[int, int], resumed: Record) -> Record:
        """The part of this run from a point on, with the opening events and the history of the resumed run."""
        steps = [step for step in self.steps if step >= point]
        events = self.events[len(self.events) - self._heard_since(point) :]
        opening = resumed.events[: 2 if point[1] else 1]
        watched = {name: values[-len(steps) :] if steps else [] for name, values in self.watched.items()}
        later = [s for s in self.saves if (s.epoch, s.batch + 1, s.hook == "on_epoch_end") > (*point, False)]
        rates = self.learning_rate[len(self.learning_rate) - len(steps) :]
        return Record(steps, rates, watched, [*opening, *events], self.stopped, later, resumed.history)

    def _heard_since(self, point: tuple[int, int]) -> int:
        """How many events the run has from a point on."""
        count, epoch, batch = 0, 0, 0
        for i, event in enumerate(self.events):
            if event.hook == "on_epoch_begin":
                epoch, batch = event.at or 0, 0
            if i and (epoch, batch) >= point:
                count += 1
            if event.hook == "on_train_batch_end":
                batch += 1
            elif event.hook == "on_epoch_end":
                epoch, batch = epoch + 1, 0
        return count

    def without(self, logs: Collection[str]) -> Record:
        """A copy without the logs of these names."""
        events = [event._replace(logs=_but(event.logs, logs)) for event in self.events]
        return dataclasses.replace(self, events=events, history=_but(self.history, logs))

    def to_numpy(self) -> dict[str, Any]:
        """Convert the steps to arrays with one entry a step.

        Returns:
            A dict with ``epoch`` and ``batch``, shape (steps,), int64; ``learning_rate``, shape (steps,), float64;
            and each watched name, shape (steps, and the shape of its values), with the dtype that NumPy chooses.
        """
        import numpy

        pairs = numpy.array(self.steps, "int64").reshape(-1, 2)
        columns = {"epoch": pairs[:, 0], "batch": pairs[:, 1]}
        columns["learning_rate"] = numpy.array(self.learning_rate, "float64")
        return {**columns, **{name: numpy.array(values) for name, values in self.watched.items()}}

    def __str__(self) -> str:
        """A table with one line a step; if there are many, the middle is left out."""
        head = ["epoch", "batch", "learning_rate", *self.watched]
        columns = [*zip(*self.steps, strict=True)] or [(), ()]
        rows = list(zip(*columns, self.learning_rate, *self.watched.values(), strict=True))
        lines = [head, *([_cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        if len(text) > LINES + 1:
            half = LINES // 2
            text[half + 1 : -half] = [f"... {len(text) - 1 - 2 * half} more steps ..."]
        if self.stopped is not None:
            text.append(f"stopped after {self.stopped}")
        text += [f"saved {save.path} after ({save.epoch}, {save.batch}) in {save.hook}" for save in self.saves]
        return "\n".join(text)

    def __repr__(self) -> str:
        last = f", learning rate {_cell(self.learning_rate[-1])} in the last" if self.steps else ""
        return f"<Record of {len(self.steps)} steps{last}>"

    def plot(self, path: Any = None) -> Any:
        """Draw the learning rate over the steps.

        Args:
            path: where to save the picture; the ending chooses the format. None to save nothing.

        Returns:
            A ``matplotlib`` figure; without matplotlib (extra ``plot``) a text, which is then written to ``path``.
        """
        from .picture import picture

        return picture({"learning rate": self}, path)


def _but(named: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name not in names}


def _event(event: Event) -> str:
    return f"{event.hook}({'' if event.at is None else event.at})"


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
