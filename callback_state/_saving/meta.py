"""What a state file says of a run at the moment of a save, beside the callbacks."""

from __future__ import annotations

import time
from typing import Any

from .._checkpoints.doubt import Doubt
from .._checkpoints.schema import Extra, History, Meta, ModelFacts, Run
from .._keras import configuration, randomness, weights
from .._keras.backend import backend, versions
from .._keras.epoch import history_of, logs_of, take_metrics
from .._keras.extra import take_extra
from .._keras.reach import Reach
from .._loop.running import Running
from .._loop.trace import Trace
from .decision import Event, number


def meta_and_run_of(
    checkpoint: Any, model: Any, event: Event, running: Running | None, *, beside: int = 0
) -> tuple[Meta, Run, list[Any]]:
    """Where the run is, and what a resumed run needs. The callbacks are added later.

    ``beside`` is how many checkpoints of this run were in the directory when it was started. Last come the
    variables of which the digest is still to be made: it takes longer than all else, and can be made elsewhere.
    """
    backend().sync(model)
    reach = Reach(model)  # once for all: a large model has thousands of parts
    run = _run_of(model, event, running, checkpoint.filepath, reach)
    return _meta_of(checkpoint, model, event, running, beside), run, weights.variables_of(model, reach)


def _meta_of(checkpoint: Any, model: Any, event: Event, running: Running | None, beside: int) -> Meta:
    epochs = (checkpoint.params or {}).get("epochs") if running is None else running.epochs
    starts, trace = (Trace() if running is None else running.trace).taken(beside)
    doubts: list[Doubt] = []
    if running is not None:  # the data, and who changes and is not saved
        doubts = [*(running.reading.doubts if running.reading is not None else ()), *running.unsaved.found]
    return Meta(
        run_id=checkpoint.own.run,
        saved_at=checkpoint.ledger.stamp,
        epoch=int(event.epoch),
        batch=None if event.batch is None else int(event.batch),
        epochs=None if epochs is None else int(epochs),
        last=event.batch is None and running is not None and running.is_last(event.epoch),
        finished=False,
        follows=running is not None and running.follows,
        repeats=running is not None and running.repeats,
        goes_on_from=None,
        exact_end=True,
        template=checkpoint.template,
        monitor=(checkpoint.monitor, number(event.logs.get(checkpoint.monitor))),
        versions=versions(),
        training_args=checkpoint.training_args,
        history=History(**history_of(model)),
        model=ModelFacts(
            digest="",
            iterations=weights.iterations_of(model),
            variables=weights.inventory(model),
            optimizes=bool(getattr(getattr(model, "optimizer", None), "built", False)),
            configuration=configuration.note(model),
        ),
        stops=bool(getattr(model, "stop_training", False)),  # compile sets it
        data={} if running is None else running.described,
        doubts=doubts,
        starts=starts,
        trace=trace,
    )


def _run_of(model: Any, event: Event, running: Running | None, path: str, reach: Reach) -> Run:
    """What a resumed run needs besides the model file at this path and the callbacks."""
    inside = event.batch is not None
    reading = None if running is None else running.reading
    return Run(
        generators=randomness.take_generators(),
        extra=Extra(**take_extra(model, path, reach)),
        metrics=take_metrics(model) if inside else [],
        logs=logs_of(running.logs) if inside and running is not None else {},
        seconds=time.monotonic() - running.began if inside and running is not None else 0.0,
        data=None if reading is None else reading.take(inside=inside),
    )


def last_logs(model: Any) -> dict[str, Any]:
    """The logs of the last epoch, as the history has them."""
    return {name: values[-1] for name, values in history_of(model)["series"].items() if values}
