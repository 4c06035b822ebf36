"""A run that is killed inside an epoch goes on at the batch of its last save, and is the same run."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from harness import each, pairwise
from inside import AXES, BACKEND, BATCHES, EPOCHS, Cell, Ended, start, start_stock
from pages import part
from places import ROOT

pytestmark = [
    # Keras says so where an epoch's data end before steps_per_epoch, which some cells are about.
    pytest.mark.filterwarnings("ignore:.*ran out of data"),
    pytest.mark.filterwarnings("ignore:.*`steps_per_epoch`"),
]

#: What attacks have found: one shuffle under both data, a metric without variables, maps that draw, stops.
FOUND = [
    Cell(data="dataset-split"),
    Cell(model="metric"),
    Cell(data="shuffled-mapped"),
    Cell(data="shuffled-zipped"),
    Cell(validation="steps"),
    Cell(model="optimizers"),
    Cell(data="shuffled", steps_per_execution=3),
    Cell(data="epochs", steps_per_execution=3),
    Cell(stop=(1, 2)),
    Cell(stop=(1, BATCHES - 1), validation="arrays"),
]
#: One that is killed again and again in each run of the tests; the others in the heavy ones.
AGAIN = FOUND[0] if BACKEND == "tensorflow" else Cell(model="optimizers")
#: When a run dies: in its first epoch, in its second, and in the validation of that.
KILLS = ("first", "second", "validated")


def ids(value: Any) -> str:
    return str(value)


def events(cell: Cell, kill: str) -> int:
    """How many events such a run lives: batches begun and epochs ended."""
    batches = {"arrays-steps": 3, "arrays-split": 4, "dataset-repeat": 4, "generator": 4}.get(cell.data, BATCHES)
    executions = -(-batches // cell.steps_per_execution)
    epoch = executions + 1 + (cell.data == "dataset-interleave")  # whose end only one batch more can find
    # Two of the five batches of the arrays are left for the second epoch.
    last = -(-2 // cell.steps_per_execution) if cell.data == "arrays-steps" else executions
    return {"first": 1, "second": epoch + 1, "validated": epoch + last}[kill]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of a cell that nobody killed, made once."""

    @functools.cache
    def run(cell: Cell, **options: Any) -> Ended:
        ended = start(tmp_path_factory.mktemp("whole"), cell, **options)
        assert ended is not None
        return ended

    return run


def rows(select: Any, *names: str, leave_out: tuple[str, ...] = ()) -> list[tuple[Cell, str]]:
    """Some rows of the product of these axes and of the moments of the kill."""
    axes = [[value for value in AXES[name] if value not in leave_out] for name in names]
    found = [(Cell(**dict(zip(names, values, strict=True))), kill) for *values, kill in select(*axes, KILLS)]
    return [(cell, kill) for cell, kill in found if cell.is_possible()]


#: How data are read does not depend on the model, nor what it computes on how they are read.
DATA = ("data", "steps_per_execution", "validation", "initial_epoch")
COMPUTED = ("model", "optimizer", "mode", "steps_per_execution", "weights", "name")
PAIRS = [*rows(pairwise, *DATA), *rows(pairwise, *COMPUTED)]
#: Not in the default suite: data that are read as others are or that test_source.py has, what compiles for long.
TWINS = (
    *("arrays", "arrays-unshuffled", "tensors", "dataset-one-order", "dataset-repeat"),
    *("py", "py-workers", "epochs", "jit"),
)
#: Keras counts a batch too many here, and on JAX fails where no step runs in an epoch.
BEHIND = [(Cell(data="dataset-interleave", validation="dataset"), "validated")] if BACKEND == "jax" else []
EACH = [*BEHIND, *rows(each, *DATA, leave_out=TWINS), *rows(each, *COMPUTED, leave_out=TWINS)[1:]]
TITLE = "killed inside an epoch and started again: the run that was never killed, byte for byte"


def check_row(directory: Path, uninterrupted: Any, cell: Cell, kill: str, **options: Any) -> None:
    """Weights, optimizer, seeds, history, every hook heard, states and files are those of the whole run."""
    assert start(directory, cell, kill=events(cell, kill), **options) is None
    resumed = start(directory, cell, **options)
    assert resumed is not None and resumed.differences(uninterrupted(cell, **options)) == []


@pytest.mark.parametrize(("cell", "kill"), EACH, ids=ids)
def test_resumed_run_is_the_uninterrupted_run(tmp_path: Path, uninterrupted: Any, cell: Cell, kill: str) -> None:
    """Byte for byte, for every kind of data, model, optimizer and argument, and every moment of the kill."""
    short = cell.data == "arrays-steps"  # its second epoch has two batches: the data end
    check_row(tmp_path, uninterrupted, cell, kill, epochs=EPOCHS if short else cell.initial_epoch + 2)


@pytest.mark.heavy
@pytest.mark.parametrize(("cell", "kill"), PAIRS, ids=ids)
def test_every_pair_is_the_uninterrupted_run(tmp_path: Path, uninterrupted: Any, cell: Cell, kill: str) -> None:
    """The same for every pair of {data, steps per execution, validation, first epoch, kill}, and of {model,
    optimizer, mode, steps per execution, weights, name, kill}, each run with a model of its own."""
    check_row(tmp_path, uninterrupted, cell, kill, anew=True)


@pytest.mark.parametrize(
    ("cell", "first"),
    [
        (AGAIN, 1),
        *(pytest.param(c, i, marks=pytest.mark.heavy) for c in FOUND for i in (1, 2, 3) if (c, i) != (AGAIN, 1)),
    ],
    ids=ids,
)
def test_killed_again_and_again(tmp_path: Path, uninterrupted: Any, cell: Cell, first: int) -> None:
    """A run that dies every three events, beginning with the first, second or third, so in epochs, in validations
    and between epochs, is still the same run."""
    assert start(tmp_path, cell, kill=first) is None
    kills = 1
    while (resumed := start(tmp_path, cell, kill=3)) is None:
        kills += 1
    assert kills >= 3
    assert resumed.differences(uninterrupted(cell)) == []


@pytest.mark.heavy
def test_stock_keras_on_the_same_rows(tmp_path: Path, uninterrupted: Any) -> None:
    """docs/exactness.rst says how many rows of the matrix are the same run again on TensorFlow, with this package
    and with Keras's BackupAndRestore, of which only the weights at the end are compared."""
    same = {"callback_state": 0, "BackupAndRestore": 0}
    for i, (cell, moment) in enumerate(PAIRS):
        directory, kill = tmp_path / str(i), events(cell, moment)
        assert start(directory / "ours", cell, kill=kill) is None
        same["callback_state"] += start(directory / "ours", cell).differences(uninterrupted(cell)) == []
        assert start_stock(directory / "stock", cell, kill=kill) is None
        resumed = start_stock(directory / "stock", cell)
        same["BackupAndRestore"] += resumed == start_stock(directory / "whole", cell)
    assert same["callback_state"] == len(PAIRS) > same["BackupAndRestore"]
    if BACKEND != "tensorflow":
        return
    lines = [f"    {name:17}{count:4} of {len(PAIRS)}" for name, count in same.items()]
    part(
        "matrix",
        "\n".join([".. code-block:: text", "", f"    {TITLE}", *lines, ""]),
        ROOT / "docs" / "exactness.rst",
    )


def test_the_progress_bar_starts_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that it shows is the batch of the checkpoint, with its logs."""
    assert start(tmp_path, Cell(), kill=3) is None
    capsys.readouterr()
    resumed = start(tmp_path, Cell(), verbose=1)
    shown = capsys.readouterr().out.partition("Epoch 1/3")[2]
    loss = next(e[2]["loss"] for e in resumed.heard if e[:2] == ("batch ends", 2))
    assert re.findall(r"(\d)/5", shown)[0] == "3"
    assert f"loss: {loss:.4f}" in shown.partition("4/5")[0]
