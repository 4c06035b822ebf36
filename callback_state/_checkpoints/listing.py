"""Listing the checkpoints of a directory. None of this needs TensorFlow."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass

from .._html import card
from .._store import pair
from .._units import time_of
from ..exceptions import CallbackStateError, CorruptCheckpointError
from .find import find
from .snapshot import glance, summary_of
from .summary import Summary

__all__ = ["Checkpoint", "latest_checkpoint", "list_checkpoints"]


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
    for model, states in pair.states(directory):
        try:
            summary = (None if verify else _unverified(model, states)) or summary_of(model)
        except CallbackStateError as error:
            if any(map(os.path.lexists, (model, *states))):  # else a writer has deleted it meanwhile
                _leave_aside(error)
        except OSError as error:
            _leave_aside(CorruptCheckpointError(model, f"cannot be read: {error}"))
        else:
            listed.append(
                Checkpoint(
                    model, summary.epoch, summary.batch, summary.finished, summary.monitor, summary.saved_at
                )
            )
    return sorted(listed, key=lambda checkpoint: checkpoint.saved_at)


def _leave_aside(error: CallbackStateError) -> None:
    warnings.warn(f"left aside: {error}", stacklevel=3)


def _unverified(model: str, states: list[str]) -> Summary | None:
    """What the only state file of a model says; None where that is not plain, and has to be verified."""
    with contextlib.suppress(CallbackStateError, OSError):
        summary, sealed = glance(states[0])
        if len(states) == 1 and os.path.getsize(model) == sealed.model_size:
            return summary
    return None


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
    if not os.path.isdir(directory):
        return None
    try:
        found = find(os.fspath(directory), None, missing_ok=True)
    except CorruptCheckpointError:  # each of them has been warned of
        return None
    return None if found is None else found.model_path
