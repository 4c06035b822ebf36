"""The state of callbacks through the bytes of a state file and back, without a training run."""

from __future__ import annotations

from typing import Any

from ..._callbacks.capture import names
from ..._callbacks.prepare import prepare_from
from ..._callbacks.taken import take
from ..._checkpoints.snapshot import Snapshot
from ..._format.statefile import seal, unseal
from ..._format.trust import Trust
from ..._keras.backend import versions

__all__ = ["META", "RUN", "put_into", "read", "resealed", "sealed"]

#: What errors call the file.
WHERE = "simulated.keras.callbacks.pkl"
#: What a state file says of the moment and of the run besides the callbacks; here it does not matter.
META: dict[str, Any] = {
    "saved_at": 0,
    "epoch": 0,
    "batch": None,
    "initial_epoch": 1,
    "epochs": 2,
    "last": False,
    "finished": False,
    "goes_on_from": None,
    "exact_end": True,
    "template": "m.keras",
    "monitor": ("val_loss", None),
    "training_args": {},
    "history": {"epochs": [], "series": {}},
    "model": {"digest": "", "iterations": 0, "variables": [], "optimizes": True},
    "stops": False,
    "data": {},
    "doubts": [],
    "starts": [],
    "trace": {"epochs": [], "learning_rate": [], "ended_at": []},
}
RUN: dict[str, Any] = {
    "generators": {},
    "seeds": {"seeds": [], "replicas": {}},
    "metrics": [],
    "logs": {},
    "seconds": 0.0,
    "data": None,
}


def sealed(callbacks: list[Any], model: Any = None) -> bytes:
    """The bytes of a state file of these callbacks, for no model file in particular: see :func:`resealed`.

    Raises:
        NotPicklableError: an attribute cannot be saved.
    """
    meta = {**META, "versions": versions()}
    return seal(take(callbacks, model, meta, RUN).tree, bytes(32), 0)


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
