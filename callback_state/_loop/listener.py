"""What takes part in a training loop beside the callbacks: a checkpoint that saves, a resume that puts back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .running import Running


class Listener:
    """The events of one ``fit``, in their order; each does nothing here.

    A listener hears an event before the first callback hears it, or after the last one has.
    """

    #: Whether it prints what is saved and resumed.
    speaks = False
    #: The newest model file that it has written in this ``fit``, and its moment, in words.
    saved: str | None = None

    def join(self, callback: Any, model: Any) -> None:
        """Take part in the ``fit`` that is calling ``set_model`` of this callback."""

    def check_present(self, running: Running) -> None:
        """Raise an error if this ``fit`` should have had the callbacks that this listener waits for."""

    def before_train(self, running: Running) -> None:
        """Before any callback hears ``on_train_begin``."""

    def after_train_begin(self, running: Running) -> None:
        """After every callback has heard ``on_train_begin``."""

    def after_test_begin(self, running: Running) -> None:
        """After every callback has heard ``on_test_begin``."""

    def after_epoch_begin(self, running: Running) -> None:
        """After every callback has heard ``on_epoch_begin``."""

    def after_arrival(self, running: Running, epoch: int, batch: int) -> None:
        """A resume inside an epoch is where the checkpoint was: after this 0-based batch of this 0-based epoch."""

    def decide(self, running: Running) -> None:
        """After the end of an epoch, or of a batch: decide what to save. State may change, no file may."""

    def after_event(self, running: Running) -> None:
        """After every listener has decided: save."""

    def after_last_batch(self, running: Running) -> None:
        """After the last batch of an epoch, before any callback hears a validation or the end of the epoch."""

    def after_train_end(self, running: Running) -> None:
        """After every callback has heard ``on_train_end``."""

    def after_failure(self, running: Running) -> None:
        """While an exception leaves ``fit``."""

    def leave(self, running: Running) -> None:
        """The last event, however the ``fit`` has ended."""
