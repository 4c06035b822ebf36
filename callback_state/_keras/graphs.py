"""What is in the functions that TensorFlow has compiled, without running them.

A function is a ``ConcreteFunction``, an operation a node of its graph. Graphs are read in place: a protocol buffer
would be a copy, and that of a large model does not fit into one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any

#: The attribute of a ``tf.function`` with its concrete functions. Its method that lists them may trace one more.
_MADE = "_function_cache"


def compiled(function: Any) -> list[Any]:
    """The concrete functions of the outermost ``tf.function`` that a Python function has called."""
    made = (list(getattr(found, _MADE, {}).values()) for found in _within(function))
    return next(filter(None, made), [])


def outermost(function: Any) -> Any:
    """The outermost ``tf.function`` that a Python function calls, whether it has been called or not; or None."""
    return next((found for found in _within(function) if hasattr(found, "get_concrete_function")), None)


def _within(function: Any) -> Iterator[Any]:
    """A function, and all functions in its closure and in theirs, each once, the outermost first."""
    waiting, seen = [function], {id(function)}
    for found in waiting:  # grows meanwhile
        yield found
        for inner in _enclosed(getattr(found, "python_function", found)):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)


def _enclosed(function: Any) -> list[Any]:
    """The functions that a Python function has in its closure."""
    if not isinstance(function, FunctionType):
        return []
    values = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # nothing has been assigned to the name yet
            values.append(cell.cell_contents)
    return [v for v in values if isinstance(v, FunctionType) or hasattr(v, _MADE)]


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


def operations_in(functions: list[Any]) -> list[Any]:
    """The operations of several functions."""
    return [operation for function in functions for operation in operations_of(function)]


def random_in(operations: list[Any]) -> list[Any]:
    """The operations that draw random numbers and have a counter of their own, with a seed or without."""
    of_type: dict[str, list[Any]] = {}
    for operation in operations:
        of_type.setdefault(operation.type, []).append(operation)
    found: list[Any] = []
    for alike in of_type.values():
        attributes = {attribute.name for attribute in alike[0].op_def.attr}
        if alike[0].op_def.is_stateful and attributes >= {"seed", "seed2"}:
            # A recurrent layer on a GPU is one operation, which may have dropout; Keras uses it without.
            found += [o for o in alike if "dropout" not in attributes or o.get_attr("dropout")]
    return found


def is_unseeded(operation: Any) -> bool:
    """Whether an operation, or the dataset that it makes, has no seed: TensorFlow writes the seeds 0, 0."""
    definition = operation.op_def
    if {attribute.name for attribute in definition.attr} >= {"seed", "seed2"}:
        return bool(operation.get_attr("seed") == operation.get_attr("seed2") == 0)
    names = [argument.name for argument in definition.input_arg]
    seeds = [static_value(operation.inputs[names.index(n)]) for n in ("seed", "seed2") if n in names]
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
        parallel = (
            arguments and arguments[-1].name == "num_parallel_calls" and static_value(operation.inputs[-1]) != 1
        )
        if parallel and "f" in [attribute.name for attribute in operation.op_def.attr]:
            found.append(operation.graph._get_function(operation.get_attr("f").name))
    return found


def holds(function: Any, variable: Any) -> bool:
    """Whether the function reads or writes a variable of Keras or of TensorFlow."""
    handle = getattr(getattr(variable, "value", variable), "handle", getattr(variable, "handle", None))
    return handle is not None and any(captured is handle for captured in function.captured_inputs)


def static_value(tensor: Any) -> Any:
    """The value of a tensor that is known without computing it; None if there is none."""
    import tensorflow

    return None if tensor is None else tensorflow.get_static_value(tensor)
