"""What a checkpoint callback has written, and what of it goes when something newer is there.

The entries are attributes of the callback, and so part of what it saves: ``_written``, ``_interim``,
``_surplus``, ``_due``, ``_stamp``. They change when a save is decided, before anybody writes; a save that
fails takes them back. Only ``_replaced``, an interim file that goes next, is not saved: after it has gone
the run is to be the one that was never stopped.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

from .._checkpoints import retention
from .._checkpoints.names import interim_name
from .._checkpoints.snapshot import Snapshot
from .._store import commit
from .._store.pair import SUFFIX
from ..exceptions import CallbackStateError
from .decision import number

__all__ = ["delete_surplus", "enter", "enter_interim", "find_replaced", "give_up_interim", "remember", "take_back"]

#: What a decision changes, of Keras's and of ours. The time of the last save is not taken back.
_ENTRIES = ("best", "_written", "_interim", "_surplus", "_replaced")


def remember(checkpoint: Any) -> dict[str, Any]:
    """The entries before a decision."""
    return {name: getattr(checkpoint, name) for name in _ENTRIES}


def take_back(checkpoint: Any, entries: dict[str, Any]) -> None:
    """Nothing was saved: whatever was decided did not happen."""
    vars(checkpoint).update(entries)
    checkpoint._due = None


def enter(checkpoint: Any, name: str, value: Any) -> None:
    """A regular save is due under this name: choose which of the old files are to go.

    Args:
        checkpoint: the callback.
        name: of the model file, relative to the callback's directory.
        value: the monitored value of this moment, if it has one.
    """
    give_up_interim(checkpoint)
    keep_best, value = checkpoint.keep_best, number(value)
    if keep_best is not None and checkpoint.monitor_op is None:
        checkpoint._set_monitor_op()
    if keep_best is not None and value is None:
        warnings.warn(
            f"keep_best={keep_best} follows {checkpoint.monitor!r}, of which this epoch has no value: "
            f"{name} is kept. Pass monitor= with a name that is in the logs.",
            stacklevel=2,
        )
    written = [(n, v) for n, v in checkpoint._written if n != name] + [(name, value)]
    gone = retention.surplus(written, newest=checkpoint.max_to_keep, best=keep_best, better=checkpoint.monitor_op)
    # What could not be deleted the last time, once more.
    left = [n for n in checkpoint._surplus if _is_there(checkpoint.path_of(n))]
    checkpoint._surplus = [n for n in (*left, *gone) if n != name]
    checkpoint._written = [(n, v) for n, v in written if n not in gone]
    checkpoint._due = name


def enter_interim(checkpoint: Any, name: str) -> None:
    """A save is due that a regular one will replace."""
    checkpoint._interim = checkpoint._due = name
    checkpoint._replaced = None


def give_up_interim(checkpoint: Any) -> None:
    """Something newer is about to be there."""
    if checkpoint._interim is not None:
        checkpoint._replaced, checkpoint._interim = checkpoint._interim, None


def find_replaced(checkpoint: Any) -> None:
    """After a restart: an interim file of this run that a kill has left beside something newer."""
    name = interim_name(checkpoint.template)
    if not checkpoint._stamp or checkpoint._interim is not None:
        return
    with contextlib.suppress(CallbackStateError, OSError):  # what is not whole is left as evidence
        meta = Snapshot.open(checkpoint.path_of(name)).meta
        if meta.saved_at < checkpoint._stamp and meta.template == checkpoint.template:
            checkpoint._replaced = name


def _is_there(path: str) -> bool:
    """Whether one of the two files is: a kill may have come between them."""
    return os.path.lexists(path) or os.path.lexists(path + SUFFIX)


def delete_surplus(checkpoint: Any) -> None:
    """Delete what something newer has replaced, which is durable by now."""
    replaced = [] if checkpoint._replaced is None else [checkpoint._replaced]
    for name in [*checkpoint._surplus, *replaced]:
        path = checkpoint.path_of(name)
        try:
            commit.delete(path)
        except OSError as error:
            warnings.warn(f"{path}: not deleted, tried again at the next save: {error}", stacklevel=2)
