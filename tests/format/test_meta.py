"""The group ``meta`` of HDF5 files: read by anyone with h5py and PyYAML, whatever names and values there are."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from articles import read_as_anyone

from callback_state._format.hdf5_meta import read_meta, write_meta


def write(path: Path, meta: dict[str, Any]) -> None:
    h5py.File(path, "w").close()
    write_meta(str(path), meta)


ARGS: dict[str, Any] = {
    "small floats": {"rate": 1e-5, "decay": 1e-07, "big": 1e16, "bigger": -1.5e300, "plain": 0.1},
    "odd floats": {"nan": math.nan, "inf": math.inf, "minus": -math.inf},
    "words that YAML reads": {"on": "off", "no": "yes", "null": "~", "number": "1e5", "date": "2020-01-01"},
    "text": {"name": 'é \u2028 \x7f \x85 \U0001f600 \\ud83d " : # {}', "lines": "a\n\tb\0", "empty": ""},
    "constants in text": {"a": ".nan .inf -.inf", "b .nan": '\\".inf'},
    "nested": {"layers": [1, [2.5, None, True]], "options": {"a": {}, "b": []}},
    "integers": {"big": 2**70, "negative": -3, "bool": False},
    "large": {"text": "x" * 200_000},
    "nothing": {},
}


@pytest.mark.parametrize("name", ARGS)
def test_training_args_are_yaml(tmp_path: Path, name: str) -> None:
    """The arguments are the same, in value and type, read as YAML and read without a YAML library."""
    path = tmp_path / "m.h5"
    meta = {"epochs": [0, 1], "loss": [2.0, 1.0], "training_args": ARGS[name]}
    write(path, meta)
    found = read_as_anyone(path)
    assert (found["epochs"], found["loss"]) == ([0, 1], [2.0, 1.0])
    assert repr(found["training_args"]) == repr(meta["training_args"])
    assert repr(read_meta(str(path))) == repr(meta)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({1: "a", (2, 3): "b"}, {"1": "a", "(2, 3)": "b"}),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (np.str_("a"), "a"),
        (b"x", "b'x'"),
        (Path("a/b"), "a/b"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
    ],
    ids=lambda value: repr(value),
)
def test_what_yaml_does_not_have_is_written_as_what_it_has(tmp_path: Path, given: Any, read: Any) -> None:
    """Tuples become lists, keys strings, NumPy's numbers numbers, and the rest text; no save fails of it."""
    path = tmp_path / "m.h5"
    write(path, {"epochs": [], "training_args": {"a": given}})
    assert read_as_anyone(path)["training_args"] == {"a": read}


def test_any_name_of_a_series(tmp_path: Path) -> None:
    """A series is one dataset whatever its name, and is found under its name again; a slash tells names apart."""
    names = [
        "top/5",
        "top_5",
        "top%2F5",
        "50%",
        "val_µ",
        "with space",
        ".",
        "..",
        "a.b",
        "epochs_",
        "/lead",
        "trail/",
    ]
    meta = {"epochs": [0], **{name: [float(i)] for i, name in enumerate([*names, "keys"])}, "training_args": {}}
    write(tmp_path / "m.h5", meta)
    assert read_meta(str(tmp_path / "m.h5")) == meta
    with h5py.File(tmp_path / "m.h5") as file:
        assert all(isinstance(item, h5py.Dataset) for item in file["meta"].values())


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        ([np.float32(0.5), 1.0], [0.5, 1.0]),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
        ([[1.0], [2.0, 3.0]], ["[1.0]", "[2.0, 3.0]"]),
        (["a", "é"], ["a", "é"]),
        ([None, 1.0], ["None", "1.0"]),
        ([{"a": 1}], ["{'a': 1}"]),
        ([1 << 70], [str(1 << 70)]),
        ([True, False], [True, False]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_any_values_of_a_series(tmp_path: Path, values: list[Any], read: list[Any]) -> None:
    """Numbers are stored as numbers; what is not (text, lists of unequal lengths) as text; no save fails of it."""
    path = tmp_path / "m.h5"
    write(path, {"epochs": [0], "s": values, "training_args": {}})
    assert read_meta(str(path))["s"] == read
    with h5py.File(path) as file:
        assert len(file["meta"]["s"]) == len(values)


def test_file_without_meta_has_none(tmp_path: Path) -> None:
    """A file that somebody else wrote has no group ``meta``, and that is what is said of it."""
    h5py.File(tmp_path / "m.h5", "w").close()
    assert read_meta(str(tmp_path / "m.h5")) is None
