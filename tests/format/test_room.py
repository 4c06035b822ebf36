"""Memory for the copies of one save serves the copies of the next one."""

from __future__ import annotations

import numpy as np

from callback_state._format.room import Room

VALUE = np.arange(12, dtype="f4").reshape(3, 4)
ROW = np.arange(32, dtype="f4")[None]


def test_the_memory_of_copies_is_used_again() -> None:
    """By the next save, for arrays of the same shape and type; what that has no use for is given back."""
    room = Room()
    first = [room.copy(array) for array in (VALUE, VALUE + 1, ROW)]
    places = {array.ctypes.data for array in first}
    assert len(places) == 3
    room.clear()
    second = [room.copy(array) for array in (VALUE + 2, ROW.astype("int32"))]
    assert second[0].ctypes.data in places and second[1].ctypes.data not in places
    assert [array.tobytes() for array in second] == [(VALUE + 2).tobytes(), ROW.astype("int32").tobytes()]
    room.clear()
    kept = sum(len(arrays) for arrays in room._free.values())
    assert kept == 2
