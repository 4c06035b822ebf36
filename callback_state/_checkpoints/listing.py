"""Listing the checkpoints of a directory. None of this needs TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._html import card
from .._shown import shown
from .._store import disk, pair
from .._store.bucket.places import pulled
from .._store.bucket.urls import is_url
from .._units import time_of
from .._warn import warn
from ..exceptions import CorruptCheckpointError
from .directory import look
from .find import find


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a directory.

    Attributes:
        path: the model file.
        epoch: the 0-based epoch in or after which it was saved.
        batch: the 0-based batch after which it was saved; None at the end of an epoch.
        finished: whether the run had ended.
        monitor: (name of the monitored series, its value or None).
        saved_at: nanoseconds since 1970, growing along a run.
    """

    path: str
    epoch: int
    batch: int | None
    finished: bool
    monitor: tuple[str, float | None]
    saved_at: int

    def _repr_html_(self) -> str:
        name, value = self.monitor
        return card(
            f"Checkpoint {self.path}",
            [
                ("epoch", self.epoch),
                ("batch", self.batch),
                ("finished", self.finished),
                ("monitor", f"{name}: {'none' if value is None else value}"),
                ("saved_at", time_of(self.saved_at)),
            ],
        )


def list_checkpoints(directory: str | os.PathLike[str], *, verify: bool = True) -> list[Checkpoint]:
    """The checkpoints of a directory that verify, oldest first; a damaged one is warned of.

    Args:
        directory: where to look; not in directories below it.
        verify: also read every model file and compare its SHA-256. If false, of the model files only the
            sizes are looked at, so that a directory of terabytes is listed at once; state files verify
            all the same.

    Returns:
        A :class:`Checkpoint` each, by ``saved_at``.

    Raises:
        CheckpointNotFoundError: there is no such directory.

    Example:
        >>> from callback_state import list_checkpoints
        >>> [(checkpoint.path, checkpoint.epoch) for checkpoint in list_checkpoints("ckpt")]
        [('ckpt/001.keras', 0), ('ckpt/002.keras', 1), ('ckpt/003.keras', 2)]
    """
    listed = []
    for model, states in pair.states(pulled(directory)):
        found = look(model, states, verify=verify)
        if found is None:  # a writer has deleted it meanwhile
            continue
        if found.problem is not None:
            warn(f"left aside: {found.problem}")
        elif (of := found.summary) is not None:
            listed.append(Checkpoint(shown(model), of.epoch, of.batch, of.finished, of.monitor, of.saved_at))
    return sorted(listed, key=lambda checkpoint: checkpoint.saved_at)


def latest_checkpoint(directory: str | os.PathLike[str]) -> str | None:
    """The path of the newest model file in a directory that verifies; None where there is none.

    A newer one that does not verify is warned of; an older one is not read.

    Args:
        directory: where to look; not in directories below it. It need not exist.

    Example:
        >>> from callback_state import latest_checkpoint
        >>> latest_checkpoint("ckpt")
        'ckpt/003.keras'
        >>> latest_checkpoint("nowhere") is None
        True
    """
    directory = os.fspath(directory)
    if not is_url(directory) and not disk.is_directory(directory):
        return None
    try:
        found = find(directory, None, missing_ok=True)
    except CorruptCheckpointError as error:  # it names each of them
        warn(f"left aside: {error}")
        return None
    return None if found is None else shown(found.model_path)
