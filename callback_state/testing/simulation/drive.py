"""The hooks of ``fit``, ``evaluate`` and ``predict`` in Keras's order and with its arguments, without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from .plan import Plan, Point
from .record import Record
from .run import Run, training
from .saves import unchanged
from .standin import StandIn


def simulate(
    callbacks: Any,
    *,
    epochs: int,
    steps_per_epoch: int,
    logs: Any = None,
    model: Any = None,
    optimizer: Any = None,
    start: Point = (0, 0),
    validation_steps: int = 0,
    method: str = "fit",
    watch: Iterable[str] = (),
    timeout: float | None = 60.0,
) -> Record:
    """Drive callbacks through the hooks of a run, in Keras's order and with its arguments, without training.

    Args:
        callbacks: a callback or a list of callbacks.
        epochs: the number of epochs.
        steps_per_epoch: the number of steps in each epoch.
        logs: a function from (epoch, batch), both 0-based, to a dict; or a dict of series, or a ``History``, with
            one value an epoch or one a step; by default a loss that falls. ``val_`` series are passed only at the
            end of each epoch, with or without ``validation_steps``. The other series have there the values of the
            last batch of the epoch.
        model: the model of the callbacks; by default a stand-in that has an optimizer, ``stop_training`` and one
            weight, which counts the steps, and that notes saves instead of writing. A real model is not trained
            either; its optimizer's ``iterations`` count the steps. ``ModelCheckpointEnhanced`` and Keras's
            ``OrbaxCheckpoint`` decide as usual but never write; the former are unchanged after the simulation.
        optimizer: the optimizer of the stand-in: a Keras optimizer, a function that returns one, a name, or
            ``"numpy"`` for one with only a learning rate, which takes microseconds a step. By default SGD(0.01).
        start: (epoch, batch), 0-based, of the first step. ``on_train_begin`` and ``on_epoch_begin`` are called
            before it in any case.
        validation_steps: the number of validation steps at the end of each epoch; 0 for no validation.
        method: ``"fit"``, or ``"evaluate"`` or ``"predict"``, which run ``steps_per_epoch`` steps once.
        watch: what to record after each step: a callback's key and an attribute, such as ``"WarmupCosine.step"``.
        timeout: seconds after which a hook is interrupted; None for no limit. It works only in the main thread,
            and only if Ctrl-C raises KeyboardInterrupt there.

    Returns:
        A :class:`Record`.

    Raises:
        ValueError, TypeError: an argument is wrong; no hook was called.
        TimeoutError: a hook did not return in time; the message names it.
        Exception: whatever a callback raises; from Python 3.11 on with a note (PEP 678) that names the hook.

    Example:
        >>> import keras
        >>> from callback_state.testing import simulate
        >>> halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> record = simulate(halve, epochs=3, steps_per_epoch=1, optimizer="numpy")
        >>> [round(rate, 5) for rate in record.learning_rate]
        [0.005, 0.0025, 0.00125]
    """
    run = listed(callbacks, "callbacks:")
    plan = Plan.of(epochs, steps_per_epoch, logs, validation_steps, watch, timeout)
    if epochs and not plan.contains(start):
        raise ValueError(f"start={start!r}: expected (epoch, batch) from (0, 0) to {(epochs - 1, plan.steps)}")
    if method not in ("fit", "evaluate", "predict"):
        raise ValueError(f"method={method!r}: expected one of fit, evaluate, predict")
    if model is not None and optimizer is not None:
        raise ValueError("optimizer= is for the stand-in; a model= has its own")
    model = StandIn(optimizer) if model is None else model
    with unchanged(run):
        return drive(run, model, plan, start) if method == "fit" else _pass_over(run, model, plan, method)


def listed(callbacks: Any, what: str) -> list[Any]:
    """Make a list of one or several callbacks; ``what`` names the argument in an error."""
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    found = [*callbacks] if isinstance(callbacks, Iterable) else [callbacks]
    for callback in found:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"{what} {callback!r:.90}, expected a keras.callbacks.Callback or a list of them")
    return found


def drive(
    callbacks: list[Any],
    model: Any,
    plan: Plan,
    start: Point = (0, 0),
    *,
    put_back: Callable[[], object] = lambda: None,
    quiet: Callable[[Point], object] = lambda point: None,
) -> Record:
    """Simulate a ``fit`` from the point ``start`` on.

    ``put_back`` is called after ``on_train_begin``, and inside an epoch after its ``on_epoch_begin``: a resumed
    run puts its state back there. ``quiet`` is called with each point between two events at which a run can be
    saved.
    """
    run = Run(callbacks, model, plan)
    with run.watched():
        run.hear("on_train_begin")
        put_back()
        run.epochs(start, put_back, quiet)
    run.record.history = model.history.history if model.history is not None else {}
    return run.record


def _pass_over(callbacks: list[Any], model: Any, plan: Plan, method: str) -> Record:
    """Simulate an ``evaluate`` or a ``predict``."""
    run = Run(callbacks, model, plan, trains=False)
    with run.watched():
        if method == "evaluate":
            run.pass_over("on_test_", plan.steps, lambda batch: training(plan.logs(0, batch)))
        else:
            run.pass_over("on_predict_", plan.steps, lambda batch: {"outputs": plan.logs(0, batch).get("outputs")})
    return run.record
