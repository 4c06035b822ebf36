"""A run over its epochs: learning rate, metrics, the numbers of every callback, and its restarts.

Places are epochs trained: 3.0 is the end of the third epoch (the 0-based epoch 2), 3.5 the middle of the fourth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._checkpoints.schema import Meta, Start
from ..._units import duration
from ..runs.recorded import Recorded
from .numbers import number_of, numbers_of
from .series import Pairs, Panel, Point, Series

#: The names of the learning rate in the logs of Keras.
_RATES = ("learning_rate", "lr")
#: Larger epochs are drawn here.
_LAST = 10**9
#: How many metrics, how many numbers of callbacks, and how many restarts are drawn at most.
_PANELS, _MARKS = 40, 100


@dataclass(frozen=True)
class Restart:
    """A point at which a run went on in a new process; its number counts from 1."""

    number: int
    #: In epochs trained.
    place: float
    #: The 0-based epoch and batch with which the run went on.
    epoch: int
    batch: int
    #: When it went on, and when the checkpoint was saved that it went on from, in nanoseconds since 1970.
    at: int
    saved_at: int

    @property
    def lost(self) -> float | None:
        """The seconds from that checkpoint until training went on; None if the clock was set back."""
        lost = number_of(self.at - self.saved_at)
        return lost / 1e9 if lost is not None and lost >= 0 else None


@dataclass(frozen=True)
class Timeline:
    """A run over its epochs."""

    #: None if no file has the learning rate.
    rate: Panel | None
    #: A panel for each metric, with its ``val_`` series.
    metrics: list[Panel]
    #: For each callback's key the panels of its numbers that change, and the names of those that never change.
    states: dict[str, list[Panel]]
    steady: dict[str, list[str]]
    #: The last restarts, which are drawn and listed.
    restarts: list[Restart]
    #: The seconds that all restarts together have cost.
    lost: float
    #: The place of the newest checkpoint.
    end: float
    #: The number of epochs of the whole run; None if it is not known.
    planned: int | None
    finished: bool
    #: A sentence for each thing that the pictures cannot show.
    remarks: list[str] = field(default_factory=list)

    @property
    def restarted(self) -> int:
        """How often the run went on in a new process, and saved."""
        return self.restarts[-1].number if self.restarts else 0

    @property
    def standing(self) -> str:
        """How far the run has come, in words."""
        planned = f" of {self.planned}" if self.planned is not None else ""
        count = self.restarted
        lost = f"; {count} restart{'s' * (count > 1)} that saved, {duration(self.lost)} lost" if count else ""
        return f"{'finished after ' * self.finished}{self.end:.6g}{planned} epochs{lost}"

    @property
    def common(self) -> list[Panel]:
        """The panels of no callback in particular: learning rate and metrics."""
        return [*([] if self.rate is None else [self.rate]), *self.metrics]


def timeline_of(run: Recorded) -> Timeline:
    """Read the course of a run from its state files."""
    meta, numbers = run.newest.meta, _numbers_over(run)
    changing = [(key, one) for key, series in numbers.items() for one in series if one.changes]
    states: dict[str, list[Panel]] = {}
    for key, series in changing[:_PANELS]:
        states.setdefault(key, []).append(Panel.of(series.name, series))
    columns, again = _columns(meta), [start for start in meta.starts if start.from_ is not None]
    rate, metrics = _rate_of(meta, columns), _metrics_of(columns)
    remarks = [
        *(["The files do not record restarts."] if not meta.starts else []),
        *(["The files do not record the learning rate."] if rate is None else []),
        *_cut("metrics", "first", len(metrics), _PANELS),
        *_cut("numbers of callbacks", "first", len(changing), _PANELS),
        *_cut("restarts", "last", len(again), _MARKS),
    ]
    return Timeline(
        rate,
        [Panel.of(title, *found) for title, found in metrics[:_PANELS]],
        states,
        {key: [s.name for s in series if not s.changes] for key, series in numbers.items()},
        _restarts_of(meta, again),
        sum(max(start.at - (start.from_ or 0), 0) for start in again) / 1e9,
        place_of(meta),
        meta.epochs,
        meta.finished,
        remarks,
    )


def _cut(what: str, which: str, count: int, most: int) -> list[str]:
    return [f"Of {count:,} {what} the {which} {most} are drawn."] if count > most else []


def place_of(meta: Meta) -> float:
    if meta.batch is None:
        return _begin(meta.epoch) + 1
    return _begin(meta.epoch) + _part(meta.batch + 1, meta)


def _begin(epoch: int) -> float:
    """The place where a 0-based epoch begins."""
    return float(max(-1, min(epoch, _LAST)))


def _part(batches: int, meta: Meta) -> float:
    """Batches as a part of an epoch; 0.5 if the length of the epoch is not known."""
    every = meta.data.get("steps_per_epoch") or meta.data.get("batches of an epoch")
    if batches == 0:
        return 0.0
    return min(batches, every) / every if isinstance(every, int) and every > 0 else 0.5


def _restarts_of(meta: Meta, again: list[Start]) -> list[Restart]:
    last = again[-_MARKS:]
    return [
        Restart(number, _begin(s.epoch) + _part(s.batch, meta), s.epoch, s.batch, s.at, s.from_ or 0)
        for number, s in enumerate(last, len(again) - len(last) + 1)
    ]


def _rate_of(meta: Meta, series: dict[str, Series]) -> Panel | None:
    trace = meta.trace
    noted = [(_begin(e) + 1, rate) for e, rate in zip(trace.epochs, trace.learning_rate, strict=True)]
    known = Series("learning rate", tuple((place, rate) for place, rate in noted if rate is not None))
    for found in (known, *(series[name] for name in _RATES if name in series)):
        if found.points:
            return Panel.of("learning rate", Series("learning rate", found.points))
    return None


def _metrics_of(columns: dict[str, Series]) -> list[tuple[str, list[Series]]]:
    """For each metric its title, and its training and validation series, in the order of the history."""
    series = {name: s for name, s in columns.items() if name not in _RATES and s.points}
    bases = dict.fromkeys(name.removeprefix("val_") for name in series)
    pairs = {base: [series[name] for name in (base, f"val_{base}") if name in series] for base in bases}
    return [(base if len(found) > 1 else found[0].name, found) for base, found in pairs.items()]


def _columns(meta: Meta) -> dict[str, Series]:
    history = meta.history
    epochs = [_begin(epoch) + 1 for epoch in history.epochs if isinstance(epoch, int)]
    columns = history.series.items()
    return {name: Series(name, _aligned(epochs, values)) for name, values in columns}


def _aligned(ends: list[float], values: list[Any]) -> Sequence[Point]:
    """Place each value at the end of its epoch.

    With ``fit(validation_freq=n)`` there are fewer values than epochs; the smallest n that fits is taken. If none
    fits, the values belong to the last epochs.
    """
    every = len(ends) // (len(values) + 1) + 1
    chosen = ends[every - 1 :: every] if len(values) * every <= len(ends) else ends[-len(values) :]
    if {*map(type, values)} == {float}:  # as nearly always; there may be very many
        return Pairs(chosen, values)
    numbers = zip(chosen, map(number_of, values), strict=False)
    return [(end, value) for end, value in numbers if value is not None]


def _numbers_over(run: Recorded) -> dict[str, list[Series]]:
    """For each callback's key its numbers: at the end of each epoch, and at each checkpoint inside an epoch.

    What is no plain number, such as an element of an array, is only known at the checkpoints.
    """
    trace = run.newest.meta.trace
    places = [_begin(epoch) + 1 for epoch in trace.noted]
    found: dict[str, dict[str, dict[float, float]]] = {}
    for state in run.states:
        place = place_of(state.meta)
        for key, numbers in numbers_of(state.snapshot).items():
            for name, value in numbers.items():
                found.setdefault(key, {}).setdefault(name, {})[place] = value
    for key, columns in trace.numbers.items():
        for name, column in columns.items():
            series = found.setdefault(key, {}).setdefault(name, {})
            series.update((p, float(v)) for p, v in zip(places, column, strict=True) if v is not None)
    return {
        key: [Series.of_state(n, values, trace.stride) for n, values in of.items()] for key, of in found.items()
    }
