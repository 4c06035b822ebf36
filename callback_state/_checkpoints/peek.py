"""What the newest checkpoint says, before anything is built from it. None of this needs TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from .._format.trust import Keys
from .._shown import shown
from .._store.bucket.places import local
from ..exceptions import CheckpointNotFoundError
from .find import find
from .listing import Checkpoint
from .snapshot import columns_of


@dataclass(frozen=True)
class Peek(Checkpoint):
    """A checkpoint, with what a script may need before it makes its callbacks.

    Attributes:
        path, epoch, batch, finished, monitor, saved_at: as of a :class:`Checkpoint`.
        history: ``epochs`` (0-based) and one list for each series of logs.
        training_args: the arguments that were given to the checkpoint callback.
        outside: by the key of each callback, what :func:`adapter` was to remember of the outside, such as the
            number of a run on a server; callbacks of which nothing was noted are left out.
    """

    history: dict[str, list[Any]] = field(default_factory=dict)
    training_args: dict[str, Any] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)


def peek(path: str | os.PathLike[str], *, key: Any = None) -> Peek | None:
    """What the newest checkpoint says that :func:`restore_callbacks` would take; None at a first start.

    It is verified, and nothing is built or changed. A script can ask it which run on a server it has to go on
    with, and then make its callbacks.

    Args:
        path: a model file, a state file, or a directory. It need not exist.
        key: as in :func:`restore_callbacks`.

    Raises:
        CorruptCheckpointError, MismatchError, UnsupportedFormatError, UntrustedError: as
            :func:`restore_callbacks`.

    Example:
        >>> from callback_state import peek
        >>> peek("nowhere") is None
        True
        >>> found = peek("ckpt")
        >>> found.epoch, found.training_args, found.outside
        (2, {'rate': 0.01}, {})
    """
    try:
        found = find(os.fspath(path), None, missing_ok=True, keys=Keys.of(key))
    except CheckpointNotFoundError:
        if os.path.lexists(local(path)):
            raise
        return None
    if found is None:
        return None
    meta = found.snapshot.meta
    return Peek(
        shown(found.model_path),
        meta.epoch,
        meta.batch,
        meta.finished,
        meta.monitor,
        meta.saved_at,
        columns_of(meta),
        meta.training_args,
        {entry.key: entry.outside for entry in meta.callbacks if entry.outside is not None},
    )
