"""The runs at a path: every checkpoint there, damaged ones too."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..._checkpoints.directory import Run, look, runs_in
from ..._format.trust import Keys
from ..shell.progress import watched

__all__ = ["look_at"]


def look_at(
    path: str, files: Sequence[tuple[str, list[str]]], *, verify: bool = False, keys: Keys | None = None
) -> list[Run]:
    """Look at checkpoints and sort them by run.

    Args:
        path: the directory, or the model file or state file of one checkpoint.
        files: the checkpoints to look at, as :func:`files_of` gives them.
        verify: read every model file, with a progress bar. If false, only the sizes of the model files are
            checked.
        keys: with ``verify``, the keys that the checkpoints have to be signed with.

    Returns:
        The runs, each with its checkpoints from the oldest to the newest. The model files of a run that have lost
        their state files are there too, if ``path`` is a directory.
    """
    is_directory = os.path.isdir(path)  # it may be removed while its checkpoints are read
    read = [model for model, _ in files] if verify else []
    looks = (look(model, states, verify=verify, keys=keys) for model, states in watched(files, read))
    found = [checkpoint for checkpoint in looks if checkpoint is not None]
    if is_directory:
        return runs_in(path, found)
    return [Run(None if one.summary is None else one.summary.template, [one]) for one in found]
