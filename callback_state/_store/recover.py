"""Recovery: before its first save, a writer completes or removes what an interrupted writer has left."""

from __future__ import annotations

import contextlib
import os

from .._format.blocks import files_of
from .._format.statefile import unseal_first
from ..exceptions import CallbackStateError
from . import arrays, disk, lock
from .pair import MODEL_SUFFIXES, SUFFIX, Path, arrive, look, state_bytes
from .staging import BEGINS, all_staged, hidden, stagings

#: Seconds: a staging directory that was not changed for so long has no writer any more.
UNTOUCHED = 3600


def recover(model_path: Path) -> bool:
    """Complete or remove what a dead writer of one model file has left.

    What :func:`.pair.open_pair` finds at ``M`` is made durable, and its state gets the name ``S``. Then the
    staging directories of dead processes are removed (see :func:`.staging.stagings`), and also staged states that
    belong to no model, and arrays files that no state refers to, unless somebody is writing. If there is a model
    file without a state for it, nothing is touched: the leftovers may be all that is left of the state. Raises
    OSError if the directory cannot be read, synced or changed. Returns whether a whole checkpoint is there.
    """
    model = os.path.realpath(model_path)
    directory = os.path.dirname(model)
    arrive(model)
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
    """What saves have left in a directory: for each name, sorted, the name of the model file.

    That is hidden files, and arrays files that no state refers to. Of model files that have arrays, the state is
    read.
    """
    names = os.listdir(directory) if os.path.isdir(directory) else []
    found = {name: of.base for name in names if (of := hidden(name)) is not None}
    beside: dict[str, list[str]] = {}
    for name in names:
        base = found.get(name) or arrays.model_of(name)
        if base is not None:
            beside.setdefault(base, []).append(name)
    for base, own in beside.items():
        model = os.path.join(directory, base)
        with contextlib.suppress(OSError):  # who reads the state tells of it
            unneeded = [] if os.path.islink(model) else _unneeded(model, own)
            found |= {os.path.basename(path): base for path in unneeded}
    return {name: model for name, model in sorted(found.items()) if model.endswith(MODEL_SUFFIXES)}


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
    sweep_arrays(model, before)


def sweep_arrays(model: str, before: object) -> None:
    """Remove the arrays files of a model file that no state of it refers to, unless somebody is writing.

    ``before`` is the identity of the model file when it was last looked at. Raises OSError.
    """
    directory = os.path.dirname(model) or os.curdir
    for path in _unneeded(model, os.listdir(directory) if os.path.isdir(directory) else []):
        with BEGINS:  # a save of this process that begins now finds only what stays
            if stagings(model)[1] or disk.identity(model) != before:
                return
            disk.remove(path)


def _unneeded(model: str, names: list[str]) -> list[str]:
    """The arrays files that no state of a model file refers to; none where that is not certain. Raises OSError.

    ``names`` are those of its directory, or only those of its staged states and arrays files among them.
    """
    directory, base = os.path.split(model)
    found = [os.path.join(directory, n) for n in sorted(names) if arrays.model_of(n) == base]
    if not found:
        return []
    staged = [os.path.join(directory, n) for n in names if hidden(n) == (base, True)]
    states = [path for path in (model + SUFFIX, *staged) if os.path.lexists(path)]
    if not states and os.path.lexists(model):  # it has lost its state, to which they may belong
        return []
    needed = set()
    for path in states:
        try:
            blocks = unseal_first(state_bytes(path), path).blocks
        except (CallbackStateError, FileNotFoundError, disk.NoFileError):
            return []
        needed |= {arrays.path_of(model, file) for file in files_of(blocks)}
    return [path for path in found if path not in needed]
