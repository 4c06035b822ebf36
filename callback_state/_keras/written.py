"""The variables that a function which TensorFlow has compiled writes, without running it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Operations that change a variable begin so; those that only read one do not, but for the last.
_WRITES = ("Assign", "Resource", "RngReadAndSkip", "RngSkip")
_READS = ("ResourceGather",)


def written_by(function: Any) -> list[Any]:
    """The variables of the backend that a concrete function changes, in the functions that it calls too."""
    inside = {id(inner): outer for outer, inner in function.graph.captures}
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    of_input = {key: variables[id(outer)] for key, outer in inside.items() if id(outer) in variables}
    found = {id(variable): variable for variable in _written(function.graph, of_input)}
    return [*found.values()]


def _written(graph: Any, of_input: dict[int, Any]) -> Iterator[Any]:
    """``of_input`` has the variable of each tensor of the graph that is a handle of one, by its ``id``."""
    for operation in graph.get_operations():
        held = [of_input.get(id(tensor)) for tensor in operation.inputs]
        if not any(variable is not None for variable in held):
            continue
        if operation.type.startswith(_WRITES) and not operation.type.startswith(_READS):
            yield from (variable for variable in held[:1] if variable is not None)
        for inner in _called(graph, operation):
            # The last inputs of an operation are those of the functions that it calls: a condition comes first.
            inputs = inner.inputs
            given = held[len(held) - len(inputs) :]
            yield from _written(inner, {id(t): v for t, v in zip(inputs, given, strict=True) if v is not None})


def _called(graph: Any, operation: Any) -> Iterator[Any]:
    """The graphs of the functions that an operation calls."""
    for attribute in operation.op_def.attr:
        if attribute.type in ("func", "list(func)"):
            value = operation.get_attr(attribute.name)
            for named in value if attribute.type == "list(func)" else [value]:
                function = graph._get_function(named.name) if named.name else None
                if function is not None:
                    yield function.graph
