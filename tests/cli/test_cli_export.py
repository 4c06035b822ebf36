"""``callback-state export``: the history of a run, whole."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import put, run

from callback_state.cli.shell.exits import Exit


def test_a_history_is_a_table(tmp_path: Path) -> None:
    """A line an epoch, the columns in the order of the history; numbers as Python writes them."""
    put(tmp_path, "m.keras", 1, history={"epochs": [0, 1], "series": {"loss": [1.0, 1e-05], "a,b": [1, True]}})
    done = run("export", tmp_path)
    assert (done.status, done.out, done.err) == (0, 'epochs,loss,"a,b"\n0,1.0,1\n1,1e-05,True\n', "")
    assert run("export", tmp_path, "--csv").out == done.out


ODD: list[Any] = [None, 'text, with "quotes"', [1, 2], float("nan"), np.float32(0.5), {"a": 1}]


def test_any_value_is_written(tmp_path: Path) -> None:
    """Nothing for None and for what a shorter series lacks; JSON for what is no number."""
    put(tmp_path, "m.keras", 1, history={"epochs": [*range(7)], "series": {"x": ODD}})
    rows = [*csv.reader(io.StringIO(run("export", tmp_path).out))]
    assert [row[1] for row in rows] == ["x", "", ODD[1], "[1, 2]", "nan", "0.5", '{"a": 1}', ""]


def test_a_history_is_json(tmp_path: Path) -> None:
    """Strictly, with the arguments of the training."""
    history = {"epochs": [0], "series": {"loss": [float("inf")]}}
    put(tmp_path, "m.keras", 1, history=history, training_args={"layers": (1, 2)})
    assert run("export", tmp_path, "--json").json == {
        "epochs": [0],
        "loss": [{"$type": "float", "value": "inf"}],
        "training_args": {"layers": {"$type": "tuple", "items": [1, 2]}},
    }


def test_a_model_that_has_lost_its_state_has_a_history(tmp_path: Path) -> None:
    """An HDF5 file carries one itself; where that is none of ours, it is damaged."""
    for name in ("ours.h5", "other.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            group = file.create_group("meta")
            if name == "ours.h5":
                group.create_dataset("epochs", data=[0, 1])
                group.create_dataset("loss", data=[1.0, 0.5])
            else:
                group.create_group("epochs")
    assert run("export", tmp_path / "ours.h5").lines == ["epochs,loss", "0,1.0", "1,0.5"]
    done = run("export", tmp_path / "other.h5")
    assert done.status == Exit.DAMAGED and "its history cannot be read" in done.err


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_damaged_checkpoint_has_none(name: str, tmp_path: Path) -> None:
    """It is told, and nothing is printed."""
    put(tmp_path, name, 1).write_bytes(b"changed")
    done = run("export", tmp_path / name)
    assert done.status == Exit.DAMAGED and done.out == ""
