"""Values to a flat table of plain nodes. :mod:`.decode` is the way back.

A *table* is a list of nodes. A node is a tuple: its kind, then scalars, bytes and *references*. A reference is a
scalar, or ``(i,)`` for the value of node ``i``. So the pickle of a table contains only tuples, lists and scalars,
however the values are nested, shared or cyclic. ``a = [1.5]; value = {"x": a, "y": a}`` becomes

    nodes [("dict", ["x", (1,), "y", (1,)]), ("list", [1.5])],  root (0,)

A list, deque or dict of many numbers has them in columns instead, see :mod:`.columns`.

A value that is not plain (a variable, a lambda) goes to the *fallback* of the encoder, which returns a node of
another kind. The decoder has a *builder* for each such kind. The decoder also gets the *live* value, which is in
the same place now: a variable or a class cannot be made from data, so it is found there.

Not kept: that two arrays share memory. Subclasses of arrays are not plain.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from . import columns, kinds
from .blocks import Blocks
from .classes import class_name, fields_of, stored_name
from .limits import check_alike, check_work
from .table import SCALARS, Node, PlainError, Ref, Table, check_depth

#: An int of more bits is a node with its bytes.
MAX_BITS = 1 << 13
FACTORIES: dict[str, Any] = {
    t.__name__: t for t in (list, dict, set, int, float, str, tuple, bool, deque, Counter)
}
Fallback = Callable[["Encoder", Any, str], Node]
#: Where a value stands: a text, or (the place of what it is a part of, kind of step, key).
Place = Any


class Named(dict[str, Any]):
    """A dict whose keys are looked up in the table, without building it: it is never packed."""


def spell(place: Place) -> str:
    """A place as text, ``['key'].attribute[3]``. It is made only for errors."""
    steps = []
    while not isinstance(place, str):
        place, step, key = place
        steps.append(f".{key}" if step == "." else f"{step}{_short(key)}{']' if step == '[' else ''}")
    return place + "".join(reversed(steps))


def _short(key: Any) -> str:
    try:
        return repr(key)
    except Exception:  # a class of the user may raise anything
        return f"<{class_name(type(key))}>"


def _refuse(encoder: Encoder, value: Any, path: str) -> Node:
    raise PlainError(path, f"{class_name(type(value))} is not a plain kind")


class Encoder:
    """Makes one table of several values. An object that several of them share is stored once.

    ``fallback`` gets (encoder, value, path) for a value that is not plain; it returns a node, or raises.
    ``canonical`` sorts sets and attributes, so that equal values have equal tables. That is only for comparisons:
    a set is saved in the order of its iteration. ``blocks`` gets the bytes of large arrays; without it they are in
    the table.
    """

    def __init__(
        self, fallback: Fallback = _refuse, *, canonical: bool = False, blocks: Blocks | None = None
    ) -> None:
        self.nodes: list[Any] = []
        self._fallback = fallback
        self._canonical = canonical
        self._blocks = blocks
        self._index: dict[int, int] = {}
        #: Every value that has a node. They must live as long as their ids are used.
        self.seen: list[Any] = []
        self._todo: deque[tuple[int, Any, Place]] = deque()

    def table(self, value: Any, path: Place = "") -> Table:
        """The table of ``value``, which errors call ``path``."""
        root = self.ref(value, path)
        while self._todo:
            i, item, where = self._todo.popleft()
            self.nodes[i] = self._node(item, where)
        check_depth(self.nodes, range(len(self.nodes)), spell(path))
        check_work(self.nodes, range(len(self.nodes)), spell(path))
        return Table(self.nodes, root)

    def ref(self, value: Any, path: Place) -> Ref:
        """The reference of a value. If the value is new, it is encoded later."""
        kind = type(value)
        if kind in SCALARS and (kind is not int or value.bit_length() <= MAX_BITS):
            return value
        i = self._index.get(id(value))
        if i is None:
            i = self._index[id(value)] = len(self.nodes)
            self.nodes.append(None)
            self.seen.append(value)
            self._todo.append((i, value, path))
        return (i,)

    def _node(self, value: Any, path: Place) -> Node:
        encode = _ENCODERS.get(type(value))
        if encode is not None:
            return encode(self, value, path)
        leaf = kinds.encode(value, None if self._blocks is None else partial(self._apart, path))
        if leaf is not None:
            return (leaf[0], *(self.ref(item, path) for item in leaf[1:]))
        fields = fields_of(value)
        if fields is not None:
            kind = "record" if isinstance(value, (enum.Enum, tuple)) else "object"
            named = sorted(fields.items()) if self._canonical and kind == "object" else fields.items()
            return (kind, stored_name(type(value)), self.pairs(named, path, "."))
        return self._fallback(self, value, spell(path))

    def _apart(self, path: Place, array: Any, order: str) -> int:
        assert self._blocks is not None
        return self._blocks.add(array, order, spell(path))

    def items(self, values: Iterable[Any], path: Place) -> list[Ref]:
        return [self.ref(value, (path, "[", i)) for i, value in enumerate(values)]

    def members(self, values: Iterable[Any], path: Place) -> list[Ref]:
        return self.items(sorted(values, key=self._rank) if self._canonical else values, path)

    def _rank(self, value: Any) -> tuple[str, str]:
        if type(value) not in SCALARS:
            table = Encoder(self._fallback, canonical=True).table(value)
            return ("", repr((table.nodes, table.root)))
        return (type(value).__name__, repr(value) if type(value) is not int else hex(value))

    def pairs(self, items: Iterable[tuple[Any, Any]], path: Place, step: str = "[") -> list[Ref]:
        flat: list[Ref] = []
        for key, value in items:
            flat += (self.ref(key, (path, " key ", key)), self.ref(value, (path, step, key)))
        return flat

    def packed(self, values: Collection[Any], path: Place) -> Any:
        """The items of a list or a deque: a column if they are numbers."""
        return columns.pack(values) or self.items(values, path)

    def entries(self, value: dict[Any, Any], path: Place) -> Any:
        """The items of a dict: two columns if the values are numbers, and the keys are numbers or texts."""
        values = columns.pack(value.values())
        keys = values and columns.pack(value.keys(), keys=True)
        if keys is None or not columns.are_own_hashes(keys):
            apart(value, path)
        return self.pairs(value.items(), path) if keys is None else (keys, values)

    def factory(self, value: defaultdict[Any, Any], path: Place) -> Ref:
        known = next((name for name, t in FACTORIES.items() if t is value.default_factory), None)
        return known or self.ref(value.default_factory, (path, ".", "default_factory"))


def apart(value: Any, path: Place) -> Any:
    """The value itself, unless too many of its keys have one hash: no reader would take them."""
    try:
        check_alike(value)
    except PlainError as error:
        raise PlainError(spell(path), error.message) from None
    return value


_ENCODERS: dict[type, Callable[[Encoder, Any, Place], Node]] = {
    list: lambda e, v, p: ("list", e.packed(v, p)),
    tuple: lambda e, v, p: ("tuple", e.items(v, p)),
    set: lambda e, v, p: ("set", e.members(apart(v, p), p)),
    frozenset: lambda e, v, p: ("frozenset", e.members(apart(v, p), p)),
    deque: lambda e, v, p: ("deque", v.maxlen, e.packed(v, p)),
    dict: lambda e, v, p: ("dict", e.entries(v, p)),
    Named: lambda e, v, p: ("dict", e.pairs(v.items(), p)),
    OrderedDict: lambda e, v, p: ("OrderedDict", e.entries(v, p)),
    Counter: lambda e, v, p: ("Counter", e.entries(v, p)),
    SimpleNamespace: lambda e, v, p: ("SimpleNamespace", e.pairs(vars(v).items(), p, ".")),
    defaultdict: lambda e, v, p: ("defaultdict", e.factory(v, p), e.entries(v, p)),
}


def same(a: Any, b: Any, fallback: Fallback = _refuse) -> bool:
    """Whether two plain values are equal, sharing and types included; NaN equals itself."""
    try:
        left = Encoder(fallback, canonical=True).table(a)
        right = Encoder(fallback, canonical=True).table(b)
    except PlainError:
        return False
    return repr((left.nodes, left.root)) == repr((right.nodes, right.root))
