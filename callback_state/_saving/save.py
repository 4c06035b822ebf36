"""One checkpoint on its way from its quiet point to the disk."""

from __future__ import annotations

import copy
import os
from typing import Any

from .._callbacks.taken import Taken
from .._checkpoints.schema import Meta
from .._checkpoints.snapshot import columns_of
from .._checkpoints.template import fixed
from .._format.room import Room
from .._format.trust import signer_of
from .._keras import hosts, model_file
from .._keras.one_pass import Content
from .._keras.values import Values
from .._keras.weights import joined, optimizers_of
from .._store import commit
from .own import Identity, identity_of


class Save:
    """A save holds what it writes: the state as plain data, and the values of the variables of this moment.

    So it needs neither callbacks nor model any more, and training may go on while it writes. Only a model that
    Keras itself has to write must not change before the end.

    Attributes:
        path: the model file.
        taken: what the state file says; complete when it is written.
        values: the values of the variables.
        interim: whether the checkpoint goes when a regular one is there.
        sha256: of the model file that was written, 32 bytes.
        identity: what identifies both files, as they were when they were written.
    """

    def __init__(
        self, checkpoint: Any, model: Any, path: str, taken: Taken, values: Values, room: Room, *, interim: bool
    ) -> None:
        self.path, self.taken, self.interim = path, taken, interim
        self.sha256 = b""
        self.identity: Identity = (None, None)
        self.values, self._optimizers = values, optimizers_of(model)
        self._link = os.path.basename(path) == fixed(checkpoint.template)
        self._sign = signer_of(checkpoint.keys, path)
        self._model, self._weights_only = model, checkpoint.save_weights_only
        # The user may change these while the save writes, as he may change the working directory.
        self._columns = {**columns_of(taken.meta), "training_args": copy.deepcopy(taken.meta.training_args)}
        self._target, self._room = os.path.abspath(path), room
        self._content: Content | None = None
        try:
            self._hold()
        except BaseException:
            self._close()
            raise

    def _hold(self) -> None:
        self._content = model_file.content_of(
            self._model, self.path, weights_only=self._weights_only, meta=self._columns, values=self.values
        )
        self.values.complete(self.taken.variables)
        if self._content is None and self.values.are_divided:
            raise ValueError(
                f"{self.path}: this model has a save of its own, which one process cannot do if variables are "
                f"divided among processes. Leave save and save_weights as they are in keras.Model."
            )
        if self.values.beside:
            self.taken.arrays.copied(self._room)
        if self._content is not None:
            self._model = None

    @property
    def meta(self) -> Meta:
        return self.taken.meta

    @property
    def needs_model(self) -> bool:
        """Whether the model must not change before :meth:`run` returns."""
        return self._content is None

    def run(self) -> None:
        """Write. On return the checkpoint is durable; if this raises, the one before is unchanged.

        Of several processes the first writes. The others only give their parts of the values, in the same order.
        """
        try:
            if hosts.is_first():
                self._commit()
        finally:
            self.values.drain()
            if not hosts.is_first():
                self._complete()
            self._close()

    def _commit(self) -> None:
        arrays = self.taken.arrays.files()
        with commit.write(self._target, self._write_model, self._seal, link=self._link, arrays=arrays) as written:
            self.values.check(self.path)
            commit.commit(written)
        self.sha256, self.identity = written.digest, identity_of(self._target)

    def _write_model(self, staged: str) -> tuple[bytes, int] | None:
        if self._content is not None:
            return self._content.write(staged, self._complete)
        model_file.write_by_keras(
            self._model, staged, weights_only=self._weights_only, meta=self._columns, name=self.path
        )
        self._complete()
        return None

    def _complete(self) -> None:
        """Put in the digest of the values, which takes longer than all else that the state says."""
        fingerprint = self.values.fingerprint(self.taken.variables)
        self.taken = self.taken.completed(joined(fingerprint, self._optimizers))

    def _seal(self, sha256: bytes, size: int) -> bytes:
        return self.taken.sealed(sha256, size, self._sign)

    def _close(self) -> None:
        if self._content is not None:
            self._content.close()
        self._content = None
        self.values.clear()
        self.taken.arrays.release()
        self._room.clear()
