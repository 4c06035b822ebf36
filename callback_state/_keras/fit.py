"""The running ``Model.fit``, found in the frames above a callback: Keras hands it to nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..exceptions import unsupported_keras

__all__ = ["Fit", "frames_above", "running_frame"]


@dataclass
class Fit:
    """The arguments of the running ``fit``, as read in its frame.

    Attributes:
        initial_epoch, epochs: 0-based first epoch and number of the epoch to stop before.
        shows: whether it shows a progress bar.
        shuffle: as given.
        epoch_iterator: Keras's iterator over the training data.
        validation: the validation data as given, without the targets; None if there are none.
        class_weight: as given.
    """

    initial_epoch: int
    epochs: int
    shows: bool
    shuffle: Any
    epoch_iterator: Any
    validation: Any
    class_weight: Any

    def described(self) -> dict[str, Any]:
        """Arguments that must be the same in the ``fit`` that resumes, beside what is known of the data."""
        weights = self.class_weight
        return {
            "shuffle": str(self.shuffle),
            "class_weight": None if weights is None else str(sorted(weights.items())),
        }

    @classmethod
    def find(cls, model: Any) -> Fit | None:
        """The ``fit`` of ``model`` that is calling; None in a hand-written loop.

        Raises:
            ResumeError: Keras's ``fit`` is not written as it was.
        """
        for frame in frames_above(2):
            if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
                return cls._read(frame.f_locals)
        return None

    @classmethod
    def _read(cls, names: dict[str, Any]) -> Fit:
        try:
            return cls(
                names["initial_epoch"],
                names["epochs"],
                names["verbose"] in (1, "auto"),
                names["shuffle"],
                names["epoch_iterator"],
                None if names["validation_data"] is None else names["val_x"],
                names["class_weight"],
            )
        except KeyError as error:
            raise unsupported_keras(f"Model.fit has no {error}") from error


def running_frame(model: Any) -> FrameType:
    """The frame of the ``fit`` of ``model`` that is calling, or of the hand-written loop."""
    package = __name__.partition(".")[0]
    outside = [f for f in frames_above(2) if f.f_globals.get("__name__", "").partition(".")[0] != package]
    fits = (f for f in outside if f.f_code.co_name == "fit" and f.f_locals.get("self") is model)
    return next(fits, outside[0])


def frames_above(depth: int) -> Iterator[FrameType]:
    """The frames of the callers, from so many above this function."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        yield frame
        frame = frame.f_back
