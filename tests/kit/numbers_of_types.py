"""Strategies for lists of numbers, as columns have them: of each type, any bits, and mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from callback_state._format.columns import _DTYPES, LEAST

DTYPES = sorted(_DTYPES)


def scalars(name: str) -> st.SearchStrategy[Any]:
    """Scalars of NumPy of any bits: NaN of every payload among them."""
    width = np.dtype(name).itemsize
    if name == "|b1":
        return st.booleans().map(np.bool_)
    return st.binary(min_size=width, max_size=width).map(lambda data: np.frombuffer(data, name)[0])


floats = st.floats() | st.floats(width=32) | scalars("<f8").map(float)
ints = st.integers(-3, 3) | st.integers() | st.integers(-(1 << 63), (1 << 64)) | st.just(1 << 9000)
TYPES = {"float": floats, "int": ints, "bool": st.booleans(), **{name: scalars(name) for name in DTYPES}}
mixtures = st.sets(st.sampled_from([*TYPES, "None"]), min_size=1, max_size=3).map(
    lambda names: st.one_of([TYPES.get(name, st.none()) for name in sorted(names)])
)


def lists(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists of some values, and long ones in which a few values stand again and again."""
    short = st.lists(of, min_size=LEAST - 1, max_size=LEAST + 9)
    return short | st.tuples(short, st.integers(2, 40)).map(lambda drawn: drawn[0] * drawn[1])


numbers = mixtures.flatmap(lists)
