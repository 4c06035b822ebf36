"""What a ``fit`` is to the run that was restored."""

from __future__ import annotations

from .._checkpoints.schema import Meta
from .._keras.fit import Fit

__all__ = ["choose", "in_words", "is_the_finished"]


def choose(meta: Meta, fit: Fit | None, *, begins: int | None) -> str:
    """The mode in which a checkpoint is resumed.

    Args:
        meta: of its state file.
        fit: the arguments of the ``fit``; None in a hand-written loop.
        begins: the 0-based epoch that the model was told to begin with, which Keras prefers to the argument.

    Returns:
        "resume": the run goes on. "go on": beyond the epochs of a run that had finished. "end": the last epoch
        was saved, and the kill came before the end of the run was. "nothing" is left to train.
    """
    if fit is None:
        return "resume"
    target = meta.epochs
    if _is_end(meta):
        more = not meta.finished or target is None or fit.epochs > target
        return "go on" if more and fit.epochs > meta.initial_epoch else "nothing"
    has_epochs = fit.epochs > (begins or fit.initial_epoch)
    if meta.last and target is not None and fit.epochs <= target:
        return "end" if has_epochs or fit.epochs == target else "nothing"
    return "resume" if has_epochs else "nothing"


def _is_end(meta: Meta) -> bool:
    """Whether the checkpoint is the end of a run, also of one whose mark was taken off."""
    return bool(meta.finished or meta.goes_on_from or not meta.exact_end)


def is_the_finished(meta: Meta, fit: Fit | None) -> bool:
    """Whether this ``fit`` is the one that had finished when the checkpoint was written."""
    return meta.finished and fit is not None and fit.epochs == meta.epochs


def in_words(mode: str, meta: Meta, epochs: int | None) -> str:
    """Where the run goes on, counted from 1 as Keras prints it."""
    if mode in ("nothing", "end"):
        return "all epochs are trained"
    of = "" if epochs is None else f"/{epochs}"
    inside = "" if meta.batch is None else f", batch {meta.batch + 2}"
    return f"goes on with epoch {meta.initial_epoch + 1}{of}{inside}"
