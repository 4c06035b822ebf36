"""The state of callbacks through the bytes of a file and back, without a training run."""

from __future__ import annotations

from typing import Any

from callback_state._callbacks.prepare import prepare_from
from callback_state._callbacks.taken import take
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format.statefile import seal
from callback_state._format.trust import Trust
from callback_state.testing.proof import states
from callback_state.testing.proof.states import RUN

WHERE = "000.keras.callbacks.pkl"
#: What a state file says of the moment; here it does not matter.
META = {**states.META, "versions": {}}


def saved(*callbacks: Any, model: Any = None) -> Snapshot:
    """What a state file says of these callbacks."""
    taken = take(list(callbacks), model, META, RUN)
    return states.read(seal(taken.tree, bytes(32), 0), WHERE)


def put_into(
    snapshot: Snapshot, *callbacks: Any, model: Any = None, trusted: bool = False, keys: list[str] | None = None
) -> Any:
    """Restore into these callbacks, in the order in which they were saved."""
    keys = keys or [entry["key"] for entry in snapshot.meta["callbacks"]]
    prepared = prepare_from(snapshot, dict(zip(keys, callbacks, strict=True)), model=model, trust=Trust(trusted))
    prepared.put_back()
    return prepared
