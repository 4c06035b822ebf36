"""Limits of the work that building a table may take: a few bytes can describe what takes years to build.

Most values of a table are built once, however often they are referred to. There are two exceptions. Building a
leaf, such as an array, visits all parts of the tuples that it is made from, each time. So does the hash of a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from .table import MUTABLE, Node, PlainError, bottom_up, is_packed

#: Keys of one hash. For each of them a dict looks at all others.
MAX_ALIKE = 1000
#: Units that leaves may visit, besides four times their own. A unit is a scalar, or eight bytes of one.
LEAF_WORK = 100_000
#: Units that hashes may visit, besides a hundred for each key.
HASH_WORK = 20_000_000

_UNFOLDED = frozenset({"tuple", "frozenset", "record"})
_DICTS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
_SETS = frozenset({"set", "frozenset"})
#: Leaves that do not look into their parts.
_HOLDERS = frozenset({"slice", "Generator"})


def check_work(nodes: list[Node], which: Iterable[int], path: str) -> None:
    """Raise PlainError if building some nodes takes too much work, because their parts are shared.

    The nodes are well formed, and no immutable one contains itself.
    """
    of_keys: dict[int, int] = {}
    of_leaves: dict[int, int] = {}
    leaves = keys = count = 0
    for i in which:
        node = nodes[i]
        if is_packed(node):
            continue  # what is in columns costs as much as their bytes
        if node[0] in _DICTS or node[0] in _SETS:
            hashed = node[-1][:: 2 if node[0] in _DICTS else 1]
            count += len(hashed)
            keys += sum(_weight(nodes, key[0], of_keys) for key in hashed if type(key) is tuple)
        elif node[0] not in MUTABLE and node[0] not in _UNFOLDED and node[0] not in _HOLDERS:
            leaves += sum(_weight(nodes, part[0], of_leaves) for part in node[1:] if type(part) is tuple)
    if keys > HASH_WORK + 100 * count:
        raise PlainError(path, "keys that consist of too many parts to be hashed")
    if leaves > LEAF_WORK + 4 * sum(_own(nodes[i]) for i in of_leaves):
        raise PlainError(path, "values whose parts are shared too often")


def _weight(nodes: list[Node], start: int, weights: dict[int, int]) -> int:
    """How many units a value consists of. A shared part counts each time."""

    def hashed_parts(i: int) -> list[int]:
        unfolded = nodes[i][0] in _UNFOLDED or nodes[i][0] == "object"
        return [item[0] for item in nodes[i][-1] if type(item) is tuple] if unfolded else []

    for i, parts in bottom_up(start, hashed_parts, weights):
        # An object that contains itself, which has no hash, has parts without a weight.
        weights[i] = _own(nodes[i]) + sum(weights.get(j, 0) for j in parts)
    return weights[start]


def _own(node: Node) -> int:
    """The units of a node itself."""
    scalars = (item for part in node[1:] for item in (part if type(part) is list else (part,)))
    return 1 + sum(map(_units, scalars))


def _units(item: Any) -> int:
    if type(item) is str or type(item) is bytes or type(item) is memoryview:
        return 1 + len(item) // 8
    return 1 + item.bit_length() // 64 if type(item) is int else 1


def check_alike(keys: Collection[Any]) -> None:
    """Raise PlainError if too many keys have one hash, and TypeError if a key has none."""
    if len(keys) <= MAX_ALIKE or len(keys) - len({*map(hash, keys)}) < MAX_ALIKE:
        return
    if max(Counter(map(hash, keys)).values()) > MAX_ALIKE:
        raise PlainError("", f"more than {MAX_ALIKE} keys of one hash")
