"""The state of callbacks through the bytes of a file and back, without a training run."""

from __future__ import annotations

from typing import Any

from callback_state import _snapshot
from callback_state._snapshot import Snapshot
from callback_state._statefile import seal, unseal

WHERE = "000.keras.callbacks.pkl"


def saved(*callbacks: Any, model: Any = None) -> Snapshot:
    """What a state file says of these callbacks."""
    taken = _snapshot.take(list(callbacks), model, {"training_args": None}, {})
    return Snapshot.read(WHERE, unseal(seal(taken.tree, bytes(32), 0), WHERE))


def put_into(
    snapshot: Snapshot, *callbacks: Any, model: Any = None, trusted: bool = False, keys: list[str] | None = None
) -> Any:
    """Restore into these callbacks, in the order in which they were saved."""
    keys = keys or [entry["key"] for entry in snapshot.meta["callbacks"]]
    prepared = snapshot.prepare(dict(zip(keys, callbacks, strict=True)), model=model, trusted=trusted)
    prepared.put_back()
    return prepared
