"""Directories of checkpoints, written without Keras: whatever a state file may say of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands import state_of
from hostile.tables import Raw, Ref
from states import META

from callback_state._checkpoints.doubt import Doubt
from callback_state._saving.ledger import Ledger
from callback_state._store.pair import SUFFIX

#: Nanoseconds since 1970 when the first run of these tests began: 2017-07-14 02:40:00 UTC.
BEGAN = 1_500_000_000_000_000_000
SECOND = 1_000_000_000
TEMPLATE = "{epoch:03d}.keras"
HOSTILE = "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">'\"&\u202e"


def entry(key: str, cls: str = "", **arguments: Any) -> dict[str, Any]:
    """What a state file says of a callback beside its state."""
    given = {name: ("value", value, None) for name, value in arguments.items()}
    return {
        "key": key,
        "class": cls or f"train.{key}",
        "version": 1,
        "arguments": given,
        "outside": None,
        "in_place": [],
        "files": {},
    }


def variable(value: Any) -> Raw:
    """What a state file holds of a variable that a callback holds."""
    return Raw("variable", Ref(value), None, "keras.Variable")


def write(
    directory: Path,
    name: str,
    states: dict[str, dict[str, Any]] | None = None,
    *,
    model: bytes = b"model",
    **meta: Any,
) -> Path:
    """The state file of a checkpoint; ``meta`` is what it says otherwise than :data:`META`."""
    said = {"callbacks": [entry(key) for key in states or {}], **meta}
    said = {"saved_at": META["saved_at"], "epoch": META["epoch"], **said}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(model)
    path = directory / f"{name}{SUFFIX}"
    path.write_bytes(state_of(0, states, model_file=model, **said))
    return path


def doubt(what: str, cure: str = "write seed=1") -> dict[str, Any]:
    """A doubt as a state file holds it."""
    return asdict(Doubt(what, cure))


def start(at: int, epoch: int = 0, batch: int = 0, came_from: int | None = None, **more: Any) -> dict[str, Any]:
    """One start of a run; ``at`` and ``came_from`` in seconds since the first one."""
    due = None if came_from is None else (epoch, batch)
    saved_at = None if came_from is None else BEGAN + came_from * SECOND
    found = {"at": BEGAN + at * SECOND, "epoch": epoch, "batch": batch, "from": saved_at, "due": due, "beside": 0}
    return {**found, **more}


def history(epochs: int, **more: list[Any]) -> dict[str, Any]:
    """The history of a run after so many epochs."""
    series = {"loss": [1 / (e + 1) for e in range(epochs)], "val_loss": [1 / (e + 1) + 0.1 for e in range(epochs)]}
    return {"epochs": [*range(epochs)], "series": {**series, **more}}


def trace(epochs: int, **numbers: dict[str, list[Any]]) -> dict[str, Any]:
    """The learning rates of a run after so many epochs, and when these ended: one in ten seconds.

    ``numbers`` are those of callbacks, by their keys.
    """
    return {
        "epochs": [*range(epochs)],
        "learning_rate": [0.1 * 0.5**e for e in range(epochs)],
        "ended_at": [BEGAN // SECOND + 10 * e + 10 for e in range(epochs)],
        "numbers": numbers,
    }


def write_run(directory: Path, epochs: int = 6, *, restarts: bool = True, **meta: Any) -> Path:
    """A run of so many epochs, a checkpoint after each. It was killed in its third and in its fifth epoch and
    went on 100 and 200 seconds after the checkpoints that it went on from."""
    for epoch in range(epochs):
        starts = [start(0)]
        if restarts and epoch >= 2:
            starts.append(start(120, 2, came_from=20))
        if restarts and epoch >= 4:
            starts.append(start(340, 4, came_from=140))
        last = epoch == epochs - 1
        write(
            directory,
            f"{epoch + 1:03d}.keras",
            {
                "Warmup": {"step": 8 * epoch + 8, "peak": 0.5, "mean": 0.1 / (epoch + 1)},
                "ModelCheckpointEnhanced": {
                    "best": 1 / (epoch + 1),
                    "ledger": Ledger(TEMPLATE, stamp=epoch),
                    "monitor_op": "less val_loss",
                },
            },
            **{
                "callbacks": [
                    entry("Warmup", warmup=40),
                    entry("ModelCheckpointEnhanced", "callback_state.ModelCheckpointEnhanced"),
                ],
                "saved_at": BEGAN + _saved(epoch, starts) * SECOND,
                "epoch": epoch,
                "epochs": epochs,
                "template": TEMPLATE,
                "monitor": ("val_loss", 1 / (epoch + 1) + 0.1),
                "history": history(epoch + 1),
                "trace": trace(epoch + 1),
                "starts": starts,
                "versions": {"keras": "3.15.1", "numpy": "2.4.6"},
                "last": last,
                "finished": last,
                **meta,
            },
        )
    return directory


def _saved(epoch: int, starts: list[dict[str, Any]]) -> int:
    """Ten seconds for each epoch, counted from when the last start went on."""
    again = starts[-1]
    return (again["at"] - BEGAN) // SECOND + 10 * (epoch + 1 - again["epoch"])
