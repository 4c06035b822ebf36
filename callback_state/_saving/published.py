"""Handing checkpoints on when they are durable: on this disk, and in the store where the directory stands for one.

A store that does not answer does not undo a commit. The checkpoint is saved on this machine, and is *owed* to the
store. Each later save, the end of ``fit`` and a signal try again.
"""

from __future__ import annotations

import os
from typing import Any

from .._checkpoints.schema import Meta
from .._loop.messages import say
from .._store.bucket import places
from .._units import size_of
from .._warn import warn
from ..exceptions import InUseError, WriteError
from . import on_saved
from .directory import Directory

#: Bytes: of a larger model a line says that it is about to be put into a store.
LARGE = 1 << 26


class Published:
    """The checkpoints of one callback that are on their way to those who wait for them."""

    def __init__(self, checkpoint: Any, directory: Directory) -> None:
        self._checkpoint, self._directory = checkpoint, directory
        self._waiting: list[tuple[str, Meta]] = []
        self.error: Exception | None = None  # why the store lacks something
        self._is_told = False

    def push(self) -> bool:
        """Make the store like the directory; return whether it is. This never raises: :meth:`tell` does.

        It may be called in the thread that saves.
        """
        try:
            places.push(self._directory.absolute)
        except (OSError, InUseError) as error:
            self.error = error
            return False
        self.error, self._is_told = None, False
        return True

    def push_deletions(self) -> None:
        """What was deleted after a save goes in the store too, unless that has just failed to answer."""
        if self.error is None:
            self.push()

    def announce(self, path: str, meta: Meta, *, is_told: bool = False) -> bool:
        """A checkpoint was committed; return whether it is durable where it belongs.

        ``is_told``: a line says so when a large model is about to be put into a store.
        """
        self._waiting.append((path, meta))
        if is_told and places.holding_of(self._directory.absolute) is not None:
            size = os.path.getsize(path)
            if size >= LARGE:
                say(f"Putting {path} ({size_of(size)}) into the store")
        return self.push()

    def call(self) -> Exception | None:
        """Call the functions of ``on_saved=`` for what is durable by now; return what one of them has raised."""
        if self.error is not None:
            return None
        waiting, self._waiting = self._waiting, []
        failed = None
        for path, meta in waiting:
            if os.path.lexists(path):  # it may have been deleted, while the store did not answer
                failed = on_saved.call(self._checkpoint.on_saved, path, meta) or failed
        return failed

    def tell(self, path: str, *, may_raise: bool = True) -> None:
        """In the thread that trains: raise the error of the store, or warn of it once.

        A lease that was lost is always raised, as another run writes there.
        """
        error = self.error
        if error is None:
            return
        if may_raise and isinstance(error, InUseError):
            raise error
        if may_raise and self._checkpoint.on_save_error == "raise":
            raise WriteError(
                path, f"saved on this machine, but not in the store ({error}). Start the script again"
            ) from None
        if not self._is_told:
            self._is_told = True
            warn(
                f"{path}: saved on this machine, and not in the store yet ({error}). Training goes on. Each save, "
                f"a signal and the end of training try again; a crash before that loses it. To end training "
                f"instead, pass on_save_error='raise'."
            )

    def finish(self) -> None:
        """The ``fit`` is over: try once more, and say what the store still lacks."""
        is_durable = self.push()
        error = self.call()
        on_saved.tell(error, self._directory.path, may_raise=False)
        if not is_durable and isinstance(self.error, OSError):
            warn(
                f"{self._directory.path}: the store still lacks what was saved last ({self.error}). It stays on "
                f"this machine, in {self._where()}; copy it to the store, or it is lost."
            )

    def _where(self) -> str:
        # Not as one path: that would be shown as the URL.
        root, name = os.path.split(self._directory.absolute)
        return f"the directory {name!r} of {root}"
