"""Writing the checkpoints of one ``fit``, and going on where the disk fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..exceptions import InUseError
from .directory import Directory
from .saver import Saver, Taking


class Writer:
    """Writes for a checkpoint callback.

    ``wrote_at`` is when it has written last, or begun, in seconds of ``time.monotonic``.
    """

    def __init__(self, checkpoint: Any, model: Any) -> None:
        self._checkpoint, self._model = checkpoint, model
        self.directory = Directory(checkpoint.root)
        self.saver = Saver(checkpoint.keys)
        self.wrote_at = time.monotonic()
        self._has_written = False

    def write(self, path: str, taking: Taking, *, interim: bool) -> None:
        """Write one checkpoint; an interim one goes when a regular one is there."""
        self.directory.hold()
        weights_only = self._checkpoint.save_weights_only
        self.saver.write(path, taking, self._model, weights_only=weights_only, interim=interim)
        self._has_written = True
        self.wrote_at = time.monotonic()

    def attempt(self, act: Callable[[], None], path: str, *, may_raise: bool = True) -> bool:
        """Do something that writes. If the disk fails, warn, and let training go on.

        An error that is not the system's would come again at each save, so it is raised, unless a save has
        succeeded before. (HDF5 reports a full disk in many ways.) Without ``may_raise`` no error leaves.

        Returns:
            Whether it succeeded.
        """
        try:
            act()
        except Exception as error:
            lasting = isinstance(error, InUseError) or not (isinstance(error, OSError) or self._has_written)
            if may_raise and (lasting or self._checkpoint.on_save_error == "raise"):
                raise
            self._checkpoint.notices.warn_of_failure(path, error)
            return False
        return True
