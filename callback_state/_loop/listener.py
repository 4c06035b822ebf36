"""Who takes part in a training loop, and what he hears of it, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .loop import Loop

__all__ = ["Listener"]


class Listener:
    """What takes part in a loop: a checkpoint, or a resume.

    Attributes:
        speaks: whether it says what is saved and resumed.
    """

    speaks = False

    def check_present(self, loop: Loop) -> None:
        """It waited for this ``fit``, which may have begun without it: refuse that."""

    def before_train(self, loop: Loop) -> None:
        """Before anybody hears ``on_train_begin``."""

    def after_train_begin(self, loop: Loop) -> None:
        """After everybody has heard it."""

    def after_epoch_begin(self, loop: Loop) -> None:
        """After everybody has heard ``on_epoch_begin``."""

    def after_arrival(self, loop: Loop, epoch: int, batch: int) -> None:
        """When a resume inside an epoch is where the checkpoint was: after this 0-based batch."""

    def decide(self, loop: Loop) -> None:
        """After the end of an epoch, or of a batch where these are watched: change what is state."""

    def after_event(self, loop: Loop) -> None:
        """When every listener has decided: write."""

    def after_last_batch(self, loop: Loop) -> None:
        """Of an epoch: before anybody hears that a validation begins, or that the epoch ends."""

    def after_train_end(self, loop: Loop) -> None:
        """After everybody has heard ``on_train_end``."""

    def after_failure(self, loop: Loop) -> None:
        """When an exception is leaving the ``fit``."""

    def leave(self, loop: Loop) -> None:
        """Last of all, however training has ended, as far as it is seen."""
