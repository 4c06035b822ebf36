"""The states of callbacks in a table, before they are decoded: which are read, and what of them cannot be made."""

from __future__ import annotations

from typing import Any

from .._format.table import Node, PlainError, Table, order, two_by_two
from ..exceptions import RestoreError
from .capture import excluded_of
from .stateful import registration_of


def left_out(callback: Any, version: int) -> frozenset[str]:
    registration = registration_of(type(callback))
    if registration is not None and registration.migrate is not None and registration.version != version:
        return frozenset()
    return excluded_of(callback)


def only(table: Table, out: dict[str, frozenset[str]]) -> tuple[Table, dict[str, dict[str, Any]]]:
    """The part of a table of states that belongs to some keys, and {key: {attribute: reference}}.

    ``out`` has the attributes that are left out, by key. The states of other keys are not read.
    """
    kept = {}
    nodes = [*table.nodes]
    for key, ref in _pairs(table, table.root).items():
        if type(key) is str and key in out:
            kept[key] = {name: item for name, item in _pairs(table, ref).items() if name not in out[key]}
            nodes.append(("dict", [x for pair in kept[key].items() for x in pair]))
    first = len(table.nodes)
    nodes.append(("dict", [x for n, key in enumerate(kept, first) for x in (key, (n,))]))
    return Table(nodes, (len(nodes) - 1,)), kept


def _pairs(table: Table, ref: Any) -> dict[Any, Any]:
    order(Table(table.nodes, ref))
    if not isinstance(ref, tuple) or table.nodes[ref[0]][0] != "dict":
        raise PlainError("", "not a table of states")
    return dict(two_by_two(table.nodes[ref[0]][1]))


def is_absent(table: Table, ref: Any, absent: set[int], what: str) -> bool:
    """Whether a value is made only of code or parts of a model that do not exist yet; RestoreError if partly."""
    reached = order(Table(table.nodes, ref)) if absent else []
    if absent.isdisjoint(reached):
        return False
    if all(_is_of_parts(table.nodes[i]) for i in reached):
        return True
    raise RestoreError(
        f"{what} holds parts of the model that do not exist yet, together with other state. Make these parts in "
        f"the constructor, or keep the two in different attributes."
    )


def _is_of_parts(node: Node) -> bool:
    """Whether a node is code or a part of the model, or holds nothing else."""
    match node:
        case ("reference" | "code", *_) | ("value", _, _, _, True):
            return True
        case ("list" | "tuple" | "set" | "deque", *_, list(items)):
            return all(isinstance(item, tuple) for item in items)
        case ("dict" | "OrderedDict", list(items)):
            return all(isinstance(item, tuple) for _, item in two_by_two(items))
    return False
