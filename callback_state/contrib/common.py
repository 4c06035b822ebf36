"""What the trackers have in common: which run a checkpoint belongs to, and which points that run already has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .._checkpoints.peek import peek
from ..exceptions import ResumeError


def noted(path: str | os.PathLike[str], tracker: str, *, key: Any = None) -> dict[str, Any] | None:
    """What the newest checkpoint says of the run of a tracker; None at a first start.

    Raises as :func:`callback_state.peek`.
    """
    found = peek(path, key=key)
    outside = found.outside.values() if found is not None else ()
    return next((said for said in outside if isinstance(said, dict) and said.get("tracker") == tracker), None)


def check_run(tracker: str, opened: str, taken: Mapping[str, Any], opener: str) -> None:
    """Refuse to go on in another run than that of the checkpoint.

    Args:
        tracker: the name of the library.
        opened: the identifier of the run that is open.
        taken: what the checkpoint says.
        opener: the call that opens the right run.

    Raises:
        ResumeError: it is another run.
    """
    if opened != taken["run"]:
        raise ResumeError(
            f"{tracker}: the checkpoint belongs to the run {taken['run']}, and the run {opened} is open. Open the "
            f"run of the checkpoint with callback_state.contrib.{tracker}.{opener}, or give the new run another "
            f"directory of checkpoints."
        )


class Logged:
    """The points that a killed process has logged after the checkpoint. A resumed run does not log them again.

    Args:
        points: (name, step) of each point.
    """

    def __init__(self, points: Iterable[tuple[str, int]]) -> None:
        self._points = Counter(points)

    def rest(self, logs: Mapping[str, Any] | None, step: int, prefix: str = "") -> dict[str, Any]:
        """The logs of a step without those that are there already. Each point is left out once."""
        return {name: value for name, value in (logs or {}).items() if not self._take((prefix + name, step))}

    def _take(self, point: tuple[str, int]) -> bool:
        there = self._points[point] > 0
        self._points[point] -= there
        return there
