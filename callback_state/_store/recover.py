"""Recovery: before its first save, a writer completes or removes what an interrupted writer has left."""

from __future__ import annotations

import os

from ..exceptions import CallbackStateError
from . import disk, lock
from .pair import MODEL_SUFFIXES, SUFFIX, Path, look
from .staging import all_staged, hidden, stagings

#: Seconds: a staging directory that was not changed for so long has no writer any more.
UNTOUCHED = 3600


def recover(model_path: Path) -> bool:
    """Complete or remove what a dead writer of one model file has left.

    What :func:`.pair.open_pair` finds at ``M`` is made durable, and its state gets the name ``S``. Then the
    staging directories of dead processes are removed (see :func:`.staging.stagings`), and also staged states that
    belong to no model, unless somebody is writing. If there is a model file without a state for it, nothing is
    touched: the leftovers may be all that is left of the state. Raises OSError if the directory cannot be read,
    synced or changed. Returns whether a whole checkpoint is there.
    """
    model = os.path.realpath(model_path)
    directory = os.path.dirname(model)
    before = disk.identity(model)
    try:
        source, _ = look(model)
    except CallbackStateError:
        if os.path.isdir(directory) and not os.path.lexists(model):
            # The deletion of the model may not be durable yet.
            disk.sync_directory(directory)
            sweep(model, before)
        return False
    # First of all: the rename of the model may not be durable yet.
    disk.sync_directory(directory)
    if source != model + SUFFIX:
        disk.rename(source, model + SUFFIX)
        disk.sync_directory(directory)
    sweep(model, before)
    return True


def recover_all(directory: Path) -> list[str]:
    """:func:`recover` for each model file of a directory that has leftovers. Raises OSError.

    Links to model files elsewhere are left alone. A staging directory of an unknown writer (another host or
    container, or a process number that is in use again) is removed under two conditions, as neither alone proves
    that its writer is dead:

    * This process holds the lock of the directory, so no other process writes that the lock reaches. It may not
      reach other hosts, see :mod:`.lock`.
    * When the directory was locked, nothing in the staging directory had changed for ``UNTOUCHED`` seconds, by the
      clock of that file system. A writer never pauses for so long between two writes.

    If a writer is alive all the same, its save fails with an error of the system. No checkpoint is lost, because
    its staged states are removed only when no staging directory is left.

    The model files that have leftovers and no state that matches are returned: all of it is left as it is.
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
    """The hidden files of saves in a directory: for each name, sorted, the name of the model file."""
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
    """When a staging directory or a file in it was last changed, in seconds since 1970."""
    try:
        inside = [entry.path for entry in os.scandir(stage)] if disk.is_tree(stage) else []
        return max(os.lstat(path).st_mtime for path in [stage, *inside])
    except FileNotFoundError:  # a writer is at work there
        return float("inf")


def sweep(model: str, before: object) -> None:
    # The states are listed first: a state that is staged later is no leftover.
    staged = all_staged(model)
    dead, alive = stagings(model)
    for stage in dead:
        disk.remove_tree(stage)
    if not alive and disk.identity(model) == before:
        for path in staged:
            disk.remove(path)
