"""The directory of one checkpoint callback: its lock, and the files in it that are deleted."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable

from .._checkpoints.names import interim_name
from .._checkpoints.schema import Meta
from .._checkpoints.snapshot import Snapshot
from .._store import commit, lock, recover
from .._store.pair import SUFFIX
from ..exceptions import CallbackStateError
from .ledger import Ledger


class Directory:
    """Where one checkpoint callback writes. The directory need not exist yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock: lock.Held | None = None

    def hold(self) -> None:
        """Lock the directory, unless it is locked; then complete or undo what a dead process has left."""
        if self._lock is None:
            self._lock = lock.hold(self.path)
            recover.recover_all(self.path)

    def release(self) -> None:
        """Let other processes write here."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def path_of(self, name: str) -> str:
        """The path of a model file, given its bare name."""
        return os.path.normpath(os.path.join(self.path, name))

    def has(self, name: str) -> bool:
        """Whether one of the two files of a checkpoint exists: a kill may have come between them."""
        path = self.path_of(name)
        return os.path.lexists(path) or os.path.lexists(path + SUFFIX)

    def has_replaced(self, ledger: Ledger) -> bool:
        """Whether a kill has left an interim file of this run that is older than its last save."""
        if not ledger.stamp or ledger.interim is not None:
            return False
        meta = self.meta_of(interim_name(ledger.template))
        return meta is not None and meta.template == ledger.template and meta.saved_at < ledger.stamp

    def meta_of(self, name: str) -> Meta | None:
        """What the checkpoint of this name says; None if there is none that is whole."""
        with contextlib.suppress(CallbackStateError, OSError):
            return Snapshot.open(self.path_of(name)).meta
        return None

    def delete(self, names: Iterable[str]) -> None:
        """Delete checkpoints. What cannot be deleted is warned of, and stays."""
        for path in map(self.path_of, names):
            try:
                commit.delete(path)
            except OSError as error:
                warnings.warn(f"{path}: not deleted, tried again at the next save: {error}", stacklevel=2)
