"""The flat table of nodes (see :mod:`.encode`), and the walks over it. None of them recurses.

A table may come from a hostile file: :func:`order` checks it first.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .classes import attributes, fields_of

SCALARS = frozenset({type(None), bool, int, float, str, bytes})


class Stored:
    """The bytes of a large array that are not in the state file, see :mod:`.blocks`.

    ``read_into`` reads them into memory of ``size`` bytes, and compares them with their digest. It raises a
    CallbackStateError if it cannot.
    """

    __slots__ = ("read_into", "size")

    def __init__(self, size: int, read_into: Callable[[memoryview], None]) -> None:
        self.size, self.read_into = size, read_into

    def __len__(self) -> int:
        return self.size


#: The scalars of a table that was read: large bytes are views of the file there, or in another file.
STORED = SCALARS | {memoryview, Stored}
#: Kinds that can contain themselves: they are made empty, and filled at the end.
MUTABLE = frozenset(
    {"list", "dict", "set", "deque", "OrderedDict", "Counter", "defaultdict", "object", "SimpleNamespace"}
)
#: Levels. All other kinds are built by recursion, so deeper ones are neither written nor read.
MAX_DEPTH = 100
#: Python deletes it by recursion, which kills the process if there are too many levels.
_RECURSIVE = "defaultdict"
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()

Ref = Any
Node = tuple[Any, ...]
#: How long a node is whose last item is a list.
_LENGTH = {
    **dict.fromkeys((*MUTABLE, "tuple", "frozenset"), 2),
    **dict.fromkeys(("deque", "defaultdict", "object", "record"), 3),
}
_DICTS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
_PAIRS = _DICTS | {"object", "record", "SimpleNamespace"}
#: The kinds that may have their items in columns, see :mod:`.columns`.
_PACKED = _DICTS | {"list", "deque"}


class PlainError(ValueError):
    """A value that is not plain, or a table that no encoder wrote; ``path`` says where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path or 'value'}: {self.message}"


@dataclass
class Table:
    """Nodes, and the reference of the value that they stand for."""

    nodes: list[Node]
    root: Ref

    @classmethod
    def from_tree(cls, tree: Any) -> Table:
        match tree:
            case [list(nodes), root] if all(isinstance(n, tuple) and n for n in nodes):
                return cls(nodes, root)
        raise PlainError("", "not a table of nodes")


def set_scalar(table: Table, keys: Iterable[str], value: Any) -> None:
    """Put another scalar into a dict within dicts; ``keys`` lead there from the root."""
    ref = table.root
    for key in keys:
        flat = table.nodes[ref[0]][-1]
        at = 2 * flat[::2].index(key) + 1
        ref = flat[at]
    flat[at] = value


def two_by_two(flat: list[Ref]) -> Iterator[tuple[Ref, Ref]]:
    return zip(flat[::2], flat[1::2], strict=True)


def is_packed(node: Node) -> bool:
    """Whether a node has a column in the place of its items, or a dict's two. Nothing in them is a reference."""
    return node[0] in _PACKED and type(node[-1]) is tuple


def order(table: Table) -> list[int]:
    """The nodes that the root needs, checked; parts before what they are parts of, where there is no cycle."""
    done: list[int] = []
    seen: set[int] = set()
    todo = [(i, False) for i in _children(table, ("", table.root))]
    while todo:
        i, complete = todo.pop()
        if complete:
            done.append(i)
        elif i not in seen:
            seen.add(i)
            todo.append((i, True))
            todo += [(j, False) for j in reversed(_children(table, table.nodes[i])) if j not in seen]
    return done


def _children(table: Table, node: Any) -> list[int]:
    """The nodes that a node refers to, once it has been found to be a kind and references."""
    if type(node) is not tuple or not node or type(node[0]) is not str:
        raise PlainError("", f"not a node: {shown(node)}")
    packed = is_packed(node)
    if node[0] in _LENGTH and (len(node) != _LENGTH[node[0]] or not (packed or type(node[-1]) is list)):
        raise PlainError("", f"a {node[0]} of {len(node)} parts")
    if node[0] in _PAIRS and len(node[-1]) % 2:
        raise PlainError("", f"a {node[0]} with a key too many")
    found = []
    for item in node[1:-1] if packed else node[1:]:
        for ref in item if type(item) is list else (item,):
            if type(ref) in STORED:
                continue
            if type(ref) is not tuple or len(ref) != 1 or type(ref[0]) is not int:
                raise PlainError("", f"not a reference: {shown(ref)}")
            if not 0 <= ref[0] < len(table.nodes):
                raise PlainError("", f"no node {shown(ref[0])}")
            found.append(ref[0])
    return found


def shown(item: Any) -> str:
    """The beginning of what a table has in some place, for an error."""
    try:
        return f"{item!r:.100}"
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"


def references(node: Node) -> Iterator[int]:
    """The nodes that a node refers to."""
    for item in node[1:-1] if is_packed(node) else node[1:]:
        for ref in item if isinstance(item, list) else (item,):
            if isinstance(ref, tuple):
                yield ref[0]


def check_depth(nodes: list[Node], which: Iterable[int], path: str) -> None:
    """Refuse values nested deeper than MAX_DEPTH without a mutable one: hashing them can end the process.

    One that contains itself is refused too, as no such value can, and so are as many defaultdicts directly within
    each other. Raises PlainError.
    """
    which = [*which]
    _check_defaultdicts(nodes, which, path)

    def immutable_parts(i: int) -> list[int]:
        return [j for j in references(nodes[i]) if nodes[j][0] not in MUTABLE]

    height: dict[int, int] = {}
    for start in (i for i in which if nodes[i][0] not in MUTABLE):
        for i, parts in bottom_up(start, immutable_parts, height):
            height[i] = 1 + max((height.get(j, MAX_DEPTH) for j in parts), default=0)
            if height[i] > MAX_DEPTH:
                raise PlainError(path, f"immutable values nested deeper than {MAX_DEPTH} levels")


def bottom_up(
    start: int, parts_of: Callable[[int], list[int]], done: Mapping[int, int]
) -> Iterator[tuple[int, list[int]]]:
    """A node and what it consists of, each with its parts: parts first, where there is no cycle.

    The caller puts each into ``done``. What is there is not visited again.
    """
    todo, opened = [start], set()
    while todo:
        i = todo[-1]
        parts = parts_of(i) if i not in done else []
        new = [j for j in parts if j not in done]
        if new and i not in opened:
            opened.add(i)
            todo += new
            continue
        todo.pop()
        if i not in done:
            yield i, parts


def _check_defaultdicts(nodes: list[Node], which: list[int], path: str) -> None:
    """Take those away level by level that hold no other; those in a circle stay, and count as a level each."""
    left = {i for i in which if nodes[i][0] == _RECURSIVE}
    below = {i: {j for j in references(nodes[i]) if j in left} for i in left}
    above: dict[int, list[int]] = defaultdict(list)
    for i, found in below.items():
        for j in found:
            above[j].append(i)
    level = [i for i in left if not below[i]]
    levels = 0
    while level:
        levels += 1
        left.difference_update(level)
        for j in level:
            for i in above[j]:
                below[i].discard(j)
        level = [i for i in {i for j in level for i in above[j]} if not below[i]]
    if levels + len(left) > MAX_DEPTH:
        raise PlainError(path, f"defaultdicts nested deeper than {MAX_DEPTH} levels")


def pair(table: Table, live: Any) -> Iterator[tuple[int, Any]]:
    """(node, the value that now stands in its place), found by walking both side by side."""
    todo = [(table.root, live)]
    seen = set()
    while todo:
        ref, value = todo.pop()
        if isinstance(ref, tuple) and ref[0] not in seen:
            seen.add(ref[0])
            yield ref[0], value
            todo += reversed([*_parts(table.nodes[ref[0]], value)])


def _parts(node: Node, value: Any) -> Iterator[tuple[Ref, Any]]:
    if is_packed(node):
        node = (*node[:-1], [])
    match node[0]:
        case "list" | "tuple" | "deque" if isinstance(value, (list, tuple, deque)):
            yield from zip(node[-1], value, strict=False)
        case "dict" | "OrderedDict" | "Counter" | "defaultdict" if isinstance(value, dict):
            if node[0] == "defaultdict" and isinstance(value, defaultdict):
                yield node[1], value.default_factory
            for stored, item in two_by_two(node[-1]):
                key = bytes(stored) if type(stored) is memoryview else stored
                if type(key) in SCALARS and key in value:
                    yield item, value[key]
        case "callback":
            now = attributes(value)
            yield from ((item, now[key]) for key, item in two_by_two(node[-1]) if key in now)
        case "object" | "record" | "SimpleNamespace":
            now = fields_of(value) or {}
            for key, item in two_by_two(node[-1]):
                if type(key) is str and key in now:
                    yield item, now[key]
        case "Generator" if len(node) == 2:
            yield node[1], getattr(value, "bit_generator", MISSING)
