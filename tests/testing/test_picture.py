"""Pictures of simulated runs: with matplotlib, and as text where it is missing."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from callback_state.testing import Record, compare, simulate
from callback_state.testing.simulation.picture import WIDTH, sparkline


def run(later: float) -> Record:
    """The rate falls by half, and from the third epoch on by another factor."""
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * (0.5 if epoch < 2 else later))
    return simulate(schedule, epochs=4, steps_per_epoch=3, optimizer="numpy")


def test_the_point_where_two_runs_part() -> None:
    """The first step whose rate is another, or that only one run has; in words, the second against the first."""
    same, other = compare(run(0.5), run(0.5)), compare(run(0.5), run(0.25))
    assert (same.parts_at, str(same)) == (None, "no difference")
    assert other.parts_at == (2, 0)
    rates = "0.0006249999860301614, expected 0.0012499999720603228"
    assert str(other) == f"the learning rate of step (2, 0) is {rates}"
    shorter = Record(run(0.5).steps[:-1], run(0.5).learning_rate[:-1])
    assert compare(run(0.5), shorter).parts_at == (3, 2)


def test_a_picture(tmp_path: Path) -> None:
    """Both curves over the steps, the interruptions and the parting marked, with a legend; saved on request."""
    figure = compare(run(0.5), run(0.25), interruptions=[(1, 0), (1, 2)]).plot(tmp_path / "runs.png")
    (axes,) = figure.axes
    first, second, *marks = axes.lines
    assert list(first.get_xdata()) == list(range(12)) and list(first.get_ydata()) == run(0.5).learning_rate
    assert list(second.get_ydata()) == run(0.25).learning_rate
    assert [line.get_xdata()[0] for line in marks] == [3, 5, 6]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["first", "second", "interrupted", "part at (2, 0)"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "learning rate")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    run(0.5).plot(tmp_path / "run.svg")
    assert "<svg" in (tmp_path / "run.svg").read_text()


def test_without_matplotlib_it_is_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparkline for each run, its range, the interruptions and the parting."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text: Any = compare(run(0.5), run(0.25), interruptions=[(1, 0)]).plot(tmp_path / "runs.txt")
    assert text.splitlines() == [
        " first ███▄▄▄▂▂▂▁▁▁ 0.000625 to 0.005",
        "second ███▄▄▄▂▂▂▁▁▁ 0.000156 to 0.005",
        "interrupted at (1, 0)",
        "part at (2, 0)",
    ]
    assert (tmp_path / "runs.txt").read_text(encoding="utf-8") == f"{text}\n"
    assert run(0.5).plot().startswith("learning rate ███")


def test_a_sparkline() -> None:
    """Eight heights, a blank for what is no number, never wider than a line."""
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, 1.0]) == "▁▁" and sparkline([]) == "" and sparkline([math.nan, 1.0]) == " ▁"
    assert len(sparkline([float(i) for i in range(1000)])) == WIDTH
