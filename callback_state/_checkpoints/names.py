"""The names that a run gives to files of its own making, next to those that its user chose."""

from __future__ import annotations

import re
from typing import Any

from .._store.pair import MODEL_SUFFIXES

__all__ = ["LEDGER", "final_name", "fits", "interim_name", "is_ours"]

#: The name in state files of the class that holds what a checkpoint callback has written.
LEDGER = "callback_state.Ledger"

_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_NUMBER = re.compile(r"\{(epoch|batch)\b")


def fits(name: str, template: str) -> bool:
    """Whether a template may give a model file this name.

    A template may come from a file, so no regular expression is made of it: some take for ever to match.

    Example:
        >>> fits("7-1.00e-05.keras", "{epoch}-{loss:.2e}.keras"), fits("x-1.keras", "{epoch}-{batch}.keras")
        (True, False)
    """
    ends = {0}  # where what has been looked at of the template may end in the name
    for i, part in enumerate(_PLACEHOLDER.split(template)):
        if i % 2 == 0:
            ends = {end + len(part) for end in ends if name.startswith(part, end)}
        elif _NUMBER.match(part):
            ends = {at for end in ends for at in range(end + 1, _end_of_digits(name, end) + 1)}
        else:
            ends = {*range(min(ends) + 1, len(name) + 1)}
        if not ends:
            return False
    return len(name) in ends


def _end_of_digits(name: str, start: int) -> int:
    digits = re.compile(r"[0-9]*").match(name, start)
    return start if digits is None else digits.end()


def is_ours(callback: Any) -> bool:
    """Whether a callback is a ``ModelCheckpointEnhanced``, found out without importing its module and Keras."""
    return hasattr(type(callback), "template")


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
