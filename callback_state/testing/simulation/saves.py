"""Checkpoint callbacks in a simulation: they decide as in a ``fit``, but their saves are only noted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from ..._keras.replaced import Replaced
from ..._keras.stock_callbacks import orbax_saves_noted
from ..._saving.checkpoint import ModelCheckpointEnhanced
from ..._saving.keeper import Keeper


class Noting(Keeper):
    """The keeper of a ``ModelCheckpointEnhanced`` in a simulation; it calls ``note`` with the path of each save.

    It decides after all callbacks have seen an event, as in a ``fit``. Time, signals, exceptions and the end of
    the run save nothing.
    """

    def __init__(self, checkpoint: Any, model: Any, note: Callable[[str], object]) -> None:
        super().__init__(checkpoint, model)
        self._note = note

    @property
    def has_joined(self) -> bool:
        return True

    def hear(self, event: Any) -> None:
        self._event = event

    def after_everybody(self) -> None:
        """Decide on the last event that this checkpoint has seen, if there is one."""
        self.decide(None)
        self.after_event(None)

    def next_stamp(self, running: Any) -> int:
        # A count instead of the time, so that two simulated runs are equal.
        stamp: int = self.checkpoint.ledger.stamp
        return stamp + 1

    def is_time(self) -> bool:
        return False

    def save(self, name: str, event: Any, running: Any) -> None:
        self._note(self._directory.path_of(name))


@contextmanager
def noted(callbacks: list[Any], model: Any, note: Callable[[str], object]) -> Iterator[list[Noting]]:
    """Within the block, checkpoint callbacks note their saves instead of writing. Their model must be set.

    Yields the keepers that decide after all callbacks have seen an event.
    """
    ours = [callback for callback in callbacks if isinstance(callback, ModelCheckpointEnhanced)]
    keepers = [Noting(callback, model, note) for callback in ours]
    for keeper in keepers:
        keeper.checkpoint.use(keeper)
    try:
        with Replaced(partial(orbax_saves_noted, callbacks, note)):
            yield keepers
    finally:
        for keeper in keepers:
            keeper.checkpoint.use(None)


@contextmanager
def unchanged(callbacks: list[Any]) -> Iterator[None]:
    """After the block, put our checkpoints back to what they were, and remove directories made for checkpoints.

    Otherwise a later ``fit`` would delete files that a simulation only noted, and compare its losses with the best
    of the simulated ones.
    """
    missing = [path for callback in callbacks for path in _missing(getattr(callback, "filepath", None))]
    try:
        with ExitStack() as stack:
            for callback in callbacks:
                if isinstance(callback, ModelCheckpointEnhanced):
                    stack.enter_context(callback.unchanged())
            yield
    finally:
        for path in sorted(missing, key=len, reverse=True):
            with suppress(OSError):  # it was not made, or it is not empty and so not ours
                os.rmdir(path)


def _missing(filepath: Any) -> Iterator[str]:
    """The missing directories above a file."""
    directory = os.path.dirname(os.path.abspath(filepath)) if isinstance(filepath, str) else os.curdir
    while not os.path.isdir(directory):
        yield directory
        directory = os.path.dirname(directory)
