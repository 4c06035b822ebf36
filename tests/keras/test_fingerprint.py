"""The fingerprint of a model's variables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._keras.fingerprint import fingerprint

ROW = 16384
SIZES = [1, 7, ROW - 1, ROW, ROW + 1, 3 * ROW + 5]


@pytest.mark.parametrize("size", SIZES)
def test_every_bit_counts(size: int) -> None:
    """One bit flipped anywhere, in a folded part or in the rest, changes the fingerprint."""
    array = np.random.default_rng(size).normal(size=size).astype("float32")
    before = fingerprint([array])
    for at in {0, size // 2, size - 1, min(ROW, size - 1)}:
        for bit in (0, 1, 15, 16, 30, 31):
            changed = array.copy()
            changed.view(np.uint32)[at] ^= np.uint32(1 << bit)
            assert fingerprint([changed]) != before
    assert fingerprint([array.copy()]) == before


@pytest.mark.parametrize("rows", [2, 3, 4, 8])
def test_changes_in_many_rows_do_not_cancel(rows: int) -> None:
    """All signs turned, all values doubled, rows exchanged: an even number of equal changes is seen."""
    array = np.random.default_rng(1).normal(size=(rows, ROW)).astype("float32")
    before = fingerprint([array])
    for changed in (-array, 2 * array, array[::-1], np.roll(array, 1, axis=0), np.abs(array)):
        assert fingerprint([np.ascontiguousarray(changed)]) != before


@given(st.lists(st.lists(st.floats(width=32), max_size=5), max_size=4))
def test_shape_order_and_type_count(values: list[list[float]]) -> None:
    """The same numbers split in another way, or of another type, are other variables."""
    arrays = [np.array(v, "float32") for v in values]
    before = fingerprint(arrays)
    assert fingerprint([*arrays, np.zeros(0)]) != before
    if arrays:
        assert fingerprint([a[None] for a in arrays]) != before
        assert fingerprint([a.view("int32") for a in arrays]) != before


def test_the_order_of_the_arrays_counts() -> None:
    """Two variables of one shape that have exchanged their values are seen."""
    zeros, ones = np.zeros(3), np.ones(3)
    assert fingerprint([zeros, ones]) != fingerprint([ones, zeros])


def test_any_memory_order_and_small_types() -> None:
    """Fortran order is the same value; bfloat16, bool and 0-d arrays are taken."""
    import ml_dtypes

    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint([np.asfortranarray(array)]) == fingerprint([array])
    arrays = [np.ones(3, ml_dtypes.bfloat16), np.array(True), np.array(5)]
    assert len({fingerprint([a]) for a in arrays}) == 3
