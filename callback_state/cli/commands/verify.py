"""``callback-state verify``: which checkpoints are whole."""

from __future__ import annotations

import os
from typing import Any

from ..._checkpoints.directory import Listed, files_of, look, runs_in
from ..._format.trust import Keys
from ..._store.commit import leftovers
from ...exceptions import CheckpointNotFoundError, UntrustedError
from ..shell.command import as_json, page
from ..shell.exits import Exit
from ..shell.options import key_file, keys_in, path_argument
from ..shell.output import Cell, Table, print_json, print_table, say
from ..shell.progress import watched

__all__ = ["command"]


@page(
    "verify",
    examples={
        "callback-state verify ckpt": "every checkpoint of a directory",
        "callback-state verify ckpt/002.keras": "one",
        "callback-state verify ckpt --json": "the same for a program",
    },
    exits=(Exit.DAMAGED, Exit.UNTRUSTED, Exit.NOT_FOUND),
)
@path_argument
@key_file
@as_json
def command(path: str, key_file: str | None, as_json: bool) -> int:
    """Verify checkpoints, every byte of them.

    Of each state file the digests and what is inside, of each model file the SHA-256 that its state file gives,
    and with a key the signature. PATH is a model file, a state file, or a directory: then all that is in it. Named
    are also a state file without a model file, a model file of a run's name without a state file, and what an
    interrupted save has left (see callback-state repair). Model files that belong to no run are not looked at.

    With --json it prints {"checkpoints": [{"path", "verdict": "whole", "damaged" or "untrusted", "signed": true or
    false, "problem": null or a text}], "leftovers": [names]}.
    """
    keys = keys_in(key_file)
    found = _looked(path, keys)
    left = [*leftovers(path)]
    if not found:
        raise CheckpointNotFoundError(path, "expected model files, each with its .callbacks.pkl, found none")
    if as_json:
        print_json({"checkpoints": [*map(_as_json, found)], "leftovers": left})
    else:
        _print(found, left, keys)
    return _exit(found)


def _looked(path: str, keys: Keys | None) -> list[Listed]:
    files = files_of(path)
    shown = watched(files, [model for model, _ in files])
    looked = [*filter(None, (look(model, states, verify=True, keys=keys) for model, states in shown))]
    if not os.path.isdir(path):
        return looked
    return [checkpoint for run in runs_in(path, looked) for checkpoint in run.checkpoints]


def _verdict(checkpoint: Listed) -> str:
    if isinstance(checkpoint.problem, UntrustedError):
        return "untrusted"
    return "whole" if checkpoint.problem is None else "damaged"


def _exit(found: list[Listed]) -> Exit:
    verdicts = {*map(_verdict, found)}
    if all(isinstance(one.problem, CheckpointNotFoundError) and not one.size for one in found):
        return Exit.NOT_FOUND
    return Exit.DAMAGED if "damaged" in verdicts else Exit.UNTRUSTED if "untrusted" in verdicts else Exit.OK


def _as_json(checkpoint: Listed) -> dict[str, Any]:
    return {
        "path": checkpoint.path,
        "verdict": _verdict(checkpoint),
        "signed": checkpoint.signed,
        "problem": None if checkpoint.problem is None else str(checkpoint.problem),
    }


def _print(found: list[Listed], left: list[str], keys: Keys | None) -> None:
    rows = [[Cell(text, _style(one)) for text in (one.name, _shown(one), _signature(one, keys))] for one in found]
    print_table(Table(("checkpoint", "verdict", "signature"), rows))
    for one in found:
        if one.problem is not None:
            say(str(one.problem))
    for name in left:
        say(f"{name}: left by a save or deletion that was interrupted, or is going on; see callback-state repair")


def _style(checkpoint: Listed) -> str:
    return "" if checkpoint.problem is None else "red"


def _shown(checkpoint: Listed) -> str:
    verdict = _verdict(checkpoint)
    return verdict if verdict == "whole" else verdict.upper()


def _signature(checkpoint: Listed, keys: Keys | None) -> str:
    if not checkpoint.signed:
        return "none"
    if keys is None or _verdict(checkpoint) == "damaged":
        return "not checked"
    return "WRONG" if checkpoint.problem is not None else "right"
