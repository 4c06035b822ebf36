"""Checkpoints in a directory: a model file ``M`` and its state file ``S`` as one, without Keras.

Files that only this module sees, hidden beside ``M``, whose name is *base*:

* ``.<base>.tmp-<host>-<pid>-<random>/``, the *staging directory* of one write;
* ``.<base>.state-<32 hex digits>``, a *staged state*: the digits begin the SHA-256 of its model.

A model file and a state are a pair if the state holds the model file's SHA-256, never by name or
time.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from . import _atomic
from ._statefile import Sealed, unseal
from .exceptions import (
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
)

SUFFIX = ".callbacks.pkl"
MODEL_SUFFIXES = (".keras", ".weights.h5", ".h5")
#: How often a reader looks anew because a writer changed what it was looking at.
LOOKS = 10

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Pair:
    """A checkpoint that verified; ``state_path`` is the name ``S``, also while it is staged."""

    model_path: str
    state_path: str
    sealed: Sealed


@dataclass(frozen=True)
class Rejected:
    """A file that is no half of a whole checkpoint, and why."""

    path: str
    error: CallbackStateError


def commit(
    model_path: Path,
    write_model: Callable[[str], None],
    make_state: Callable[[bytes, int], bytes],
) -> None:
    """Writes a checkpoint so that at every instant either the old or the new one is whole.

    Args:
        model_path: ``M``; missing directories are made, a link is followed.
        write_model: writes the model under the path given to it, and closes it.
        make_state: from SHA-256 (32 bytes) and size (bytes) of that file to a sealed state.

    Raises:
        OSError: and whatever the two functions raise. Before step 5 the previous checkpoint is then
            as it was; from step 5 on the new one is there and :func:`open_pair` finds it.

    The order is the design:

    1. Make the staging directory.
    2. Write the model there under its own base name; sync it.
    3. Write the state, which holds the model's digest, there; sync it.
    4. Rename the state to its staged name; sync the directory: it lasts before the model moves.
    5. Rename the model to ``M``. This is the one commit point.
    6. Sync the directory, before the old ``S`` goes.
    7. If ``M`` is still the file just written, rename the staged state to ``S``; sync the
       directory. (Else another writer won, and the staged state stays.)
    8. Remove the staging directory. Old checkpoints go only after the return, model before state.

    The rule of recovery: ``S`` counts if it holds the digest of ``M``, else the staged state of
    that digest; see :func:`open_pair` for readers and :func:`recover` for the next writer.

    Not guaranteed: which one of two writers of the same ``M`` at the same time wins, and that two
    at the very same step leave a pair; and anything that ``write_model`` got wrong without raising.
    """
    model = os.path.realpath(model_path)
    _atomic.make_directories(os.path.dirname(model))
    with _atomic.staging(model) as stage:
        new_model = os.path.join(stage, os.path.basename(model))
        write_model(new_model)
        digest, size = _atomic.sync_and_digest(new_model)
        new_state = new_model + SUFFIX
        _atomic.write_bytes(new_state, make_state(digest, size))
        _publish(new_model, new_state, model, digest)


def _publish(new_model: str, new_state: str, model: str, digest: bytes) -> None:
    """Steps 4 to 7 of :func:`commit`."""
    directory, staged = os.path.dirname(model), _staged(model, digest)
    written = _atomic.identity(new_model)
    # The same bytes may be saved again; then this may be the only state of the old model.
    used = os.path.exists(staged)
    try:
        _atomic.rename(new_state, staged)
        _atomic.sync_directory(directory)
        _atomic.rename(new_model, model)
    except BaseException:
        # The model has not moved as long as it is here; an error alone does not say so.
        if os.path.exists(new_model) and not used:
            with contextlib.suppress(OSError):
                _atomic.remove(staged)
        raise
    _atomic.sync_directory(directory)
    if _atomic.identity(model) == written or _has_digest(model, digest):
        # It is gone if the recovery of another writer took this step for us.
        with contextlib.suppress(FileNotFoundError):
            _atomic.rename(staged, model + SUFFIX)
        _atomic.sync_directory(directory)


def commit_state(model_path: Path, data: bytes) -> None:
    """Replaces only the state file of a model file; durable on return.

    Args:
        model_path: ``M``, which stays as it is; a link is followed.
        data: a sealed state; that it holds the digest of ``M`` is up to the caller.

    Raises:
        OSError: the old or the new state file is then there, whole.
    """
    model = os.path.realpath(model_path)
    with _atomic.staging(model) as stage:
        new_state = os.path.join(stage, os.path.basename(model) + SUFFIX)
        _atomic.write_bytes(new_state, data)
        _atomic.rename(new_state, model + SUFFIX)
        _atomic.sync_directory(os.path.dirname(model))


def open_pair(path: Path) -> Pair:
    """The checkpoint at a path, verified: the digest of ``M``, and the state that holds it.

    Args:
        path: a model file or its state file. Links are followed.

    Raises:
        CheckpointNotFoundError: a file is missing; the message says which.
        MismatchError: the state file was written for another model file.
        CorruptCheckpointError, UnsupportedFormatError: the state file, see :func:`unseal`.
        OSError: a file cannot be read.

    A writer may work at the same time. Not guaranteed: that ``M`` is still that file when you load
    it; compare ``sealed.model_digest`` with the bytes that you load.
    """
    model = os.fspath(path).removesuffix(SUFFIX)
    model = os.path.realpath(model) if os.path.islink(model) else model
    return Pair(model, model + SUFFIX, _look(model)[1])


def scan(directory: Path) -> list[Pair | Rejected]:
    """All checkpoints of a directory, sorted by name, each opened with :func:`open_pair`.

    Args:
        directory: not searched below; only ``MODEL_SUFFIXES`` count, and no hidden file.

    Returns:
        For every model file, and every state file without one, a Pair or a Rejected that says why.

    Raises:
        CheckpointNotFoundError: there is no such directory.
    """
    return [_attempt(path) for path in _models(os.fspath(directory))]


def peek(directory: Path) -> list[tuple[str, list[Sealed]]]:
    """What the state files of a directory say, without reading a model file: nothing is verified.

    Returns:
        For each model file with a state, and each state without a model file, sorted by name: the path
        of the model file, and the states that may be its own. None of them may be whole.

    Raises:
        CheckpointNotFoundError: there is no such directory.
    """
    found = []
    for model in _models(os.fspath(directory)):
        paths = [model + SUFFIX, *_all_staged(model)]
        if any(os.path.lexists(path) for path in paths):
            found.append((model, [sealed for path in paths for sealed in _unsealed(path)]))
    return found


def _unsealed(path: str) -> list[Sealed]:
    with contextlib.suppress(CallbackStateError, OSError):  # open_pair says what is wrong with it
        return [unseal(_atomic.read_bytes(path), path)]
    return []


def _models(directory: str) -> list[str]:
    """The paths of all model files in a directory, those included of which only the state is there."""
    try:
        names = os.listdir(directory or os.curdir)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointNotFoundError(
            directory, "expected a directory of checkpoints, found none; check the path"
        ) from error
    models = {name.removesuffix(SUFFIX) for name in names}
    models = {m for m in models if m.endswith(MODEL_SUFFIXES) and not m.startswith(".")}
    paths = (os.path.join(directory, name) for name in sorted(models))
    return [path for path in paths if not os.path.isdir(path)]


def _attempt(path: str) -> Pair | Rejected:
    try:
        return open_pair(path)
    except CallbackStateError as error:
        return Rejected(path if os.path.lexists(path) else path + SUFFIX, error)
    except OSError as error:
        return Rejected(path, CorruptCheckpointError(path, f"cannot be read: {error}"))


def recover(model_path: Path) -> bool:
    """What a writer does before its first :func:`commit`: finish and sweep what a dead one left.

    Makes durable what :func:`open_pair` finds at ``M`` and gives its state the name ``S``. Then
    removes the staging directories of dead processes (see :func:`_atomic.stagings` for what can be
    known), and staged states of no model unless somebody is writing. Only for this base name.

    Args:
        model_path: ``M``; need not exist.

    Returns:
        Whether a whole checkpoint is there. If there is a model file but no state for it, nothing
        is touched: what lies around may be all that is left.

    Raises:
        OSError: the directory cannot be read, synced or changed.
    """
    model = os.path.realpath(model_path)
    directory = os.path.dirname(model)
    before = _atomic.identity(model)
    try:
        source, _ = _look(model)
    except CallbackStateError:
        if os.path.isdir(directory) and not os.path.lexists(model):
            _sweep(model, before)
        return False
    # First: the dead writer's own rename of the model may not be durable yet.
    _atomic.sync_directory(directory)
    if source != model + SUFFIX:
        _atomic.rename(source, model + SUFFIX)
        _atomic.sync_directory(directory)
    _sweep(model, before)
    return True


def delete(model_path: Path) -> None:
    """Removes a checkpoint if it is there, the model file before its state. Raises OSError."""
    model = os.path.realpath(model_path)
    if not os.path.isdir(os.path.dirname(model)):
        return
    _atomic.remove(model)
    _atomic.sync_directory(os.path.dirname(model))
    _atomic.remove(model + SUFFIX)
    _sweep(model, None)


def _sweep(model: str, before: object) -> None:
    # The states are listed first: one that is staged later is nobody's leftover.
    staged = _all_staged(model)
    dead, alive = _atomic.stagings(model)
    for stage in dead:
        _atomic.remove_tree(stage)
    if not alive and _atomic.identity(model) == before:
        for path in staged:
            _atomic.remove(path)


def _staged(model: str, digest: bytes) -> str:
    directory, base = os.path.split(model)
    return os.path.join(directory, f".{base}.state-{digest.hex()[:32]}")


def _all_staged(model: str) -> list[str]:
    directory, base = os.path.split(model)
    pattern = re.compile(re.escape(f".{base}.state-") + "[0-9a-f]{32}")
    names = os.listdir(directory or os.curdir)
    return [os.path.join(directory, name) for name in names if pattern.fullmatch(name)]


def _has_digest(model: str, digest: bytes) -> bool:
    # Asked only where the system gave the file another number: rename keeps it, some mounts do not.
    with contextlib.suppress(FileNotFoundError):
        return _atomic.digest(model)[0] == digest
    return False


def _look(model: str) -> tuple[str, Sealed]:
    """The reading rule: the file that holds the state of ``M``, and what it holds."""
    for _ in range(LOOKS):
        before = _atomic.identity(model), _atomic.identity(model + SUFFIX)
        try:
            return _look_once(model)
        except CallbackStateError as error:
            problem = error
        # A writer that was between two steps has changed one of them; at no instant do both stay
        # and the state is missing, so there is nothing to wait for.
        if before == (_atomic.identity(model), _atomic.identity(model + SUFFIX)):
            break
    raise problem


def _look_once(model: str) -> tuple[str, Sealed]:
    if not os.path.isfile(model):
        raise _no_model(model)
    try:
        digest, _ = _atomic.digest(model)
    except FileNotFoundError:
        raise _no_model(model) from None
    problem: CallbackStateError = CheckpointNotFoundError(
        model,
        f"expected its state file {os.path.basename(model)}{SUFFIX} beside it, found none; "
        "put it back, or load the model alone with Keras",
    )
    for path in (model + SUFFIX, _staged(model, digest)):
        try:
            sealed = unseal(_atomic.read_bytes(path), path)
        except CallbackStateError as error:
            problem = error
        except FileNotFoundError:
            continue
        else:
            if sealed.model_digest == digest:
                return path, sealed
            problem = _mismatch(model, sealed, digest)
    raise problem


def _mismatch(model: str, sealed: Sealed, digest: bytes) -> MismatchError:
    return MismatchError(
        model,
        f"its state file {os.path.basename(model)}{SUFFIX} was written for the model file with "
        f"SHA-256 {sealed.model_digest.hex()[:12]}..., found {digest.hex()[:12]}...: it belongs to "
        "another model file. Put the two files of one save together, or use another checkpoint",
    )


def _no_model(model: str) -> CheckpointNotFoundError:
    if os.path.isdir(model):
        return CheckpointNotFoundError(model, "expected a model file, found a directory")
    if os.path.lexists(model + SUFFIX):
        return CheckpointNotFoundError(
            model,
            f"expected the model file of {os.path.basename(model)}{SUFFIX}, found none; "
            "put it back beside its state file, or delete that",
        )
    return CheckpointNotFoundError(model, "expected a model file, found nothing; check the path")
