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

META: dict[str, Any] = {"epochs": [0, 1], "loss": [2.0, 1.0], "training_args": {"rate": 1e-5}}


def write(path: Path, meta: dict[str, Any]) -> None:
    h5py.File(path, "w").close()
    write_meta(str(path), meta)


def test_anyone_with_h5py_and_pyyaml_reads_it(tmp_path: Path) -> None:
    """``epochs``, a dataset per series and the training arguments."""
    path = tmp_path / "m.h5"
    write(path, META)
    assert read_as_anyone(path) == META
    assert read_meta(str(path)) == META


ARGS: dict[str, Any] = {
    "small floats": {"rate": 1e-5, "decay": 1e-07, "big": 1e16, "bigger": -1.5e300, "plain": 0.1},
    "odd floats": {"inf": math.inf, "minus": -math.inf},
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
    write(path, {"epochs": [], "training_args": ARGS[name]})
    assert repr(read_as_anyone(path)["training_args"]) == repr(ARGS[name])
    assert repr(read_meta(str(path))["training_args"]) == repr(ARGS[name])  # type: ignore[index]


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


def test_nan_is_nan_in_both(tmp_path: Path) -> None:
    """Not a number is that number in YAML too."""
    path = tmp_path / "m.h5"
    write(path, {"epochs": [], "training_args": {"a": math.nan}})
    assert math.isnan(read_as_anyone(path)["training_args"]["a"])
    assert math.isnan(read_meta(str(path))["training_args"]["a"])  # type: ignore[index]


@pytest.mark.parametrize(
    "name",
    ["top/5", "a%2Fb", "50%", "val_µ", "with space", ".", "..", "a.b", "epochs_", "/lead", "trail/", "keys"],
)
def test_any_name_of_a_series(tmp_path: Path, name: str) -> None:
    """A series is one dataset whatever its name, and is found under its name again."""
    path = tmp_path / "m.h5"
    meta = {"epochs": [0], name: [1.5], f"{name.replace('/', '_')}~": [2.5], "training_args": {}}
    write(path, meta)
    assert read_meta(str(path)) == meta
    with h5py.File(path) as file:
        assert all(isinstance(item, h5py.Dataset) for item in file["meta"].values())


def test_names_that_a_slash_tells_apart(tmp_path: Path) -> None:
    """Two series whose names differ in a slash only are both there."""
    path = tmp_path / "m.h5"
    meta = {"epochs": [0], "a/b": [1.0], "a_b": [2.0], "a%2Fb": [3.0], "training_args": {}}
    write(path, meta)
    assert read_meta(str(path)) == meta


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
    assert read_meta(str(path))["s"] == read  # type: ignore[index]
    with h5py.File(path) as file:
        assert len(file["meta"]["s"]) == len(values)


def test_file_without_meta_has_none(tmp_path: Path) -> None:
    """A file that somebody else wrote has no group ``meta``, and that is what is said of it."""
    h5py.File(tmp_path / "m.h5", "w").close()
    assert read_meta(str(tmp_path / "m.h5")) is None
