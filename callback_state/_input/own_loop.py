"""The batches of an epoch for a training loop of the user's own, in the order of the run that is resumed.

A ``tf.data`` shuffle takes its next order for each iterator over it. A loop that is started again in its third
epoch has made no iterators yet, so it would read the order of the first one. Other data have the order that the
script gives them, and are entered by the number of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._checkpoints.doubt import BEGINS_ANEW, Doubt
from .._format.classes import is_from
from .._keras.classes import is_keras, is_overridden
from .._keras.datasets import is_dataset, reshuffles, steps_of
from .._warn import warn
from . import doubts
from .catch_up import Reader
from .source import count_iterator, enter_passes, is_known, pass_iterators


def batches(data: Any, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
    """(0-based number, batch) of a 0-based epoch, from the batch ``first`` on.

    Args:
        data: a ``tf.data.Dataset``, or batches by their numbers: a list, an array, a ``keras.utils.PyDataset``.

    Raises:
        ResumeError: the data end before ``first``.
        TypeError: the data are of another kind.
    """
    if is_dataset(data):
        return _of_dataset(data, epoch, first)
    # A tuple or a dict is one batch, or all rows, in the language of Keras.
    if isinstance(data, (tuple, Mapping)) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TypeError(
            f"restored.batches takes a tf.data.Dataset, or batches by their numbers (a list, an array, a "
            f"keras.utils.PyDataset with a length), got {type(data).__name__}. Of other data, let the order of an "
            f"epoch follow from its number, and leave out the first restored.first_batch(epoch) batches."
        )
    return _by_number(data, first)


def _of_dataset(dataset: Any, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
    """Each epoch is one iterator. Those of earlier epochs are made, if this process has not, and not read."""
    if not is_known(dataset):
        for doubt in dict.fromkeys(doubts.of_pipeline(dataset)):
            _tell(doubt)
    pass_iterators(dataset, epoch)
    enter_passes(dataset, epoch)
    count_iterator(dataset)
    return _read(iter(dataset), first)


def _read(iterator: Iterator[Any], first: int) -> Iterator[tuple[int, Any]]:
    Reader(first, verbose=False).draw(iterator, first, 1)
    yield from enumerate(iterator, first)


def _by_number(data: Any, first: int) -> Iterator[tuple[int, Any]]:
    """No batch before ``first`` is read."""
    if is_keras(data, "utils.PyDataset") and is_overridden(data, "on_epoch_end"):
        what = f"what {type(data).__name__}.on_epoch_end changes is not saved with a training loop of your own"
        _tell(Doubt(what, "let the order of an epoch follow from its number"))
    reader = Reader(first, verbose=False)
    reader.drawn = min(len(data), first)
    if not reader.is_there:
        raise reader.too_short()
    return ((step, data[step]) for step in range(first, len(data)))


def _tell(doubt: Doubt) -> None:
    warn(f"a resumed run may differ from this one: {doubt}")


def of_variables(variables: dict[str, Any]) -> Iterator[Doubt]:
    """Why a resumed loop may go on in another way, told from the variables of one that has trained an epoch."""
    yield from _of_shuffled(variables)
    yield from _of_optimizers(variables)


def _of_shuffled(variables: dict[str, Any]) -> Iterator[Doubt]:
    """The doubt about data sets that were not read through :func:`batches`."""
    found = {name: value for name, value in variables.items() if is_dataset(value)}
    read = {id(step) for value in found.values() if is_known(value) for step in steps_of(value)}
    names = [name for name, value in found.items() if id(value) not in read and reshuffles(value)]
    if names:
        listed = ", ".join(sorted(names))
        yield Doubt(
            f"this training loop reads shuffled data sets by itself ({listed}), so a resumed one begins with the "
            f"order of the first epoch",
            f"write for step, batch in restored.batches({min(names)}, epoch), where restored is what "
            f"restore_callbacks has returned",
        )


def _of_optimizers(variables: dict[str, Any]) -> Iterator[Doubt]:
    """The doubt about optimizers of torch itself."""
    names = sorted(name for name, value in variables.items() if _is_optimizer_of_torch(type(value)))
    if names:
        yield Doubt(
            f"this training loop has optimizers of torch ({', '.join(names)}), whose state is not saved",
            "train with an optimizer of Keras, given to model.compile",
            BEGINS_ANEW,
        )


def _is_optimizer_of_torch(cls: type) -> bool:
    return any(base.__name__ == "Optimizer" and is_from(base, "torch") for base in cls.__mro__)
