"""``callback-state repair``: finish or undo what an interrupted save or deletion has left."""

from __future__ import annotations

import os

import click

from ..._store import commit, disk
from ..._store.pair import SUFFIX
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import alone_in
from ..shell.output import print_line, say

__all__ = ["command"]


@page(
    "repair",
    examples={"callback-state repair ckpt": "what the next run in ckpt would do before its first save"},
    exits=(Exit.DAMAGED, Exit.NOT_FOUND, Exit.IN_USE),
)
@click.argument("directory", metavar="DIR", type=click.Path())
def command(directory: str) -> int:
    """Finish or undo interrupted saves and deletions.

    A run that was killed while it saved leaves hidden files in its directory. Where the new model file is in its
    place, its state file is put beside it, and "finished" printed with its name; otherwise what was written of the
    new checkpoint is removed, and "removed" printed with the names of these files. In either case the checkpoint
    before or the new one is whole. Of a checkpoint whose deletion was interrupted after its model file had gone,
    the rest is removed. The next run in the directory does the same by itself before its first save.

    Nothing that could be of use is deleted: files that belong to a model file without a whole state are left, and
    named, as evidence. So is what another host, or an unknown process, was writing within the last hour. The
    directory is locked meanwhile.
    """
    with alone_in(directory):
        before, states = [*commit.leftovers(directory)], _states(directory)
        evidence = [os.path.basename(model) for model in commit.recover_all(directory)]
        after, finished = [*commit.leftovers(directory)], _states(directory).items() - states.items()
    _print(sorted(name.removesuffix(SUFFIX) for name, _ in finished), [n for n in before if n not in after])
    for model in evidence:
        say(f"{model}: none of its states is whole; left as it is, with {', '.join(_of(model, after))}")
    for name in [n for n in after if not any(n in _of(model, after) for model in evidence)]:
        say(f"{name}: left as it is: who wrote it may still be at work, or stopped less than an hour ago")
    return Exit.DAMAGED if evidence else Exit.OK


def _states(directory: str) -> dict[str, object]:
    """Every state file under its final name, and what changes when another takes the name."""
    names = [name for name in os.listdir(directory) if name.endswith(SUFFIX)]
    return {name: disk.identity(os.path.join(directory, name)) for name in names}


def _of(model: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(f".{model}.")]


def _print(finished: list[str], removed: list[str]) -> None:
    for name in finished:
        print_line(f"finished  {name}")
    for name in removed:
        if not any(name.startswith(f".{model}.state-") for model in finished):
            print_line(f"removed   {name}")
    if not finished and not removed:
        say("nothing to repair")
