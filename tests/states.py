"""The state of callbacks through the bytes of a file and back, without a training run."""

from __future__ import annotations

from typing import Any

from callback_state import _snapshot
from callback_state._snapshot import Snapshot
from callback_state._statefile import seal, unseal
from callback_state._trust import Trust

WHERE = "000.keras.callbacks.pkl"


#: What a state file says of the moment and of the run besides the callbacks; here it does not matter.
META = {
    "saved_at": 0, "epoch": 0, "batch": None, "initial_epoch": 1, "epochs": 2, "last": False,
    "finished": False, "goes_on_from": None, "exact_end": True, "template": "m.keras",
    "monitor": ("val_loss", None), "versions": {}, "training_args": {},
    "history": {"epochs": [], "series": {}},
    "model": {"digest": "", "iterations": 0, "variables": [], "optimizes": True},
    "stops": False, "data": {}, "doubts": [],
}
RUN = {
    "generators": {}, "seeds": {"seeds": [], "replicas": {}}, "metrics": [], "logs": {},
    "seconds": 0.0, "data": None,
}


def saved(*callbacks: Any, model: Any = None) -> Snapshot:
    """What a state file says of these callbacks."""
    taken = _snapshot.take(list(callbacks), model, META, RUN)
    return Snapshot.read(WHERE, unseal(seal(taken.tree, bytes(32), 0), WHERE))


def put_into(
    snapshot: Snapshot, *callbacks: Any, model: Any = None, trusted: bool = False, keys: list[str] | None = None
) -> Any:
    """Restore into these callbacks, in the order in which they were saved."""
    keys = keys or [entry["key"] for entry in snapshot.meta["callbacks"]]
    prepared = snapshot.prepare(dict(zip(keys, callbacks, strict=True)), model=model, trust=Trust(trusted))
    prepared.put_back()
    return prepared
