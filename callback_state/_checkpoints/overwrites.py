"""The model files in a directory that a run would write over, told by their names."""

from __future__ import annotations

import os
from typing import Any

from .._store.pair import MODEL_SUFFIXES, SUFFIX
from ..exceptions import CheckpointNotFoundError
from .names import fits, interim_name, is_ours

__all__ = ["names_of", "refuse_to_begin_anew", "templates_of"]


def templates_of(callbacks: list[Any] | None) -> set[str]:
    """The names under which the checkpoint callbacks among some callbacks write."""
    return {c.template for c in callbacks or () if is_ours(c)}


def names_of(template: str, directory: str) -> tuple[list[str], list[str]]:
    """The model files of a directory whose names a template gives: those with a state file, and without.

    Only names are read. A template that no model file can have, as a file of a stranger's may say, gives none.
    """
    if not template.endswith(MODEL_SUFFIXES):
        return [], []
    try:
        names = set(os.listdir(directory or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    interim = interim_name(template)
    models = sorted(name for name in names if name == interim or fits(name, template))
    with_state = [name for name in models if name + SUFFIX in names]
    return with_state, [name for name in models if name + SUFFIX not in names]


def refuse_to_begin_anew(path: str, callbacks: list[Any]) -> None:
    """A run that would begin anew and write over what is there has lost its checkpoints, not none.

    Raises:
        CheckpointNotFoundError: the checkpoint callback's directory is another one and has checkpoints,
            or the model files are there and their state files are not.
    """
    for callback in callbacks:
        if not is_ours(callback):
            continue
        directory = callback.root
        whole, bare = names_of(callback.template, directory)
        if whole and not _is_same(path, directory):
            raise CheckpointNotFoundError(
                path,
                f"expected a checkpoint, found none; but {directory}, where ModelCheckpointEnhanced in into= "
                f"writes, has {len(whole)}, which a new run would write over. "
                f"Write restore_callbacks({directory!r}, ...).",
            )
        if bare and not whole:
            raise CheckpointNotFoundError(
                directory,
                f"has {len(bare)} model files of this run's name without state files ({', '.join(bare[:3])}), "
                f"which a new run would write over. Put the .callbacks.pkl files back, or, if the models "
                f"are of another run, move them or choose another filepath.",
            )


def _is_same(path: str, directory: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(directory)
