"""A run over its epochs: learning rate, metrics, the numbers of every callback, and its restarts.

Places are epochs trained: 3.0 is the end of the third epoch (the 0-based epoch 2), 3.5 the middle of the fourth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..._checkpoints.schema import Meta
from ..._units import duration
from ..runs.recorded import Recorded
from .numbers import number_of, numbers_of
from .series import Panel, Series

__all__ = ["Restart", "Timeline", "timeline_of"]

#: What Keras calls the learning rate in logs.
_RATES = ("learning_rate", "lr")
#: An epoch beyond has no picture.
_LAST = 10**9
#: Of more metrics, of more numbers of callbacks, and of more restarts not all are drawn.
_PANELS, _MARKS = 40, 100


@dataclass(frozen=True)
class Restart:
    """Where a run went on in a new process.

    Attributes:
        number: counted from 1.
        place: in epochs trained.
        epoch, batch: the 0-based epoch and batch with which it went on.
        at: when, in nanoseconds since 1970.
        saved_at: when the checkpoint was saved that it went on from, likewise.
    """

    number: int
    place: float
    epoch: int
    batch: int
    at: int
    saved_at: int

    @property
    def lost(self) -> float | None:
        """The seconds from that checkpoint until training went on; None where the clock was set back."""
        lost = number_of(self.at - self.saved_at)
        return lost / 1e9 if lost is not None and lost >= 0 else None


@dataclass(frozen=True)
class Timeline:
    """A run over its epochs.

    Attributes:
        rate: the learning rate; None where no file says it.
        metrics: each with its ``val_`` series.
        states: by the callback's key, what changes.
        steady: by the callback's key, the names of the numbers that never change.
        restarts: in their order.
        end: the place of the newest checkpoint.
        planned: how many epochs the run is to have; None where that is not known.
        finished: whether it has ended.
        remarks: what the pictures cannot show, a sentence each.
    """

    rate: Panel | None
    metrics: list[Panel]
    states: dict[str, list[Panel]]
    steady: dict[str, list[str]]
    restarts: list[Restart]
    end: float
    planned: int | None
    finished: bool
    remarks: list[str] = field(default_factory=list)

    @property
    def marked(self) -> list[Restart]:
        """Those that are drawn and listed."""
        return self.restarts[-_MARKS:]

    @property
    def lost(self) -> float:
        """The seconds that all restarts have cost."""
        return sum(restart.lost or 0.0 for restart in self.restarts)

    @property
    def standing(self) -> str:
        """How far the run has come, in words."""
        planned = f" of {self.planned}" if self.planned is not None else ""
        count = len(self.restarts)
        lost = f"; {count} restart{'s' * (count > 1)} that saved, {duration(self.lost)} lost" if count else ""
        return f"{'finished after ' * self.finished}{self.end:.6g}{planned} epochs{lost}"

    @property
    def panels(self) -> list[Panel]:
        rates = [] if self.rate is None else [self.rate]
        return [*rates, *self.metrics, *(panel for panels in self.states.values() for panel in panels)]


def timeline_of(run: Recorded) -> Timeline:
    """What the state files of a run say of its course."""
    meta, numbers = run.newest.meta, _numbers_over(run)
    changing = [(key, one) for key, series in numbers.items() for one in series if one.changes]
    states: dict[str, list[Panel]] = {}
    for key, series in changing[:_PANELS]:
        states.setdefault(key, []).append(Panel.of(series.name, series))
    rate, metrics, restarts = _rate_of(meta), _metrics_of(meta), _restarts_of(meta)
    remarks = [
        *(["These files are of a release that did not note restarts."] if not meta.starts else []),
        *(["No file says the learning rate."] if rate is None else []),
        *_cut("metrics", "first", len(metrics), _PANELS),
        *_cut("numbers of callbacks", "first", len(changing), _PANELS),
        *_cut("restarts", "last", len(restarts), _MARKS),
    ]
    return Timeline(
        rate,
        [Panel.of(title, *found) for title, found in metrics[:_PANELS]],
        states,
        {key: [s.name for s in series if not s.changes] for key, series in numbers.items()},
        restarts,
        place_of(meta),
        meta.epochs,
        meta.finished,
        remarks,
    )


def _cut(what: str, which: str, count: int, most: int) -> list[str]:
    return [f"Of {count:,} {what} the {which} {most} are drawn."] if count > most else []


def place_of(meta: Meta) -> float:
    """The place of a checkpoint, from what its state file says."""
    if meta.batch is None:
        return _begin(meta.epoch) + 1
    return _begin(meta.epoch) + _part(meta.batch + 1, meta)


def _begin(epoch: int) -> float:
    """The place where a 0-based epoch begins."""
    return float(max(-1, min(epoch, _LAST)))


def _part(batches: int, meta: Meta) -> float:
    """So many batches as a part of an epoch: half a one, where it is not known how many that has."""
    every = meta.data.get("steps_per_epoch") or meta.data.get("batches of an epoch")
    if batches == 0:
        return 0.0
    return min(batches, every) / every if isinstance(every, int) and every > 0 else 0.5


def _restarts_of(meta: Meta) -> list[Restart]:
    again = [(start, start.from_) for start in meta.starts if start.from_ is not None]
    return [
        Restart(number, _begin(s.epoch) + _part(s.batch, meta), s.epoch, s.batch, s.at, saved_at)
        for number, (s, saved_at) in enumerate(again, 1)
    ]


def _rate_of(meta: Meta) -> Panel | None:
    trace, series = meta.trace, _columns(meta)
    noted = [(_begin(e) + 1, rate) for e, rate in zip(trace.epochs, trace.learning_rate, strict=True)]
    known = Series("learning rate", tuple((place, rate) for place, rate in noted if rate is not None))
    for found in (known, *(series[name] for name in _RATES if name in series)):
        if found.points:
            return Panel.of("learning rate", Series("learning rate", found.points))
    return None


def _metrics_of(meta: Meta) -> list[tuple[str, list[Series]]]:
    """By its title each metric and its validation, in the order of the history."""
    series = {name: s for name, s in _columns(meta).items() if name not in _RATES and s.points}
    bases = dict.fromkeys(name.removeprefix("val_") for name in series)
    pairs = {base: [series[name] for name in (base, f"val_{base}") if name in series] for base in bases}
    return [(base if len(found) > 1 else found[0].name, found) for base, found in pairs.items()]


def _columns(meta: Meta) -> dict[str, Series]:
    history = meta.history
    epochs = [_begin(epoch) + 1 for epoch in history.epochs if isinstance(epoch, int)]
    columns = history.series.items()
    return {name: Series(name, tuple(_aligned(epochs, values))) for name, values in columns}


def _aligned(ends: list[float], values: list[Any]) -> Iterable[tuple[float, float]]:
    """Each value at the end of its epoch.

    ``fit(validation_freq=n)`` leaves fewer values than epochs; which n it was is the smallest that fits. Others
    that are too few are of the last epochs.
    """
    every = len(ends) // (len(values) + 1) + 1
    chosen = ends[every - 1 :: every] if len(values) * every <= len(ends) else ends[-len(values) :]
    for end, value in zip(chosen, map(number_of, values), strict=False):
        if value is not None:
            yield end, value


def _numbers_over(run: Recorded) -> dict[str, list[Series]]:
    """By key the numbers of a callback, each with a point for every checkpoint that has it."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for state in run.states:
        own = {e.key for e in state.meta.callbacks if e.class_.startswith("callback_state.")}
        for key, numbers in numbers_of(state.snapshot).items():
            series = found.setdefault(key, {})
            for name, value in numbers.items():
                if not (key in own and name.startswith("_")):  # how our own checkpoint keeps its files
                    series.setdefault(name, []).append((place_of(state.meta), value))
    return {key: [Series(n, tuple(p)) for n, p in series.items()] for key, series in found.items()}
