"""``callback-state repair``: finish or undo what an interrupted save or deletion left behind."""

from __future__ import annotations

import os

from ..._store import disk, recover
from ..._store.pair import SUFFIX
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import directory_argument, locked
from ..shell.output import print_line, say


@page(
    examples={"callback-state repair ckpt": "do what the next run in ckpt would do before its first save"},
    exits=(Exit.DAMAGED, Exit.NOT_FOUND, Exit.IN_USE),
)
@directory_argument
def command(directory: str) -> int:
    """Finish or undo interrupted saves and deletions.

    A run that is killed while it saves leaves hidden files in its directory. If the new model file is in its
    place, its state file is put beside it, and "finished" is printed with its name. Otherwise the files of the new
    checkpoint are removed, and "removed" is printed with their names. In both cases one checkpoint is whole, the
    old one or the new one. If a deletion was interrupted after the model file had gone, the rest of that
    checkpoint is removed. The next run in the directory does the same before its first save.

    Nothing that could still be useful is deleted. If no state file of a model file is whole, all its files are
    left as evidence, and named. So are files that another host or an unknown process has written within the last
    hour. The directory is locked meanwhile.
    """
    with locked(directory):
        before, states = [*recover.leftovers(directory)], _states(directory)
        evidence = [os.path.basename(model) for model in recover.recover_all(directory)]
        after, finished = [*recover.leftovers(directory)], _states(directory).items() - states.items()
    _print(sorted(name.removesuffix(SUFFIX) for name, _ in finished), [n for n in before if n not in after])
    for model in evidence:
        say(f"{model}: none of its state files is whole; left as it is, with {', '.join(_of(model, after))}")
    for name in [n for n in after if not any(n in _of(model, after) for model in evidence)]:
        say(f"{name}: left as it is: the process that wrote it may still run, or stopped less than an hour ago")
    return Exit.DAMAGED if evidence else Exit.OK


def _states(directory: str) -> dict[str, object]:
    """For each state file an identity that changes when the file is replaced."""
    names = [name for name in os.listdir(directory) if name.endswith(SUFFIX)]
    return {name: disk.identity(os.path.join(directory, name)) for name in names}


def _of(model: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith((f".{model}.", f"{model}.callbacks."))]


def _print(finished: list[str], removed: list[str]) -> None:
    for name in finished:
        print_line(f"finished  {name}")
    for name in removed:
        if not any(name.startswith(f".{model}.state-") for model in finished):
            print_line(f"removed   {name}")
    if not finished and not removed:
        say("nothing to repair")
