"""Checkpoint callbacks in a simulation: they decide as in a ``fit``, and write nothing: it is noted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from .._checkpoint import ModelCheckpointEnhanced
from .._keeper import Keeper

__all__ = ["Noting", "noted"]


class Noting(Keeper):
    """What a ``ModelCheckpointEnhanced`` does in a simulation.

    It decides when everybody has heard an event, as in a ``fit``; the clock, signals and exceptions save nothing.

    Args:
        checkpoint, model: as for :class:`Keeper`.
        note: called with the path of each save.
    """

    def __init__(self, checkpoint: Any, model: Any, note: Callable[[str], object]) -> None:
        super().__init__(checkpoint, model)
        self._note = note

    def hear(self, event: Any, loop: Any) -> None:
        self._event = event

    def after_everybody(self) -> None:
        """Everybody has heard an event; it may be one that this checkpoint does not ask about."""
        self.decide(None)
        self.after_event(None)

    def next_stamp(self, loop: Any) -> int:
        # A count instead of the clock: two simulated runs are the same.
        stamp: int = self.checkpoint._stamp
        return stamp + 1

    def _is_time(self) -> bool:
        return False

    def _save(self, name: str, event: Any, loop: Any) -> None:
        self._note(self.checkpoint.path_of(name))


@contextmanager
def noted(callbacks: list[Any], model: Any, note: Callable[[str], object]) -> Iterator[list[Noting]]:
    """Within the block these callbacks, which know their model, note what they save.

    Yields:
        Those that decide when everybody has heard an event.
    """
    keepers = []
    orbax = _orbax_among(callbacks)
    for callback in callbacks:
        if isinstance(callback, ModelCheckpointEnhanced):
            callback._keeper = Noting(callback, model, note)
            keepers.append(callback._keeper)
    for callback in orbax:
        vars(callback)[_ORBAX] = partial(_note_step, callback.directory, note)
    try:
        yield keepers
    finally:
        for keeper in keepers:
            keeper.checkpoint._keeper = None
        for callback in orbax:
            del vars(callback)[_ORBAX]


#: The method of Keras's OrbaxCheckpoint (3.9 to 3.15) that writes; what it decides comes before.
_ORBAX = "_save_checkpoint"


def _orbax_among(callbacks: list[Any]) -> list[Any]:
    cls = getattr(keras.callbacks, "OrbaxCheckpoint", None)
    found = [callback for callback in callbacks if cls is not None and isinstance(callback, cls)]
    if found and not hasattr(cls, _ORBAX):
        raise NotImplementedError(
            f"keras {keras.__version__}: OrbaxCheckpoint has no method {_ORBAX} any more, and would write in a "
            f"simulation. Leave it out of the callbacks, and report this"
        )
    return found


def _note_step(directory: str, note: Callable[[str], object], step: int, logs: Any = None) -> None:
    note(os.path.join(directory, str(step)))
