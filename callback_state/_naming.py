"""The names that a run gives to files of its own making, next to those that its user chose."""

from __future__ import annotations

import re

from ._pair import MODEL_SUFFIXES

__all__ = ["final_name", "interim_name"]


def interim_name(template: str) -> str:
    """The one file that keeps what is saved between two regular checkpoints.

    Args:
        template: the file name as given to the checkpoint, with or without placeholders.

    Example:
        >>> interim_name("{epoch:03d}-{val_loss:.2f}.weights.h5")
        'epoch-val_loss.interim.weights.h5'
    """
    return _inserted(re.sub(r"\{([^}:!]*)[^}]*\}", r"\1", template), "interim")


def final_name(path: str) -> str:
    """The file of a run's end, where the end changed what the last epoch left.

    Example:
        >>> final_name("ckpt/008.keras")
        'ckpt/008.final.keras'
    """
    return _inserted(path, "final")


def _inserted(path: str, word: str) -> str:
    ending = next(e for e in MODEL_SUFFIXES if path.endswith(e))
    return f"{path.removesuffix(ending)}.{word}{ending}"
