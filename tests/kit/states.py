"""State files without a training run: of callbacks, and back into callbacks; and whole checkpoints with any bytes
for a model, which only have to be found."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np

from callback_state._callbacks.in_place import Held
from callback_state._callbacks.prepare import prepare_from
from callback_state._callbacks.taken import take
from callback_state._checkpoints.schema import Contents, Meta, Run
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._checkpoints.summary import Summary
from callback_state._format.statefile import seal
from callback_state._format.trust import Trust
from callback_state._store.pair import SUFFIX
from callback_state._store.staging import staged_path
from callback_state.testing.proof import states

WHERE = "000.keras.callbacks.pkl"
_PLAIN = Contents(states.META, states.RUN).to_plain()
#: What a state file says of the moment and of the run, as plain data; here it does not matter.
META, RUN = _PLAIN["meta"], _PLAIN["run"]
#: Of ``run``, for a file that is restored.
GENERATORS: dict[str, Any] = {
    "python": (3, np.array(random.Random(0).getstate()[1], np.uint32), None),
    "numpy": np.random.RandomState(0).get_state(),
    **dict.fromkeys(("tensorflow_seed", "tensorflow_eager", "tensorflow_generator", "keras")),
}


def contents(meta: dict[str, Any] | None = None, run: dict[str, Any] | None = None) -> tuple[Meta, Run]:
    """:data:`META` and :data:`RUN` as dataclasses, with these differences."""
    made = Contents.of({"meta": {**META, **(meta or {})}, "run": {**RUN, **(run or {})}})
    return made.meta, made.run


def tree_of(
    *callbacks: Any, model: Any = None, held: Held | None = None, run: dict[str, Any] | None = None, **meta: Any
) -> list[Any]:
    """What is sealed in the state file of these callbacks; ``meta`` are differences from :data:`META`."""
    return take(list(callbacks), model, *contents(meta, run), held, apart=False).tree


def saved(*callbacks: Any, model: Any = None, held: Held | None = None) -> Snapshot:
    """What a state file says of these callbacks; ``held`` has noted them when training began."""
    return states.read(seal(tree_of(*callbacks, model=model, held=held), bytes(32), 0), WHERE)


def summary(meta: dict[str, Any]) -> Summary:
    """The summary of a ``meta`` that need not be right."""
    name, value = meta["monitor"]
    names = ("saved_at", "epoch", "batch", "finished")
    return Summary(*(meta[n] for n in names), name, value, meta["template"], meta["run_id"])


def put_into(
    snapshot: Snapshot, *callbacks: Any, model: Any = None, trusted: bool = False, keys: list[str] | None = None
) -> Any:
    """Restore into these callbacks, in the order in which they were saved."""
    keys = keys or [entry.key for entry in snapshot.meta.callbacks]
    prepared = prepare_from(snapshot, dict(zip(keys, callbacks, strict=True)), model=model, trust=Trust(trusted))
    prepared.put_back()
    return prepared


def model_of(number: int) -> bytes:
    return f"model {number}".encode()


def state_of(number: int, model: bytes | None = None, **meta: Any) -> bytes:
    """The state file of save ``number``, which is its ``saved_at`` and its epoch."""
    data = model_of(number) if model is None else model
    tree = tree_of(**{"saved_at": number, "epoch": number, "run": {"generators": GENERATORS}, **meta})
    return seal(tree, hashlib.sha256(data).digest(), len(data))


def put(directory: Path, name: str, number: int, **meta: Any) -> Path:
    """A whole checkpoint; the path of its model file."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(model_of(number))
    (directory / (name + SUFFIX)).write_bytes(state_of(number, **meta))
    return directory / name


def put_staged(model: Path, number: int) -> Path:
    """The staged state of save ``number`` of that model file."""
    path = Path(staged_path(str(model), hashlib.sha256(model_of(number)).digest()))
    path.write_bytes(state_of(number))
    return path


def unfinish(model: Path) -> None:
    """Leave a checkpoint as a kill between the two renames of a commit does: its state is still a staged one."""
    Path(f"{model}{SUFFIX}").rename(staged_path(str(model), hashlib.sha256(model.read_bytes()).digest()))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
