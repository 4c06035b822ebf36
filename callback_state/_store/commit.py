"""Writing a checkpoint: its two files become visible as one. And deleting one.

:mod:`.pair` says how a pair is read, :mod:`.staging` what the hidden files beside it are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .._format.statefile import TRAILER_SIZE, model_digest_in
from . import disk
from .pair import SUFFIX, Path, has_digest
from .recover import recover, sweep
from .staging import staged_path, staging

#: The model files whose last save or deletion in this process failed.
_FAILED: set[str] = set()


@dataclass(frozen=True)
class Written:
    """Both files of a checkpoint in a staging directory, durable there, and the name it is to get."""

    new_model: str
    model: str
    digest: bytes


@contextlib.contextmanager
def write(
    model_path: Path,
    write_model: Callable[[str], None],
    make_state: Callable[[bytes, int], bytes],
    check_model: Callable[[str], None] = lambda path: None,
) -> Iterator[Written]:
    """Writes both files of a checkpoint where no reader looks, for :func:`commit` within the block.

    Args:
        model_path: ``M``; missing directories are made, a link is followed.
        write_model: writes the model under the path given to it, and closes it.
        make_state: from SHA-256 (32 bytes) and size (bytes) of that file to a sealed state.
        check_model: reads that file again and raises if it is not what was meant; called while the
            file is synced.

    Raises:
        OSError: and whatever the three functions raise; no checkpoint has changed then.
    """
    model = os.path.realpath(model_path)
    disk.make_directories(os.path.dirname(model))
    _finish_failed(os.path.dirname(model))
    try:
        with staging(model) as stage:
            new_model = os.path.join(stage, os.path.basename(model))
            write_model(new_model)
            digest, size = disk.sync_and_digest(new_model, check_model)
            disk.write_bytes(new_model + SUFFIX, make_state(digest, size))
            yield Written(new_model, model, digest)
    except BaseException:
        _FAILED.add(model)
        raise


def commit(written: Written) -> None:
    """Puts a checkpoint in its place: at every instant either the old or the new one is whole.

    Raises:
        OSError: before step 5 the previous checkpoint is as it was; from step 5 on the new one is
            there and :func:`open_pair` finds it.

    The order is the design; steps 1 to 3 are :func:`write`, the last one is the end of its block:

    1. Make the staging directory.
    2. Write the model there under its own base name; sync it; compare it with what was meant.
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
    at the very same step leave a pair.
    """
    model, new_model, digest = written.model, written.new_model, written.digest
    directory, staged = os.path.dirname(model), staged_path(model, digest)
    identity = disk.identity(new_model)
    # The same bytes may be saved again; then this may be the only state of the old model.
    used = os.path.exists(staged)
    try:
        disk.rename(new_model + SUFFIX, staged)
        disk.sync_directory(directory)
        disk.rename(new_model, model)
    except BaseException:
        # The model has not moved as long as it is here; an error alone does not say so.
        if os.path.exists(new_model) and not used:
            with contextlib.suppress(OSError):
                disk.remove(staged)
        raise
    disk.sync_directory(directory)
    if disk.identity(model) == identity or has_digest(model, digest):
        # It is gone if the recovery of another writer took this step for us.
        with contextlib.suppress(FileNotFoundError):
            disk.rename(staged, model + SUFFIX)
        disk.sync_directory(directory)


def _finish_failed(directory: str) -> None:
    """Before a save: recover what earlier ones of this process left, or else it would pile up."""
    for model in [model for model in _FAILED if os.path.dirname(model) == directory]:
        with contextlib.suppress(OSError):  # tried again before the next save
            recover(model)
            _FAILED.discard(model)


def commit_state(model_path: Path, data: bytes) -> None:
    """Replaces only the state file of a model file; durable on return.

    Args:
        model_path: ``M``, which stays as it is; a link is followed.
        data: a sealed state; that it holds the digest of ``M`` is up to the caller.

    Raises:
        OSError: the old or the new state file is then there, whole.
    """
    model = os.path.realpath(model_path)
    with staging(model) as stage:
        new_state = os.path.join(stage, os.path.basename(model) + SUFFIX)
        disk.write_bytes(new_state, data)
        disk.rename(new_state, model + SUFFIX)
        disk.sync_directory(os.path.dirname(model))


def delete(model_path: Path) -> None:
    """Removes a checkpoint if it is there, the model file before its state. Raises OSError.

    If the process ends meanwhile, :func:`recover` finds the pair whole and keeps it, or finishes: before the model
    goes, the state gets its staged name, under which it is nobody's afterwards. A state that is left without its
    model under the name ``S`` is no deletion, but a loss, and stays.
    """
    model = os.path.realpath(model_path)
    if not os.path.isdir(os.path.dirname(model)):
        return
    try:
        _stage_again(model)
        disk.remove(model)
        disk.sync_directory(os.path.dirname(model))
        disk.remove(model + SUFFIX)
        sweep(model, None)
    except BaseException:
        _FAILED.add(model)
        raise


def _stage_again(model: str) -> None:
    """Give the state of a checkpoint its staged name; what is no state file keeps its name."""
    digest = None
    with contextlib.suppress(FileNotFoundError, disk.NoFileError):
        digest = model_digest_in(disk.read_end(model + SUFFIX, TRAILER_SIZE))
    if digest is not None:
        disk.rename(model + SUFFIX, staged_path(model, digest))
        disk.sync_directory(os.path.dirname(model))
