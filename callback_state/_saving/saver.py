"""One save: the state is taken, both files are written and committed; and the mark that a run has ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._callbacks.taken import Taken, take
from .._checkpoints.snapshot import Snapshot, columns_of
from .._format import statefile
from .._format.trust import Keys
from .._keras import model_file, randomness, verify, weights
from .._keras.save_log import Record
from .._store import commit, pair

__all__ = ["Saver", "Taking"]


@dataclass
class _Last:
    """The last quiet point that was saved, or (path None) one of which no file will stay."""

    path: str | None
    digest: str
    taken: Taken
    meta: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def is_unchanged(self, callbacks: list[Any], model: Any) -> bool:
        """Whether model and callbacks are still as they were then."""
        if self.digest != weights.digest_of(model):
            return False
        return self.taken.same_state(take(callbacks, model, {}, {}))


@dataclass(frozen=True)
class Taking:
    """What was taken of one quiet point, to be written; ``digest`` is that of the model."""

    digest: str
    taken: Taken
    meta: dict[str, Any]
    run: dict[str, Any]


class Saver:
    """Writes the checkpoints of one ``fit``.

    Args:
        keys: what signs them; None for nothing.
    """

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys
        self._last: _Last | None = None

    def _signer(self, path: str) -> Callable[[bytes], bytes] | None:
        return None if self._keys is None else self._keys.signer(path)

    def take(self, callbacks: list[Any], model: Any, meta: dict[str, Any], inside: dict[str, Any]) -> Taking:
        """Take everything that this moment's state file is to say.

        Args:
            callbacks: whose state to save.
            model: the model to save.
            meta: what the state file says of the moment.
            inside: what it says of the epoch and its data: ``metrics``, ``logs``, ``data``.

        Raises:
            NotPicklableError: an attribute cannot be saved.
        """
        digest = weights.digest_of(model)
        meta = {
            **meta,
            "model": {
                "digest": digest,
                "iterations": weights.iterations_of(model),
                "variables": weights.inventory(model),
                "optimizes": bool(getattr(getattr(model, "optimizer", None), "built", False)),
            },
        }
        run = {"generators": randomness.take_generators(), "seeds": randomness.take_seeds(model), **inside}
        return Taking(digest, take(callbacks, model, meta, run), meta, run)

    def write(self, path: str, taking: Taking, model: Any, *, weights_only: bool, interim: bool) -> None:
        """Write both files and commit them.

        Args:
            path: the model file.
            taking: of this moment; the model has not changed since.
            model: the model to save.
            weights_only: whether the model file holds weights and optimizer only.
            interim: whether the file goes when a regular one is there.

        Raises:
            OSError: and whatever Keras raises; the checkpoint before is there.
        """
        meta = taking.meta
        in_model = {**columns_of(meta), "training_args": meta["training_args"]}
        options: dict[str, Any] = {"weights_only": weights_only, "meta": in_model, "record": Record()}
        with commit.write(
            path,
            lambda staged: model_file.write(model, staged, **options),
            lambda sha256, size: statefile.seal(taking.taken.tree, sha256, size, self._signer(path)),
            lambda staged: verify.verify(model, staged, **options, name=path),
        ) as written:
            commit.commit(written)
        self._last = _Last(None if interim else path, taking.digest, taking.taken, taking.meta, taking.run)

    def note(self, callbacks: list[Any], model: Any) -> None:
        """Remember the last epoch, which is not saved: does the end of the run change it?"""
        self._last = _Last(None, weights.digest_of(model), take(callbacks, model, {}, {}))

    def adopt(self, path: str, callbacks: list[Any], model: Any) -> None:
        """Take the checkpoint that a killed process wrote of this very moment for the last one."""
        found = Snapshot.open(path)
        taken = take(callbacks, model, {}, {})
        self._last = _Last(path, weights.digest_of(model), taken, found.meta, found.run)

    def mark_finished(self, epoch: int, callbacks: list[Any], model: Any) -> bool:
        """Mark the checkpoint of the last epoch as the run's end, if it is one and the end changed nothing.

        Returns:
            Whether that was so; otherwise the end needs a checkpoint of its own.
        """
        last = self._last
        path = self._saved_at(epoch)
        if last is None or path is None or not last.is_unchanged(callbacks, model):
            return False
        sealed = pair.open_pair(path).sealed
        tree = take(callbacks, model, {**last.meta, "finished": True}, last.run).tree
        data = statefile.seal(tree, sealed.model_digest, sealed.model_size, self._signer(path))
        commit.commit_state(path, data)
        return True

    def end_of(self, epoch: int, callbacks: list[Any], model: Any) -> dict[str, Any]:
        """What the state file of the end says of the last epoch: where it is, or whether this is it."""
        path = self._saved_at(epoch)
        return {
            "finished": True,
            "goes_on_from": None if path is None else os.path.basename(path),
            "exact_end": self._last is not None and self._last.is_unchanged(callbacks, model),
        }

    def _saved_at(self, epoch: int) -> str | None:
        """The checkpoint that was saved at the end of this 0-based epoch."""
        last = self._last
        return last.path if last and last.meta.get("initial_epoch") == epoch + 1 else None
