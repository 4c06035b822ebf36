"""Values to a table and back: sharing, cycles, depth, comparison; what is refused, and by which name."""

from __future__ import annotations

import copy as standard_copy
import re
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_values import Color, Frozen, Plain, Point, again, cyclic, decode, encode, identical, plain

from callback_state import stateful
from callback_state._format import pickles
from callback_state._format.classes import attributes
from callback_state._format.encode import Encoder, same
from callback_state._format.statefile import seal, unseal
from callback_state._format.table import PlainError, Table

FEW = settings(max_examples=60, deadline=None)


def tree_of(value: Any) -> list[Any]:
    """What a file holds of a value."""
    table = Encoder().table(value)
    return [table.nodes, table.root]


@pytest.mark.parametrize("large", [0, pickles.LARGE])
@given(value=plain | cyclic)
@settings(max_examples=100, deadline=None)
def test_any_plain_value_survives_a_file(value: Any, large: int) -> None:
    """Through the sealed bytes of a state file, whose large bytes are not copied before they are looked at; what
    two callbacks share they share again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pickles, "LARGE", large)
        data = seal(tree_of({"A": {"x": value}, "B": {"y": [value]}}), bytes(32), 0)
        found = decode(Table.from_tree(unseal(data, "000.keras.callbacks.pkl").tree))
    assert identical(found, {"A": {"x": value}, "B": {"y": [value]}})


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: np.frombuffer(data, "u1").copy()])
def test_large_bytes_are_read_without_a_copy_and_are_their_own_in_the_end(kind: Any) -> None:
    """Up to the value that is made of them they are a view of the file; the value is not."""
    value = kind(bytes(range(256)) * 5000)
    data = seal(tree_of({"x": value}), bytes(32), 0)
    tree = unseal(data, "").tree
    assert any(type(part) is memoryview for node in tree[0] for part in _flat(node))
    found = decode(Table.from_tree(tree))["x"]
    assert identical(found, value) and type(found) is type(value)
    assert not isinstance(getattr(found, "base", None), (bytes, memoryview))
    assert unseal(data, "", views=False).tree == tree_of({"x": value})


def _flat(node: Any) -> list[Any]:
    return [item for part in node for item in (part if isinstance(part, list) else [part])]


def test_sharing_and_cycles_are_kept_across_callbacks() -> None:
    """One object of two callbacks is one object again, and what contains itself does so again."""
    pool = {"free": [1]}
    pool["self"] = pool
    made = again({"A": {"pool": pool}, "B": {"pools": (pool, pool["free"])}})
    assert made["A"]["pool"] is made["B"]["pools"][0] is made["A"]["pool"]["self"]
    assert made["B"]["pools"][1] is made["A"]["pool"]["free"]


def test_nesting_of_mutable_values_costs_no_stack() -> None:
    """Thousands of levels are stored and built without recursion."""
    value: Any = []
    for _ in range(3_000):
        value = [{"a": Plain((value,))}]
    made, levels = again(value), 0
    while made != []:
        (made,), levels = made[0]["a"].x, levels + 1
    assert levels == 3_000


@pytest.mark.parametrize(
    "wrap",
    [lambda v: (v,), lambda v: frozenset({v}), lambda v: Point(v, 0), lambda v: slice(v)],
    ids=["tuple", "frozenset", "namedtuple", "slice"],
)
def test_deep_immutable_values_are_refused_when_they_are_stored(wrap: Any) -> None:
    """A hundred levels are stored and come back; one more is an error that says so, with the path."""
    value: Any = 0
    for _ in range(100):
        value = wrap(value)
    assert repr(again(value)) == repr(value)
    with pytest.raises(PlainError, match=r"^deep: immutable values nested deeper than 100 levels$"):
        Encoder().table(wrap(value), "deep")


def test_an_error_names_the_path() -> None:
    """Attributes with dots, items with brackets, keys as they are written; also beside a key that cannot say."""

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    lock = object()
    with pytest.raises(PlainError, match=re.escape("cb['a'].x[1]: builtins.object is not a plain kind")) as info:
        Encoder().table({"a": Plain([0, lock])}, "cb")
    assert info.value.path == "cb['a'].x[1]"
    with pytest.raises(PlainError, match=re.escape(".default_factory: builtins.function is not")):
        encode(defaultdict(lambda: 1))
    with pytest.raises(PlainError, match=r"Mute> is not a plain kind|Mute>: .*Mute is not a plain kind"):
        encode({Mute(): 1})


@dataclass
class Listing(list):
    x: int = 0


@dataclass
class Failure(Exception):
    x: int = 0


def _subclass(base: type) -> Any:
    return type("Sub", (base,), {})()


@pytest.mark.parametrize(
    "value",
    [
        _subclass(list),
        _subclass(dict),
        _subclass(int),
        _subclass(str),
        _subclass(OrderedDict),
        Listing(),
        Failure(),
        object(),
        len,
        Plain,
        (i for i in ()),
        memoryview(b""),
    ],
    ids=lambda value: type(value).__mro__[1 if type(value).__name__ == "Sub" else 0].__name__,
)
def test_what_a_subclass_adds_is_never_dropped(value: Any) -> None:
    """A subclass of a plain kind, a function, a class: not plain, and so given to the fallback whole."""
    with pytest.raises(PlainError, match="is not a plain kind"):
        encode([value])
    assert Encoder(lambda e, v, p: ("mine", p)).table([value]).nodes[1] == ("mine", "[0]")


class Pair(Point):
    """A named tuple with room for attributes."""


@dataclass(frozen=True, repr=False)
class Silent:
    x: int


def test_a_named_tuple_with_attributes_is_not_plain() -> None:
    """They would be lost; without any, it is."""
    assert encode(Pair(1, 2)).nodes[0][0] == "record"
    pair = Pair(1, 2)
    pair.more = 3
    with pytest.raises(PlainError):
        encode(pair)


def test_attributes_of_python_itself_are_no_state() -> None:
    """``__orig_class__``, which typing sets on an instance, is not stored."""
    value = Plain(1)
    object.__setattr__(value, "__orig_class__", Plain)
    assert "__orig_class__" not in repr(encode(value))


def test_the_attributes_of_an_object_are_read_without_its_code() -> None:
    """An empty slot and a missing ``__dict__`` do not run ``__getattr__``, which may do anything."""

    class Strange:
        __slots__ = ("empty", "full")

        def __getattr__(self, name: str) -> Any:
            raise NameError(name)

    strange = Strange()
    strange.full = 1
    assert attributes(strange) == {"full": 1}


@given(plain)
@FEW
def test_a_value_is_the_same_as_its_deep_copy(value: Any) -> None:
    """Also with NaN in it, and whatever the order of its sets."""
    assert same(value, standard_copy.deepcopy(value))


@given(plain, plain)
@FEW
def test_the_same_is_what_cannot_be_told_apart(a: Any, b: Any) -> None:
    """Two values are the same exactly if the comparison of these tests finds no difference; but NaN is NaN."""
    assert same(a, b) == identical(a, b) or "nan" in repr((a, b)).lower()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", b"1"),
        ((1,), [1]),
        ({1: 2}, OrderedDict({1: 2})),
        (None, 0),
        ({1: 1, 2: 2}, {2: 2, 1: 1}),
        ([[1]] * 2, [[1], [1]]),
        (Frozen(1), Frozen(2)),
        (Color.RED, Color.BLUE),
        (SimpleNamespace(a=1), SimpleNamespace(b=1)),
        (object(), object()),
    ],
    ids=lambda value: re.sub(" at 0x.*", "", repr(value)),
)
def test_what_counts_as_different(a: Any, b: Any) -> None:
    """Types, signs, order of keys, sharing; what is not plain is the same as nothing."""
    assert not same(a, b)
    assert not same(b, a)


def test_equal_sets_are_the_same_in_whatever_order() -> None:
    """Also where the members are not scalars."""
    numbers = [Frozen((i * 37) % 64) for i in range(20)]
    assert same(frozenset(numbers), frozenset(reversed(numbers)))
    assert same({8, 0}, {0, 8}) and list({8, 0}) != list({0, 8})
    assert not same({1, 2}, {1, 3})
    # Whose repr is an address, and so another order in each set.
    assert same({Silent(i) for i in range(20)}, {Silent(i) for i in reversed(range(20))})
    assert same(10**6000, 10**6000) and not same(10**6000, 10**6000 + 1)


def test_excluded_attributes_of_a_plain_class_are_left_out() -> None:
    """``@stateful(exclude=...)`` holds for the objects that callbacks hold, too."""

    @stateful(exclude=("lock",), key="pool")
    class Pool:
        def __init__(self) -> None:
            self.size, self.lock = 3, object()

    assert encode(Pool()).nodes[0] == ("object", "pool", ["size", 3])


def test_keys_are_scanned_once() -> None:
    """A table is as large as the value: a shared list of n items costs n, however often it is referred to."""
    shared = list(range(1000))
    assert len(repr(encode([shared] * 1000).nodes)) < 20_000


@given(st.integers())
@FEW
def test_an_int_of_any_size_is_exact(n: int) -> None:
    """On both sides of the size at which an int becomes a node."""
    for shift in (0, 8190, 8191, 8192, 20_000):
        assert again(n << shift) == n << shift
        assert again(-n << shift) == -n << shift
