"""What a simulated run was: its steps with their learning rates, its events, its stops and saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, NamedTuple

from ..._format.encode import same

__all__ = ["Event", "Record", "Save"]

#: Lines of a printed record before the middle is left out.
LINES = 20


class Event(NamedTuple):
    """A hook that every callback has heard.

    ``at`` is the 0-based epoch or batch, None where the hook has none; ``logs`` what the last callback of
    the list was left with.
    """

    hook: str
    at: int | None
    logs: dict[str, Any]


class Save(NamedTuple):
    """A save of the model or its weights: the path, the step after which it came (0-based), the hook in which."""

    path: str
    epoch: int
    batch: int
    hook: str


@dataclasses.dataclass(eq=False)
class Record:
    """A simulated run. Records are equal if everything in them is, NaN included.

    Attributes:
        steps: (epoch, batch) of each training step, 0-based.
        learning_rate: of each step, as the optimizer had it in that step.
        watched: for each name that was watched its value after each step.
        events: every hook that the callbacks heard, in order.
        stopped: (epoch, batch) of the step after which ``stop_training`` was set, or None.
        saves: each :class:`Save`.
        history: what ``fit`` returns as ``history.history``.
    """

    steps: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    learning_rate: list[float] = dataclasses.field(default_factory=list)
    watched: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    events: list[Event] = dataclasses.field(default_factory=list)
    stopped: tuple[int, int] | None = None
    saves: list[Save] = dataclasses.field(default_factory=list)
    history: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.difference(other) is None

    __hash__ = None  # type: ignore[assignment]

    def difference(self, other: Record) -> str | None:
        """The first difference in words, None where there is none."""
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
                return f"the event {_event(mine)} was heard, expected {_event(theirs)}"
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
        """The part of a run from a point on, begun as the resumed run has begun."""
        steps = [step for step in self.steps if step >= point]
        events = self.events[len(self.events) - self._heard_since(point) :]
        opening = resumed.events[: 2 if point[1] else 1]
        watched = {name: values[-len(steps) :] if steps else [] for name, values in self.watched.items()}
        later = [s for s in self.saves if (s.epoch, s.batch + 1, s.hook == "on_epoch_end") > (*point, False)]
        rates = self.learning_rate[len(self.learning_rate) - len(steps) :]
        return Record(steps, rates, watched, [*opening, *events], self.stopped, later, resumed.history)

    def _heard_since(self, point: tuple[int, int]) -> int:
        """How many events the run has heard from a point on."""
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
        """The same run, as if nobody had heard the logs of these names."""
        events = [event._replace(logs=_but(event.logs, logs)) for event in self.events]
        return dataclasses.replace(self, events=events, history=_but(self.history, logs))

    def to_numpy(self) -> dict[str, Any]:
        """Arrays of one entry a step.

        Returns:
            ``epoch`` and ``batch``, shape (steps,), int64; ``learning_rate``, shape (steps,), float64; and each
            watched name, shape (steps,) and what shape its values have, of whatever dtype NumPy finds for it.
        """
        import numpy

        pairs = numpy.array(self.steps, "int64").reshape(-1, 2)
        columns = {"epoch": pairs[:, 0], "batch": pairs[:, 1]}
        columns["learning_rate"] = numpy.array(self.learning_rate, "float64")
        return {**columns, **{name: numpy.array(values) for name, values in self.watched.items()}}

    def __str__(self) -> str:
        """A table of one line a step, the middle left out where there are many."""
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
        """The learning rate over the steps.

        Args:
            path: where to save the picture; its ending says the format.

        Returns:
            A ``matplotlib`` figure; where matplotlib is missing (extra ``plot``) a text, which is written to
            ``path``.
        """
        from .picture import picture

        return picture({"learning rate": self}, path)


def _but(named: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name not in names}


def _event(event: Event) -> str:
    return f"{event.hook}({'' if event.at is None else event.at})"


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
