"""Values to a flat table of plain nodes, and back.

A *table* is a list of nodes. A node is a tuple: its kind, then scalars, bytes and *references*. A
reference is a scalar that stands for itself, or ``(i,)``, the value of node ``i``. So the pickle that
holds a table holds only tuples, lists and scalars, however the values are nested, shared or cyclic:

    a = [1.5]; encode({"x": a, "y": a})
    ->  nodes [("dict", ["x", (1,), "y", (1,)]), ("list", [1.5])],  root (0,)

What is not plain (a variable, a lambda) is for the *fallback* of the encoder, which returns a node of a
kind of its own, and for the *builders* of the decoder, one per such kind. A decoder is also shown the
value that stands in the place now (``live``): what cannot be made from data, such as a variable or a
class, is found there by its path.

Not kept: that two arrays view the same memory; what an array subclass adds (such arrays are not plain).
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from . import _kinds

__all__ = ["MISSING", "Encoder", "PlainError", "Table", "class_name", "same"]

SCALARS = frozenset({type(None), bool, int, float, str, bytes})
FACTORIES: dict[str, Any] = {
    t.__name__: t for t in (list, dict, set, int, float, str, tuple, bool, deque, Counter)
}
#: Immutable values are built by recursion; more levels than this are refused on both ways.
MAX_DEPTH = 100
IMMUTABLE = frozenset({"tuple", "frozenset", "record"})
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()

#: Marks a plain class that was given to ``@stateful``.
PLAIN = "_callback_state_plain"

Ref = Any
Node = tuple[Any, ...]
Fallback = Callable[["Encoder", Any, str], Node]


class PlainError(ValueError):
    """A value that is not plain, or a table that no encoder wrote; ``path`` says where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path or 'value'}: {self.message}"


@dataclasses.dataclass
class Table:
    """Nodes, and the reference of the value that they stand for."""

    nodes: list[Node]
    root: Ref

    def to_tree(self) -> list[Any]:
        return [self.nodes, self.root]

    @classmethod
    def from_tree(cls, tree: Any) -> Table:
        match tree:
            case [list(nodes), root] if all(isinstance(n, tuple) and n for n in nodes):
                return cls(nodes, root)
        raise PlainError("", "not a table of nodes")


def class_name(cls: type) -> str:
    """The name under which a class is stored: ``package.module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _refuse(encoder: Encoder, value: Any, path: str) -> Node:
    raise PlainError(path, f"{class_name(type(value))} is not a plain kind")


class Encoder:
    """Turns values into one table; values that several of them share are stored once.

    Args:
        fallback: called with (encoder, value, path) for a value that is not plain; returns its node or
            raises. By default it raises :class:`PlainError`.
        canonical: order sets, so that equal values have equal tables (for comparisons only: the
            order of a restored set follows its iteration order).
    """

    def __init__(self, fallback: Fallback = _refuse, *, canonical: bool = False) -> None:
        self.nodes: list[Any] = []
        self._fallback = fallback
        self._canonical = canonical
        self._index: dict[int, int] = {}
        #: Every value that has a node; an id is only a name as long as its object lives.
        self.seen: list[Any] = []
        self._todo: list[tuple[int, Any, str]] = []

    def table(self, value: Any, path: str = "") -> Table:
        """The table of ``value``; ``path`` is what errors call it."""
        root = self.ref(value, path)
        while self._todo:
            i, item, where = self._todo.pop()
            self.nodes[i] = self._node(item, where)
        check_depth(self.nodes, path)
        return Table(self.nodes, root)

    def ref(self, value: Any, path: str) -> Ref:
        """The reference of ``value``, which is encoded later if it is new."""
        if type(value) in SCALARS:
            return value
        i = self._index.get(id(value))
        if i is None:
            i = self._index[id(value)] = len(self.nodes)
            self.nodes.append(None)
            self.seen.append(value)
            self._todo.append((i, value, path))
        return (i,)

    def _node(self, value: Any, path: str) -> Node:
        encode = _ENCODERS.get(type(value))
        if encode is not None:
            return encode(self, value, path)
        leaf = _kinds.encode(value)
        if leaf is not None:
            return (leaf[0], *(self.ref(item, path) for item in leaf[1:]))
        fields = fields_of(value)
        if fields is not None:
            kind = "record" if isinstance(value, (enum.Enum, tuple)) else "object"
            return (kind, class_name(type(value)), self.pairs(fields.items(), path, "."))
        return self._fallback(self, value, path)

    def items(self, values: Iterable[Any], path: str) -> list[Ref]:
        return [self.ref(value, f"{path}[{i}]") for i, value in enumerate(values)]

    def members(self, values: Iterable[Any], path: str) -> list[Ref]:
        if self._canonical:
            values = sorted(values, key=lambda v: (type(v).__name__, repr(v)))
        return self.items(values, path)

    def pairs(self, items: Iterable[tuple[Any, Any]], path: str, dot: str = "[") -> list[Ref]:
        flat: list[Ref] = []
        for key, value in items:
            step = f".{key}" if dot == "." else f"[{key!r}]"
            flat += (self.ref(key, f"{path} key {key!r}"), self.ref(value, path + step))
        return flat

    def factory(self, value: defaultdict[Any, Any], path: str) -> Ref:
        known = next((name for name, t in FACTORIES.items() if t is value.default_factory), None)
        return known or self.ref(value.default_factory, f"{path}.default_factory")


_ENCODERS: dict[type, Callable[[Encoder, Any, str], Node]] = {
    list: lambda e, v, p: ("list", e.items(v, p)),
    tuple: lambda e, v, p: ("tuple", e.items(v, p)),
    set: lambda e, v, p: ("set", e.members(v, p)),
    frozenset: lambda e, v, p: ("frozenset", e.members(v, p)),
    deque: lambda e, v, p: ("deque", v.maxlen, e.items(v, p)),
    dict: lambda e, v, p: ("dict", e.pairs(v.items(), p)),
    OrderedDict: lambda e, v, p: ("OrderedDict", e.pairs(v.items(), p)),
    Counter: lambda e, v, p: ("Counter", e.pairs(v.items(), p)),
    SimpleNamespace: lambda e, v, p: ("SimpleNamespace", e.pairs(vars(v).items(), p, ".")),
    defaultdict: lambda e, v, p: ("defaultdict", e.factory(v, p), e.pairs(v.items(), p)),
}


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of an object of a class that is stored as (name, fields); None for any other."""
    cls = type(value)
    if isinstance(value, type):
        return None
    if isinstance(value, enum.Enum):
        return {"name": value.name, "value": value.value}
    if dataclasses.is_dataclass(cls):
        return attributes(value)
    if cls is SimpleNamespace:
        return dict(vars(value))
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return {name: getattr(value, name) for name in cls._fields}
    if cls.__dict__.get(PLAIN, False):
        return attributes(value)
    return None


def attributes(value: Any) -> dict[str, Any]:
    """Every instance attribute of ``value``, those in ``__slots__`` included."""
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            name = f"_{cls.__name__.lstrip('_')}{name}" if _is_private(name) else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def references(node: Node) -> Iterator[int]:
    """The nodes that a node refers to."""
    for item in node[1:]:
        for ref in item if isinstance(item, list) else (item,):
            if isinstance(ref, tuple):
                yield ref[0]


def check_depth(nodes: list[Node], path: str) -> None:
    """Refuse immutable values nested deeper than MAX_DEPTH: hashing or building them can end the process."""
    height: dict[int, int] = {}
    for start in range(len(nodes)):
        todo = [start]
        while todo:
            i = todo[-1]
            below = [j for j in references(nodes[i]) if nodes[j][0] in IMMUTABLE]
            new = [j for j in below if j not in height] if i not in height else []
            if new and nodes[i][0] in IMMUTABLE:
                todo += new
                continue
            height[i] = 1 + max((height.get(j, 0) for j in below), default=0)
            todo.pop()
        if height[start] > MAX_DEPTH and nodes[start][0] in IMMUTABLE:
            raise PlainError(path, f"immutable values nested deeper than {MAX_DEPTH} levels")


def same(a: Any, b: Any, fallback: Fallback = _refuse) -> bool:
    """Whether two plain values are equal, sharing and types included; NaN equals itself."""
    try:
        left = Encoder(fallback, canonical=True).table(a)
        right = Encoder(fallback, canonical=True).table(b)
    except PlainError:
        return False
    return repr((left.nodes, left.root)) == repr((right.nodes, right.root))
