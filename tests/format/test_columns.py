"""Containers of numbers in columns: every type and bit comes back, in few bytes; a column that lies is refused."""

from __future__ import annotations

import copy as standard_copy
import enum
import math
import pickle
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbers_of_types import DTYPES, mixtures, numbers
from plain_values import again, decode, encode, identical

from callback_state._format import columns, planes
from callback_state._format.columns import LEAST, pack, unpack
from callback_state._format.encode import same
from callback_state._format.pickles import dump, parse
from callback_state._format.table import PlainError, Table

FEW = settings(max_examples=50, deadline=None)
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "deque": lambda values: deque(values, maxlen=len(values) + 1),
    "dict of texts": lambda values: {f"{i} \u20ac\ud800": value for i, value in enumerate(values)},
    "dict of ints": lambda values: {i * i: value for i, value in enumerate(values)},
    "dict of numbers": lambda values: {key: i for i, key in enumerate(values)},
    "OrderedDict": lambda values: OrderedDict((-i, value) for i, value in enumerate(values)),
    "Counter": lambda values: Counter({i << 61: value for i, value in enumerate(values)}),
    "defaultdict": lambda values: defaultdict(list, {0.5 * i: value for i, value in enumerate(values)}),
}


@pytest.mark.parametrize("container", CONTAINERS)
@given(values=numbers)
@FEW
def test_every_number_comes_back_with_its_type_and_its_bits(container: str, values: list[Any]) -> None:
    """Through the bytes of a file, whatever types are mixed, and whatever a NaN carries."""
    value = CONTAINERS[container](values)
    assert identical(again(value), value)


@given(values=numbers)
@FEW
def test_a_column_has_what_it_was_made_of(values: list[Any]) -> None:
    """By itself; there is none for a few values, or for None alone."""
    column = pack(values)
    if len(values) < LEAST or {*map(type, values)} == {type(None)}:
        assert column is None
    else:
        assert column is not None and identical(unpack(column), values)


@given(values=numbers, at=st.integers(0, 999), other=mixtures.flatmap(lambda of: of))
@FEW
def test_what_is_packed_is_compared_exactly(values: list[Any], at: int, other: Any) -> None:
    """A list is the same as its deep copy; with another number, type or bit in one place it is not."""
    changed = standard_copy.deepcopy(values)
    assert same(values, changed)
    changed[at % len(values)] = other
    assert same(values, changed) == identical(values, changed)


class Level(enum.IntEnum):
    HIGH = 2


class Own(float):
    pass


OTHERS = {
    "an IntEnum": Level.HIGH,
    "a subclass of float": Own(1.5),
    "a longdouble": np.longdouble(1) / 3,
    "an int type that NumPy has twice": np.longlong(3),
    "a time": np.datetime64("2020", "s"),
    "a text": "x",
    "a list": [1],
    "an array": np.arange(3),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("at", [0, 7])
def test_only_exact_numbers_are_packed(other: str, at: int) -> None:
    """One value of another type, and the container is stored item by item."""
    values: list[Any] = [1.5] * 40
    values[at] = OTHERS[other]
    assert pack(values) is None


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(), min_size=LEAST, unique=True))
@FEW
def test_the_short_way_for_keys_makes_the_same_column(keys: list[int]) -> None:
    """Ints of 32 bits in one pass; it takes nothing else."""
    column = pack(keys)
    assert pack(keys, keys=True) == column
    assert (columns._of_small_ints(keys) is not None) == all(-(1 << 31) <= key < 1 << 31 for key in keys)


@pytest.mark.parametrize("key", [True, np.int64(1), Level.HIGH, 1.0, (2,), 1 << 31, b"", "", ()])
def test_the_short_way_takes_no_other_key(key: Any) -> None:
    """Whatever it is that ``marshal`` writes for it, or refuses to write."""
    assert columns._of_small_ints([*range(2, 20), key]) is None


SIZES: dict[str, tuple[list[Any], float]] = {
    "epochs": ([*range(10_000)], 0.13),
    "a constant rate": ([0.001] * 10_000, 0.15),
    "truth values": ([i % 3 == 0 for i in range(10_000)], 0.2),
    "losses of Keras": ([float(np.float32(math.sin(i) + 2)) for i in range(10_000)], 3.3),
    "losses that change little": (
        [float(np.float32((1 + math.sin(i) / 200) / (1 + i / 500))) for i in range(10_000)],
        2.6,
    ),
    "a cosine schedule": ([float(np.float32(0.1 * math.cos(i / 6400))) for i in range(10_000)], 1.8),
    "times in ns": ([1_700_000_000_000_000_000 + i * 997_000_001 for i in range(10_000)], 4.1),
    "rates, some unknown": ([0.5, None] * 5_000, 1.2),
    "doubles": ([math.sin(i) for i in range(10_000)], 7.9),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_column_is_small(name: str) -> None:
    """Bytes for each value: where they are single floats, hardly change, or are few."""
    values, most = SIZES[name]
    assert len(dump([encode(values).nodes])) < most * len(values) + 100
    assert again(values) == values


def test_numbers_cost_little_beside_plain_pickle() -> None:
    """400,000 floats in seconds of the processor: on a quiet machine 0.05 to the file, and 0.02 back."""
    values = {name: [float(np.float32(math.sin(i))) for i in range(100_000)] for name in "abcd"}
    times = [time.process_time()]
    table = encode(values)
    data = dump([table.nodes, table.root])
    times.append(time.process_time())
    assert decode(Table.from_tree(parse(data))) == values
    times.append(time.process_time())
    assert times[1] - times[0] < 0.3 and times[2] - times[1] < 0.3  # other processes slow it down
    assert len(data) < len(pickle.dumps(values)) / 2


def test_the_least_and_the_greatest_int_of_eight_bytes() -> None:
    """As they are, by their differences, and as the bounds of the differences."""
    least = -(1 << 63)
    for values in ([least + i for i in range(20)], [-1 - least - i for i in range(20)], [least, ~least] * 9):
        assert again(values) == values
        assert pack(values)[0] in ("steps", "int")  # type: ignore[index]
        assert again([value - 1 for value in values]) == [value - 1 for value in values]


def test_keys_of_one_hash_are_refused_in_columns_too() -> None:
    """When they are saved and when they are read."""
    alike = {i * ((1 << 61) - 1): 0 for i in range(5_000)}
    with pytest.raises(PlainError, match="keys of one hash"):
        encode(alike)
    assert encode(dict.fromkeys(range(5000), 0)).nodes[0][1][0][0] == "steps"


anything = st.recursive(
    st.sampled_from([*columns._NAMES.values(), "steps", "drift", "long", "text", "mixed", *DTYPES])
    | st.integers(-1, 70_000)
    | st.binary(max_size=40)
    | st.none(),
    lambda of: st.lists(of, max_size=9) | st.tuples(of, st.integers(-1, 40), of) | st.tuples(of, of, of, of),
)


@given(column=anything)
@settings(max_examples=100, deadline=None)
def test_a_column_of_nonsense_is_refused_or_read(column: Any) -> None:
    """By one error; what is read is no longer than its bytes allow."""
    try:
        values = unpack(column)
    except PlainError:
        return
    assert len(values) == column[1] <= planes._RATIO * len(repr(column))


@given(values=numbers, data=st.data())
@FEW
def test_a_column_that_was_changed_is_refused_or_as_long_as_it_says(
    values: list[Any], data: st.DataObject
) -> None:
    """One part of it replaced by another one, cut, or lengthened."""
    column = pack(values)
    if column is None:
        return
    at = data.draw(st.integers(0, len(column) - 1))
    parts = st.sampled_from([column[at], column[1] + 1, column[1] - 1, [column[-1]], column[-1][:-1], b"", 0, "x"])
    try:
        found = unpack((*column[:at], data.draw(parts), *column[at + 1 :]))
    except PlainError:
        return
    assert len(found) == len(values)
