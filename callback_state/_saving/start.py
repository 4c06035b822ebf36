"""What a checkpoint callback looks at before a ``fit``: which run this is, and whose files have its names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from .._checkpoints.names import files_named_by, final_name, fits, interim_name
from .._checkpoints.template import fixed
from .._loop.running import Running
from .._warn import warn
from ..exceptions import CallbackStateError
from .directory import Directory
from .notices import warn_of_files, warn_of_own_files
from .own import run_at


def begin(checkpoint: Any, others: Sequence[Any], running: Running) -> None:
    """Take part in a ``fit`` beside others of its kind. Raises CallbackStateError if two write one file."""
    check_apart(checkpoint, others)
    begin_run(checkpoint, others, running)
    tell_of_directory(checkpoint)


def begin_run(checkpoint: Any, others: Sequence[Any], running: Running | None) -> None:
    """Give the callback the identity of its run: of the one that was restored, else of any checkpoint of this fit.

    ``others`` are the other checkpoint callbacks of the same ``fit``.
    """
    restored = None if running is None else running.run_id
    known = (restored, *(other.own.run for other in (checkpoint, *others)))
    checkpoint.own = checkpoint.own.of(next(filter(None, known), None), is_resumed=restored is not None)


def check_apart(checkpoint: Any, others: Sequence[Any]) -> None:
    """Raise CallbackStateError if another checkpoint callback of the same ``fit`` writes the same file."""
    for other in others:
        if os.path.realpath(other.root) != os.path.realpath(checkpoint.root):
            continue
        name = _shared(checkpoint, other)
        if name is not None:
            raise CallbackStateError(
                f"expected checkpoint callbacks that write different files, found two in one fit that write "
                f"{os.path.join(checkpoint.root, name)}: {checkpoint.filepath!r} and {other.filepath!r}. Each "
                f"would replace what the other has saved. Give one of them another filepath."
            )


def _shared(a: Any, b: Any) -> str | None:
    """A name under which both callbacks may save."""
    for one, other in ((a, b), (b, a)):
        name = fixed(one.template)
        if one.template == other.template or (name is not None and fits(name, other.template)):
            return str(one.template)
    interim = interim_name(a.template)
    both = interim == interim_name(b.template) and a.saves_between and b.saves_between
    return interim if both else None


def look_at_files(checkpoint: Any, directory: Directory, running: Running) -> int:
    """Warn of files that this ``fit`` will write over; return how many checkpoints have the callback's name.

    Raises OverwriteError if they are of another run than the one that was restored.
    """
    whole, bare = files_named_by(checkpoint.template, checkpoint.root)
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
    if now is None or os.path.isabs(checkpoint.filepath) or checkpoint.notices.made_in in (None, now):
        return
    warn(
        f"filepath={checkpoint.filepath!r} is relative, and the working directory was "
        f"{checkpoint.notices.made_in} when ModelCheckpointEnhanced was made, and is {now} now: it saves to "
        f"{os.path.join(now, checkpoint.root)}. Pass an absolute path: os.path.abspath({checkpoint.filepath!r})."
    )
    checkpoint.notices.made_in = now
