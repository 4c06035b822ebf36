"""What is in the functions that TensorFlow has compiled, and in the steps of its pipelines, without running them.

A function is a concrete function of TensorFlow's, an operation a node of its graph, a step a ``tf.data.Dataset``.
Graphs are read in place: as protocol buffers they would be copied, and those of large models do not fit into one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any

__all__ = [
    "compiled",
    "functions_of",
    "holds",
    "is_pure",
    "is_sloppy",
    "is_unseeded",
    "makes_sloppy",
    "operations_of",
    "outermost",
    "parallel_in",
    "random_in",
    "repeats_shuffled",
    "reshuffles",
    "steps_of",
    "value_of",
    "where",
]

Test = Callable[[Any], bool]
#: Where a ``tf.function`` has what was made of it; its method that lists them may trace one more.
_MADE = "_function_cache"


def compiled(function: Any) -> list[Any]:
    """The functions made of a Python function: of the outermost ``tf.function`` that was called."""
    waiting, seen = [function], {id(function)}
    while waiting:
        found = waiting.pop(0)
        made = list(getattr(found, _MADE, {}).values())
        if made:
            return made
        for inner in _enclosed(getattr(found, "python_function", found)):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    return []


def outermost(function: Any) -> list[Any]:
    """The outermost ``tf.function`` that a Python function calls, whether it has been called or not."""
    waiting = [function]
    while waiting:
        found = [f for f in waiting if hasattr(f, "get_concrete_function")]
        if found:
            return found[:1]
        waiting = [inner for f in waiting for inner in _enclosed(f)]
    return []


def _enclosed(function: Any) -> list[Any]:
    """The functions that a Python function has in its closure."""
    if not isinstance(function, FunctionType):
        return []
    values = [_content(cell) for cell in function.__closure__ or ()]
    return [v for v in values if isinstance(v, FunctionType) or hasattr(v, _MADE)]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing has been assigned to the name yet
        return None


def operations_of(function: Any) -> Iterator[Any]:
    """The operations of a function, and of all functions that it may call, each function once."""
    waiting, seen = [function], {""}
    while waiting:
        graph = getattr(waiting.pop(), "graph", None)
        if graph is not None:
            yield from graph.get_operations()
            inner = {name: f for name, f in getattr(graph, "_functions", {}).items() if name not in seen}
            seen.update(inner)
            waiting += inner.values()


def random_in(operations: list[Any]) -> list[Any]:
    """Those of the operations that draw from a counter of their own, seeded or not."""
    of_type: dict[str, list[Any]] = {}
    for operation in operations:
        of_type.setdefault(operation.type, []).append(operation)
    found: list[Any] = []
    for alike in of_type.values():
        attributes = {attribute.name for attribute in alike[0].op_def.attr}
        if alike[0].op_def.is_stateful and attributes >= {"seed", "seed2"}:
            # A recurrent layer on a GPU is one operation that could have dropout; Keras's has none.
            found += [o for o in alike if "dropout" not in attributes or o.get_attr("dropout")]
    return found


def is_unseeded(operation: Any) -> bool:
    """Whether an operation, or a dataset that it makes, draws seeds of its own: TensorFlow writes that as 0, 0."""
    definition = operation.op_def
    if {attribute.name for attribute in definition.attr} >= {"seed", "seed2"}:
        return bool(operation.get_attr("seed") == operation.get_attr("seed2") == 0)
    names = [argument.name for argument in definition.input_arg]
    seeds = [value_of(operation.inputs[names.index(n)]) for n in ("seed", "seed2") if n in names]
    return seeds == [0, 0]


def makes_sloppy(operation: Any) -> bool:
    """Whether the operation makes a dataset with ``deterministic=False``."""
    attributes = [attribute.name for attribute in operation.op_def.attr]
    return "deterministic" in attributes and operation.get_attr("deterministic") == b"false"


def parallel_in(operations: list[Any]) -> list[Any]:
    """The functions that datasets made by these operations call in several threads."""
    found = []
    for operation in operations:
        arguments = operation.op_def.input_arg
        parallel = arguments and arguments[-1].name == "num_parallel_calls" and value_of(operation.inputs[-1]) != 1
        if parallel and "f" in [attribute.name for attribute in operation.op_def.attr]:
            found.append(operation.graph._get_function(operation.get_attr("f").name))
    return found


def holds(function: Any, variable: Any) -> bool:
    """Whether the function reads or writes a variable, of Keras or TensorFlow."""
    handle = getattr(getattr(variable, "value", variable), "handle", getattr(variable, "handle", None))
    return handle is not None and any(captured is handle for captured in function.captured_inputs)


def value_of(tensor: Any) -> Any:
    """The value of a tensor, None if it is not known before it is computed."""
    import tensorflow

    return None if tensor is None else tensorflow.get_static_value(tensor)


# The steps of a pipeline.


def steps_of(dataset: Any, is_end: Test = lambda step: False) -> Iterator[Any]:
    """The steps of a pipeline, each once, from the last to the first.

    Args:
        dataset: a ``tf.data.Dataset``, or one that a strategy distributes.
        is_end: what is behind such a step is left out, as it always is behind data of :mod:`callback_state.data`.
    """
    waiting, seen = [getattr(dataset, "_original_dataset", dataset)], set()
    while waiting:
        step = waiting.pop()
        if id(step) not in seen:
            seen.add(id(step))
            yield step
            if not hasattr(step, "_callback_state_passes") and not is_end(step):
                waiting += getattr(step, "_inputs", list)()


def functions_of(step: Any) -> list[Any]:
    """The functions that a step of a pipeline calls."""
    return [wrapper.function for wrapper in getattr(step, "_functions", list)()]


def is_sloppy(step: Any) -> bool:
    """Whether the step was made with ``deterministic=False``."""
    if type(step).__name__ != "_ParallelInterleaveDataset":
        return getattr(step, "_deterministic", None) == "false"
    # This one does not remember what it was given, but writes it into a graph, with everything that it reads.
    import tensorflow
    from tensorflow.core.framework import graph_pb2

    if _size(step) > 1_000_000:
        return False
    ignored = tensorflow.data.experimental.ExternalStatePolicy.IGNORE
    try:
        written = step._as_serialized_graph(external_state_policy=ignored).numpy()
    except tensorflow.errors.OpError:  # there is something in it that cannot be written
        return False
    nodes = graph_pb2.GraphDef.FromString(written).node
    made = [node.attr["deterministic"].s for node in nodes if node.op.startswith("ParallelInterleaveDataset")]
    return made[-1:] == [b"false"]


def _size(step: Any) -> int:
    """How many numbers or strings are in a pipeline itself, not in what it reads."""
    tensors = [t for inner in steps_of(step) for t in getattr(inner, "_tensors", ())]
    tensors += [t for inner in steps_of(step) for f in functions_of(inner) for t in f.captured_inputs]
    return sum(t.shape.num_elements() or 0 for t in tensors)


def where(step: Any) -> str:
    """What the user wrote for a step, as far as it can be told: ``map(augment, train.py:12)``."""
    name = type(step).__name__.strip("_").removesuffix("Dataset").removeprefix("Parallel")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    size = value_of(getattr(step, "_buffer_size", None))
    if size is not None:
        return f"{name}({size})"
    for wrapper in getattr(step, "_functions", list)():
        code = getattr(getattr(wrapper, "_func", None), "__code__", None)
        if code is not None:
            return f"{name}({code.co_name}, {os.path.basename(code.co_filename)}:{code.co_firstlineno})"
    return f"{name}()"


def is_pure(step: Any) -> bool:
    """Whether what a step of a pipeline makes of an element follows from that element alone."""
    return not any(op.op_def.is_stateful for function in functions_of(step) for op in operations_of(function))


def repeats_shuffled(dataset: Any) -> bool:
    """Whether one iterator of a pipeline goes through several orders of a shuffle."""
    return any("Repeat" in type(step).__name__ and reshuffles(step) for step in steps_of(dataset))


def reshuffles(dataset: Any) -> bool:
    """Whether a pipeline gives each of its iterators an order of its own."""
    return any(getattr(step, "_reshuffle_each_iteration", False) for step in steps_of(dataset))
