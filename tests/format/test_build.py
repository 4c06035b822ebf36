"""From a table to values: malformed tables, which classes are built, what the live value is for."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fuzz_targets import KINDS, SCALARS
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_values import (
    CLASSES,
    RAN,
    Access,
    Color,
    Frozen,
    Plain,
    Point,
    Slotted,
    Strict,
    decode,
    encode,
    find_class,
    identical,
    plain,
    tables,
)

from callback_state import RestoreError
from callback_state._format.decode import Decoder, copy
from callback_state._format.table import MISSING, PlainError, Table

LIVE = [
    MISSING,
    Plain(1, [2]),
    {"x": random.Random(1)},
    [np.random.default_rng(1)] * 3,
    Color.RED,
    deque([1]),
    threading.Lock(),
]


def _mutations(table: Table) -> Any:
    places = [(i, j) for i, node in enumerate(table.nodes) for j in range(len(node))]
    if not places:
        return st.just(table)

    def mutated(choice: tuple[tuple[int, int], Any, bool]) -> Table:
        (i, j), part, drop = choice
        node = table.nodes[i]
        changed = (*node[:j], *(() if drop else (part,)), *node[j + 1 :])
        return Table([*table.nodes[:i], changed, *table.nodes[i + 1 :]], table.root)

    part = st.sampled_from([*SCALARS, *KINDS, *CLASSES]) | st.integers(-1, len(table.nodes)).map(lambda i: (i,))
    parts = part | st.lists(part, max_size=5)
    return st.tuples(st.sampled_from(places), parts, st.booleans()).map(mutated)


@given(tables.flatmap(_mutations).flatmap(_mutations), st.sampled_from(LIVE))
@settings(max_examples=100, deadline=None)
def test_a_damaged_table_is_built_or_refused(table: Table, live: Any) -> None:
    """Two parts of a good table exchanged or dropped: PlainError and nothing else, beside whatever lives."""
    with contextlib.suppress(PlainError):
        Decoder(table, find_class=find_class, live=live).value()


def _object(name: str, *attributes: Any) -> Table:
    return Table([("object", f"plain_values.{name}", [*attributes]), ("dict", [])], (0,))


def _record(name: str, *fields: Any) -> Table:
    return Table([("record", f"plain_values.{name}", [*fields])], (0,))


#: What the hostile values of the kit do not have: roots, and classes that are known.
MALFORMED = {
    "root of nothing": Table([], (0,)),
    "root of two": Table([("list", [])], (0, 0)),
    "root in a root": Table([("list", [])], ((0,),)),
    "enum as an object": _object("Color"),
    "dataclass as a record": _record("Plain", "x", 1, "y", 2),
    "no such member": _record("Color", "name", "GREEN", "value", 7),
    "member without a value": _record("Color", "name", "GREEN"),
    "named tuple of other fields": _record("Point", "x", 1, "z", 2),
    "class as an attribute": _object("Plain", "__class__", 1),
    "dict as an attribute": _object("Plain", "__dict__", (1,)),
    "attribute by a number": _object("Plain", 1, 1),
    "attribute that there is no slot for": _object("Slotted", "z", 1),
    "hash that never ends": Table(
        [
            ("set", [(1,)]),
            *(("object", "plain_values.Frozen", ["x", (i,)]) for i in range(2, 1500)),
            ("object", "plain_values.Frozen", ["x", 1]),
        ],
        (0,),
    ),
    "tuples built one by one": Table(
        [
            ("list", [(i,) for i in range(5_000, 0, -1)]),
            *(("tuple", [(i,)]) for i in range(2, 5_001)),
            ("tuple", []),
        ],
        (0,),
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_table_is_refused(name: str) -> None:
    """By PlainError, whatever lives in its place: no crash, no endless loop, no other error."""
    for live in LIVE:
        with pytest.raises(PlainError):
            Decoder(MALFORMED[name], find_class=find_class, live=live).value()


@pytest.mark.parametrize("value", [Plain(1), Color.RED, Point(1, 2)], ids=["dataclass", "enum", "named tuple"])
def test_a_class_is_never_looked_up_by_its_name(value: Any) -> None:
    """Without a registry only the class of the live value is built; an importable name is not enough."""
    table = encode([value])
    with pytest.raises(PlainError, match=f"no value of class plain_values.{type(value).__name__} stands here"):
        Decoder(table).value()
    with pytest.raises(PlainError, match="stands here"):
        Decoder(table, live=[Frozen(1)]).value()
    assert Decoder(table, live=[value]).value() == [value]


def test_a_class_that_is_not_plain_is_not_built() -> None:
    """A file cannot make an object of any other class that lives, even under its right name."""
    lock = threading.Thread(target=print)
    table = Table([("list", [(1,)]), ("object", "threading.Thread", ["_target", 1])], (0,))
    with pytest.raises(PlainError):
        Decoder(table, live=[lock]).value()
    with pytest.raises(PlainError, match="is not plain here"):
        Decoder(table, find_class=lambda name, live: threading.Thread).value()


def test_constructors_are_not_run() -> None:
    """Neither ``__init__`` nor ``__post_init__`` of a dataclass, frozen or not, with slots or without."""
    table = encode([Strict(1)])
    RAN.add("made")
    try:
        with pytest.raises(AssertionError):
            Strict(1)
        assert decode(table)[0].x == 1
    finally:
        RAN.clear()


def test_a_slot_that_was_empty_stays_empty() -> None:
    """An attribute that was never set is not set to anything."""
    made = decode(encode(Slotted(1)))
    assert made.x == 1 and not hasattr(made, "_Slotted__hidden")


def test_an_enum_follows_its_name() -> None:
    """The value behind a name may change in the code; a combination of flags is known by its value."""
    assert decode(Table([("record", "plain_values.Color", ["name", "RED", "value", 99])], (0,))) is Color.RED
    assert decode(encode(Access.READ | Access.WRITE)) is Access.READ | Access.WRITE


def test_errors_of_the_builders_keep_their_type() -> None:
    """What a builder or the registry finds wrong is not called damage of the file."""

    def refuse(*_: Any) -> Any:
        raise RestoreError("not here")

    with pytest.raises(RestoreError, match="not here"):
        Decoder(encode([Plain(1)]), find_class=refuse).value()
    with pytest.raises(RestoreError, match="not here"):
        Decoder(Table([("mine", 1)], (0,)), builders={"mine": refuse}).value()


def test_a_builder_sees_what_stands_in_the_place() -> None:
    """By position, key, attribute and default factory, through every container."""
    seen = []

    def note(decoder: Decoder, node: Any, live: Any) -> Any:
        seen.append(live)
        return 0

    def factory() -> int:
        return 1

    table = Table(
        [
            ("dict", ["a", (1,), "b", (2,), "c", (3,)]),
            ("list", [0, (4,)]),
            ("object", "plain_values.Plain", ["x", (5,)]),
            ("defaultdict", None, ["k", (6,)]),
            *(("mine", i) for i in range(3)),
        ],
        (0,),
    )
    live = {"a": deque([1, "in a deque"]), "b": Plain("in an object"), "c": defaultdict(factory, k="in a dict")}
    Decoder(table, live=live, builders={"mine": note}).value()
    assert sorted(seen) == ["in a deque", "in a dict", "in an object"]
    seen.clear()
    table.nodes[2] = ("SimpleNamespace", ["x", (5,)])
    Decoder(table, live={**live, "b": SimpleNamespace(x="in a namespace")}, builders={"mine": note}).value()
    assert "in a namespace" in seen
    seen.clear()
    Decoder(table, live={"a": 5, "b": Plain()}, builders={"mine": note}).value()
    assert seen.count(MISSING) == 2 and seen.count(None) == 1


def test_hashes_are_taken_when_there_is_something_to_hash() -> None:
    """An object in a frozenset that refers back to it through an attribute is filled as far as it can be."""

    class Node:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return hash(self.name)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Node) and other.name == self.name

    from callback_state import stateful

    stateful(Node)
    node = Node("a")
    node.friends = frozenset({node, Node("b")})
    node.index = {node: [node]}
    for root in (node, node.friends, node.index, [node.index, node.friends]):
        made = Decoder(encode(root), find_class=lambda name, live: Node).value()
        while not isinstance(made, Node):
            made = next(n for n in made if not isinstance(n, Node) or n.name == "a")
        assert made in made.friends and made.index[made] == [made]
        assert any(friend is made for friend in made.friends)


def test_excluded_attributes_are_those_of_the_object_that_lives() -> None:
    """An object made again gets the lock of the one it replaces; a name that is no slot is left alone."""
    from callback_state import stateful

    @stateful(exclude=("lock", "other"))
    class Pool:
        def __init__(self, size: int) -> None:
            self.size, self.lock = size, threading.Lock()

    live = Pool(1)
    made = Decoder(encode([Pool(7)]), live=[live]).value()[0]
    assert (made.size, made.lock) == (7, live.lock)
    bare = Decoder(encode([Pool(7)]), find_class=lambda name, live: Pool).value()[0]
    assert vars(bare) == {"size": 7}


@given(plain)
@settings(max_examples=60, deadline=None)
def test_a_copy_is_the_same_and_shares_nothing(value: Any) -> None:
    """``copy`` gives an identical value that no change of the first can reach."""
    made = copy([value])
    assert identical(made, [value])
    if isinstance(value, (list, dict, set, deque)):
        value.clear()
        assert made[0] is not value
