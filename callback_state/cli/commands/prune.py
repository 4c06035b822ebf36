"""``callback-state prune``: delete checkpoints that nobody needs any more."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from ..._checkpoints.directory import Listed, Run, look, runs_in
from ..._checkpoints.retention import surplus
from ..._checkpoints.snapshot import columns_of
from ..._format.trust import Keys
from ..._store import commit
from ..._store.pair import SUFFIX, states
from ..._units import size_of
from ...exceptions import CheckpointNotFoundError
from ..pictures.numbers import number_of
from ..runs.direction import Better, better_in, mode_option
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import alone_in, check_directory, key_file, keys_in
from ..shell.output import print_line, say
from ..shell.progress import watched

__all__ = ["command", "doomed"]


@page(
    "prune",
    examples={
        "callback-state prune ckpt --keep 5 --dry-run": "what would be deleted if the newest five are kept",
        "callback-state prune ckpt --keep 5 --keep-best 3 --monitor val_loss": "keep the best three besides",
    },
    exits=(Exit.NOT_FOUND, Exit.IN_USE),
)
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N of each run.")
@click.option("--keep-best", type=click.IntRange(min=1), metavar="N", help="Keep the best N of each run.")
@click.option(
    "--monitor",
    metavar="SERIES",
    help="The series of the history by which --keep-best goes; by default what each run monitors.",
)
@mode_option
@key_file
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would be deleted.")
def command(
    directory: str,
    keep: int | None,
    keep_best: int | None,
    monitor: str | None,
    mode: str | None,
    key_file: str | None,
    dry_run: bool,
) -> int:
    """Delete checkpoints that no rule keeps.

    With both --keep and --keep-best those stay that either keeps. Which values are the best is not guessed: where
    neither the callbacks in the checkpoints say it nor a name such as val_loss or val_accuracy, give --mode. The
    rules hold for each run in the directory by itself, and for all its files: those of single epochs, of its end
    and between epochs. Both files of a checkpoint are deleted, the model file first, and their names printed,
    oldest first.

    Whatever the rules say, the newest whole checkpoint of a run stays, and the one that a finished run would go on
    from. Every checkpoint of the directory is verified before anything is deleted, every byte of it, and only
    whole ones count or are deleted: what is damaged, without its other half or, with a key, not rightly signed is
    left as it is. A link is no checkpoint of its own: it neither counts nor goes, wherever it leads.

    The directory is locked from the beginning: while a run writes there nothing is deleted, and one that starts
    meanwhile gets an InUseError. What an interrupted save or deletion has left is finished or undone before, as by
    callback-state repair. --dry-run locks nothing and finishes nothing. A run that goes on afterwards still counts
    what was deleted here among those that its max_to_keep and keep_best keep.
    """
    if keep is None and keep_best is None:
        raise click.UsageError("say what is to stay: --keep N, --keep-best N, or both")
    check_directory(directory)
    keys = keys_in(key_file)
    with contextlib.nullcontext() if dry_run else alone_in(directory):
        if not dry_run:
            commit.recover_all(directory)
        runs = _runs(directory, keys)
        gone = doomed(runs, keep, keep_best, monitor, mode)
        for checkpoint in gone:
            if dry_run:
                print_line(checkpoint.name)
            else:
                _delete(checkpoint)
    count, freed = sum(len(run.checkpoints) for run in runs), sum(checkpoint.size for checkpoint in gone)
    done = "would delete" if dry_run else "deleted"
    say(f"{done} {len(gone)} of {count} checkpoints, {size_of(freed)}")
    return Exit.OK


def _runs(directory: str, keys: Keys | None) -> list[Run]:
    """What is there, links left out, verified; at least one checkpoint is whole."""
    files = [(model, own) for model, own in states(directory) if not _is_link(model)]
    shown = watched(files, [model for model, _ in files])
    looked = [look(model, own, verify=True, keys=keys) for model, own in shown]
    runs = runs_in(directory, [*filter(None, looked)])
    for problem in (checkpoint.problem for run in runs for checkpoint in run.checkpoints):
        if problem is not None:
            say(f"left as it is: {problem}")
    if not any(run.whole for run in runs):
        raise CheckpointNotFoundError(directory, "has no whole checkpoint: nothing is deleted")
    return runs


def _delete(checkpoint: Listed) -> None:
    """Delete a checkpoint and print its name, also where the deletion fails after the model file is gone."""
    try:
        commit.delete(checkpoint.path)
    finally:
        if not os.path.lexists(checkpoint.path):
            print_line(checkpoint.name)


def _is_link(model: str) -> bool:
    return os.path.islink(model) or os.path.islink(model + SUFFIX)


def doomed(
    runs: list[Run], keep: int | None, keep_best: int | None, monitor: str | None, mode: str | None
) -> list[Listed]:
    """The checkpoints that are to go, oldest first of each run.

    Args:
        runs: of one directory, verified.
        keep: how many of the newest of each stay; None for no such rule.
        keep_best: how many of the best of each stay; None for no such rule.
        monitor: the series that tells which are the best; None for the one that a run monitors.
        mode: "min" or "max", if the user has said so.

    Raises:
        UsageError: it cannot be told which are the best.
    """
    whole = {os.path.realpath(checkpoint.path): checkpoint for run in runs for checkpoint in run.whole}
    gone = {os.path.realpath(path) for run in runs for path in _surplus(run, keep, keep_best, monitor, mode)}
    while partners := gone & {_partner(checkpoint) for path, checkpoint in whole.items() if path not in gone}:
        gone -= partners
    return [checkpoint for path, checkpoint in whole.items() if path in gone]


def _surplus(
    run: Run, keep: int | None, keep_best: int | None, monitor: str | None, mode: str | None
) -> list[str]:
    """What the rules do not keep of one run."""
    written = [(checkpoint.path, _value(checkpoint, monitor)) for checkpoint in run.whole]
    better = better_in(run, mode, monitor)
    if keep_best is not None and written:
        _check_best(run, monitor, [value for _, value in written], better)
    return surplus(written, newest=keep, best=keep_best, better=better)


def _check_best(run: Run, monitor: str | None, values: list[float | None], better: Better | None) -> None:
    assert run.newest is not None and run.newest.summary is not None
    name = run.newest.summary.monitor_name if monitor is None else monitor
    if all(value is None for value in values):
        raise click.UsageError(
            f"no checkpoint of {run.template} has a value of {name!r}; --monitor takes one of "
            f"{', '.join(sorted(_columns(run.newest)))}"
        )
    if better is None:
        raise click.UsageError(f"whether small or large values of {name!r} are better is not known: give --mode")


def _columns(checkpoint: Listed) -> dict[str, list[Any]]:
    assert checkpoint.meta is not None
    columns = columns_of(checkpoint.meta)
    return {name: values for name, values in columns.items() if name != "epochs"}


def _value(checkpoint: Listed, monitor: str | None) -> float | None:
    """The value of a series at the moment of a checkpoint."""
    summary = checkpoint.summary
    assert summary is not None
    if monitor is None or monitor == summary.monitor_name:
        return summary.monitor_value
    values = _columns(checkpoint).get(monitor)
    return number_of(values[-1]) if values and summary.batch is None else None


def _partner(checkpoint: Listed) -> str | None:
    """The real path of the checkpoint that a finished run goes on from, whatever run that is of."""
    assert checkpoint.meta is not None
    name = checkpoint.meta.goes_on_from
    return None if name is None else os.path.realpath(os.path.join(os.path.dirname(checkpoint.path), name))
