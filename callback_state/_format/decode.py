"""A table of plain nodes (see :mod:`.encode`) back to values.

Nothing is imported and no class is looked up because a table names it. Classes come from the registry or from the
live value, and everything else is made from data.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from ..exceptions import CallbackStateError
from . import columns
from . import kinds as _kinds
from .classes import is_plain_class, is_special, left_out, stored_name
from .encode import FACTORIES, Encoder
from .generators import Later
from .limits import check_alike, check_work
from .refill import refill
from .table import (
    MISSING,
    STORED,
    Node,
    PlainError,
    Ref,
    Stored,
    Table,
    check_depth,
    is_packed,
    order,
    pair,
    two_by_two,
)


class Decoder:
    """Builds the values of a table.

    ``live`` is the value that is in the place of the root now. ``find_class`` gets a stored class name and a live
    value or MISSING; it returns the class to build, or raises. By default it is the class of the live value.
    ``builders`` has a function for each kind of node of the encoder's fallback. ``into`` has live containers by
    node: such a container is the value of the node, and :meth:`put_into` gives it the stored content.
    """

    def __init__(
        self,
        table: Table,
        *,
        live: Any = MISSING,
        find_class: Callable[[str, Any], type] | None = None,
        builders: Mapping[str, Callable[[Decoder, Node, Any], Any]] | None = None,
        into: Mapping[int, Any] | None = None,
    ) -> None:
        self.table = table
        #: Actions for the caller that change live values when all is right. Each returns what undoes it.
        self.later: Later = []
        self._root_live = live
        self._find_class = find_class or class_of_live
        self._builders = builders or {}
        self._live: dict[int, Any] = {}
        self._claimed: set[int] = set()
        self._built: dict[int, Any] = {}
        #: What was made for each node. It is the value, but where a container of ``into`` is.
        self._made: dict[int, Any] = {}
        self._into = into or {}

    def value(self) -> Any:
        """The value of the root. Raises PlainError, or what ``find_class`` and the builders raise."""
        try:
            return self._value()
        except (PlainError, CallbackStateError):
            raise
        except Exception as e:  # constructors raise anything for what no encoder wrote
            raise PlainError("", f"malformed: {type(e).__name__}: {e}") from e

    def _value(self) -> Any:
        nodes, reached = self.table.nodes, order(self.table)
        check_depth(nodes, reached, "")
        check_work(nodes, reached, "")
        self._live = {} if self._root_live is MISSING else dict(pair(self.table, self._root_live))
        for i in reached:
            shell = _SHELLS.get(nodes[i][0])
            if shell is not None:
                self._made[i] = shell(self, i)
                self._built[i] = self._into.get(i, self._made[i])
        # A hash is taken when a frozenset is built and when a dict or a set is filled. What the hash may need
        # comes first: parts before their whole, and in a cycle at least the plain fields.
        for kinds, fill in _PHASES:
            for i in reached:
                if nodes[i][0] in kinds:
                    fill(self, i, self._made[i])
        return self.ref(self.table.root)

    def ref(self, ref: Ref) -> Any:
        """The value of a reference."""
        if type(ref) in STORED:
            return bytes(ref) if type(ref) is memoryview else ref
        (i,) = ref
        if i not in self._built:
            self._made[i] = self._leaf(self.table.nodes[i], i)
            self._built[i] = self._into.get(i, self._made[i])
        return self._built[i]

    def content(self, ref: Ref) -> Any:
        """The stored value of a reference, also where :meth:`ref` gives a container of ``into``."""
        value = self.ref(ref)
        return self._made.get(ref[0], value) if isinstance(ref, tuple) else value

    def put_into(self, i: int) -> Callable[[], None]:
        """Give the container of ``into`` at node ``i`` the stored content. Returns what undoes it.

        If the content cannot be set, the container is as before.
        """
        return refill(self._into[i], self._made[i])

    def live(self, i: int) -> Any:
        """The live value in the place of node ``i``, or MISSING."""
        return self._live.get(i, MISSING)

    def absent(self) -> set[int]:
        """The nodes for which a builder found no value."""
        return {i for i, value in self._built.items() if value is MISSING}

    def claim(self, live: Any) -> Any:
        """``live``, for the first node that is put into it; MISSING for a second node."""
        if id(live) in self._claimed:
            return MISSING
        self._claimed.add(id(live))
        return live

    def _leaf(self, node: Node, i: int) -> Any:
        kind, *rest = node
        if kind == "tuple":
            return tuple(map(self.ref, rest[0]))
        if kind == "frozenset":
            return frozenset(self._members(rest[0]))
        if kind == "record":
            return self._record(i)
        if kind in self._builders:
            return self._builders[kind](self, node, self.live(i))
        live = self.claim(self.live(i)) if kind in _kinds.IN_PLACE else self.live(i)
        viewed = kind in _kinds.COPYING
        data = [part if viewed and type(part) in (memoryview, Stored) else self.ref(part) for part in rest]
        return _kinds.decode(kind, data, live, self.later)

    def _record(self, i: int) -> Any:
        _, name, pairs = self.table.nodes[i]
        cls: Any = self._find_class(name, self.live(i))
        values = {self.ref(key): self.ref(item) for key, item in two_by_two(pairs)}
        if issubclass(cls, enum.Enum):
            # By name, unless it is a combination of flags: the value of a name may have changed.
            return cls[values["name"]] if values["name"] in cls.__members__ else cls(values["value"])
        if not issubclass(cls, tuple) or set(values) != set(cls._fields):
            raise PlainError("", f"{name} has other fields now than {', '.join(map(str, values))}")
        return tuple.__new__(cls, [values[field] for field in cls._fields])

    def _object(self, i: int) -> Any:
        _, name, _ = self.table.nodes[i]
        cls = self._find_class(name, self.live(i))
        if issubclass(cls, (enum.Enum, tuple)) or not is_plain_class(cls):
            raise PlainError("", f"{name} is not plain here: it is no dataclass, nor given to @stateful")
        return object.__new__(cls)

    def _fill_object(self, i: int, value: Any, only_scalars: bool = False) -> None:
        for name, item in two_by_two(self.table.nodes[i][-1]):
            if type(name) is not str or is_special(name):
                raise PlainError("", f"{name!r} is not an attribute")
            if type(item) in STORED or not only_scalars:
                object.__setattr__(value, name, self.ref(item))
        live = self.live(i)
        for name in left_out(type(value)) if type(live) is type(value) else ():
            if hasattr(live, name):
                object.__setattr__(value, name, getattr(live, name))

    def _fill_dict(self, i: int, value: Any) -> None:
        kind, *factory, members = self.table.nodes[i]
        if kind == "defaultdict":
            value.default_factory = self._factory(factory[0])
        for key, item in self._entries(members):
            value[key] = item  # update() of a Counter would add

    def _entries(self, members: Any) -> Iterable[tuple[Any, Any]]:
        if type(members) is tuple:
            keys, items = columns.entries(members)
            if not columns.are_own_hashes(members[0]):
                check_alike(keys)
            return zip(keys, items, strict=True)
        return zip(self._members(members[::2]), map(self.ref, members[1::2]), strict=True)

    def _items(self, node: Node) -> Iterable[Any]:
        return columns.unpack(node[-1]) if is_packed(node) else map(self.ref, node[-1])

    def _members(self, refs: list[Ref]) -> list[Any]:
        """The values, which will be hashed."""
        values = [*map(self.ref, refs)]
        check_alike(values)
        return values

    def _factory(self, ref: Ref) -> Any:
        found = FACTORIES[ref] if type(ref) is str else self.ref(ref)
        if not callable(found) and found is not None and found is not MISSING:
            raise PlainError("", f"a defaultdict whose factory is of class {type(found).__name__}")
        return found


_OBJECTS = ("object", "SimpleNamespace")
_PHASES: tuple[tuple[tuple[str, ...], Callable[[Decoder, int, Any], None]], ...] = (
    (_OBJECTS, lambda decoder, i, value: decoder._fill_object(i, value, only_scalars=True)),
    (_OBJECTS, Decoder._fill_object),
    (("list", "deque"), lambda decoder, i, value: value.extend(decoder._items(decoder.table.nodes[i]))),
    (("set",), lambda decoder, i, value: value.update(decoder._members(decoder.table.nodes[i][-1]))),
    (("dict", "OrderedDict", "Counter", "defaultdict"), Decoder._fill_dict),
)
_SHELLS: dict[str, Callable[[Decoder, int], Any]] = {
    "list": lambda d, i: [],
    "dict": lambda d, i: {},
    "set": lambda d, i: set(),
    "OrderedDict": lambda d, i: OrderedDict(),
    "Counter": lambda d, i: Counter(),
    "deque": lambda d, i: deque(maxlen=d.table.nodes[i][1]),
    "defaultdict": lambda d, i: defaultdict(),
    "object": lambda d, i: d._object(i),
    "SimpleNamespace": lambda d, i: SimpleNamespace(),
}


def class_of_live(name: str, live: Any) -> type:
    """The class of the live value, if it is plain and has that name."""
    if live is not MISSING and is_plain_class(type(live)) and stored_name(type(live)) == name:
        return type(live)
    raise PlainError("", f"no value of class {name} stands here now")


def copy(value: Any) -> Any:
    """A copy of a plain value that shares nothing with it. Raises PlainError if it is not plain."""
    encoder = Encoder()
    table = encoder.table(value)
    classes = {stored_name(type(item)): type(item) for item in encoder.seen}
    return Decoder(table, find_class=lambda name, live: classes[name]).value()
