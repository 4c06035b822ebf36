"""Containers that a callback may share with others, such as the data: what is restored goes into the live object.

A callback that changes a list in place, which a data set reads too, must find the data set's list again. One that
binds a new list at each step must not change the list of the data set. A save notes which of the two it is:
whether an attribute still holds the very object that it held when training began.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from .._format.classes import attributes
from .._format.decode import Decoder
from .._format.encode import FACTORIES
from .._format.refill import CONTAINERS, is_array, is_container, one_to_one
from .._format.table import MISSING, Node, Table
from .arguments import describe
from .capture import BASE
from .stateful import registration_of
from .stock import adapter_of


class Held:
    """The containers that the attributes of callbacks hold when training begins; they are kept alive."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self._held = {id(c): (c, {n: v for n, v in attributes(c).items() if _is_noted(n, v)}) for c in callbacks}

    def names(self, callback: Any, among: Container[str]) -> list[str]:
        """The attributes of these names that still hold the same container; the others are forgotten."""
        _, held = self._held.get(id(callback), (None, {}))
        now = attributes(callback)
        for name in [name for name, value in held.items() if now.get(name, MISSING) is not value]:
            del held[name]
        return [name for name in held if name in among]

    def among(self, objects: Iterable[Any]) -> dict[str, Any]:
        """The containers that are among these objects, by ``Class.attribute``."""
        ids = {id(item) for item in objects}
        return {
            f"{type(callback).__name__}.{name}": value
            for callback, held in self._held.values()
            for name, value in held.items()
            if id(value) in ids
        }


def looks_at_state(callback: Any, key: str, versions: Mapping[str, int] | None) -> bool:
    """Whether a function gets the decoded state: it must see the stored values, not the live containers.

    ``versions`` has those of the stored states by key; None if the state was taken in this process.
    """
    registration, (adapter, _) = registration_of(type(callback)), adapter_of(type(callback))
    if adapter is not None and adapter.accept is not None:
        return True
    return registration is not None and versions is not None and versions.get(key, 1) != registration.version


def _is_noted(name: str, value: Any) -> bool:
    return name not in BASE and is_container(value)


def live_places(
    table: Table, refs: Mapping[str, Mapping[str, Any]], live: Any, in_place: Mapping[str, Container[str]]
) -> dict[int, Any]:
    """The nodes of a table whose value is put into a live container, and that container.

    ``refs`` has the references of the attributes by key, and ``live`` the live values. ``in_place`` has the names
    of the attributes that held one object from the beginning of the training to the save.
    """
    found = one_to_one(
        (ref[0], live[key].get(name))
        for key, of_key in refs.items()
        for name, ref in of_key.items()
        if type(ref) is tuple and name in in_place.get(key, ())
    )
    return {i: value for i, value in found.items() if _fits(table, table.nodes[i], value)}


def _fits(table: Table, node: Node, value: Any) -> bool:
    """Whether a live container differs from the value of a node in nothing but its content."""
    match node:
        case ("array", described, shape, _, _, True) if is_array(value):
            dtype = Decoder(Table([*table.nodes, ("dtype", described)], (len(table.nodes),))).value()
            return bool(value.dtype == dtype and value.shape == Decoder(Table(table.nodes, shape)).value())
        case (kind, *rest, list() | tuple()) if type(value) is CONTAINERS.get(kind):
            if kind == "deque":
                return bool(value.maxlen == rest[0])
            return kind != "defaultdict" or _is_factory(table, rest[0], value.default_factory)
    return False


def _is_factory(table: Table, ref: Any, live: Any) -> bool:
    """Whether a live factory is the stored one. A function of the script is known by its name."""
    if type(ref) is not tuple:
        return live is None if ref is None else live is FACTORIES.get(ref)
    match table.nodes[ref[0]]:
        case ("code", _, name, *_) if callable(live):
            return str(name).rpartition(".")[2] == describe(live).rpartition(".")[2]
    return False
