"""Finding a checkpoint: the one at a path, or the newest of a directory that verifies.

None of this needs TensorFlow. A writer may be at work: if it replaces or deletes a file meanwhile, this looks
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._format.trust import Keys
from .._store import disk, presence
from .._store import pair as _pair
from .._store.bucket.places import pulled
from .._warn import warn
from ..exceptions import (
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    StoreError,
    UnsupportedFormatError,
    UntrustedError,
)
from .directory import glance_again, is_deleted
from .names import files_named_by, templates_of
from .snapshot import Snapshot, columns_of

_OF_ONE_FILE = (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    UnsupportedFormatError,
    UntrustedError,
)

#: How many of the checkpoints of a directory an error names where none verifies.
LISTED = 5


@dataclass(frozen=True)
class Found:
    """A checkpoint that verified, opened."""

    model_path: str
    snapshot: Snapshot
    identity: object
    fields: bytes  # of the trailer of the state file: the digests of all that belongs to the checkpoint

    @property
    def saved_at(self) -> int:
        return self.snapshot.meta.saved_at

    @classmethod
    def open(cls, path: str, keys: Keys | None = None) -> Found:
        pair = _pair.open_pair(path, keys=keys)
        snapshot = Snapshot.read(pair.state_path, pair.sealed)
        return cls(pair.model_path, snapshot, pair.identity, pair.sealed.fields)

    def is_replaced(self) -> bool:
        """Whether the model file is another one by now, or gone."""
        return disk.identity(self.model_path) != self.identity


def find(path: str, callbacks: list[Any] | None, *, missing_ok: bool, keys: Keys | None = None) -> Found | None:
    """The checkpoint at ``path``, or the newest in that directory; with ``missing_ok`` None where there is none.

    ``path`` is a model file, a state file, or a directory, or the URL of one. Where a checkpoint callback is
    among ``callbacks``, only what it wrote counts in a directory. The state file has to be signed with ``keys``,
    or UntrustedError is raised.

    Raises OSError if a directory or file cannot be read, also with ``missing_ok``. Raises CheckpointNotFoundError,
    CorruptCheckpointError, MismatchError or UnsupportedFormatError: of one file the message names another
    checkpoint of its directory that is whole. Raises StoreError if the path is a URL whose store does not answer.
    """
    path = pulled(path)
    if disk.is_directory(path):
        found = _newest(path, templates_of(callbacks), keys)
        if found is None and not missing_ok:
            raise CheckpointNotFoundError(
                path,
                "no checkpoint here: expected model files (.keras, .h5, .weights.h5), each with its "
                ".callbacks.pkl",
            )
        return found
    try:
        return Found.open(path, keys)
    except _OF_ONE_FILE as error:
        if missing_ok and isinstance(error, CheckpointNotFoundError) and not _is_half_there(path):
            return None
        raise _with_another(error, path, keys) from error.__cause__


def _is_half_there(path: str) -> bool:
    """Whether one of the two files is there, so that the other was lost. Raises OSError if that cannot be told."""
    model = path.removesuffix(_pair.SUFFIX)
    return disk.is_there(model) or disk.is_there(model + _pair.SUFFIX)


def _with_another(error: Any, path: str, keys: Keys | None) -> CallbackStateError:
    """The error; of a file it also names the newest whole checkpoint of its directory."""
    model, directory = path.removesuffix(_pair.SUFFIX), os.path.dirname(path)
    if model.endswith(_pair.MODEL_SUFFIXES) and os.path.isdir(directory or os.curdir):
        others = [c for c in _candidates(directory) if c.path != model]
        for _, opened in _opened(others, keys):
            if isinstance(opened, Found):
                message = f"{error.message.rstrip('.')}. The newest whole checkpoint there is {opened.model_path}"
                return type(error)(error.path, message)
    return error


def _newest(directory: str, templates: set[str], keys: Keys | None) -> Found | None:
    """The newest that verifies; what is older is not read, as it may be terabytes."""
    for _ in range(_pair.LOOKS):
        candidates = _candidates(directory)
        mine = [c for c in candidates if not templates or c.template in (None, *templates)]
        found = None
        rejected = []
        for candidate, opened in _opened(mine, keys):
            if isinstance(opened, Found):
                found = opened
                break
            rejected.append((candidate, opened))
        if not any(candidate.is_replaced() for candidate, _ in rejected):
            break
    _warn_of_others(directory, candidates, templates)
    if found is None and rejected:
        raise _none_of(directory, [error for _, error in rejected])
    for _, error in rejected:
        warn(f"left aside: {error}")
    return found


def _none_of(directory: str, errors: list[Any]) -> CallbackStateError:
    """One error for all: nobody is warned of what is an error too."""
    kind = UntrustedError if isinstance(errors[0], UntrustedError) else CorruptCheckpointError
    first, others = errors[0], [f"{error}" for error in errors[1:LISTED]]
    more = f"; the others: {'; '.join(others)}" if others else ""
    return kind(directory, f"none of {len(errors)} checkpoints verifies; the first: {first}{more}")


@dataclass(frozen=True)
class _Candidate:
    """A model file or a state file, and what its state says before anything is verified against it."""

    path: str
    states: list[str]
    identity: object
    saved_at: float
    template: str | None

    @classmethod
    def of(cls, model: str, states: list[str]) -> _Candidate:
        identity = _identity(model)
        states, seen = glance_again(model, states)
        if isinstance(seen, CallbackStateError):
            # First, so that it is opened, warned of, and left aside.
            return cls(model, states, identity, float("inf"), None)
        return cls(model, states, identity, seen.summary.saved_at, seen.summary.template)

    def is_replaced(self) -> bool:
        """Whether a writer has deleted the checkpoint, or put another in its place, since it was listed."""
        if is_deleted(self.path) or not all(map(os.path.lexists, self.states)):
            return True
        return _identity(self.path) != self.identity


def _identity(path: str) -> object:
    """That of a file; of one that the system refuses to look at the error, so that it hides no other file."""
    try:
        return disk.identity(path)
    except OSError as error:
        return error.errno


def _candidates(directory: str) -> list[_Candidate]:
    """Those of a directory, newest first."""
    found = [_Candidate.of(model, states) for model, states in _pair.states(directory)]
    found = [candidate for candidate in found if candidate.states]  # the others were deleted meanwhile
    return sorted(found, key=lambda candidate: candidate.saved_at, reverse=True)


def _opened(
    candidates: list[_Candidate], keys: Keys | None
) -> Iterator[tuple[_Candidate, Found | CallbackStateError]]:
    """Candidates, newest first, each opened only when it is asked for.

    One with two states may turn out older than it looked; then it waits for its turn.
    """
    waiting: list[tuple[_Candidate, Found]] = []
    for candidate in candidates:
        while waiting and waiting[0][1].saved_at > candidate.saved_at:
            yield waiting.pop(0)
        try:
            opened = Found.open(candidate.path, keys)
        except StoreError:  # it says nothing of the checkpoint: no older one is taken
            raise
        except CallbackStateError as error:
            yield candidate, error
        except OSError as error:
            yield candidate, CorruptCheckpointError(candidate.path, f"cannot be read: {error}")
        else:
            waiting = sorted([*waiting, (candidate, opened)], key=lambda pair: -pair[1].saved_at)
    yield from waiting


def _warn_of_others(directory: str, found: list[_Candidate], templates: set[str]) -> None:
    """Warn of model files without a state file, and of a directory that has only other runs."""
    for template in sorted(templates):
        whole, bare = files_named_by(template, directory)
        if whole and bare:
            warn(f"{directory}: left aside: {', '.join(bare)} of this run's name, without state files")
    others = {c.template for c in found if c.template is not None} - templates
    if templates and others and not any(c.template in templates for c in found):
        warn(
            f"{directory}: has checkpoints named {', '.join(sorted(others))}, and none named "
            f"{', '.join(sorted(templates))}: nothing to restore for this run."
        )


def load_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of its run: ``epochs`` (0-based), one list per series, ``training_args``.

    Args:
        path: a model file, a state file, or a directory (then its newest checkpoint). An HDF5 file that
            has lost its state file still has its own copy, which is read then.

    Returns:
        A dict of lists, an item for each epoch (of ``val_`` series: that was validated), and of a dict,
        ``training_args``.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, MismatchError: as :func:`restore_callbacks`.

    Example:
        >>> from callback_state import load_meta
        >>> meta = load_meta("ckpt")
        >>> meta["epochs"], len(meta["loss"]), meta["training_args"]
        ([0, 1, 2], 3, {'rate': 0.01})
    """
    path = pulled(path)
    if path.endswith(".h5") and os.path.exists(path) and not os.path.exists(path + _pair.SUFFIX):
        from .._format.hdf5_meta import read_meta

        presence.be_here(path)
        copy = read_meta(path)
        if copy is not None:
            return copy
    found = find(path, None, missing_ok=False)
    assert found is not None
    meta = found.snapshot.meta
    return {**columns_of(meta), "training_args": meta.training_args}
