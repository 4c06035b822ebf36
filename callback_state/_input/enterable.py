"""The dataset behind :mod:`callback_state.data`: each iterator is an epoch, and the next one can be chosen."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from .._keras.wrapped_dataset import WrappedDataset
from .passes import Passes, natural

#: (0-based epoch, 0-based first batch) -> the dataset of that epoch from that batch on.
Make = Callable[[int, int], Any]


class Enterable(WrappedDataset):
    """A ``tf.data.Dataset`` whose iterators are epochs: each one that is read is the next epoch."""

    def __init__(self, make: Make, spec: Any, batches: int | None, finish: Callable[[Any], Any]) -> None:
        """A dataset from a function that makes one epoch; a thread of its own calls it when a pass begins.

        ``spec`` is the ``element_spec`` of an epoch, and ``batches`` the number of its elements if that is known.
        ``finish`` is applied to the dataset of all passes, and to the dataset of one pass.
        """
        self._make, self._finish = make, finish
        self._callback_state_passes = Passes(batches)
        # Epochs are not made in the py_function that asks for them, because AutoGraph is off there, also for the
        # user's maps. The thread is kept, because the first operation in a new thread takes milliseconds.
        self._thread = ThreadPoolExecutor(1, "callback_state.data")
        super().__init__(finish(self._begun(spec)))

    def enter(self, epoch: int, batch: int = 0) -> None:
        """Let the next iterator that is read begin with this batch of this epoch; later ones go on from there.

        That iterator still yields as many batches as an epoch has, as ``fit`` expects: after the last batch follow
        the batches before ``batch``. Only data whose length is not known end with the last batch.

        Args:
            epoch: 0-based.
            batch: 0-based, within its epoch.

        Raises:
            ValueError: there is no such batch, or one of the two is no natural number. Nothing changes.

        Example:
            >>> import numpy as np
            >>> from callback_state import data
            >>> train = data.shuffled(np.arange(6), batch_size=4, seed=1)
            >>> train.enter(1000, 1)
            >>> [len(batch) for batch in train]
            [2, 4]
        """
        self._callback_state_passes.enter(epoch, batch)

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[int, Any]]:
        """The rest of an epoch, for a training loop of your own; it does not count as a pass.

        Args:
            epoch: 0-based.
            first: the first batch that is read, 0-based within its epoch.

        Returns:
            (0-based index of the batch within its epoch, batch) to the end of the epoch.

        Raises:
            ValueError: the epoch has fewer than ``first`` batches, or one of the two is no natural number.

        Example:
            >>> import numpy as np
            >>> from callback_state import data
            >>> train = data.shuffled(np.arange(6), batch_size=2, seed=1)
            >>> [step for step, batch in train.batches(epoch=3, first=1)]
            [1, 2]
        """
        epoch, first = natural("epoch", epoch), natural("first", first)
        known = self._callback_state_passes.batches
        if known is not None and first >= known:
            if first == known:
                return iter(())
            raise ValueError(f"epoch={epoch} has {known} batches, there is nothing at first={first}.")
        return enumerate(iter(self._finish(self._make(epoch, first))), first)

    def _begun(self, spec: Any) -> Any:
        """The dataset whose iterators ask for their epoch when they are first read."""
        # TensorFlow keeps every py_function for ever, so it must not hold the data. Iterators hold their dataset.
        weak = weakref.ref(self)

        def begin() -> Any:
            dataset = weak()
            if dataset is None:
                raise ReferenceError("data of callback_state were read after their dataset was deleted.")
            return tf.data.experimental.to_variant(dataset._thread.submit(dataset._next).result())

        def read(_: Any) -> Any:
            return tf.data.experimental.from_variant(tf.py_function(begin, [], tf.variant), spec)

        dataset = tf.data.Dataset.range(1).flat_map(read)
        known = self._callback_state_passes.batches
        return dataset if known is None else dataset.apply(tf.data.experimental.assert_cardinality(known))

    def _next(self) -> Any:
        epoch, batch = self._callback_state_passes.begin()
        rest = self._make(epoch, batch)
        if batch == 0 or self._callback_state_passes.batches is None:
            return rest
        return rest.concatenate(self._make(epoch, 0).take(batch))
