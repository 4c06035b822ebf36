"""One simulated run: it calls the hooks of its callbacks and writes the record."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partialmethod
from typing import Any

import keras

from ..._callbacks.capture import keyed
from .plan import Plan, Point
from .record import Event, Record, Save
from .saves import Noting, noted
from .standin import StandIn, count_step
from .watchdog import Watchdog


class Run:
    """One run with its callbacks and its record."""

    def __init__(self, callbacks: list[Any], model: Any, plan: Plan, *, trains: bool = True) -> None:
        self.model, self.plan, self.record = model, plan, Record()
        params = {"verbose": 0, "epochs": plan.epochs if trains else 1, "steps": plan.steps}
        made = keras.callbacks.CallbackList(
            callbacks, add_history=trains, add_progbar=False, model=model, **params
        )
        # Not called itself: it searches the logs for tensors, which is half of the time of a step, and it runs
        # some callbacks in a thread.
        self.callbacks = [*made.callbacks, _Recorder(self.record)]
        self._dog = Watchdog(plan.timeout)
        self._savers: list[Noting] = []
        self._saves: list[str] = model.saves if isinstance(model, StandIn) else []
        self._keyed = keyed(callbacks)
        self._watched = [_watched(name, self._keyed) for name in plan.watch]
        self.record.watched = {name: [] for name in plan.watch}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, no hook hangs, no checkpoint writes, and an exception names the hook it comes from."""
        with noted(self.callbacks, self.model, self._saves.append) as self._savers:
            try:
                with self._dog:
                    yield
            except Exception as error:
                if self._dog.event is not None and hasattr(error, "add_note"):
                    step = self.record.steps[-1] if self.record.steps else "none"
                    error.add_note(
                        f"in {self._dog.called} of a simulated run; its last step (epoch, batch): {step}"
                    )
                raise

    def hear(self, hook: str, *index: int, logs: Any = None) -> None:
        """Call one hook of all callbacks; they share one dict of logs."""
        heard = _pythonified(logs or {})
        named = "_batch_" in hook  # as Keras does it
        arguments: tuple[Any, ...] = index if named else (*index, heard)
        options = {"logs": heard} if named else {}
        dog = self._dog
        dog.event = hook, index
        for callback in self.callbacks:
            dog.callback = callback
            getattr(callback, hook)(*arguments, **options)
        dog.event = None
        for saver in self._savers:
            saver.after_everybody()

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
                self.step(epoch, batch, training(logs))
                batch += 1
                quiet((epoch, batch))
            self.end_of(epoch, logs)
            training_logs = logs
            if model.stop_training:
                break
            quiet((epoch + 1, 0))
        self.hear("on_train_end", logs=training_logs)

    def step(self, epoch: int, batch: int, logs: dict[str, Any]) -> None:
        record, model, saves = self.record, self.model, len(self._saves)
        self.hear("on_train_batch_begin", batch)
        record.steps.append((epoch, batch))
        record.learning_rate.append(_rate(model))
        count_step(model)
        self.hear("on_train_batch_end", batch, logs=logs)
        for name, (callback, attribute) in zip(self.plan.watch, self._watched, strict=True):
            if not hasattr(callback, attribute):
                raise _nothing_to_watch(name, self._keyed)
            record.watched[name].append(copy.deepcopy(getattr(callback, attribute)))
        self.note(epoch, batch, saves, "on_train_batch_end")

    def end_of(self, epoch: int, logs: dict[str, Any]) -> None:
        saves = len(self._saves)
        if self.plan.validation_steps:
            seen = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
            self.pass_over("on_test_", self.plan.validation_steps, lambda batch: seen)
        self.hear("on_epoch_end", epoch, logs=logs)
        self.note(epoch, self.plan.steps - 1, saves, "on_epoch_end")

    def pass_over(self, of_pass: str, steps: int, logs: Callable[[int], dict[str, Any]]) -> None:
        """Call the hooks of a pass without training: ``"on_test_"`` or ``"on_predict_"``."""
        heard: dict[str, Any] = {}
        self.hear(of_pass + "begin")
        for batch in range(steps):
            self.hear(of_pass + "batch_begin", batch)
            heard = logs(batch)
            self.hear(of_pass + "batch_end", batch, logs=heard)
        self.hear(of_pass + "end", logs=heard if of_pass == "on_test_" else None)

    def note(self, epoch: int, batch: int, before: int, hook: str) -> None:
        """Record the new saves after this step, and whether training was stopped."""
        self.record.saves += [Save(path, epoch, batch, hook) for path in self._saves[before:]]
        if self.model.stop_training and self.record.stopped is None:
            self.record.stopped = (epoch, batch)


def training(logs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in logs.items() if not name.startswith("val_")}


def _pythonified(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Convert logs as Keras does before it passes them to callbacks: sorted, flat, numbers as Python floats."""
    heard: dict[str, Any] = {}
    for name, value in sorted(logs.items()):
        if isinstance(value, Mapping):
            heard.update(_pythonified(value))
        else:
            try:
                heard[name] = float(value)
            except (TypeError, ValueError):
                heard[name] = value
    return heard


def _rate(model: Any) -> float:
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return float("nan") if rate is None else float(rate.numpy() if hasattr(rate, "numpy") else rate)


def _watched(name: str, by_key: dict[str, Any]) -> tuple[Any, str]:
    key, _, attribute = str(name).partition(".")
    if key not in by_key:
        raise _nothing_to_watch(name, by_key)
    return by_key[key], attribute


def _nothing_to_watch(name: Any, by_key: dict[str, Any]) -> ValueError:
    there = ", ".join(f"{key}.{a}" for key, callback in by_key.items() for a in vars(callback) if a[0] != "_")
    return ValueError(f"watch={name!r}: expected a callback's key and one of its attributes; there are {there}")


class _Recorder(keras.callbacks.Callback):
    """The last callback of the list; it records every event."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.events = record.events

    def note(self, hook: str, logs: Any = None) -> None:
        self.note_at(hook, None, logs)

    def note_at(self, hook: str, index: int | None, logs: Any = None) -> None:
        self.events.append(Event(hook, index, dict(logs) if logs else {}))


for _when in ("begin", "end"):
    for _what in ("train", "test", "predict"):
        setattr(_Recorder, f"on_{_what}_{_when}", partialmethod(_Recorder.note, f"on_{_what}_{_when}"))
    for _what in ("epoch", "train_batch", "test_batch", "predict_batch"):
        setattr(_Recorder, f"on_{_what}_{_when}", partialmethod(_Recorder.note_at, f"on_{_what}_{_when}"))
