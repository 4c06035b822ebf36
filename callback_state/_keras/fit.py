"""The running ``Model.fit``: Keras gives it to nobody, so it is found in the frames above a callback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..exceptions import unsupported_keras


@dataclass
class Fit:
    """The arguments of the running ``fit``, as read in its frame; epochs are 0-based."""

    initial_epoch: int
    #: The epoch to stop before.
    epochs: int
    #: Whether it shows a progress bar.
    shows: bool
    shuffle: Any
    epoch_iterator: Any
    #: The validation data as given, without the targets; None if there are none.
    validation: Any
    class_weight: Any

    def described(self) -> dict[str, Any]:
        """The arguments that must be the same in the ``fit`` that resumes."""
        weights = self.class_weight
        return {
            "shuffle": str(self.shuffle),
            "class_weight": None if weights is None else str(sorted(weights.items())),
        }

    @classmethod
    def find(cls, model: Any) -> Fit | None:
        """The ``fit`` of ``model`` that is calling; None in a hand-written loop."""
        frame = next((frame for frame in frames_above() if _is_fit_of(model, frame)), None)
        if frame is None:
            return None
        names = frame.f_locals
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


def _is_fit_of(model: Any, frame: FrameType) -> bool:
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model


#: What ``fit`` calls of a model.
_CALLED = ("train_function", "evaluate")


def hear_failures(model: Any, hear: Callable[[BaseException], None]) -> Callable[[], None]:
    """Call ``hear`` with each exception of a step or a validation; returns what ends this."""
    own, ours = vars(model), {name: _heard(getattr(model, name), hear) for name in _CALLED}
    before = {name: own[name] for name in _CALLED if name in own}
    own.update(ours)

    def end() -> None:
        for name in _CALLED:
            if own.get(name) is not ours[name]:  # somebody has replaced it since
                continue
            del own[name]
            if name in before:
                own[name] = before[name]

    return end


def _heard(call: Callable[..., Any], hear: Callable[[BaseException], None]) -> Callable[..., Any]:
    def heard(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            hear(error)
            raise

    return heard


def first_epoch(model: Any) -> int | None:
    """The 0-based epoch that ``fit`` begins with whatever its ``initial_epoch`` says; None if nothing is set.

    BackupAndRestore sets it, and never takes it back.
    """
    _check_first_epoch(model)
    epoch: int | None = model._initial_epoch
    return epoch


def set_first_epoch(model: Any, epoch: int | None) -> None:
    """Let ``fit`` begin with this 0-based epoch whatever its ``initial_epoch`` says; None: with that one."""
    _check_first_epoch(model)
    model._initial_epoch = epoch


def _check_first_epoch(model: Any) -> None:
    """Raises ResumeError if this Keras's ``fit`` does not look there (3.7 to 3.15 do)."""
    if not hasattr(model, "_initial_epoch"):
        raise unsupported_keras("a model has no _initial_epoch")


def running_frame(model: Any) -> FrameType:
    """The frame of the ``fit`` of ``model`` that is calling, or of the hand-written loop."""
    package = __name__.partition(".")[0]
    outside = [f for f in frames_above() if f.f_globals.get("__name__", "").partition(".")[0] != package]
    return next((frame for frame in outside if _is_fit_of(model, frame)), outside[0])


def frames_above() -> Iterator[FrameType]:
    """The frames of the callers of the function that asks."""
    return (frame for frame, _ in traceback.walk_stack(sys._getframe(2)))
