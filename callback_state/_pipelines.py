"""``tf.data`` pipelines from outside: how many iterators one has had, which passes over our data it reads."""

from __future__ import annotations

import weakref
from typing import Any

from ._graphs import is_pure, reshuffles
from .exceptions import ResumeError

__all__ = ["begun", "count_iterator", "iterators_of", "pass_iterators", "passes_in"]

#: How many iterators every ``fit`` of this process has made of a data set, as far as it was heard of.
_made: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def iterators_of(dataset: Any) -> int:
    """How many iterators have been made of it."""
    return _made.get(dataset, 0)


def count_iterator(dataset: Any) -> None:
    """One more is made."""
    _made[dataset] = _made.get(dataset, 0) + 1


def pass_iterators(dataset: Any, number: int) -> None:
    """Make iterators of a data set without reading them, until there have been so many.

    Raises:
        ResumeError: there have been more, and each has an order of its own.
    """
    missing = number - _made.get(dataset, 0)
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
    return [passes.begun for passes in passes_in(dataset)[0]]


def passes_in(dataset: Any) -> tuple[list[Any], bool]:
    """The counters of all data of :mod:`callback_state.data` that a pipeline reads.

    With them, whether each batch of the pipeline is made of nothing but the batch of that number of one of them.
    """
    found, one_to_one, inputs = [], True, [dataset]
    while inputs:
        step = inputs.pop()
        passes = getattr(step, "_callback_state_passes", None)
        if passes is not None:
            found.append(passes)
            continue
        one_to_one = one_to_one and type(step).__name__ in _ONE_TO_ONE and is_pure(step)
        inputs += getattr(step, "_inputs", list)()
    return found, one_to_one and len(found) == 1


#: Of these each element comes from one element of the input.
_ONE_TO_ONE = ("_MapDataset", "_ParallelMapDataset", "_OptionsDataset", "_PrefetchDataset")
