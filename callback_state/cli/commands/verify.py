"""``callback-state verify``: which checkpoints are whole."""

from __future__ import annotations

from typing import Any

from ..._checkpoints.directory import Listed, files_of
from ..._format.trust import Keys
from ..._store.recover import leftovers
from ...exceptions import CheckpointNotFoundError, UntrustedError
from ..runs.looks import look_at
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import as_json, key_file, keys_in, path_argument
from ..shell.output import Cell, Table, print_json, print_table, say


@page(
    examples={
        "callback-state verify ckpt": "every checkpoint of a directory",
        "callback-state verify ckpt/002.keras": "one checkpoint",
        "callback-state verify ckpt --json": "the same for a program",
    },
    exits=(Exit.DAMAGED, Exit.UNTRUSTED, Exit.NOT_FOUND),
)
@path_argument
@key_file
@as_json
def command(path: str, key_file: str | None, as_json: bool) -> int:
    """Verify every byte of checkpoints.

    Of each state file the digests and the content are checked, of each model file and each file of large arrays
    the SHA-256 that its state file names, and with a key the signature. PATH is a model file, a state file, or a
    directory: then all its checkpoints are verified. It also reports a state file without a model file, a model
    file of a run that has no state file, and the files that an interrupted save has left (see callback-state
    repair). Model files that belong to no run are ignored.

    With --json it prints {"checkpoints": [{"path", "verdict": "whole", "damaged" or "untrusted", "signed": true or
    false, "problem": null or a text}], "leftovers": [names]}.
    """
    keys = keys_in(key_file)
    runs = look_at(path, files_of(path), verify=True, keys=keys)
    found = [checkpoint for run in runs for checkpoint in run.checkpoints]
    left = [*leftovers(path)]
    if not found:
        raise CheckpointNotFoundError(path, "expected model files, each with its .callbacks.pkl, found none")
    if as_json:
        print_json({"checkpoints": [*map(_as_json, found)], "leftovers": left})
    else:
        _print(found, left, keys)
    return _exit(found)


def _verdict(checkpoint: Listed) -> str:
    if isinstance(checkpoint.problem, UntrustedError):
        return "untrusted"
    return "whole" if checkpoint.problem is None else "damaged"


def _exit(found: list[Listed]) -> Exit:
    verdicts = {*map(_verdict, found)}
    if all(isinstance(one.problem, CheckpointNotFoundError) and not one.size for one in found):
        return Exit.NOT_FOUND
    if "damaged" in verdicts:
        return Exit.DAMAGED
    return Exit.UNTRUSTED if "untrusted" in verdicts else Exit.OK


def _as_json(checkpoint: Listed) -> dict[str, Any]:
    return {
        "path": checkpoint.path,
        "verdict": _verdict(checkpoint),
        "signed": checkpoint.signed,
        "problem": None if checkpoint.problem is None else str(checkpoint.problem),
    }


def _print(found: list[Listed], left: list[str], keys: Keys | None) -> None:
    print_table(Table(("checkpoint", "verdict", "signature"), [_row(one, keys) for one in found]))
    for one in found:
        if one.problem is not None:
            say(str(one.problem))
    for name in left:
        say(f"{name}: left by an interrupted save or deletion, or one still runs; see callback-state repair")


def _row(checkpoint: Listed, keys: Keys | None) -> list[Cell]:
    verdict = _verdict(checkpoint)
    if verdict == "whole":
        return [Cell(checkpoint.name), Cell(verdict), Cell(_signature(checkpoint, keys))]
    return [Cell(text, "red") for text in (checkpoint.name, verdict.upper(), _signature(checkpoint, keys))]


def _signature(checkpoint: Listed, keys: Keys | None) -> str:
    if not checkpoint.signed:
        return "none"
    if keys is None or _verdict(checkpoint) == "damaged":
        return "not checked"
    return "WRONG" if checkpoint.problem is not None else "right"
