"""The state of callbacks through the bytes of a file and back, without a training run."""

from __future__ import annotations

from typing import Any

from callback_state import _snapshot
from callback_state._snapshot import Snapshot
from callback_state._statefile import seal
from callback_state._trust import Trust
from callback_state.testing import _states
from callback_state.testing._states import RUN

WHERE = "000.keras.callbacks.pkl"
#: What a state file says of the moment; here it does not matter.
META = {**_states.META, "versions": {}}


def saved(*callbacks: Any, model: Any = None) -> Snapshot:
    """What a state file says of these callbacks."""
    taken = _snapshot.take(list(callbacks), model, META, RUN)
    return _states.read(seal(taken.tree, bytes(32), 0), WHERE)


def put_into(
    snapshot: Snapshot, *callbacks: Any, model: Any = None, trusted: bool = False, keys: list[str] | None = None
) -> Any:
    """Restore into these callbacks, in the order in which they were saved."""
    keys = keys or [entry["key"] for entry in snapshot.meta["callbacks"]]
    prepared = snapshot.prepare(dict(zip(keys, callbacks, strict=True)), model=model, trust=Trust(trusted))
    prepared.put_back()
    return prepared
