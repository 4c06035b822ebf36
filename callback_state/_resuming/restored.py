"""What :func:`restore_callbacks` returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .._html import card
from .._input.own_loop import batches
from .match import Change

#: The parts of a report that a notebook shows, if they are not empty.
_SHOWN = ("missing", "unexpected", "changed", "model_changed", "appeared", "differences", "doubts")


@dataclass(frozen=True)
class Report:
    """What a restore did.

    Attributes:
        restored: the keys of the callbacks that have got their state.
        missing: the keys that are in the checkpoint and not in ``into``.
        unexpected: the keys of the callbacks that are in ``into`` and not in the checkpoint.
        changed: the constructor arguments that have changed, and the paths in attributes that are not those of
            the checkpoint. The values of the script are used.
        appeared: the attributes (``"Key.name"``) that are not in the checkpoint. They keep the value that the
            constructor has given them.
        versions: the software that wrote the checkpoint.
        differences: the software that has another minor version here (Python, Keras, TensorFlow, NumPy). The
            results may then differ in the last bits.
        doubts: the reasons, noted when the checkpoint was saved, why the resumed run may differ.
        model_changed: the arguments of the optimizer, the loss and the layers that have changed. The new values
            are used, but for the learning rate, which is restored.
    """

    restored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    appeared: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    model_changed: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Restored:
    """The callbacks of a checkpoint, and where the run continues.

    It can be iterated, and indexed by key or by 0-based position.

    Attributes:
        callbacks: the callbacks, in the order of ``into`` or in the order in which they were saved.
        epoch: the 0-based epoch of the checkpoint; None without a checkpoint.
        batch: the 0-based batch after which it was saved; None if at the end of the epoch.
        initial_epoch: the argument for ``fit``; 0 without a checkpoint.
        model_path: the model file, a URL if it is in an object store; None without a checkpoint.
        history: ``epochs`` (0-based) and one list for each series of logs.
        training_args: the arguments that were given to the checkpoint callback.
        finished: whether the run had ended, by itself or by early stopping.
        report: what was restored, and what was not.
        local_path: the model file on this machine, for ``keras.models.load_model``. It is ``model_path``, or
            the verified copy of an object, which goes with the process.
    """

    callbacks: list[Any]
    epoch: int | None = None
    batch: int | None = None
    initial_epoch: int = 0
    model_path: str | None = None
    history: dict[str, list[Any]] = field(default_factory=dict)
    training_args: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    report: Report = field(default_factory=Report)
    _keyed: dict[str, Any] = field(default_factory=dict, repr=False)
    local_path: str | None = None
    #: Where nothing was found.
    _looked_in: str | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)

    def __getitem__(self, key: str | int) -> Any:
        return self.callbacks[key] if isinstance(key, int) else self._keyed[key]

    def first_batch(self, epoch: int) -> int:
        """The 0-based batch with which this 0-based epoch begins, for a training loop of your own.

        It is 0, except in the epoch that was interrupted. ``fit`` does not need it.

        Example:
            >>> from callback_state import Restored
            >>> restored = Restored([], epoch=2, batch=5, initial_epoch=2)
            >>> restored.first_batch(2), restored.first_batch(3)
            (6, 0)
        """
        return self.batch + 1 if self.batch is not None and epoch == self.epoch else 0

    def batches(self, dataset: Any, epoch: int) -> Iterator[tuple[int, Any]]:
        """The batches of a 0-based epoch with their 0-based numbers, for a training loop of your own.

        The epoch that was interrupted begins with the batch after the checkpoint. A ``tf.data.Dataset`` is read as
        the run that is resumed would have read it: each epoch in its own order of a shuffle. Call it once for each
        epoch, also at the first start. ``fit`` does not need it.

        Args:
            dataset: a ``tf.data.Dataset``; or the batches of this epoch by their numbers, in an order that follows
                from the epoch: a list, an array (also of the numbers of rows), a ``keras.utils.PyDataset``.
            epoch: 0-based.

        Raises:
            ResumeError: the data end before the checkpoint, or this process has read more of them already.
            TypeError: the data are of another kind, such as a generator.

        Example:
            >>> import tensorflow as tf
            >>> from callback_state import Restored
            >>> def read(restored):
            ...     rows = tf.data.Dataset.range(4).shuffle(4, seed=1)
            ...     epochs = range(restored.initial_epoch, 2)
            ...     return [(e, i, int(row)) for e in epochs for i, row in restored.batches(rows, e)]
            >>> whole = read(Restored([]))
            >>> restored = Restored([], epoch=1, batch=0, initial_epoch=1)
            >>> read(restored) == whole[5:]
            True
            >>> [*restored.batches(["first", "second", "third"], 1)]
            [(1, 'second'), (2, 'third')]
        """
        return batches(dataset, epoch, self.first_batch(epoch))

    def __repr__(self) -> str:
        if self.model_path is None:
            return f"<{self._nothing()}>"
        state = f"initial_epoch={self.initial_epoch}"
        state += "" if self.batch is None else f", batch={self.batch}"
        state += ", finished" if self.finished else ""
        keys = ", ".join(self.report.restored) or "no callbacks"
        return f"<Restored {self.model_path}: {keys}; {state}>"

    def _nothing(self) -> str:
        return (
            "Restored: nothing yet" if self._looked_in is None else f"Restored: nothing in {self._looked_in!r} yet"
        )

    def _repr_html_(self) -> str:
        if self.model_path is None:
            return card(self._nothing(), [("initial_epoch", self.initial_epoch)])
        report = [(name, getattr(self.report, name)) for name in _SHOWN]
        return card(
            f"Restored {self.model_path}",
            [
                ("initial_epoch", self.initial_epoch),
                ("epoch", self.epoch),
                ("batch", self.batch),
                ("finished", self.finished),
                ("callbacks", self.report.restored or "none"),
                *report,
            ],
        )
