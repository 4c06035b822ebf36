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
from collections.abc import Sequence
from typing import Any

from ..._format.columns import spread
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
    """Makes JSON of the values of one table; the nodes need not be well formed."""

    def __init__(self, nodes: list[Node], entries: Entries | None = None) -> None:
        self._nodes, self._entries = nodes, entries or Entries(())
        self._depth = 0
        #: The paths of the values that were shown, and the short values, by the number of their nodes.
        self._shown: dict[int, str] = {}
        self._short: dict[int, Any] = {}

    def of(self, ref: Ref, path: str) -> Any:
        """Make JSON of the value of a reference; ``path`` is shown where the same value stands again."""
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
        if type(ref) is not tuple:  # a scalar of NumPy that stood in a column
            return leaf("scalar", ref)
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
        try:
            container = self._container(spread(node), path)
        except (ValueError, IndexError) as error:
            raise PlainError(path, f"a {node[0]} that this package cannot have written") from error
        if container is not None:
            return container
        try:
            value = Decoder(Table(self._nodes, (i,))).value()
        except PlainError as error:
            raise PlainError(path, error.message) from error
        found = leaf(node[0], value)
        if len(repr(found)) <= _SHORT:
            self._short[i] = found
        return found

    def _container(self, node: Node, path: str) -> Any:
        """The JSON of a node that contains other values, or is opened only on trust; None for any other kind."""
        kind, items = node[0], node[-1]
        match kind:
            case "list":
                return self._items(items, path)
            case "tuple":
                return {"$type": kind, "items": self._items(items, path)}
            case "set" | "frozenset":
                members = sorted(self._items(items, path), key=lambda item: json.dumps(item, sort_keys=True))
                return {"$type": kind, "items": members}
            case "deque":
                return {"$type": kind, "maxlen": self._of(node[1], path), "items": self._items(node[2], path)}
            case "dict" if all(type(key) is str and not key.startswith("$") for key in items[::2]):
                return {key: self._of(item, f"{path}[{_key(key)}]") for key, item in two_by_two(items)}
            case "dict" | "OrderedDict" | "Counter":
                return {"$type": kind, "items": self._pairs(items, path)}
            case "defaultdict":
                factory = self._of(node[1], f"{path}.default_factory")
                return {"$type": kind, "factory": factory, "items": self._pairs(node[2], path)}
            case "object" | "record" | "callback":
                return {"$type": kind, "class": scalar(node[1]), "fields": self._fields(node[2], path)}
            case "SimpleNamespace":
                return {"$type": kind, "fields": self._fields(items, path)}
            case "variable":
                _, value, group, which = node
                if group is None:
                    return {"$type": kind, "class": scalar(which), "value": self._of(value, path)}
                return {"$type": kind, "of": scalar(group), "index": scalar(which)}
            case "variables":
                return {"$type": kind, "of": scalar(node[1]), "values": self._items(node[2], path)}
            case "tensor":
                return {"$type": kind, "value": self._of(node[1], path)}
            case "reference":
                return {"$type": kind, "to": scalar(node[1])}
            case "code" | "value":
                _, index, what, *_ = node
                return self._entries.shown(scalar(what), index)
        return None

    def _items(self, refs: list[Ref], path: str) -> list[Any]:
        return [self._of(ref, f"{path}[{n}]") for n, ref in enumerate(refs)]

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


class Entries:
    """The entries of the by-value section of one file. Each is looked at once, however many refer to it."""

    def __init__(self, pickles: Sequence[bytes]) -> None:
        self._pickles = pickles
        self._seen: dict[int, tuple[tuple[str, ...], str]] = {}

    def shown(self, what: Any, index: Any) -> dict[str, Any]:
        """Make JSON of an entry."""
        needs, digest = self._look(index) if type(index) is int else _UNKNOWN
        return {"$type": "by value", "what": what, "needs": [*needs], "sha256": digest}

    def _look(self, index: int) -> tuple[tuple[str, ...], str | None]:
        if not 0 <= index < len(self._pickles):
            return _UNKNOWN
        if index not in self._seen:
            data = self._pickles[index]
            self._seen[index] = names_in(data), hashlib.sha256(data).hexdigest()
        return self._seen[index]


_UNKNOWN: tuple[tuple[str, ...], None] = (("?",), None)


def _key(ref: Ref) -> str:
    return repr(ref)[:100] if type(ref) is str else "..." if type(ref) is tuple else str(scalar(ref))[:100]
