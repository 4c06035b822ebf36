"""Taking the mark off a run that has ended."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

from .._format import statefile
from .._format.table import two_by_two
from .._format.trust import Keys, signer_of
from .._shown import shown
from .._store import commit
from .._store import pair as _pair
from .._store.bucket import places
from ..exceptions import CallbackStateError, UntrustedError
from .find import find
from .schema import Meta
from .snapshot import Snapshot
from .summary import Summary

#: What a checkpoint says of a run that goes on.
_GOES_ON = {"finished": False, "last": False, "stops": False}


def reopen(path: str | os.PathLike[str], *, key: Any = None) -> str:
    """Take the mark *finished* off a checkpoint: the next start of the script goes on from its last epoch.

    It is for a run that was stopped early; one that has done all its epochs goes on with a larger ``epochs``.
    ``EarlyStopping`` still knows how long it has waited: give it more patience.

    Args:
        path: a model file, a state file, or a directory (then its newest checkpoint).
        key: what the file is signed with, as for :func:`restore_callbacks`.

    Returns:
        The path of the model file; only its state file was written.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, MismatchError: as :func:`restore_callbacks`.
        InUseError: a process is writing into the directory.
        CallbackStateError: it is not marked.

    Example:
        >>> from callback_state import reopen
        >>> reopen("ckpt")
        'ckpt/003.keras'
    """
    keys = Keys.of(key)
    found = find(os.fspath(path), None, missing_ok=False, keys=keys)
    assert found is not None
    if not found.snapshot.meta.finished:
        raise CallbackStateError(
            f"{found.model_path}: expected a checkpoint that is marked as finished, found one of a run that "
            f"goes on: start its script"
        )
    directory = os.path.dirname(found.model_path) or os.curdir
    held = places.hold(directory)
    try:
        # What was found before may have been replaced by whoever held the directory.
        pair = _pair.open_pair(found.model_path, partial(statefile.unseal, views=False), keys=keys)
        sealed, meta = pair.sealed, Snapshot.read(pair.state_path, pair.sealed).meta
        if sealed.signature is not None and keys is None:
            raise UntrustedError(
                found.model_path, "its state file is signed, and so must the new one be: pass key="
            )
        sign = signer_of(keys, found.model_path)
        tree = _changed(sealed.tree, meta)
        data = statefile.seal(tree, sealed.model_digest, sealed.model_size, sign, sealed.blocks)
        commit.commit_state(found.model_path, data)
        places.push(directory)
    finally:
        held.release()
    return shown(found.model_path)


def _changed(tree: Any, meta: Meta) -> list[Any]:
    """A tree whose ``meta`` says that the run goes on; it has been decoded before, so its form is known."""
    nodes, root, *rest = tree
    nodes = list(nodes)
    parts = dict(two_by_two(nodes[root[0]][1]))
    (at,) = parts["meta"]
    kind, flat = nodes[at]
    changed = ((key, _GOES_ON.get(key, value)) for key, value in two_by_two(flat))
    nodes[at] = (kind, [item for pair in changed for item in pair])
    nodes[0] = Summary.of(replace(meta, finished=False)).node()
    return [nodes, root, *rest]
