"""The HDF5 file in an archive is read where it stands, and other archives as always."""

from __future__ import annotations

import io
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.saving import saving_lib

from callback_state._keras.stored import Part, read_in_place

CONTENT = bytes(range(256)) * 8


@given(
    bounds=st.tuples(st.integers(0, 600), st.integers(0, 600)),
    moves=st.lists(st.tuples(st.integers(0, 700), st.sampled_from([0, 1, 2]), st.integers(0, 300))),
)
def test_a_part_is_a_file_of_its_own(bounds: tuple[int, int], moves: list[tuple[int, int, int]]) -> None:
    """Wherever one goes in it, and however much one reads, it gives what a file of these bytes gives."""
    start, size = bounds
    part, whole = Part(io.BytesIO(CONTENT), start, size), io.BytesIO(CONTENT[start : start + size])
    for offset, whence, count in moves:
        if whence == os.SEEK_END:
            offset = max(-offset, -size)
        assert part.seek(offset, whence) == whole.seek(offset, whence)
        assert (part.read(count), part.tell()) == (whole.read(count), whole.tell())


def model() -> Any:
    keras.utils.set_random_seed(1)
    found = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    found.compile("adam", "mse")
    found.optimizer.build(found.trainable_variables)
    return found


def opened(path: Path) -> type:
    """The class of what Keras's saving gets when it opens the weights in an archive."""
    with saving_lib.zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as entry:
        return type(entry)


def test_weights_are_read_in_place_within_the_block_and_in_its_thread(tmp_path: Path) -> None:
    """The values are those that Keras reads by itself."""
    path, other, found = tmp_path / "m.keras", model(), []
    other.save(path)
    for variable in other.variables:
        variable.assign(variable + 1)
    with read_in_place():
        assert opened(path) is Part
        thread = threading.Thread(target=lambda: found.append(opened(path)))
        thread.start()
        thread.join()
        other.load_weights(path)
    assert found == [zipfile.ZipExtFile] and opened(path) is zipfile.ZipExtFile
    assert saving_lib.zipfile is zipfile
    assert [v.numpy().tobytes() for v in other.variables] == [v.numpy().tobytes() for v in model().variables]


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_entry_that_is_compressed_is_read_as_always(tmp_path: Path, how: int) -> None:
    """So are archives that somebody else has packed."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("before", b"1234")
        archive.writestr("model.weights.h5", CONTENT)
    with read_in_place(), saving_lib.zipfile.ZipFile(path) as archive:
        assert archive.open("model.weights.h5").read() == CONTENT
        assert isinstance(archive.open("model.weights.h5"), Part) is (how == zipfile.ZIP_STORED)
