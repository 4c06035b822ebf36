"""One save: both files are written and committed. And the mark that a run has ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._callbacks.taken import Taken, TakenState, take, take_state
from .._checkpoints.schema import Meta, Run
from .._checkpoints.snapshot import Snapshot, columns_of
from .._format import statefile
from .._format.trust import Keys
from .._keras import model_file, verify, weights
from .._keras.save_log import SaveLog
from .._store import commit, pair


@dataclass
class _Last:
    """The last moment that was saved or noted."""

    path: str | None  # the model file; None if there is none, or if it is an interim file
    digest: str  # of the model
    state: TakenState
    meta: Meta | None = None  # None if nothing was saved
    run: Run | None = None

    def is_unchanged(self, callbacks: list[Any], model: Any) -> bool:
        """Whether the model and the callbacks have not changed since."""
        return self.digest == weights.digest_of(model) and self.state == take_state(callbacks, model)


@dataclass(frozen=True)
class Taking:
    """What was taken at one moment, ready to be written."""

    taken: Taken
    meta: Meta
    run: Run


class Saver:
    """Writes the checkpoints of one ``fit``; without keys, their state files are not signed."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys
        self._last: _Last | None = None

    def _signer(self, path: str) -> Callable[[bytes], bytes] | None:
        return None if self._keys is None else self._keys.signer(path)

    def write(self, path: str, taking: Taking, model: Any, *, weights_only: bool, interim: bool) -> None:
        """Write both files and commit them. The model has not changed since ``taking`` was taken.

        Raises:
            OSError: it cannot be written. The checkpoint before is unchanged, also if Keras raises another error.
        """
        meta = taking.meta
        in_model = {**columns_of(meta), "training_args": meta.training_args}
        options: dict[str, Any] = {"weights_only": weights_only, "meta": in_model, "record": SaveLog()}
        with commit.write(
            path,
            lambda staged: model_file.write(model, staged, **options),
            lambda sha256, size: statefile.seal(taking.taken.tree, sha256, size, self._signer(path)),
            lambda staged: verify.verify(model, staged, **options, name=path),
        ) as written:
            commit.commit(written)
        self._last = _Last(None if interim else path, meta.model.digest, taking.taken.state, meta, taking.run)

    def note(self, callbacks: list[Any], model: Any) -> None:
        """Note the last epoch, which is not saved, to find out whether the end of the run changes anything."""
        self._last = _Last(None, weights.digest_of(model), take_state(callbacks, model))

    def adopt(self, path: str, callbacks: list[Any], model: Any) -> None:
        """Take over the checkpoint that a killed process has written of the present moment."""
        found = Snapshot.open(path)
        state = take_state(callbacks, model)
        self._last = _Last(path, weights.digest_of(model), state, found.meta, found.run)

    def mark_finished(self, epoch: int, callbacks: list[Any], model: Any) -> bool:
        """Mark the checkpoint of the last epoch as finished, if there is one and the end has changed nothing.

        Returns:
            Whether it is marked. If not, the end needs a checkpoint of its own.
        """
        last = self._last
        path = self._saved_at(epoch)
        if last is None or path is None or not last.is_unchanged(callbacks, model):
            return False
        assert last.meta is not None and last.run is not None
        sealed = pair.open_pair(path).sealed
        tree = take(callbacks, model, replace(last.meta, finished=True), last.run).tree
        data = statefile.seal(tree, sealed.model_digest, sealed.model_size, self._signer(path))
        commit.commit_state(path, data)
        return True

    def end_of(self, epoch: int, callbacks: list[Any], model: Any) -> dict[str, Any]:
        """The fields of ``Meta`` with which a checkpoint of the end differs from others."""
        path = self._saved_at(epoch)
        return {
            "finished": True,
            "goes_on_from": None if path is None else os.path.basename(path),
            "exact_end": self._last is not None and self._last.is_unchanged(callbacks, model),
        }

    def _saved_at(self, epoch: int) -> str | None:
        """The checkpoint that was saved at the end of this 0-based epoch."""
        last = self._last
        if last is None or last.meta is None or last.meta.initial_epoch != epoch + 1:
            return None
        return last.path
