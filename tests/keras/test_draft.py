"""A draft of an HDF5 file is what h5py would have made at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from callback_state._keras.draft import Group


def fill(group: Any) -> None:
    """As Keras fills a file, and as layers of one's own may."""
    part = group.create_group("layers/dense").create_group("vars")
    part["0"] = np.arange(6.0).reshape(2, 3)
    part["deeper/1"] = np.float32(2.5)
    made = part.create_dataset("half", data=np.ones(3, "u2"))
    made.attrs["dtype"] = "bfloat16"
    part.attrs["list"] = [1, 2, 3]
    group.create_group("vars")
    group.attrs["name"] = "model"
    part["gone"] = np.zeros(2)
    del part["gone"]


def content(group: Any) -> Any:
    """Attributes and values of a group of h5py, and of all in it."""
    attributes = {name: np.asarray(value).tolist() for name, value in group.attrs.items()}
    if isinstance(group, h5py.Dataset):
        return attributes, group.dtype, group[()].tolist()
    return attributes, {name: content(part) for name, part in group.items()}


def test_the_file_is_the_one_that_h5py_makes(tmp_path: Path) -> None:
    """Groups, data sets, types and attributes."""
    draft = Group()
    fill(draft)
    with h5py.File(tmp_path / "one", "w") as file:
        draft.make(file)
        made = content(file)
    with h5py.File(tmp_path / "two", "w") as file:
        fill(file)
        assert content(file) == made


def test_what_was_put_in_can_be_read_back() -> None:
    """As from a group of h5py; an array that is read is a copy."""
    draft, value = Group(), np.arange(4)
    draft["a"] = value
    assert [*draft] == [*draft.keys()] == ["a"]
    assert len(draft) == 1
    assert "a" in draft
    found = draft["a"]
    assert (found.shape, found.dtype, found[1], np.asarray(found).tolist()) == ((4,), value.dtype, 1, [0, 1, 2, 3])
    assert not np.shares_memory(found[()], value)
    assert Group()  # a file that is open, also while it is empty


def test_what_is_put_in_is_kept_as_it_was() -> None:
    """The caller may change an attribute before the file is made."""
    draft, value = Group(), [1, 2]
    draft.attrs["list"] = value
    value.append(3)
    assert draft.attrs["list"] == [1, 2]


def test_a_name_is_given_once() -> None:
    """As in h5py, a second group or data set of a name is an error, and so is a group in a data set."""
    draft = Group()
    draft["a"] = np.zeros(1)
    with pytest.raises(ValueError, match="a: expected a new name"):
        draft["a"] = np.zeros(1)
    with pytest.raises(ValueError, match="a/b: expected a group at a, found a data set"):
        draft.create_group("a/b")
