"""What is in a ``tf.data`` pipeline, told from its steps without reading it.

A step is a ``tf.data.Dataset``. What it was given, it keeps in private attributes. Where a TensorFlow keeps it in
another place nothing is found, and ``tests/input/test_doubts.py`` fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from .graphs import makes_sloppy, operations_in, parallel_in, static_value

#: The attribute by which data of :mod:`callback_state.data` are known.
PASSES = "_callback_state_passes"
#: In these steps each element comes from one element of the input.
_ONE_TO_ONE = ("_MapDataset", "_ParallelMapDataset", "_OptionsDataset", "_PrefetchDataset")


def is_dataset(data: Any) -> bool:
    """Whether this is a ``tf.data.Dataset``, told without importing TensorFlow."""
    return hasattr(data, "_variant_tensor")


def is_distributed(dataset: Any) -> bool:
    """Whether a strategy distributes the data set; it reads ahead of the training."""
    return hasattr(dataset, "_original_dataset")


def steps_of(dataset: Any, is_end: Callable[[Any], bool] = lambda step: False) -> Iterator[Any]:
    """The steps of a pipeline, also of one that a strategy distributes, each once, from the last to the first.

    Steps before one that ``is_end`` are left out, as always those before data of :mod:`callback_state.data`.
    """
    waiting, seen = [getattr(dataset, "_original_dataset", dataset)], set()
    while waiting:
        step = waiting.pop()
        if id(step) not in seen:
            seen.add(id(step))
            yield step
            if not hasattr(step, PASSES) and not is_end(step):
                waiting += getattr(step, "_inputs", list)()


def functions_of(step: Any) -> list[Any]:
    """The functions that a step calls, as concrete functions of TensorFlow."""
    return [wrapper.function for wrapper in getattr(step, "_functions", list)()]


def functions_in_threads(step: Any) -> list[Any]:
    """The functions that a step, or a dataset made in it, calls in several threads."""
    functions = functions_of(step)
    parallel = parallel_in(operations_in(functions))
    runs_parallel = hasattr(step, "_num_parallel_calls") and static_value(step._num_parallel_calls) != 1
    return [*parallel, *functions] if runs_parallel else parallel


def where(step: Any) -> str:
    """The line of the user's script that made a step, as far as it is known: ``map(augment, train.py:12)``."""
    name = type(step).__name__.strip("_").removesuffix("Dataset").removeprefix("Parallel")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    size = static_value(getattr(step, "_buffer_size", None))
    if size is not None:
        return f"{name}({size})"
    for wrapper in getattr(step, "_functions", list)():
        code = getattr(getattr(wrapper, "_func", None), "__code__", None)
        if code is not None:
            return f"{name}({code.co_name}, {os.path.basename(code.co_filename)}:{code.co_firstlineno})"
    return f"{name}()"


# Order and seeds.


def runs_in_order() -> bool:
    """Whether TensorFlow runs every pipeline in order, whatever the pipeline says."""
    from tensorflow.python.framework import config

    return bool(config.is_op_determinism_enabled())


def pipeline_is_sloppy(dataset: Any) -> bool:
    """Whether the options of a pipeline say ``deterministic=False``."""
    original = next(steps_of(dataset))
    return hasattr(original, "options") and original.options().deterministic is False


def is_sloppy(step: Any) -> bool:
    """Whether a step, or a dataset made in it, was made with ``deterministic=False``."""
    return _is_sloppy(step) or any(map(makes_sloppy, operations_in(functions_of(step))))


def _is_sloppy(step: Any) -> bool:
    if type(step).__name__ != "_ParallelInterleaveDataset":
        return getattr(step, "_deterministic", None) == "false"
    # This step does not keep what it was given, but writes it into a graph, with everything that it reads.
    import tensorflow
    from tensorflow.core.framework import graph_pb2

    if _size(step) > 1_000_000:
        return False
    ignored = tensorflow.data.experimental.ExternalStatePolicy.IGNORE
    try:
        written = step._as_serialized_graph(external_state_policy=ignored).numpy()
    except tensorflow.errors.OpError:  # something in it cannot be written
        return False
    nodes = graph_pb2.GraphDef.FromString(written).node
    made = [node.attr["deterministic"].s for node in nodes if node.op.startswith("ParallelInterleaveDataset")]
    return made[-1:] == [b"false"]


def _size(step: Any) -> int:
    """How many numbers or strings a pipeline itself holds, without those that it reads."""
    tensors = [t for inner in steps_of(step) for t in getattr(inner, "_tensors", ())]
    tensors += [t for inner in steps_of(step) for f in functions_of(inner) for t in f.captured_inputs]
    return sum(t.shape.num_elements() or 0 for t in tensors)


def has_no_seed(step: Any) -> bool:
    """Whether a step shuffles or samples without a seed: TensorFlow writes that as the seeds 0, 0."""
    return bool(static_value(getattr(step, "_seed", None)) == 0 == static_value(getattr(step, "_seed2", None)))


def reshuffles(dataset: Any) -> bool:
    """Whether each iterator over a pipeline has an order of its own."""
    return any(getattr(step, "_reshuffle_each_iteration", False) for step in steps_of(dataset))


def may_move(step: Any) -> bool:
    """Whether each iterator over a step may have another order."""
    reshuffled = getattr(step, "_reshuffle_each_iteration", False) is not False  # None: the default, which does
    return reshuffled or bool(getattr(step, "_rerandomize", False)) or hasattr(step, PASSES)


def repeats_shuffled(dataset: Any) -> bool:
    """Whether one iterator over a pipeline goes through several orders of a shuffle."""
    return any("Repeat" in type(step).__name__ and reshuffles(step) for step in steps_of(dataset))


def is_endless(step: Any) -> bool:
    """Whether a step repeats for ever: there is one iterator, which a resumed run reads from its beginning."""
    return type(step).__name__ == "_RepeatDataset" and static_value(getattr(step, "_count", None)) == -1


def caches_in_memory(step: Any) -> bool:
    """Whether a step is a cache that ends with the process; a cache in a file does not."""
    return type(step).__name__ == "CacheDataset" and static_value(getattr(step, "_filename", None)) == b""


def keeps_order(step: Any) -> bool:
    """Whether each element of a step is made of the input's element of that number, and of nothing else."""
    if type(step).__name__ not in _ONE_TO_ONE:
        return False
    return not any(operation.op_def.is_stateful for operation in operations_in(functions_of(step)))
