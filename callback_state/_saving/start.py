"""What a checkpoint callback looks at before a ``fit``: which run this is, and whose files have its names."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._checkpoints.names import files_named_by, final_name, fits, interim_name, is_ours
from .._checkpoints.schema import MAX_EPOCHS
from .._checkpoints.template import filled, fixed, parts_of, split
from .._keras import hosts
from .._keras.backend import backend
from .._loop.running import Running
from .._store.bucket.places import pulled
from .._store.bucket.urls import is_url
from .._warn import warn
from ..exceptions import CallbackStateError
from .directory import Directory
from .notices import warn_of_files, warn_of_loop, warn_of_own_files
from .own import new_run, run_at


def begin(checkpoint: Any, others: Sequence[Any], running: Running) -> None:
    """Take part in a ``fit`` beside others of its kind, which :func:`check_apart` has looked at."""
    begin_run(checkpoint, others, running)
    count_fit(checkpoint, running)
    tell_of_directory(checkpoint)


def begin_run(checkpoint: Any, others: Sequence[Any], running: Running | None) -> None:
    """Give the callback the identity of its run: of the one that was restored, else of any checkpoint of this fit.

    ``others`` are the other checkpoint callbacks of the same ``fit``.
    """
    restored = None if running is None else running.run_id
    known = next(filter(None, (restored, *(other.own.run for other in (checkpoint, *others)))), None)
    run = known or hosts.first(new_run, "the identity of the run")
    checkpoint.own = checkpoint.own.of(run, is_resumed=restored is not None)


def count_fit(checkpoint: Any, running: Running) -> None:
    """Note where this ``fit`` stands among those of its run in this process.

    Only what a ``fit`` puts back after ``on_train_begin`` differs from one of a loop, which begins anew.
    """
    own, fit = checkpoint.own, running.fit
    if fit is not None and running.run_id is None and own.fits:
        running.follows = True
        running.repeats = running.repeats or fit.initial_epoch <= own.epoch
        if own.extends:
            warn_of_loop(checkpoint.root)
    checkpoint.own = replace(own, fits=own.fits + 1, extends=running.extends)


@dataclass(frozen=True)
class _Stock:
    """Where one of Keras's own ``ModelCheckpoint`` writes."""

    filepath: str
    root: str
    template: str
    saves_between: bool = False


def _stock_among(callbacks: Iterable[Any]) -> Iterator[_Stock]:
    import keras

    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not is_ours(callback):
            with contextlib.suppress(ValueError):  # a placeholder in its directory: nobody knows the name
                directory, template = split(callback.filepath)
                yield _Stock(callback.filepath, directory or os.curdir, template)


def check_apart(checkpoint: Any, others: Sequence[Any], running: Running) -> None:
    """Raise CallbackStateError if another callback of the same ``fit`` writes the same file, or deletes it."""
    backend().check(running.model)
    _check_backup(checkpoint, running.callbacks)
    for other in (*others, *_stock_among(running.callbacks)):
        if os.path.realpath(other.root) != os.path.realpath(checkpoint.root):
            continue
        name = _shared(checkpoint, other, running.epochs)
        if name is not None:
            raise CallbackStateError(
                f"expected checkpoint callbacks that write different files, found two in one fit that write "
                f"{os.path.join(checkpoint.root, name)}: {checkpoint.filepath!r} and {other.filepath!r}. Each "
                f"would replace what the other has saved. Give one of them another filepath."
            )


def _check_backup(checkpoint: Any, callbacks: Iterable[Any]) -> None:
    """Keras's ``BackupAndRestore`` deletes its whole directory when training ends."""
    import keras

    root = os.path.realpath(checkpoint.root)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore) and callback.delete_checkpoint:
            deleted = os.path.realpath(callback.backup_dir)
            if os.path.join(root, "").startswith(os.path.join(deleted, "")):
                raise CallbackStateError(
                    f"expected filepath= outside the directory of BackupAndRestore, which deletes it with all "
                    f"that is in it when training ends, found {checkpoint.filepath!r} in {callback.backup_dir!r}. "
                    f"Give one of them another directory, or leave BackupAndRestore out: restore_callbacks does "
                    f"its work."
                )


def _shared(a: Any, b: Any, epochs: int | None) -> str | None:
    """A name under which both callbacks may save in a run of so many epochs (None: nobody knows how many)."""
    for one, other in ((a, b), (b, a)):
        name = fixed(one.template)
        if one.template == other.template or (name is not None and fits(name, other.template)):
            return str(one.template)
    # Placeholders of one epoch may become one text: {epoch} and {epoch:02d} do, from the tenth epoch on.
    first = [10**n - 1 for n in range(len(str(MAX_EPOCHS)))]
    for epoch in (epoch for epoch in first if epochs is None or epoch < epochs):
        name = _name_of(a.template, epoch)
        if name is not None and name == _name_of(b.template, epoch):
            return name
    interim = interim_name(a.template)
    both = interim == interim_name(b.template) and a.saves_between and b.saves_between
    return interim if both else None


def _name_of(template: str, epoch: int) -> str | None:
    """The name for this 0-based epoch, with another number for each name of a log; None if that makes none."""
    names = {part.field for part in parts_of(template) if part.field is not None} - {"epoch", "batch"}
    logs = {name: zlib.crc32(name.encode()) / 7 for name in names}
    try:
        return filled(template, epoch, 0, logs)
    except (LookupError, ValueError, TypeError, AttributeError):  # whatever str.format raises
        return None


def open_directory(checkpoint: Any, directory: Directory, running: Running) -> None:
    """Look at the directory, and lock it if anything is left to train."""

    def look() -> int:
        beside = look_at_files(checkpoint, directory, running)
        if running.trains:
            directory.hold()
        return beside

    directory.beside = hosts.first(look, "the directory of the checkpoints")
    if running.trains:
        directory.check_shared()


def look_at_files(checkpoint: Any, directory: Directory, running: Running) -> int:
    """Warn of files that this ``fit`` will write over; return how many checkpoints have the callback's name.

    Raises OverwriteError if they are of another run than the one that was restored.
    """
    whole, bare = files_named_by(checkpoint.template, pulled(directory.path))
    if not running.trains:
        return len(whole)
    for name in _fixed_names(checkpoint):
        directory.refuse_to_replace(name, checkpoint.own)
    if running.run_id is not None:
        return len(whole)
    if not checkpoint.ledger.stamp:
        warn_of_files(checkpoint.root, whole, bare, run_at(_newest(checkpoint.root, whole)) if whole else None)
    elif running.fit is not None and _begins_again(checkpoint, running.fit.initial_epoch):
        warn_of_own_files(checkpoint, running.fit.initial_epoch)
    return len(whole)


def _begins_again(checkpoint: Any, epoch: int) -> bool:
    """Whether a fit from this 0-based epoch on replaces what this process has saved, unexpectedly."""
    keeps_the_best = checkpoint.save_best_only and fixed(checkpoint.template) is not None
    return epoch <= checkpoint.own.epoch and not keeps_the_best


def _newest(directory: str, names: list[str]) -> str:
    paths = [os.path.join(directory, name) for name in names]
    return max(paths, key=lambda path: os.lstat(path).st_mtime_ns if os.path.lexists(path) else 0)


def _fixed_names(checkpoint: Any) -> Iterator[str]:
    """The names under which the callback may save that are known before it does."""
    name = fixed(checkpoint.template)
    if name is not None:
        yield from (name, final_name(name))
    if checkpoint.saves_between:
        yield interim_name(checkpoint.template)


def working_directory() -> str | None:
    """The working directory of this process; None if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def tell_of_directory(checkpoint: Any) -> None:
    """Warn once if a relative ``filepath`` means another directory now than when the callback was made."""
    now = working_directory()
    is_fixed = os.path.isabs(checkpoint.filepath) or is_url(checkpoint.filepath)
    if now is None or is_fixed or checkpoint.notices.made_in in (None, now):
        return
    warn(
        f"filepath={checkpoint.filepath!r} is relative, and the working directory was "
        f"{checkpoint.notices.made_in} when ModelCheckpointEnhanced was made, and is {now} now: it saves to "
        f"{os.path.join(now, checkpoint.root)}. Pass an absolute path: os.path.abspath({checkpoint.filepath!r})."
    )
    checkpoint.notices.made_in = now
