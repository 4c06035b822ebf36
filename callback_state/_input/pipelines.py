"""``tf.data`` pipelines from outside: how many iterators one has had, which passes over our data it reads."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from .._keras.graphs import is_pure, reshuffles, steps_of
from ..exceptions import ResumeError

__all__ = ["begun", "count_iterator", "is_one_to_one", "iterators_of", "pass_iterators", "passes_in"]

#: How many iterators every ``fit`` of this process has made of a data set, as far as it was heard of.
_made: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def iterators_of(dataset: Any) -> int:
    """How many iterators have been made of it."""
    return _made.get(dataset, 0)


def count_iterator(dataset: Any) -> None:
    """One more is made."""
    _made[dataset] = iterators_of(dataset) + 1


def pass_iterators(dataset: Any, number: int) -> None:
    """Make iterators of a data set without reading them, until there have been so many.

    Raises:
        ResumeError: there have been more, and each has an order of its own.
    """
    missing = number - iterators_of(dataset)
    if missing < 0 and reshuffles(dataset):
        raise ResumeError(
            f"the tf.data.Dataset was iterated {-missing} times more in this process than it had been at the "
            f"checkpoint, so its next order is a later one. Make the data set anew, then fit."
        )
    for _ in range(missing):
        iter(dataset)
        count_iterator(dataset)


def begun(dataset: Any) -> list[int]:
    """The passes over data of ours that an iterator which is made now begins with."""
    return [passes.begun for passes in passes_in(dataset)]


def passes_in(dataset: Any) -> list[Any]:
    """The counters of all data of :mod:`callback_state.data` that a pipeline reads."""
    found = (getattr(step, _PASSES, None) for step in _steps_of(dataset))
    return [passes for passes in found if passes is not None]


def is_one_to_one(dataset: Any) -> bool:
    """Whether each batch of a pipeline is made of nothing but the batch of that number of data of ours."""
    steps = [step for step in _steps_of(dataset) if not hasattr(step, _PASSES)]
    named = all(type(step).__name__ in _ONE_TO_ONE for step in steps)
    return named and len(passes_in(dataset)) == 1 and all(map(is_pure, steps))


def _steps_of(dataset: Any) -> Iterator[Any]:
    # A strategy reads ahead of the training, so the passes that its data set has begun say nothing.
    return iter(()) if hasattr(dataset, "_original_dataset") else steps_of(dataset)


#: What data of ours are known by.
_PASSES = "_callback_state_passes"
#: Of these each element comes from one element of the input.
_ONE_TO_ONE = ("_MapDataset", "_ParallelMapDataset", "_OptionsDataset", "_PrefetchDataset")
