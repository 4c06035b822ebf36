"""How many iterators a ``tf.data`` pipeline has had, and which passes over data of ours it reads."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from .._keras.datasets import PASSES, is_distributed, keeps_order, reshuffles, steps_of
from ..exceptions import ResumeError

#: How many iterators over a data set the fits of this process have made.
_made: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def iterators_of(dataset: Any) -> int:
    """How many iterators over the data set have been made."""
    return _made.get(dataset, 0)


def count_iterator(dataset: Any) -> None:
    """One more iterator is made."""
    _made[dataset] = iterators_of(dataset) + 1


def pass_iterators(dataset: Any, number: int) -> None:
    """Make iterators over a data set without reading them, until there have been so many."""
    missing = number - iterators_of(dataset)
    if missing < 0 and reshuffles(dataset):
        raise ResumeError(
            f"this process has iterated the tf.data.Dataset {-missing} times more than the run had at the "
            f"checkpoint, so its next order is a later one. Make the data set anew, then fit."
        )
    for _ in range(missing):
        iter(dataset)
        count_iterator(dataset)


def begun(dataset: Any) -> list[int]:
    """How many passes have begun, for each data set of :mod:`callback_state.data` that a pipeline reads."""
    return [passes.begun for passes in passes_in(dataset)]


def passes_in(dataset: Any) -> list[Any]:
    """The counters of passes of all data of :mod:`callback_state.data` that a pipeline reads."""
    found = (getattr(step, PASSES, None) for step in _steps_of(dataset))
    return [passes for passes in found if passes is not None]


def is_one_to_one(dataset: Any) -> bool:
    """Whether each batch of a pipeline is made of the batch of that number of data of ours, and of no other."""
    steps = [step for step in _steps_of(dataset) if not hasattr(step, PASSES)]
    return len(passes_in(dataset)) == 1 and all(map(keeps_order, steps))


def _steps_of(dataset: Any) -> Iterator[Any]:
    # A strategy reads ahead of the training, so the passes that have begun say nothing.
    return iter(()) if is_distributed(dataset) else steps_of(dataset)
