"""The numbers among the attributes of callbacks in a state file. No object is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..._checkpoints.names import LEDGER
from ..._checkpoints.snapshot import Snapshot
from ..._format.columns import count_of, spread
from ..._format.decode import Decoder
from ..._format.table import Node, PlainError, Ref, Table, two_by_two

#: The most elements of an array that count as numbers, and the most bytes of such an array.
_ELEMENTS, _LARGEST = 8, 128
#: Larger dicts and objects are not searched for numbers.
_FEW = 32
_NAMED = ("dict", "OrderedDict", "defaultdict", "Counter", "object", "record", "SimpleNamespace")


def numbers_of(snapshot: Snapshot) -> dict[str, dict[str, float]]:
    """The numeric attributes of each callback, by its key.

    Each element of a small array or variable is a number too (``"means[2]"``; a single element has only the name
    of the attribute), and so is a number in a small dict or object (``"window.size"``). Truth values are 0.0 and
    1.0; a number that is too large for a float is infinite.
    """
    nodes = snapshot.state.nodes
    found = {key: _shown(nodes, dict(_items(nodes, ref))) for key, ref in _items(nodes, snapshot.state.root)}
    return {key: dict(_numbers(nodes, attributes)) for key, attributes in found.items()}


def _shown(nodes: list[Node], attributes: dict[str, Ref]) -> dict[str, Ref]:
    """Leave out how a checkpoint callback of this package, which has a ledger, keeps its files."""
    ledgers = {name for name, ref in attributes.items() if _node(nodes, ref)[:2] == ("object", LEDGER)}
    hidden = {*ledgers, *(name for name in attributes if ledgers and name.startswith("_"))}
    return {name: ref for name, ref in attributes.items() if name not in hidden}


def _numbers(nodes: list[Node], attributes: dict[str, Ref]) -> Iterator[tuple[str, float]]:
    for name, item in attributes.items():
        inner = _items(nodes, item) if _node(nodes, item)[0] in _NAMED else []
        named = [(f"{name}.{part}", value) for part, value in inner[: _FEW + 1] if len(inner) <= _FEW]
        for path, value in [(name, item), *named]:
            yield from ((f"{path}{index}", number) for index, number in _elements(nodes, value))


def _items(nodes: list[Node], ref: Ref) -> list[tuple[str, Ref]]:
    node = _node(nodes, ref)
    try:
        flat = spread(node)[-1] if count_of(node) <= _FEW else None
    except PlainError:
        return []
    if type(flat) is not list or len(flat) % 2:
        return []
    return [(name, item) for name, item in two_by_two(flat) if type(name) is str]


def _node(nodes: list[Node], ref: Ref) -> Node:
    """The node of a reference; an empty node for anything else, as the file need not be well formed."""
    match ref:
        case (int(i),) if 0 <= i < len(nodes) and type(nodes[i]) is tuple:
            return nodes[i]
    return ("",)


def _elements(nodes: list[Node], ref: Ref) -> Iterator[tuple[str, float]]:
    """Yield (index, number) for the elements of a small array; a single number has no index."""
    value = _value(nodes, ref)
    if 1 < getattr(value, "size", 0) <= _ELEMENTS and value.dtype.kind in "biuf":
        import numpy

        yield from ((str([*place]), float(number)) for place, number in numpy.ndenumerate(value))
    elif (number := number_of(value)) is not None:
        yield "", number


def _value(nodes: list[Node], ref: Ref) -> Any:
    """Decode a plain or small value; a larger array is not decoded."""
    match _node(nodes, ref):
        case ("variable" | "tensor", inner, *_):
            ref = inner
    match _node(nodes, ref):
        case ("array", _, _, _, data, _) | ("scalar", _, data) | ("int", data):
            few = type(data) in (bytes, memoryview) and len(data) <= _LARGEST
            return _decoded(nodes, ref) if few else None
    return ref


def _decoded(nodes: list[Node], ref: Ref) -> Any:
    try:
        return Decoder(Table(nodes, ref)).value()
    except PlainError:
        return None


def number_of(value: Any) -> float | None:
    """A number as a float, also a NumPy number or an array of one element; None for anything else."""
    if getattr(value, "size", 0) == 1:
        value = value.item()
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
