"""Writing checkpoints: the commit of the two files as one, recovery, deletion. Without Keras.

How a pair is read, and what the hidden files beside it are, stands in :mod:`._pair`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .._format.statefile import TRAILER_SIZE, model_digest_in
from ..exceptions import CallbackStateError
from . import disk, lock
from .pair import MODEL_SUFFIXES, SUFFIX, Path, all_staged, has_digest, look, staged_path

__all__ = ["Written", "commit", "commit_state", "delete", "leftovers", "recover", "recover_all", "write"]

#: Seconds after which nobody is at work any more in a staging directory in which nothing has changed.
UNTOUCHED = 3600
_LEFTOVER = re.compile(r"\.(.+)\.(?:tmp-[\w.]*-[0-9]+-[0-9a-f]{8}|state-[0-9a-f]{32})", re.ASCII)


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
        with disk.staging(model) as stage:
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
    with disk.staging(model) as stage:
        new_state = os.path.join(stage, os.path.basename(model) + SUFFIX)
        disk.write_bytes(new_state, data)
        disk.rename(new_state, model + SUFFIX)
        disk.sync_directory(os.path.dirname(model))


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
    before = disk.identity(model)
    try:
        source, _ = look(model)
    except CallbackStateError:
        if os.path.isdir(directory) and not os.path.lexists(model):
            # The dead one's deletion of the model may not be durable yet.
            disk.sync_directory(directory)
            _sweep(model, before)
        return False
    # First: the dead writer's own rename of the model may not be durable yet.
    disk.sync_directory(directory)
    if source != model + SUFFIX:
        disk.rename(source, model + SUFFIX)
        disk.sync_directory(directory)
    _sweep(model, before)
    return True


def recover_all(directory: Path) -> list[str]:
    """:func:`recover` for every name of a directory that has hidden leftovers: at the start of a writer.

    A staging directory of an unknown writer (another host or container, or a process number that is in
    use again) is swept too, under two conditions, since neither proves alone that its writer is dead:

    * this process holds the directory's lock, so nobody else whom the lock reaches is writing. Other
      hosts it may not reach, see :mod:`._lock`;
    * when the directory was locked, nothing in there had changed for ``UNTOUCHED`` seconds, by the clock
      of that file system. A writer never rests for so long between two writes.

    If both were wrong, the other's save fails with an error of the system, and no checkpoint is lost: its
    staged states go only when no staging directory is left.

    Args:
        directory: need not exist; not searched below. Links to model files elsewhere are left alone.

    Returns:
        The model files that have leftovers and no state that matches them: evidence, all left as it is.

    Raises:
        OSError: as :func:`recover`.
    """
    directory = os.path.realpath(directory)
    evidence = []
    for name in sorted({*leftovers(directory).values()}):
        model = os.path.join(directory, name)
        before = disk.identity(model)
        if os.path.islink(model):
            continue
        if not recover(model) and os.path.lexists(model):
            evidence.append(model)
        else:
            _sweep_abandoned(model, before)
    return evidence


def leftovers(directory: Path) -> dict[str, str]:
    """What interrupted saves have left in a directory, or those that are going on have there.

    Returns:
        For the name of each hidden file or directory, sorted, the base name of its model file.
    """
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    found = {match[0]: match[1] for match in map(_LEFTOVER.fullmatch, names) if match is not None}
    return {name: model for name, model in found.items() if model.endswith(MODEL_SUFFIXES)}


def _sweep_abandoned(model: str, before: object) -> None:
    locked = lock.locked_at(os.path.dirname(model))
    if locked is None:
        return
    for stage in disk.stagings(model)[1]:
        if _touched(stage) < locked - UNTOUCHED:
            disk.remove_tree(stage)
    _sweep(model, before)


def _touched(stage: str) -> float:
    """When a staging directory, or what has its name, or a file in it was last changed, in seconds since 1970."""
    try:
        inside = [entry.path for entry in os.scandir(stage)] if disk.is_tree(stage) else []
        return max(os.lstat(path).st_mtime for path in [stage, *inside])
    except FileNotFoundError:  # somebody is at work there
        return float("inf")


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
        _sweep(model, None)
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


def _sweep(model: str, before: object) -> None:
    # The states are listed first: one that is staged later is nobody's leftover.
    staged = all_staged(model)
    dead, alive = disk.stagings(model)
    for stage in dead:
        disk.remove_tree(stage)
    if not alive and disk.identity(model) == before:
        for path in staged:
            disk.remove(path)
