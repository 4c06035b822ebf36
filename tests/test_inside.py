"""A run that is killed inside an epoch goes on at the batch of its last save, and is the same run."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import pairwise
from inside import AXES, BATCHES, Cell, Ended, start, start_stock
from test_readme import part

pytestmark = [
    # Keras says so where an epoch's data end before steps_per_epoch, which some cells are about.
    pytest.mark.filterwarnings("ignore:.*ran out of data"),
    pytest.mark.filterwarnings("ignore:.*`steps_per_epoch`"),
]

PLAIN = [Cell(data=kind) for kind in AXES["data"]]
ARGUMENTS = [
    Cell(**{axis: value}) for axis, values in AXES.items() if axis != "data" for value in values[1:]
]
STOPS = [Cell(stop=(1, 2)), Cell(stop=(1, BATCHES - 1), validation="arrays")]
#: How many events a run lives: batches begun and epochs ended. The kill comes in either of the first two epochs.
KILLS = (1, 3, BATCHES, BATCHES + 2)


def ids(value: Any) -> str:
    return str(value)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of a cell that nobody killed, made once."""

    @functools.cache
    def run(cell: Cell) -> Ended:
        ended = start(tmp_path_factory.mktemp("whole"), cell)
        assert ended is not None
        return ended

    return run


def rows() -> Iterator[Any]:
    names = tuple(AXES)
    for *values, kill in pairwise(*(AXES[name] for name in names), KILLS):
        cell = Cell(**dict(zip(names, values, strict=True)))
        if cell.is_possible():
            yield pytest.param(cell, kill, id=f"{cell}-after{kill}")


ROWS = list(rows())
TITLE = "killed inside an epoch and started again: the run that was never killed, byte for byte"


@pytest.mark.parametrize(("cell", "kill"), ROWS)
def test_resumed_run_is_the_uninterrupted_run(tmp_path: Path, uninterrupted: Any, cell: Cell, kill: int) -> None:
    """Weights, optimizer, seeds, history, every hook heard, states and files are equal, for every pair of
    {data, model, optimizer, mode, steps per execution, validation, weights, name, first epoch, kill}."""
    assert start(tmp_path, cell, kill=kill) is None
    resumed = start(tmp_path, cell)
    assert resumed.differences(uninterrupted(cell)) == []


def killed_again_and_again(directory: Path, cell: Cell, lives: Iterator[int]) -> tuple[int, Ended]:
    """Start a run until it ends by itself; each start lives for so many events."""
    for starts in itertools.count(1):
        ended = start(directory, cell, kill=next(lives))
        if ended is not None:
            return starts, ended
    raise AssertionError


@pytest.mark.heavy
@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("cell", [*PLAIN, *ARGUMENTS, *STOPS], ids=ids)
def test_killed_at_every_batch(tmp_path: Path, uninterrupted: Any, cell: Cell, first: int) -> None:
    """A run that dies every three events, beginning with the first, second and third, so after every
    single batch, in validations and between epochs, is still the same run."""
    starts, resumed = killed_again_and_again(tmp_path, cell, itertools.chain([first], itertools.repeat(3)))
    assert starts > BATCHES
    assert resumed.differences(uninterrupted(cell)) == []


@pytest.mark.heavy
def test_stock_keras_on_the_same_rows(tmp_path: Path, uninterrupted: Any) -> None:
    """The README says how many rows of the matrix are the same run again, with this package and with Keras's
    BackupAndRestore, of which only the weights at the end are compared."""
    same = {"callback_state": 0, "BackupAndRestore": 0}
    for i, (cell, kill) in enumerate(row.values for row in ROWS):
        directory = tmp_path / str(i)
        assert start(directory / "ours", cell, kill=kill) is None
        same["callback_state"] += start(directory / "ours", cell).differences(uninterrupted(cell)) == []
        assert start_stock(directory / "stock", cell, kill=kill) is None
        resumed = start_stock(directory / "stock", cell)
        same["BackupAndRestore"] += resumed == start_stock(directory / "whole", cell)
    lines = [f"    {name:17}{count:4} of {len(ROWS)}" for name, count in same.items()]
    part("matrix", "\n".join([".. code-block:: text", "", f"    {TITLE}", *lines, ""]))
