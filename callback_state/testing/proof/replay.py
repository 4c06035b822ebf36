"""The rest of a run from one point on: callbacks are made anew, their state is put back, and they go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._callbacks.capture import saved_among
from ..._checkpoints.snapshot import Snapshot
from ..._keras import randomness
from ...exceptions import CallbackStateError
from ..simulation.drive import drive
from ..simulation.plan import Plan, Point
from ..simulation.record import Record
from ..simulation.standin import put_back as put_values_back
from . import states
from .causes import cause_of_unpicklable
from .factory import Factory
from .looked import Look, look, look_at_model


@dataclass
class Saved:
    """One point of the uninterrupted run: what a checkpoint would hold, and the attributes of the callbacks."""

    state: bytes
    model: list[Any]
    generators: dict[str, Any]
    look: Look


@dataclass
class Resumed:
    """A resumed run: the callbacks after their state was put back, the record, the callbacks at the end."""

    begin: Look
    record: Record
    end: Look


def go_on(factory: Factory, plan: Plan, point: Point, saved: Saved, snapshot: Snapshot) -> Resumed:
    """Run from ``point`` to the end, with new callbacks into which the saved state was put."""
    callbacks, model = factory.callbacks(), factory.model()
    begin: Look = {}

    def put_back() -> None:
        put_values_back(model, saved.model)
        try:
            states.put_into(snapshot, saved_among(callbacks), model)
        except CallbackStateError as error:
            cause = cause_of_unpicklable(str(error))
            message = f"after resuming at {point} the state cannot be put back: {error}{cause}"
            raise AssertionError(message) from error
        randomness.put_back_generators(saved.generators)
        begin.clear()
        begin.update(look(callbacks))

    randomness.tell_of_seed(saved.generators)
    put_back()
    record = drive(callbacks, model, plan, point, put_back=put_back)
    return Resumed(begin, record, {**look(callbacks), "model": look_at_model(model)})
