"""What :func:`restore_callbacks` returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .._html import card
from .match import Change

__all__ = ["Report", "Restored"]

#: What a notebook shows of a report, where there is something.
_SHOWN = ("missing", "unexpected", "changed", "appeared", "differences", "doubts")


@dataclass(frozen=True)
class Report:
    """What a restore did.

    Attributes:
        restored: the keys of the callbacks that got their state.
        missing: keys in the checkpoint for which ``into`` has no callback.
        unexpected: keys of callbacks in ``into`` of which the checkpoint knows nothing.
        changed: constructor arguments that are not what they were; the new ones hold.
        appeared: attributes (``"Key.name"``) of which the checkpoint knows nothing; they are as the constructor
            made them.
        versions: the software that wrote the checkpoint.
        differences: what of it is of another release here (of Python, Keras, TensorFlow, NumPy: another minor
            version); numbers may then differ in the last bits.
        doubts: why the run may not be resumed exactly, as it was told when it was saved.
    """

    restored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    appeared: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What :func:`restore_callbacks` returns: iterable, and indexable by key or 0-based position.

    Attributes:
        callbacks: the callbacks, in the order of ``into``, or in which they were saved.
        epoch: the 0-based epoch that the checkpoint was saved in or after; None without a checkpoint.
        batch: the 0-based batch after which it was saved; None at the end of an epoch.
        initial_epoch: what to pass to ``fit``; 0 without a checkpoint.
        model_path: the model file; None without a checkpoint.
        history: ``epochs`` (0-based) and one list per series.
        training_args: the arguments that the user had stored.
        finished: whether the run had ended by itself, or by early stopping.
        report: what was restored, missing, unexpected, changed.
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

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)

    def __getitem__(self, key: str | int) -> Any:
        return self.callbacks[key] if isinstance(key, int) else self._keyed[key]

    def first_batch(self, epoch: int) -> int:
        """The 0-based batch with which this 0-based epoch goes on, for a training loop of your own.

        0, but for the epoch that was interrupted. ``fit`` finds it by itself.

        Example:
            >>> from callback_state import Restored
            >>> restored = Restored([], epoch=2, batch=5, initial_epoch=2)
            >>> restored.first_batch(2), restored.first_batch(3)
            (6, 0)
        """
        return self.batch + 1 if self.batch is not None and epoch == self.epoch else 0

    def __repr__(self) -> str:
        if self.model_path is None:
            return "<Restored: nothing, there is no checkpoint yet>"
        state = f"initial_epoch={self.initial_epoch}"
        state += "" if self.batch is None else f", after batch {self.batch}"
        state += ", finished" if self.finished else ""
        keys = ", ".join(self.report.restored) or "no callbacks"
        return f"<Restored {self.model_path}: {keys}; {state}>"

    def _repr_html_(self) -> str:
        if self.model_path is None:
            return card("Restored: nothing, there is no checkpoint yet", [("initial_epoch", self.initial_epoch)])
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
