"""The runs at a path: every checkpoint there, damaged ones too."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..._checkpoints.directory import Run, look, runs_in
from ..._format.trust import Keys
from ..shell.progress import watched


def look_at(
    path: str, files: Sequence[tuple[str, list[str]]], *, verify: bool = False, keys: Keys | None = None
) -> list[Run]:
    """Look at the checkpoints ``files``, as :func:`files_of` gives them, and sort them by run, the oldest first.

    With ``verify`` every model file is read, with a progress bar, and its signature is checked with ``keys``; else
    only its size is checked. If ``path`` is a directory, model files of a run that have lost their state files are
    there too.
    """
    is_directory = os.path.isdir(path)  # it may be removed while its checkpoints are read
    read = [model for model, _ in files] if verify else []
    looks = (look(model, states, verify=verify, keys=keys) for model, states in watched(files, read))
    found = [checkpoint for checkpoint in looks if checkpoint is not None]
    if is_directory:
        return runs_in(path, found)
    return [Run(None if one.summary is None else one.summary.template, [one]) for one in found]
