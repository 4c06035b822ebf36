"""A table of plain nodes (see :mod:`._plain`) back to values.

Nothing is imported and no class is looked up by what a table says: classes come from the registry or
from the value that stands in the place now, and everything else is made from data.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from . import _kinds
from ._plain import (
    FACTORIES, MAX_DEPTH, MISSING, SCALARS, Encoder, Node, PlainError, Ref, Table,
    class_name, fields_of, references,
)

__all__ = ["Decoder", "copy"]


class Decoder:
    """Builds the values of a table.

    Args:
        table: what :class:`Encoder` made, or what a file holds.
        live: the value that stands in the place of the root now, where there is one.
        find_class: called with (stored class name, live value or MISSING, path); returns the class to
            build or raises. Without it only the class of the live value is used.
        builders: for each kind of the encoder's fallback a function
            (decoder, node, live value or MISSING) -> value.

    Raises:
        PlainError: the table is malformed.
    """

    def __init__(
        self,
        table: Table,
        *,
        live: Any = MISSING,
        find_class: Callable[[str, Any], type] | None = None,
        builders: Mapping[str, Callable[[Decoder, Node, Any], Any]] | None = None,
    ) -> None:
        self.table = table
        self._find_class = find_class or _class_of_live
        self._builders = builders or {}
        self._live = dict(_pair(table, live)) if live is not MISSING else {}
        self._built: dict[int, Any] = {}
        #: What changes values that live already; the caller runs it when everything is in order.
        self.later: list[Callable[[], None]] = []

    def value(self) -> Any:
        try:
            return self._value()
        except PlainError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            raise PlainError("", f"malformed: {type(e).__name__}: {e}") from e

    def _value(self) -> Any:
        reached = list(_reachable(self.table))
        for i in reached:
            shell = _SHELLS.get(self.table.nodes[i][0])
            if shell is not None:
                self._built[i] = shell(self, i)
        root = self.ref(self.table.root)
        # Hashes are taken when dicts and sets are filled: what they may look into comes first.
        for kinds in (("list", "deque", "object", "SimpleNamespace"), ("dict", "OrderedDict", "set", *_COUNTED)):
            for i in reached:
                if self.table.nodes[i][0] in kinds:
                    self._fill(i)
        return root

    def ref(self, ref: Ref, depth: int = 0) -> Any:
        """The value of a reference."""
        if type(ref) in SCALARS:
            return ref
        (i,) = ref
        if i not in self._built:
            if depth > MAX_DEPTH:
                raise PlainError("", f"more than {MAX_DEPTH} nested immutable values")
            self._built[i] = self._leaf(self.table.nodes[i], i, depth + 1)
        return self._built[i]

    def live(self, i: int) -> Any:
        """What stands in the place of node ``i`` now, or MISSING."""
        return self._live.get(i, MISSING)

    def _leaf(self, node: Node, i: int, depth: int) -> Any:
        kind, *rest = node
        if kind == "tuple":
            return tuple(self.ref(r, depth) for r in rest[0])
        if kind == "frozenset":
            return frozenset(self.ref(r, depth) for r in rest[0])
        if kind == "record":
            return self._record(i, depth)
        if kind in self._builders:
            return self._builders[kind](self, node, self.live(i))
        return _kinds.decode(kind, [self.ref(r, depth) for r in rest], self.live(i), self.later)

    def _record(self, i: int, depth: int) -> Any:
        _, name, pairs = self.table.nodes[i]
        cls = self._find_class(name, self.live(i))
        values = {key: self.ref(item, depth) for key, item in _two_by_two(pairs)}
        if issubclass(cls, enum.Enum):
            return cls[values["name"]] if values["name"] is not None else cls(values["value"])
        if issubclass(cls, tuple):
            return cls(**values)
        raise PlainError("", f"{name} is no longer an Enum or a named tuple")

    def _object(self, i: int) -> Any:
        _, name, _ = self.table.nodes[i]
        cls = self._find_class(name, self.live(i))
        if issubclass(cls, (enum.Enum, tuple)):
            raise PlainError("", f"{name} has become an Enum or a tuple")
        return object.__new__(cls)

    def _fill(self, i: int) -> None:
        node, value = self.table.nodes[i], self._built[i]
        match node[0]:
            case "list" | "deque":
                value.extend(map(self.ref, node[-1]))
            case "set":
                value.update(map(self.ref, node[-1]))
            case "object" | "SimpleNamespace":
                for name, item in _two_by_two(node[-1]):
                    object.__setattr__(value, name, self.ref(item))
            case _:
                for key, item in _two_by_two(node[-1]):
                    value[self.ref(key)] = self.ref(item)


_COUNTED = ("Counter", "defaultdict")
_SHELLS: dict[str, Callable[[Decoder, int], Any]] = {
    "list": lambda d, i: [],
    "dict": lambda d, i: {},
    "set": lambda d, i: set(),
    "OrderedDict": lambda d, i: OrderedDict(),
    "Counter": lambda d, i: Counter(),
    "deque": lambda d, i: deque(maxlen=d.table.nodes[i][1]),
    "defaultdict": lambda d, i: defaultdict(_factory(d, d.table.nodes[i][1])),
    "object": lambda d, i: d._object(i),
    "SimpleNamespace": lambda d, i: SimpleNamespace(),
}


def _factory(decoder: Decoder, ref: Ref) -> Any:
    return FACTORIES[ref] if isinstance(ref, str) else decoder.ref(ref)


def _two_by_two(flat: list[Ref]) -> Iterator[tuple[Ref, Ref]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _class_of_live(name: str, live: Any) -> type:
    if live is not MISSING and class_name(type(live)) == name:
        return type(live)
    raise PlainError("", f"no value of class {name} stands here now")


def _reachable(table: Table) -> Iterator[int]:
    todo = list(references(("", table.root)))
    seen = set(todo)
    while todo:
        i = todo.pop()
        if not isinstance(i, int) or not 0 <= i < len(table.nodes):
            raise PlainError("", f"no node {i!r}")
        yield i
        new = {j for j in references(table.nodes[i]) if j not in seen}
        seen |= new
        todo += new


def _pair(table: Table, live: Any) -> Iterator[tuple[int, Any]]:
    """(node, the value that now stands in its place), found by walking both side by side."""
    todo = [(table.root, live)]
    seen = set()
    while todo:
        ref, value = todo.pop()
        if isinstance(ref, tuple) and ref[0] not in seen:
            seen.add(ref[0])
            yield ref[0], value
            todo += _children(table.nodes[ref[0]], value)


def _children(node: Node, value: Any) -> Iterator[tuple[Ref, Any]]:
    match node[0]:
        case "list" | "tuple" | "deque" if isinstance(value, (list, tuple, deque)):
            yield from zip(node[-1], value, strict=False)
        case "dict" | "OrderedDict" | "Counter" | "defaultdict" if isinstance(value, dict):
            if node[0] == "defaultdict" and isinstance(value, defaultdict):
                yield node[1], value.default_factory
            for key, item in _two_by_two(node[-1]):
                if type(key) in SCALARS and key in value:
                    yield item, value[key]
        case "object" | "record" | "SimpleNamespace":
            now = fields_of(value) or {}
            for key, item in _two_by_two(node[-1]):
                if key in now:
                    yield item, now[key]


def copy(value: Any) -> Any:
    """A copy of a plain value that shares nothing with it, generators of random numbers included.

    Raises:
        PlainError: the value is not plain.
    """
    encoder = Encoder()
    table = encoder.table(value)
    classes = {class_name(type(item)): type(item) for item in encoder.seen}
    return Decoder(table, find_class=lambda name, live: classes[name]).value()
