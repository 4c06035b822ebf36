"""``callback-state prune``: delete checkpoints that are no longer needed."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import Any, NamedTuple

import click

from ..._checkpoints.directory import Listed, Run
from ..._checkpoints.retention import surplus
from ..._checkpoints.snapshot import columns_of
from ..._format.trust import Keys
from ..._store import commit, presence, recover
from ..._store.arrays import model_of
from ..._store.pair import SUFFIX, states
from ..._units import size_of
from ...exceptions import CallbackStateError, CheckpointNotFoundError
from ..pictures.numbers import number_of
from ..runs.below import directories_below
from ..runs.direction import Better, better_in, mode_option
from ..runs.looks import look_at
from ..shell.command import page
from ..shell.exits import Exit, exit_of
from ..shell.options import as_json, check_directory, directory_argument, key_file, keys_in, locked
from ..shell.output import print_json, print_line, say


@page(
    examples={
        "callback-state prune ckpt --keep 5 --dry-run": "what would be deleted to keep the newest five",
        "callback-state prune runs --keep 2 --dry-run": "the same for each run in the directories below",
        "callback-state prune ckpt --keep 5 --keep-best 3 --monitor val_loss": "keep the best three too",
    },
    exits=(Exit.NOT_FOUND, Exit.IN_USE),
)
@directory_argument
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N of each run.")
@click.option("--keep-best", type=click.IntRange(min=1), metavar="N", help="Keep the best N of each run.")
@click.option(
    "--monitor",
    metavar="SERIES",
    help="The series of the history that --keep-best compares; by default the one that each run monitors.",
)
@mode_option
@key_file
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would be deleted.")
@as_json
def command(
    directory: str,
    keep: int | None,
    keep_best: int | None,
    monitor: str | None,
    mode: str | None,
    key_file: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Delete checkpoints that no rule keeps.

    A checkpoint stays if --keep or --keep-best keeps it. The command does not guess which values are the best: if
    neither the callbacks in the checkpoints nor a name such as val_loss or val_accuracy tell it, give --mode. The
    rules apply to each run in the directory on its own, and to all files of the run: those of single epochs, of
    its end, and between epochs. All files of a checkpoint are deleted, the model file first, and the names are
    printed, the oldest first. Large arrays that other checkpoints share stay on the disk, and do not count as
    freed.

    The newest whole checkpoint of a run always stays, and so does the one that a finished run would go on from.
    Every checkpoint of the directory is verified before anything is deleted, every byte of it. Only whole
    checkpoints count, and only they are deleted. A checkpoint that is damaged, that misses one of its files, or
    that, with a key, is not signed rightly, is left as it is. A link is not a checkpoint: it does not count, and
    it is never deleted.

    The directory is locked from the beginning. While a run writes there, nothing is deleted; a run that starts
    meanwhile gets an InUseError. What an interrupted save or deletion has left is finished or undone first, as by
    callback-state repair. --dry-run locks nothing and repairs nothing. A run that goes on later still counts the
    deleted checkpoints among those that its max_to_keep and keep_best keep.

    If DIR has no checkpoints, but directories below it have (up to four deep), each of them is pruned on its own,
    in the order of their names, and what is deleted is told for each. --dry-run shows it before.

    With --json it prints {"dry_run": true or false, "directories": [{"directory", "deleted": [names],
    "checkpoints", "freed": bytes}]}.
    """
    if keep is None and keep_best is None:
        raise click.UsageError("give --keep N, --keep-best N, or both")
    check_directory(directory)
    keys, below, rules = keys_in(key_file), directories_below(directory), (keep, keep_best, monitor, mode)
    if not below:
        _tell(
            [_prune(directory, directory, keys, rules, dry_run=dry_run, quiet=as_json)],
            directory,
            dry_run,
            as_json,
        )
        return Exit.OK
    pruned, status = [], Exit.OK
    for one in below:
        try:
            pruned.append(_prune(one, directory, keys, rules, dry_run=dry_run, quiet=as_json))
        except CallbackStateError as error:  # the other runs can be pruned all the same
            say(str(error))
            status = exit_of(error)
    _tell(pruned, directory, dry_run, as_json)
    return status


class _Pruned(NamedTuple):
    """What is deleted in one directory: the names of the model files, of how many, and the bytes that it frees."""

    directory: str
    deleted: list[str]
    checkpoints: int
    freed: int


def _prune(
    directory: str, root: str, keys: Keys | None, rules: tuple[Any, ...], *, dry_run: bool, quiet: bool
) -> _Pruned:
    with contextlib.nullcontext() if dry_run else locked(directory):
        if not dry_run:
            recover.recover_all(directory)
        runs = _runs(directory, keys)
        gone = doomed(runs, *rules)
        count, freed = sum(len(run.checkpoints) for run in runs), _freed(directory, gone)
        for checkpoint in gone:
            name = checkpoint.name if directory == root else os.path.relpath(checkpoint.path, root)
            _delete(checkpoint, name, quiet=quiet, dry_run=dry_run)
    return _Pruned(directory, [checkpoint.name for checkpoint in gone], count, freed)


def _tell(pruned: list[_Pruned], directory: str, dry_run: bool, as_json: bool) -> None:
    done = "would delete" if dry_run else "deleted"
    if as_json:
        print_json({"dry_run": dry_run, "directories": [one._asdict() for one in pruned]})
    for path, gone, count, freed in pruned:
        where = f"{os.path.relpath(path, directory)}: " if len(pruned) > 1 else ""
        say(f"{where}{done} {len(gone)} of {count} checkpoints, {size_of(freed)}")
    if len(pruned) > 1:
        deleted, of = sum(len(one.deleted) for one in pruned), sum(one.checkpoints for one in pruned)
        say(f"together: {done} {deleted} of {of} checkpoints, {size_of(sum(one.freed for one in pruned))}")


def _runs(directory: str, keys: Keys | None) -> list[Run]:
    """Verify the checkpoints that are no links; refuse a directory in which none of them is whole."""
    files = [(model, own) for model, own in states(directory) if not _is_link(model)]
    runs = look_at(directory, files, verify=True, keys=keys)
    for problem in (checkpoint.problem for run in runs for checkpoint in run.checkpoints):
        if problem is not None:
            say(f"left as it is: {problem}")
    if not any(run.whole for run in runs):
        raise CheckpointNotFoundError(directory, "has no whole checkpoint: nothing is deleted")
    return runs


def _delete(checkpoint: Listed, name: str, *, quiet: bool, dry_run: bool) -> None:
    """Delete a checkpoint. Its name is printed also if the deletion fails after the model file is gone."""
    try:
        if not dry_run:
            commit.delete(checkpoint.path)
    finally:
        if not quiet and (dry_run or not os.path.lexists(checkpoint.path)):
            print_line(name)


def _freed(directory: str, gone: list[Listed]) -> int:
    """How many bytes the deletion frees: those of the files of which no other checkpoint has a link."""
    models = {checkpoint.name for checkpoint in gone}
    if presence.source_of(directory) is not None:  # a store has no links
        return sum(checkpoint.size for checkpoint in gone)
    names = [n for n in os.listdir(directory) if {n, n.removesuffix(SUFFIX), model_of(n)} & models]
    links: Counter[tuple[int, int]] = Counter()
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # a dry run locks nothing
            file = os.lstat(os.path.join(directory, name))
            links[file.st_dev, file.st_ino] += 1
            found[file.st_dev, file.st_ino] = file
    return sum(file.st_size for number, file in found.items() if links[number] == file.st_nlink)


def _is_link(model: str) -> bool:
    return os.path.islink(model) or os.path.islink(model + SUFFIX)


def doomed(
    runs: list[Run], keep: int | None, keep_best: int | None, monitor: str | None, mode: str | None
) -> list[Listed]:
    """Choose the checkpoints to delete, of each run from the oldest to the newest; None is no rule."""
    whole = {os.path.realpath(checkpoint.path): checkpoint for run in runs for checkpoint in run.whole}
    gone: set[str] = set()
    for run in runs:
        written = [(checkpoint.path, _value(checkpoint, monitor)) for checkpoint in run.whole]
        better = better_in(run, mode, monitor)
        if keep_best is not None and written:
            _check_best(run, monitor, [value for _, value in written], better)
        gone |= {*map(os.path.realpath, surplus(written, newest=keep, best=keep_best, better=better))}
    while partners := gone & {_partner(checkpoint) for path, checkpoint in whole.items() if path not in gone}:
        gone -= partners
    return [checkpoint for path, checkpoint in whole.items() if path in gone]


def _check_best(run: Run, monitor: str | None, values: list[float | None], better: Better | None) -> None:
    assert run.newest is not None and run.newest.summary is not None
    name = run.newest.summary.monitor_name if monitor is None else monitor
    if all(value is None for value in values):
        raise click.UsageError(
            f"no checkpoint of {run.template} has a value of {name!r}; --monitor takes one of "
            f"{', '.join(sorted(_columns(run.newest)))}"
        )
    if better is None:
        raise click.UsageError(f"nothing says whether small or large values of {name!r} are better: give --mode")


def _columns(checkpoint: Listed) -> dict[str, list[Any]]:
    assert checkpoint.meta is not None
    columns = columns_of(checkpoint.meta)
    return {name: values for name, values in columns.items() if name != "epochs"}


def _value(checkpoint: Listed, monitor: str | None) -> float | None:
    """The value of a series when the checkpoint was saved; None if there is none."""
    summary = checkpoint.summary
    assert summary is not None
    if monitor is None or monitor == summary.monitor_name:
        return summary.monitor_value
    values = _columns(checkpoint).get(monitor)
    return number_of(values[-1]) if values and summary.batch is None else None


def _partner(checkpoint: Listed) -> str | None:
    """The real path of the checkpoint from which a finished run would go on with more epochs."""
    assert checkpoint.meta is not None
    name = checkpoint.meta.goes_on_from
    return None if name is None else os.path.realpath(os.path.join(os.path.dirname(checkpoint.path), name))
