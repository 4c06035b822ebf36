"""The state of callbacks through the bytes of a state file and back, without a training run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._callbacks.capture import names
from ..._callbacks.prepare import prepare_from
from ..._callbacks.taken import take
from ..._checkpoints.schema import History, Meta, ModelFacts, Run, Seeds, Trace
from ..._checkpoints.snapshot import Snapshot
from ..._format.statefile import seal, unseal
from ..._format.trust import Trust
from ..._keras.backend import versions

__all__ = ["META", "RUN", "put_into", "read", "resealed", "sealed"]

#: What errors call the file.
WHERE = "simulated.keras.callbacks.pkl"
#: What a state file says of the moment and of the run besides the callbacks; here it does not matter.
META = Meta(
    saved_at=0,
    epoch=0,
    batch=None,
    epochs=2,
    last=False,
    finished=False,
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
RUN = Run(generators={}, seeds=Seeds())


def sealed(callbacks: list[Any], model: Any = None) -> bytes:
    """The bytes of a state file of these callbacks, for no model file in particular: see :func:`resealed`.

    Raises:
        NotPicklableError: an attribute cannot be saved.
    """
    return seal(take(callbacks, model, replace(META, versions=versions()), RUN).tree, bytes(32), 0)


def resealed(data: bytes, digest: bytes, size: int) -> bytes:
    """The same for a model file of this SHA-256 and size."""
    return seal(unseal(data, WHERE, views=False).tree, digest, size)


def read(data: bytes, where: str = WHERE) -> Snapshot:
    """What these bytes say."""
    return Snapshot.read(where, unseal(data, where))


def put_into(snapshot: Snapshot, callbacks: list[Any], model: Any = None, *, trusted: bool = False) -> None:
    """Put the state into these callbacks, which are as those were that it was taken from, in their order.

    Raises:
        RestoreError, UntrustedError: it does not fit, or is stored by value.
    """
    prepare_from(snapshot, names(callbacks), model=model, trust=Trust(trusted)).put_back()
