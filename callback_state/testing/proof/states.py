"""State files in memory: the state of callbacks as bytes and back, without a training run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._callbacks.capture import keyed
from ..._callbacks.prepare import prepare_from
from ..._callbacks.taken import take
from ..._checkpoints.schema import Extra, History, Meta, ModelFacts, Run
from ..._checkpoints.snapshot import Snapshot
from ..._checkpoints.trace import Trace
from ..._format.statefile import seal, unseal
from ..._format.trust import Trust
from ..._keras.backend import versions

#: The name of the file in errors.
WHERE = "simulated.keras.callbacks.pkl"
#: The parts of a state file beside the callbacks; their values do not matter here.
META = Meta(
    run_id="0" * 32,
    saved_at=0,
    epoch=0,
    batch=None,
    epochs=2,
    last=False,
    finished=False,
    follows=False,
    repeats=False,
    goes_on_from=None,
    exact_end=True,
    template="m.keras",
    monitor=("val_loss", None),
    versions={},
    training_args={},
    history=History(),
    model=ModelFacts(digest="", iterations=0, variables=[], optimizes=True),
    stops=False,
    data={},
    doubts=[],
    starts=[],
    trace=Trace(),
)
RUN = Run(generators={}, extra=Extra())


def sealed(callbacks: list[Any], model: Any = None) -> bytes:
    """Write a state file of these callbacks; it belongs to no model file yet, see :func:`resealed`."""
    taken = take(callbacks, model, replace(META, versions=versions()), RUN, apart=False)
    return taken.sealed(bytes(32), 0)


def resealed(data: bytes, digest: bytes, size: int) -> bytes:
    """Write the same state file for a model file with this SHA-256 and size."""
    return seal(unseal(data, WHERE, views=False).tree, digest, size)


def read(data: bytes, where: str = WHERE) -> Snapshot:
    """Read a state file from its bytes."""
    return Snapshot.read(where, unseal(data, where))


def put_into(snapshot: Snapshot, callbacks: list[Any], model: Any = None, *, trusted: bool = False) -> None:
    """Put the state into callbacks of the same classes, in the same order, as those that were saved."""
    prepare_from(snapshot, keyed(callbacks), model=model, trust=Trust(trusted)).put_back()
