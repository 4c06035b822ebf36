"""The batches of an epoch for a training loop of the user's own, in the order of the run that is resumed.

A ``tf.data`` shuffle takes its next order for each iterator over it. A loop that is started again in its third
epoch has made no iterators yet, so it would read the order of the first one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._checkpoints.doubt import Doubt
from .._keras.datasets import is_dataset, reshuffles, steps_of
from .._warn import warn
from . import doubts
from .catch_up import Reader
from .source import count_iterator, enter_passes, is_known, pass_iterators


def batches(dataset: Any, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
    """(0-based number, batch) of a 0-based epoch, from the batch ``first`` on.

    Each epoch is one iterator. The iterators of earlier epochs are made, if this process has not, and not read.
    """
    if not is_dataset(dataset):
        raise TypeError(f"restored.batches takes a tf.data.Dataset, got {type(dataset).__name__}")
    if not is_known(dataset):
        for doubt in dict.fromkeys(doubts.of_pipeline(dataset)):
            warn(f"a resumed run may differ from this one: {doubt}")
    pass_iterators(dataset, epoch)
    enter_passes(dataset, epoch)
    count_iterator(dataset)
    return _read(iter(dataset), first)


def _read(iterator: Iterator[Any], first: int) -> Iterator[tuple[int, Any]]:
    Reader(first, verbose=False).draw(iterator, first, 1)
    yield from enumerate(iterator, first)


def of_variables(variables: dict[str, Any]) -> Doubt | None:
    """The doubt about data sets in the variables of a loop that has read none of them through :func:`batches`."""
    found = {name: value for name, value in variables.items() if is_dataset(value)}
    read = {id(step) for value in found.values() if is_known(value) for step in steps_of(value)}
    names = [name for name, value in found.items() if id(value) not in read and reshuffles(value)]
    if not names:
        return None
    listed = ", ".join(sorted(names))
    return Doubt(
        f"this training loop reads shuffled data sets by itself ({listed}), so a resumed one begins with the "
        f"order of the first epoch",
        f"write for step, batch in restored.batches({min(names)}, epoch), where restored is what "
        f"restore_callbacks has returned",
    )
