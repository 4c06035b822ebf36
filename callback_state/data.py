"""Training data that can be read from any epoch and batch on, so that a resumed run reads on where it stopped.

>>> import numpy as np
>>> from callback_state import data
>>> train = data.shuffled(np.arange(6.0), batch_size=2, seed=1)     # for model.fit(train, ...)
>>> [batch.numpy().tolist() for batch in train]                     # epoch 0
[[3.0, 5.0], [2.0, 0.0], [1.0, 4.0]]
>>> train.enter(0, 1)
>>> [batch.numpy().tolist() for batch in train.take(2)]             # what was left of it
[[2.0, 0.0], [1.0, 4.0]]

Each pass over such data is one epoch, counted from 0. What a pass reads follows from the number of its epoch
alone, not from what was read before. A pass begins when its first element is read, so iterators that ``fit`` makes
and does not read do not count. Everything that reads counts: ``train.take(1)`` is a pass, and so is the batch that
Keras reads under a ``MirroredStrategy`` before it trains. A ``.repeat()`` begins passes ahead of training; ``fit``
needs none. ``.map``, ``.prefetch`` and similar steps may follow. After ``.cache()`` or ``.shuffle()``, what
``fit`` reads depends on what was read before. Data for several worker processes are not supported.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ._input.enterable import Enterable
from ._input.passes import natural

__all__ = ["Enterable", "epochs", "shuffled"]


def shuffled(x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int, seed: int) -> Enterable:
    """Arrays in batches, each epoch in an order of its own, which follows from ``seed`` and the epoch's number.

    The order is made by this package: the rows are sorted by integers of NumPy's ``Philox`` with the key (seed,
    epoch). NumPy guarantees the same integers in every release ("Compatibility policy" of ``numpy.random``), while
    TensorFlow's stateless operations "may change between versions of TensorFlow". So the order is the same on
    every machine. No global generator is used.

    Args:
        x, y, sample_weight: as ``fit`` takes them: NumPy arrays, dense tensors, or lists, tuples and dicts of
            these, with the same number of rows. Floating-point numbers become ``keras.config.floatx()``, as in
            ``fit``. The data are copied once; later changes of the arrays are not seen.
        batch_size: rows in a batch; the last one of an epoch may be smaller.
        seed: an integer, 0 or more and below 2**64.

    Returns:
        A dataset for ``model.fit(dataset, ...)``. To enter it at a batch takes as long as to begin an epoch.

    Raises:
        ValueError: an argument is not as described.

    Example:
        >>> import numpy as np
        >>> from callback_state import data
        >>> x = {"a": np.zeros((10, 3)), "b": np.zeros(10)}
        >>> [len(y) for x, y in data.shuffled(x, np.zeros(10), batch_size=4, seed=1)]
        [4, 4, 2]
    """
    if sample_weight is not None and y is None:
        raise ValueError("sample_weight needs y, as in fit.")
    size, seed = natural("batch_size", batch_size), natural("seed", seed)
    if size == 0 or seed >= 2**64:
        raise ValueError(f"batch_size must be 1 or more and seed below 2**64; got {batch_size} and {seed}.")
    rows, count = _rows_of(keras.utils.pack_x_y_sample_weight(x, y, sample_weight))
    whole = count // size

    @functools.lru_cache(maxsize=1)  # a pass that is entered inside needs it twice
    def order_in(epoch: int) -> Any:
        return order_of(count, seed, epoch)

    def make(epoch: int, batch: int) -> Any:
        order = order_in(epoch)
        dataset = tf.data.Dataset.from_tensor_slices(order[batch * size : whole * size].reshape(-1, size))
        rest = order[max(batch, whole) * size :]
        return dataset.concatenate(tf.data.Dataset.from_tensors(rest)) if count % size else dataset

    def gather(indices: Any, rows: Any) -> Any:
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), rows)

    def finish(orders: Any) -> Any:
        dataset = tf.data.Dataset.zip((orders, tf.data.Dataset.from_tensors(rows).repeat()))
        dataset = dataset.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        # As in Keras's own pipeline: to be optimized, it would be written out with all its data, at most 2 GB.
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)

    spec = tf.TensorSpec([None if count % size else size], tf.int64)
    return Enterable(make, spec, -(-count // size), finish)


def order_of(count: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers from 0 to ``count - 1`` in the order of one epoch of :func:`shuffled`.

    >>> order_of(6, seed=1, epoch=0).tolist()
    [3, 5, 2, 0, 1, 4]
    """
    width = np.uint64((count - 1).bit_length())
    keys = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count)
    # The lowest bits of a key are its index. So no two keys are equal, and every way of sorting gives one order.
    keys = (keys >> width << width) | np.arange(count, dtype=np.uint64)
    keys.sort()
    return (keys & ((np.uint64(1) << width) - np.uint64(1))).astype(np.int64)


def _rows_of(arrays: Any) -> tuple[Any, int]:
    """The arrays as tensors in the memory of the CPU, in tuples instead of lists, and how many rows they have."""

    def tensor(array: Any) -> Any:
        try:
            made = tf.convert_to_tensor(array)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{type(array).__name__} cannot be read row by row: {error}") from error
        return tf.cast(made, keras.config.floatx()) if made.dtype.is_floating else made

    with tf.device("CPU:0"):
        rows = tf.nest.map_structure(tensor, keras.tree.lists_to_tuples(arrays))
    counts = sorted({t.shape[0] if t.shape.rank else None for t in tf.nest.flatten(rows)}, key=str)
    if len(counts) != 1 or not counts[0]:
        raise ValueError(f"x, y and sample_weight need equally many rows, at least one; they have {counts}.")
    return rows, counts[0]


def epochs(make_epoch: Callable[..., Any]) -> Enterable:
    """Data made by a function of yours that makes one epoch. It is called when the epoch begins to be read.

    What the dataset yields must follow from ``epoch`` alone: give every random operation a seed made from it, call
    ``keras.utils.set_random_seed`` in the script, and use only stateless operations in a parallel map. To enter an
    epoch at a batch, the earlier batches are read and dropped (``Dataset.skip``). If the function has a second
    parameter ``batch``, it gets the 0-based batch to begin with, and can return the rest of the epoch faster.

    Args:
        make_epoch: ``(epoch)`` or ``(epoch, batch)``, 0-based Python integers, to a ``tf.data.Dataset`` of batches
            for ``fit``. It is also called now, for epoch 0: all epochs have the ``options()`` of this one, and its
            length if that is known. An error that it raises later reaches ``fit`` as an error of TensorFlow, which
            quotes it.

    Returns:
        A dataset for ``model.fit(dataset, ...)``.

    Raises:
        ValueError: it did not return a dataset, or the dataset is empty or never ends; in ``fit``: an epoch has
            another length, or other shapes and types, than epoch 0.

    Example:
        >>> import tensorflow as tf
        >>> from callback_state import data
        >>> def make_epoch(epoch):
        ...     return tf.data.Dataset.range(6).shuffle(6, seed=epoch).batch(4)
        >>> train = data.epochs(make_epoch)                         # for model.fit(train, ...)
        >>> [len(batch) for batch in train]
        [4, 2]
    """
    takes_batch = _takes_batch(make_epoch)

    def make(epoch: int, batch: int) -> Any:
        if takes_batch:
            return make_epoch(epoch, batch)
        return make_epoch(epoch).skip(batch) if batch else make_epoch(epoch)

    first = make(0, 0)
    if not isinstance(first, tf.data.Dataset):
        raise ValueError(f"make_epoch must return a tf.data.Dataset; it returned {first!r}.")
    length = int(first.cardinality())
    if length == 0:
        raise ValueError("epoch 0 of make_epoch has no elements.")
    if length == tf.data.INFINITE_CARDINALITY:
        raise ValueError("epoch 0 of make_epoch never ends: end it with .take(batches).")
    known = None if length == tf.data.UNKNOWN_CARDINALITY else length

    def checked(epoch: int, batch: int) -> Any:
        dataset = make(epoch, batch)
        _check(dataset, f"epoch {epoch} from batch {batch} on", first.element_spec, known and known - batch)
        return dataset

    return Enterable(checked, first.element_spec, known, lambda dataset: dataset.with_options(first.options()))


def _takes_batch(make_epoch: Callable[..., Any]) -> bool:
    """Whether the second positional parameter is the batch; one that binds a value, as in ``n=n``, is not."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(make_epoch).parameters.values() if p.kind in positional]
    second = parameters[1] if len(parameters) > 1 else None
    return second is not None and (second.name == "batch" or second.default is inspect.Parameter.empty)


def _check(dataset: Any, where: str, spec: Any, length: int | None) -> None:
    """Raise ValueError if this is no dataset like epoch 0, with ``length`` elements if that is known."""
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(f"{where}: make_epoch must return a tf.data.Dataset; it returned {dataset!r}.")
    try:
        tf.nest.assert_same_structure(spec, dataset.element_spec)
        pairs = zip(tf.nest.flatten(spec), tf.nest.flatten(dataset.element_spec), strict=True)
        alike = all(found.is_subtype_of(expected) for expected, found in pairs)
    except (TypeError, ValueError):
        alike = False
    if not alike:
        raise ValueError(f"{where}: make_epoch returned elements of {dataset.element_spec}, in epoch 0 of {spec}.")
    found = int(dataset.cardinality())
    if length is not None and found not in (length, tf.data.UNKNOWN_CARDINALITY):
        raise ValueError(f"{where}: make_epoch returned {found} batches; epoch 0 had {length} from there on.")
