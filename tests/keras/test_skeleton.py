"""A skeleton is an HDF5 file of h5py for whoever writes to it; its large arrays are never copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._keras.skeleton import LARGE, Memory, Skeleton

LENGTH = LARGE // 4 + 3


def fill(file: Any) -> None:
    """Everything that Keras does with a file, and more."""
    group = file.create_group("a/b").create_group("vars")
    group.attrs["name"] = "layer"
    group["large"] = np.arange(LENGTH, dtype="f4")
    group["small"], group["scalar"], group["empty"] = np.arange(3.0), np.float32(3), np.zeros((0, 4))
    group["text"], group["words"] = np.array(["a", "bc"], dtype="S2"), ["x", "yz"]
    group.create_dataset("bfloat16", data=np.arange(LARGE).astype(ml_dtypes.bfloat16)).attrs["dtype"] = "bfloat16"
    group["big-endian"], group["truth"] = np.arange(LENGTH, dtype=">i4"), np.ones(LARGE, bool)
    group["columns"], group["step"] = np.arange(LENGTH * 2.0).reshape(2, -1).T, np.arange(LENGTH * 2.0)[::2]
    group["gone"] = np.arange(LENGTH * 1.0)
    del group["gone"]
    group["in its place"] = np.arange(LENGTH * 1.0)
    file.require_group("deep/er")["large"] = np.arange(LENGTH * 1.0)
    del file["deep"]
    whole = file.create_dataset("w/kernel:0", (300, 300), dtype="f4")
    whole[:] = np.full((300, 300), 7, "f4")
    part = file.create_dataset("part", (300, 300), dtype="f4")
    part[:] = np.ones((300, 300), "f4")
    part[3] = 2.0
    other = file.create_dataset("other", (300, 300), dtype="f4")
    other[:] = 1.0
    group["read"] = np.arange(LENGTH * 1.0)
    assert group["read"][5] == 5 and np.asarray(file["a/b/vars/large"])[7] == 7
    file["chunked"] = 0.5
    file.create_dataset("packed", data=np.zeros(LENGTH), compression="gzip")
    for i in range(300):
        file.create_group(f"layers/{i}/vars")["0"] = np.arange(i)


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        found[name] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            value = item[()]
            is_array = getattr(value, "dtype", np.dtype("O")).kind != "O"
            found[name] = item.dtype, item.shape, value.tobytes() if is_array else repr(value), found[name]

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def written(memory: Memory, path: Path) -> Path:
    path.write_bytes(b"".join(memory.pieces()))
    assert path.stat().st_size == memory.size
    return path


def test_its_content_is_that_of_a_file(tmp_path: Path) -> None:
    """Groups, types, bytes and attributes of all that was put into it, taken out again, or read meanwhile."""
    memory = Memory()
    with Skeleton(memory) as skeleton:
        fill(skeleton)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        fill(file)
    assert content(written(memory, tmp_path / "skeleton.h5")) == content(tmp_path / "file.h5")
    assert len(memory.arrays) == 7  # all that is large and was not read


def test_a_large_array_is_not_copied() -> None:
    """It is written as it is then; a small one as it was."""
    memory, large, small = Memory(), np.zeros(LARGE, "u1"), np.zeros(LARGE - 1, "u1")
    with Skeleton(memory) as skeleton:
        skeleton["large"], skeleton["small"] = large, small
    large[:], small[:] = 1, 1
    assert b"".join(memory.pieces()).count(1) >= LARGE
    assert [array is large for array in memory.arrays.values()] == [True]


def test_what_is_added_later_is_in_it(tmp_path: Path) -> None:
    """The file may be opened again as any file object, with another layout."""
    memory = Memory()
    with Skeleton(memory) as skeleton:
        skeleton["large"] = np.arange(LENGTH)
    with h5py.File(memory, "r+", libver=("v108", "latest")) as file:
        file.create_group("meta").attrs["text"] = "x" * 100_000
    with h5py.File(written(memory, tmp_path / "f.h5")) as file:
        assert len(file["meta"].attrs["text"]) == 100_000 and file["large"][-1] == LENGTH - 1


@given(st.lists(st.tuples(st.integers(0, 3 << 12), st.binary(min_size=1, max_size=9000)), max_size=6), st.data())
def test_memory_is_a_file_with_holes(writes: list[tuple[int, bytes]], data: Any) -> None:
    """It reads what was written last, and zeros where nothing was."""
    memory, expected = Memory(), bytearray(1 << 15)
    for at, content in writes:
        memory.seek(at)
        assert memory.write(content) == len(content)
        expected[at : at + len(content)] = content
    assert memory.size == max((at + len(content) for at, content in writes), default=0)
    assert b"".join(memory.pieces()) == expected[: memory.size]
    start, length = data.draw(st.integers(0, 1 << 14)), data.draw(st.integers(0, 1 << 14))
    memory.seek(start)
    buffer = bytearray(length)
    assert memory.readinto(buffer) == length and buffer == expected[start : start + length]
    assert memory.tell() == start + length


@pytest.mark.parametrize("whence", [0, 1, 2])
def test_places_are_counted_from_three_ends(whence: int) -> None:
    """From the beginning, from here and from the end; HDF5 sets the size when it closes."""
    memory = Memory()
    memory.write(bytes(10))
    memory.seek(4)
    assert memory.seek(3, whence) == (3, 7, 13)[whence]
    assert memory.truncate(20) == memory.size == 20 and memory.seek(0, 2) == 20 == memory.truncate()
