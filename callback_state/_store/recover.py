"""Recovery: what a writer does before its first save, with what an interrupted one has left."""

from __future__ import annotations

import os

from ..exceptions import CallbackStateError
from . import disk, lock
from .pair import MODEL_SUFFIXES, SUFFIX, Path, look
from .staging import all_staged, hidden, stagings

#: Seconds without a change after which no writer is at work in a staging directory any more.
UNTOUCHED = 3600


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
            sweep(model, before)
        return False
    # First: the dead writer's own rename of the model may not be durable yet.
    disk.sync_directory(directory)
    if source != model + SUFFIX:
        disk.rename(source, model + SUFFIX)
        disk.sync_directory(directory)
    sweep(model, before)
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
    found = {name: of.base for name in names if (of := hidden(name)) is not None}
    return {name: model for name, model in found.items() if model.endswith(MODEL_SUFFIXES)}


def _sweep_abandoned(model: str, before: object) -> None:
    locked = lock.locked_at(os.path.dirname(model))
    if locked is None:
        return
    for stage in stagings(model)[1]:
        if _touched(stage) < locked - UNTOUCHED:
            disk.remove_tree(stage)
    sweep(model, before)


def _touched(stage: str) -> float:
    """When a staging directory, or what has its name, or a file in it was last changed, in seconds since 1970."""
    try:
        inside = [entry.path for entry in os.scandir(stage)] if disk.is_tree(stage) else []
        return max(os.lstat(path).st_mtime for path in [stage, *inside])
    except FileNotFoundError:  # somebody is at work there
        return float("inf")


def sweep(model: str, before: object) -> None:
    # The states are listed first: one that is staged later is nobody's leftover.
    staged = all_staged(model)
    dead, alive = stagings(model)
    for stage in dead:
        disk.remove_tree(stage)
    if not alive and disk.identity(model) == before:
        for path in staged:
            disk.remove(path)
