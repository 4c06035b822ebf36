"""Values in a table of nodes, as JSON. They are read from the nodes; no class is looked up, no object is built.

None, truth values, numbers, texts, lists, and dicts whose keys are texts stand for themselves. Everything else
is an object with its kind under ``"$type"``:

    {"$type": "tuple", "items": [...]}; likewise "set", "frozenset", "deque"
    {"$type": "dict", "items": [[key, value], ...]} if a key is no text; "OrderedDict", "Counter", "defaultdict"
    {"$type": "object", "class": "package.Class", "fields": {...}}; "record" is an enum's member or a named tuple
    {"$type": "array", "dtype": ..., "shape": [...], "min": ..., "max": ..., "mean": ..., "sha256": ...}
    {"$type": "by value", "what": ..., "needs": [full names], "sha256": ...}: opened only on trust
    {"$type": "same", "as": "path"}: the same object as the one at that path
    {"$type": "deeper"}: nested too deep to be shown
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ..._format.decode import Decoder
from ..._format.encode import Encoder
from ..._format.limits import check_work
from ..._format.opener import names_in
from ..._format.table import STORED, Node, PlainError, Ref, Table, check_depth, order, two_by_two
from .leaves import leaf, scalar

#: Values nested deeper than this are not shown.
MAX_DEPTH = 50
#: The most characters of a path: a file may refer to one value very often.
_PATH = 300
#: A leaf with at most so many characters is repeated where it is shared.
_SHORT = 100


def view(value: Any) -> Any:
    """Make JSON of a plain value. Raises PlainError."""
    table = Encoder().table(value)
    return Viewer(table.nodes).of(table.root, "")


class Viewer:
    """Makes JSON of the values of one table.

    Args:
        nodes: the nodes, which need not be well formed.
        pickles: the by-value section.
    """

    def __init__(self, nodes: list[Node], pickles: Sequence[bytes] = ()) -> None:
        self._nodes, self._pickles = nodes, pickles
        self._depth = 0
        #: The paths of the values that were shown, and the short values, by the number of their nodes.
        self._shown: dict[int, str] = {}
        self._short: dict[int, Any] = {}

    def of(self, ref: Ref, path: str) -> Any:
        """Make JSON of the value of a reference.

        Args:
            ref: a reference of the table.
            path: the name of the value, which is shown where the same value stands again.

        Raises:
            PlainError: the nodes are not well formed.
        """
        self._check(ref, path)
        return self._of(ref, path)

    def states(self, root: Ref) -> dict[str, dict[str, Any]]:
        """The attributes of each callback, by its key, of a table whose root holds the states of the callbacks."""
        self._check(root, "")
        nodes = self._nodes
        keyed = two_by_two(nodes[root[0]][1])
        return {
            key: {name: self._of(item, f"{key:.100}.{name:.100}") for name, item in two_by_two(nodes[ref[0]][1])}
            for key, ref in keyed
        }

    def _check(self, ref: Ref, path: str) -> None:
        reached = order(Table(self._nodes, ref))
        check_depth(self._nodes, reached, path)
        check_work(self._nodes, reached, path)

    def _of(self, ref: Ref, path: str) -> Any:
        if type(ref) in STORED:
            return scalar(ref)
        (i,) = ref
        if i in self._short:
            return self._short[i]
        if i in self._shown:
            return {"$type": "same", "as": self._shown[i]}
        if self._depth == MAX_DEPTH:
            return {"$type": "deeper"}
        self._shown[i] = path[:_PATH]
        self._depth += 1
        try:
            return self._node(i, path)
        finally:
            self._depth -= 1

    def _node(self, i: int, path: str) -> Any:
        node = self._nodes[i]
        show = _CONTAINERS.get(node[0])
        if show is not None:
            try:
                return show(self, node, path)
            except (ValueError, IndexError) as error:
                raise PlainError(path, f"a {node[0]} that this package cannot have written") from error
        found = leaf(node[0], self._decoded(i, path))
        if len(repr(found)) <= _SHORT:
            self._short[i] = found
        return found

    def _decoded(self, i: int, path: str) -> Any:
        try:
            return Decoder(Table(self._nodes, (i,))).value()
        except PlainError as error:
            raise PlainError(path, error.message) from error

    def _items(self, refs: list[Ref], path: str) -> list[Any]:
        return [self._of(ref, f"{path}[{n}]") for n, ref in enumerate(refs)]

    def _members(self, node: Node, path: str) -> list[Any]:
        return sorted(self._items(node[-1], path), key=lambda item: json.dumps(item, sort_keys=True))

    def _pairs(self, flat: list[Ref], path: str) -> list[list[Any]]:
        return [
            [self._of(key, f"{path} key"), self._of(item, f"{path}[{_key(key)}]")]
            for key, item in two_by_two(flat)
        ]

    def _fields(self, flat: list[Ref], path: str) -> dict[str, Any]:
        """Named items. This package writes no other keys there."""
        found = {}
        for name, item in two_by_two(flat):
            if type(name) is not str:
                raise PlainError(path, f"{_key(name)} is not an attribute")
            found[name] = self._of(item, f"{path}.{name:.100}".lstrip("."))
        return found

    def _dict(self, node: Node, path: str) -> Any:
        keys = node[-1][::2]
        if all(type(key) is str and not key.startswith("$") for key in keys):
            return {key: self._of(item, f"{path}[{_key(key)}]") for key, item in two_by_two(node[-1])}
        return {"$type": "dict", "items": self._pairs(node[-1], path)}

    def _deque(self, node: Node, path: str) -> Any:
        return {"$type": "deque", "maxlen": self._of(node[1], path), "items": self._items(node[2], path)}

    def _defaultdict(self, node: Node, path: str) -> Any:
        factory = self._of(node[1], f"{path}.default_factory")
        return {"$type": "defaultdict", "factory": factory, "items": self._pairs(node[2], path)}

    def _variable(self, node: Node, path: str) -> Any:
        _, value, group, which = node
        if group is None:
            return {"$type": "variable", "class": scalar(which), "value": self._of(value, path)}
        return {"$type": "variable", "of": scalar(group), "index": scalar(which)}

    def _by_value(self, node: Node, path: str) -> Any:
        _, index, what, _ = node
        return by_value(scalar(what), index, self._pickles)


def by_value(what: Any, index: Any, pickles: Sequence[bytes]) -> dict[str, Any]:
    """Make JSON of an entry of the by-value section."""
    there = type(index) is int and 0 <= index < len(pickles)
    needs = names_in(pickles[index]) if there else ("?",)
    digest = hashlib.sha256(pickles[index]).hexdigest() if there else None
    return {"$type": "by value", "what": what, "needs": [*needs], "sha256": digest}


def _key(ref: Ref) -> str:
    return repr(ref)[:100] if type(ref) is str else "..." if type(ref) is tuple else str(scalar(ref))[:100]


def _listed(kind: str) -> Callable[[Viewer, Node, str], Any]:
    return lambda v, node, path: {"$type": kind, "items": v._items(node[-1], path)}


def _set(kind: str) -> Callable[[Viewer, Node, str], Any]:
    return lambda v, node, path: {"$type": kind, "items": v._members(node, path)}


def _mapping(kind: str) -> Callable[[Viewer, Node, str], Any]:
    return lambda v, node, path: {"$type": kind, "items": v._pairs(node[-1], path)}


def _object(kind: str) -> Callable[[Viewer, Node, str], Any]:
    return lambda v, node, path: {"$type": kind, "class": scalar(node[1]), "fields": v._fields(node[2], path)}


_CONTAINERS: dict[str, Callable[[Viewer, Node, str], Any]] = {
    "list": lambda v, node, path: v._items(node[-1], path),
    "tuple": _listed("tuple"),
    "set": _set("set"),
    "frozenset": _set("frozenset"),
    "deque": Viewer._deque,
    "dict": Viewer._dict,
    "OrderedDict": _mapping("OrderedDict"),
    "Counter": _mapping("Counter"),
    "defaultdict": Viewer._defaultdict,
    "object": _object("object"),
    "record": _object("record"),
    "SimpleNamespace": lambda v, node, path: {"$type": "SimpleNamespace", "fields": v._fields(node[-1], path)},
    "callback": _object("callback"),
    "variable": Viewer._variable,
    "tensor": lambda v, node, path: {"$type": "tensor", "value": v._of(node[1], path)},
    "variables": lambda v, node, path: {
        "$type": "variables",
        "of": scalar(node[1]),
        "values": v._items(node[2], path),
    },
    "reference": lambda v, node, path: {"$type": "reference", "to": scalar(node[1])},
    "code": Viewer._by_value,
    "value": Viewer._by_value,
}
