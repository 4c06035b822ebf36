"""The hooks of ``fit``, ``evaluate`` and ``predict`` in Keras's order and with its arguments, without training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import keras

from .._capture import names
from ._logs import pythonified
from ._plan import Plan, Point
from ._record import Event, Record, Save
from ._standin import StandIn

__all__ = ["drive", "listed", "simulate"]


def simulate(
    callbacks: Any, *, epochs: int, steps_per_epoch: int, logs: Any = None, model: Any = None,
    optimizer: Any = None, start: Point = (0, 0), validation_steps: int = 0, method: str = "fit",
    watch: Iterable[str] = (),
) -> Record:
    """Drive callbacks through the hooks of a run, in Keras's order and with its arguments, without training.

    Args:
        callbacks: one, or a list.
        epochs: how many.
        steps_per_epoch: steps in each.
        logs: a function of (epoch, batch), both 0-based, to a dict; or a dict of series, or a ``History``, with
            one value an epoch or one a step; by default a loss that falls. ``val_`` series are heard at the end of
            each epoch only, with or without ``validation_steps``; of the others the callbacks hear there what they
            heard after its last batch.
        model: what the callbacks get as their model; by default a stand-in that has an optimizer,
            ``stop_training`` and one weight, which counts the steps, and that notes saves instead of writing.
        optimizer: of the stand-in: a Keras optimizer, a function that returns one, a name, or ``"numpy"`` for a
            learning rate alone, which takes microseconds a step. By default SGD with the rate 0.01.
        start: (epoch, batch), 0-based, of the first step; the callbacks hear ``on_train_begin`` and
            ``on_epoch_begin`` all the same.
        validation_steps: steps of a validation at each epoch's end; 0 for none.
        method: ``"fit"``, or ``"evaluate"`` or ``"predict"``, which run ``steps_per_epoch`` steps once.
        watch: what to record after each step, as ``"WarmupCosine.step"``: the callback's key and an attribute.

    Returns:
        A :class:`Record`.

    Raises:
        ValueError, TypeError: an argument is wrong; no callback has heard anything then.
        Exception: whatever a callback raises.

    Example:
        >>> import keras
        >>> from callback_state.testing import simulate
        >>> halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> record = simulate(halve, epochs=3, steps_per_epoch=1, optimizer="numpy")
        >>> [round(rate, 5) for rate in record.learning_rate]
        [0.005, 0.0025, 0.00125]
    """
    run = listed(callbacks, "callbacks:")
    plan = Plan.of(epochs, steps_per_epoch, logs, validation_steps, watch)
    if epochs and not plan.contains(start):
        raise ValueError(f"start={start!r}: expected (epoch, batch) from (0, 0) to {(epochs - 1, plan.steps)}")
    if method not in _METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(_METHODS)}")
    if model is not None and optimizer is not None:
        raise ValueError("optimizer= is for the stand-in; a model= has its own")
    return _METHODS[method](run, StandIn(optimizer) if model is None else model, plan, start)


def listed(callbacks: Any, what: str) -> list[Any]:
    """A list of callbacks, also of a single one; ``what`` says in an error where it is from."""
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    found = [*callbacks] if isinstance(callbacks, Iterable) else [callbacks]
    for callback in found:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"{what} {callback!r:.90}, expected a keras.callbacks.Callback or a list of them")
    return found


def drive(
    callbacks: list[Any], model: Any, plan: Plan, start: Point = (0, 0), *,
    put_back: Callable[[], object] = lambda: None, quiet: Callable[[Point], object] = lambda point: None,
) -> Record:
    """A ``fit``.

    Args:
        callbacks: in their order.
        model: what they drive.
        plan: what they hear.
        start: where the run goes on.
        put_back: called after ``on_train_begin``, and inside an epoch after its ``on_epoch_begin``: where a
            resumed run puts state back.
        quiet: called at each point between two events at which a run can be saved, and goes on.
    """
    run = _Run(callbacks, model, plan)
    run.hear("on_train_begin")
    put_back()
    run.epochs(start, put_back, quiet)
    run.record.history = model.history.history if model.history is not None else {}
    return run.record


class _Run:
    """One run: its list of callbacks, and the record that is written."""

    def __init__(self, callbacks: list[Any], model: Any, plan: Plan, *, trains: bool = True) -> None:
        self.model, self.plan, self.record = model, plan, Record()
        params = {"verbose": 0, "epochs": plan.epochs if trains else 1, "steps": plan.steps}
        made = keras.callbacks.CallbackList(
            callbacks, add_history=trains, add_progbar=False, model=model, **params
        )
        # The list itself takes half of the time of a simulated step to look for tensors in the logs, and hands
        # some callbacks to a thread.
        self.callbacks = [*made.callbacks, _Recorder(self.record)]
        keyed = names(callbacks)
        self._watched = [_watched(name, keyed) for name in plan.watch]
        self._keyed = keyed
        self.record.watched = {name: [] for name in plan.watch}

    def hear(self, hook: str, *index: int, logs: Any = None) -> None:
        """One hook: Keras hands every callback the same dict of Python numbers."""
        heard = pythonified(logs or {})
        for callback in self.callbacks:
            getattr(callback, hook)(*index, heard)

    def hear_batch(self, hook: str, batch: int, logs: Any = None) -> None:
        """The same for a batch: there Keras gives the logs by name."""
        heard = pythonified(logs or {})
        for callback in self.callbacks:
            getattr(callback, hook)(batch, logs=heard)

    def epochs(self, start: Point, put_back: Callable[[], object], quiet: Callable[[Point], object]) -> None:
        first, entered = start
        model, plan = self.model, self.plan
        training_logs: Any = None
        model.stop_training = False
        for epoch in range(first, plan.epochs):
            self.hear("on_epoch_begin", epoch)
            batch = entered if epoch == first else 0
            logs = plan.logs(epoch, batch - 1) if batch else {}
            if batch:
                put_back()
            while batch < plan.steps and not model.stop_training:
                logs = plan.logs(epoch, batch)
                self.step(epoch, batch, _training(logs))
                batch += 1
                quiet((epoch, batch))
            self.end_of(epoch, logs)
            training_logs = logs
            if model.stop_training:
                break
            quiet((epoch + 1, 0))
        self.hear("on_train_end", logs=training_logs)

    def step(self, epoch: int, batch: int, logs: dict[str, Any]) -> None:
        record, model, saves = self.record, self.model, len(self.saves)
        self.hear_batch("on_train_batch_begin", batch)
        record.steps.append((epoch, batch))
        record.learning_rate.append(_rate(model))
        if isinstance(model, StandIn):
            model.step()
        self.hear_batch("on_train_batch_end", batch, logs)
        for name, (callback, attribute) in zip(self.plan.watch, self._watched, strict=True):
            if not hasattr(callback, attribute):
                raise _nothing_to_watch(name, self._keyed)
            record.watched[name].append(copy.deepcopy(getattr(callback, attribute)))
        self.note(epoch, batch, saves, "on_train_batch_end")

    def end_of(self, epoch: int, logs: dict[str, Any]) -> None:
        saves = len(self.saves)
        if self.plan.validation_steps:
            self.validate(logs)
        self.hear("on_epoch_end", epoch, logs=logs)
        self.note(epoch, self.plan.steps - 1, saves, "on_epoch_end")

    def validate(self, logs: dict[str, Any]) -> None:
        seen = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self.hear("on_test_begin")
        for batch in range(self.plan.validation_steps):
            self.hear_batch("on_test_batch_begin", batch)
            self.hear_batch("on_test_batch_end", batch, seen)
        self.hear("on_test_end", logs=seen)

    @property
    def saves(self) -> list[str]:
        return self.model.saves if isinstance(self.model, StandIn) else []

    def note(self, epoch: int, batch: int, before: int, hook: str) -> None:
        """What has been saved, and whether the run was stopped, after this step."""
        self.record.saves += [Save(path, epoch, batch, hook) for path in self.saves[before:]]
        if self.model.stop_training and self.record.stopped is None:
            self.record.stopped = (epoch, batch)


def _evaluate(callbacks: list[Any], model: Any, plan: Plan, start: Point) -> Record:
    run = _Run(callbacks, model, plan, trains=False)
    logs: dict[str, Any] = {}
    run.hear("on_test_begin")
    for batch in range(plan.steps):
        run.hear_batch("on_test_batch_begin", batch)
        logs = _training(plan.logs(0, batch))
        run.hear_batch("on_test_batch_end", batch, logs)
    run.hear("on_test_end", logs=logs)
    return run.record


def _predict(callbacks: list[Any], model: Any, plan: Plan, start: Point) -> Record:
    run = _Run(callbacks, model, plan, trains=False)
    run.hear("on_predict_begin")
    for batch in range(plan.steps):
        run.hear_batch("on_predict_batch_begin", batch)
        run.hear_batch("on_predict_batch_end", batch, {"outputs": plan.logs(0, batch).get("outputs")})
    run.hear("on_predict_end")
    return run.record


_METHODS: dict[str, Callable[[list[Any], Any, Plan, Point], Record]] = {
    "fit": drive, "evaluate": _evaluate, "predict": _predict,
}


def _training(logs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in logs.items() if not name.startswith("val_")}


def _rate(model: Any) -> float:
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return float("nan") if rate is None else float(rate.numpy() if hasattr(rate, "numpy") else rate)


def _watched(name: str, keyed: dict[str, Any]) -> tuple[Any, str]:
    key, _, attribute = str(name).partition(".")
    if key not in keyed:
        raise _nothing_to_watch(name, keyed)
    return keyed[key], attribute


def _nothing_to_watch(name: Any, keyed: dict[str, Any]) -> ValueError:
    there = ", ".join(f"{key}.{a}" for key, callback in keyed.items() for a in vars(callback) if a[0] != "_")
    return ValueError(f"watch={name!r}: expected a callback's key and an attribute of it; there are {there}")


class _Recorder(keras.callbacks.Callback):
    """Stands last in the list, and notes what has been heard."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.events = record.events


def _noting(hook: str, indexed: bool) -> Callable[..., None]:
    def of_index(self: _Recorder, index: int, logs: Any = None) -> None:
        self.events.append(Event(hook, index, dict(logs) if logs else {}))

    def of_none(self: _Recorder, logs: Any = None) -> None:
        of_index(self, None, logs)  # type: ignore[arg-type]

    return of_index if indexed else of_none


for _when in ("begin", "end"):
    for _what in ("train", "test", "predict"):
        setattr(_Recorder, f"on_{_what}_{_when}", _noting(f"on_{_what}_{_when}", False))
        setattr(_Recorder, f"on_{_what}_batch_{_when}", _noting(f"on_{_what}_batch_{_when}", True))
    setattr(_Recorder, f"on_epoch_{_when}", _noting(f"on_epoch_{_when}", True))
