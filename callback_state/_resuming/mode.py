"""What a ``fit`` does with the run that was restored: it goes on, extends it, ends it, or has nothing to do."""

from __future__ import annotations

from enum import Enum

from .._checkpoints.schema import Meta
from .._keras.fit import Fit
from .._loop.running import Entry
from .._units import beginning


class Mode(Enum):
    """How a checkpoint is resumed."""

    RESUME = "the run goes on"
    EXTEND = "the run had finished, and more epochs are asked for"
    END = "all epochs were trained, and the run was killed before its end was saved"
    NOTHING = "no epoch is left to train"

    @property
    def trains(self) -> bool:
        """Whether epochs are left to train."""
        return self in (Mode.RESUME, Mode.EXTEND)

    def entry(self, *, inside: bool) -> Entry:
        """Where the ``fit`` enters the run; ``inside`` tells whether the checkpoint is inside an epoch."""
        if self.trains:
            return Entry.BATCH if inside else Entry.EPOCH
        return Entry.END if self is Mode.END else Entry.NOTHING


def choose(meta: Meta, fit: Fit | None, *, begins: int | None) -> Mode:
    """The mode in which a checkpoint is resumed. ``fit`` is None in a training loop of one's own.

    ``begins`` is the 0-based epoch that the model was told to begin with; Keras prefers it to the argument.
    """
    if fit is None:
        return Mode.RESUME
    target = meta.epochs
    # The end of a run is known even if the mark "finished" was taken off.
    if meta.finished or meta.goes_on_from or not meta.exact_end:
        more = not meta.finished or target is None or fit.epochs > target
        return Mode.EXTEND if more and fit.epochs > meta.initial_epoch else Mode.NOTHING
    has_epochs = fit.epochs > (begins or fit.initial_epoch)
    if meta.last and target is not None and fit.epochs <= target:
        return Mode.END if has_epochs or fit.epochs == target else Mode.NOTHING
    return Mode.RESUME if has_epochs else Mode.NOTHING


def is_the_finished(meta: Meta, fit: Fit | None) -> bool:
    """Whether this ``fit`` is the one that had finished when the checkpoint was written."""
    return bool(meta.finished) and fit is not None and fit.epochs == meta.epochs


def adds_epochs(mode: Mode, meta: Meta, fit: Fit | None) -> bool:
    """Whether this ``fit`` trains more epochs than the one that had trained all of its own."""
    return mode.trains and fit is not None and meta.last and fit.epochs > (meta.epochs or 0)


def in_words(mode: Mode, meta: Meta, epochs: int | None) -> str:
    """Where the run goes on, counted from 1 as Keras prints it."""
    if not mode.trains:
        return "all epochs are trained"
    return f"goes on with {beginning(meta.initial_epoch, meta.first_batch, epochs)}"
