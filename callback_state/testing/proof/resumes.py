"""The proof that callbacks resume exactly: interrupted anywhere, saved and made again, they go on unchanged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..._callbacks.capture import saved_among
from ..._checkpoints.snapshot import Snapshot
from ..._keras import randomness
from ..._store import commit
from ..._store.stream import Stream
from ...exceptions import NotPicklableError
from ..simulation.drive import drive
from ..simulation.plan import Drawn, Plan, Point
from ..simulation.record import Record
from ..simulation.standin import values_of
from . import states
from .causes import cause_of_unpicklable, likely_cause
from .factory import Factory, Make
from .looked import Look, look, look_at_model
from .process import go_on_elsewhere, pickled
from .replay import Resumed, Saved, go_on


@dataclass
class _Whole:
    """An uninterrupted run: its record, the points at which it could be saved, and the callbacks at the end."""

    record: Record = field(default_factory=Record)
    saved: dict[Point, Saved] = field(default_factory=dict)
    end: Look = field(default_factory=dict)


def assert_resumes_exactly(
    make_callbacks: Make,
    *,
    epochs: int,
    steps_per_epoch: int,
    logs: Any = None,
    at: str | Iterable[Point] = "every step",
    through: str = "state",
    optimizer: Any = None,
    validation_steps: int = 0,
    model: Make | None = None,
    ignore_logs: Iterable[str] = (),
    timeout: float | None = 60.0,
) -> None:
    """Fail unless a run with these callbacks can be interrupted anywhere and goes on exactly the same.

    The run is simulated once without an interruption, and then once from each point, with new callbacks. The saved
    state is put into them before the first hook, and again after ``on_train_begin`` (and inside an epoch after
    ``on_epoch_begin``), as in a script that calls ``restore_callbacks(..., into=callbacks)`` and ``fit``. The
    learning rates, events, logs, the stop, the saves, the final model, and all attributes that are not excluded
    must be the same. Points after an early stop are skipped, unless ``at`` names them.

    Args:
        make_callbacks: a function that returns a new callback, or a list of new callbacks.
        epochs, steps_per_epoch, logs, validation_steps: as for :func:`simulate`.
        at: ``"every step"``, ``"every epoch"``, or a list of points (epoch, batch), 0-based, at which the resumed
            run goes on. (1, 0) is after the first epoch, (0, steps_per_epoch) between its last batch and its end.
            The run must reach at least one of them.
        through: ``"state"``: the state goes through the bytes of a state file. ``"file"``: through a checkpoint in
            a directory. ``"process"``: through a checkpoint into a new process for each point (some seconds each);
            as in a real restart, the state in modules is lost. ``make_callbacks`` and ``logs`` are pickled with
            cloudpickle for it.
        optimizer: None, a name, ``"numpy"``, or a function that returns a new optimizer.
        model: None for a stand-in, or a function that returns a new model, built and compiled, each time the same.
            It is not trained; its variables and those of its optimizer are put back as from a model file.
        ignore_logs: names of logs that are not compared, because they measure time.
        timeout: as for :func:`simulate`.

    Raises:
        AssertionError: a resumed run differs, or it raises an error that the other run does not raise. The message
            names the first difference and its likely cause.
        TimeoutError: a hook did not return in time.
        ValueError, TypeError: an argument is wrong.
        Exception: whatever a callback raises in the run without an interruption.

    Example:
        >>> import keras
        >>> from callback_state.testing import assert_resumes_exactly
        >>> def make():
        ...     return keras.callbacks.ReduceLROnPlateau("loss", patience=1)
        >>> losses = {"loss": [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]}
        >>> assert_resumes_exactly(make, epochs=6, steps_per_epoch=2, logs=losses, optimizer="numpy")
    """
    __tracebackhide__ = True
    plan = Plan.of(epochs, steps_per_epoch, logs, validation_steps, timeout=timeout)
    points = plan.points(at)
    if through not in ("state", "file", "process"):
        raise ValueError(f"through={through!r}: expected one of 'state', 'file', 'process'")
    ignored = frozenset([ignore_logs] if isinstance(ignore_logs, str) else ignore_logs)
    factory = Factory(make_callbacks, optimizer, model, ignored)
    if through == "process":  # before anything runs that could change the functions
        factory.pickled = pickled(make_callbacks, optimizer, model, plan)
    before = randomness.take_generators()
    whole = _whole(factory, plan, points)
    randomness.put_back_generators(before)
    _assert_same_twice(whole, _whole(factory, plan, []), factory)
    missed = [point for point in points if point not in whole.saved]
    may_miss = isinstance(at, Drawn) or (isinstance(at, str) and len(missed) < len(points))
    if missed and not may_miss:
        raise ValueError(
            f"at={at!r}: the run stops after {whole.record.stopped} and does not reach {missed[0]}, so nothing "
            f"would be tested there; pass other logs=, or points before the stop"
        )
    for point in whole.saved:
        _assert_same(point, _resumed(through, factory, plan, point, whole.saved[point]), whole, factory)


def _whole(factory: Factory, plan: Plan, points: Iterable[Point]) -> _Whole:
    """Simulate the run without an interruption, and save it at each of the points."""
    wanted, whole = set(points), _Whole()
    callbacks, model = factory.callbacks(), factory.model()

    def quiet(point: Point) -> None:
        if point in wanted and not model.stop_training:
            whole.saved[point] = _save(callbacks, model, point)

    whole.record = drive(callbacks, model, plan, quiet=quiet)
    whole.end = {**look(callbacks), "model": look_at_model(model)}
    return whole


def _save(callbacks: list[Any], model: Any, point: Point) -> Saved:
    try:
        state = states.sealed(saved_among(callbacks), model)
    except NotPicklableError as error:
        cause = cause_of_unpicklable(str(error))
        raise AssertionError(f"at {point} the callbacks cannot be saved: {error}{cause}") from error
    return Saved(state, values_of(model), randomness.take_generators(), look(callbacks))


def _resumed(through: str, factory: Factory, plan: Plan, point: Point, saved: Saved) -> Resumed:
    __tracebackhide__ = True
    try:
        if through == "state":
            return go_on(factory, plan, point, saved, states.read(saved.state))
        with tempfile.TemporaryDirectory() as directory:
            path = _written(directory, saved)
            if through == "file":
                return go_on(factory, plan, point, saved, Snapshot.open(path))
            resumed: Resumed = go_on_elsewhere(path, factory.pickled, point, saved)
            return resumed
    except (AssertionError, TimeoutError):
        raise
    except Exception as error:
        where = "; ".join(getattr(error, "__notes__", ()))
        raise AssertionError(
            f"after resuming at {point} {type(error).__name__} is raised, but not in the uninterrupted run: "
            f"{error}{where and f' ({where})'}"
        ) from error


def _written(directory: str, saved: Saved) -> str:
    """Write a checkpoint of this point, with a placeholder for the model file; return its path."""
    path = os.path.join(directory, "simulated.keras")

    def write(staged: str) -> tuple[bytes, int]:
        with Stream(staged) as file:
            file.write(b"simulated")
            return file.finish()

    with commit.write(path, write, partial(states.resealed, saved.state)) as done:
        commit.commit(done)
    return path


def _assert_same_twice(whole: _Whole, again: _Whole, factory: Factory) -> None:
    """Check that two runs without an interruption are equal; if not, no resumed run can be equal either."""
    __tracebackhide__ = True
    first, second = (run.record.without(factory.ignored) for run in (whole, again))
    found = _difference_of(again.end, whole.end) or second.difference(first)
    if found is not None:
        cause = likely_cause(factory.callbacks(), found, twice=True)
        raise AssertionError(f"two runs without an interruption differ: in the second {found}{cause}")


def _assert_same(point: Point, resumed: Resumed, whole: _Whole, factory: Factory) -> None:
    __tracebackhide__ = True
    since = whole.record.since(point, resumed.record).without(factory.ignored)
    found = (
        _difference_of(resumed.begin, whole.saved[point].look)
        or resumed.record.without(factory.ignored).difference(since)
        or _difference_of(resumed.end, whole.end)
    )
    if found is not None:
        raise AssertionError(f"after resuming at {point}: {found}{likely_cause(factory.callbacks(), found)}")


def _difference_of(found: Look, expected: Look) -> str | None:
    for key, of_key in expected.items():
        for attribute, value in of_key.items():
            there = found.get(key, {}).get(attribute)
            if there is None:
                return f"{key}.{attribute} is not there, expected {value.shown}"
            if (text := there.difference(value, f"{key}.{attribute}")) is not None:
                return text
        for attribute, value in found.get(key, {}).items():
            if attribute not in of_key:
                return f"{key}.{attribute} is {value.shown}, expected no such attribute"
    return None
