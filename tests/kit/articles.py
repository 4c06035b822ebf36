"""What the examples leave in their directories, and how it is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import yaml

from callback_state._checkpoints.snapshot import Snapshot
from callback_state._store.pair import SUFFIX

#: What a state file says that is the same whenever it was written.
SAID = ("epoch", "batch", "finished", "history", "model", "monitor", "training_args")


def contents(directory: Path) -> dict[str, list[Any]]:
    """What the checkpoints in a directory and below say of their run, by name: all but when they were written."""
    found: dict[str, list[Any]] = {}
    for path in directory.rglob(f"*{SUFFIX}"):
        name = str(path.relative_to(directory)).removesuffix(SUFFIX)
        snapshot = Snapshot.open(str(directory / name))
        meta = snapshot.meta
        seeds = [states.tolist() for states in snapshot.run.extra.values]
        found[name] = [*(getattr(meta, key) for key in SAID), meta.trace.learning_rate, seeds]
    return found


def read_as_anyone(path: Path) -> dict[str, Any]:
    """As anyone reads it who has h5py and PyYAML, and nothing of ours."""
    meta = {}
    with h5py.File(path) as f:
        for k in f["meta"].keys():  # noqa: SIM118 - that a group has keys() is part of the claim
            meta[k] = list(f["meta"][k])
        meta["training_args"] = yaml.safe_load(f["meta"].attrs["training_args"])
    return meta


def files_below(directory: Path) -> list[str]:
    """The names of all that is in a directory and below."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
