"""A run over its epochs, from state files: what is drawn, and where."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_runs import BEGAN, SECOND, TEMPLATE, history, start, trace, variable, write, write_run

from callback_state.cli.pictures.numbers import numbers_of
from callback_state.cli.pictures.series import Panel, Series
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import recorded
from callback_state.exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError


def points(panel: Panel) -> dict[str, dict[float, float]]:
    return {series.name: dict(series.points) for series in panel.series}


def test_the_course_of_a_run_that_was_killed_twice(tmp_path: Path) -> None:
    """Learning rate, metrics with their validation, what changes in each callback, and both restarts, in place."""
    timeline = timeline_of(recorded(str(write_run(tmp_path))))
    assert timeline.rate is not None
    assert points(timeline.rate) == {"learning rate": {e + 1.0: 0.1 * 0.5**e for e in range(6)}}
    assert [panel.title for panel in timeline.metrics] == ["loss"]
    assert points(timeline.metrics[0]) == {
        "loss": {e + 1.0: 1 / (e + 1) for e in range(6)},
        "val_loss": {e + 1.0: 1 / (e + 1) + 0.1 for e in range(6)},
    }
    assert {key: [panel.title for panel in panels] for key, panels in timeline.states.items()} == {
        "Warmup": ["step", "mean"],
        "ModelCheckpointEnhanced": ["best"],
    }
    assert points(timeline.states["Warmup"][0]) == {"step": {e + 1.0: 8.0 * e + 8 for e in range(6)}}
    assert timeline.steady == {"Warmup": ["peak"], "ModelCheckpointEnhanced": []}
    assert [(r.number, r.place, r.epoch, r.batch, r.lost) for r in timeline.restarts] == [
        (1, 2.0, 2, 0, 100.0),
        (2, 4.0, 4, 0, 200.0),
    ]
    assert (timeline.end, timeline.planned, timeline.finished) == (6, 6, True)
    assert (timeline.lost, timeline.remarks) == (300, [])
    assert timeline.standing == "finished after 6 of 6 epochs; 2 restarts that saved, 5 min lost"


def test_a_run_of_an_older_release_says_what_it_does_not_know(tmp_path: Path) -> None:
    """Without starts and trace there are no restarts, no learning rate, but a remark on each; the rest is."""
    write_run(tmp_path, restarts=False, starts=[], trace=trace(0))
    timeline = timeline_of(recorded(str(tmp_path)))
    assert (timeline.rate, timeline.restarts) == (None, [])
    assert timeline.remarks == ["The files do not record restarts.", "The files do not record the learning rate."]
    states = [panel.title for panels in timeline.states.values() for panel in panels]
    assert [*(panel.title for panel in timeline.common), *states] == ["loss", "step", "mean", "best"]


def test_a_run_that_an_older_release_began_has_its_restart(tmp_path: Path) -> None:
    """The first start that is noted went on from a checkpoint: it is a restart, not a beginning."""
    write(tmp_path, "m.keras", starts=[start(60, 3, came_from=20)], epoch=4)
    assert [(r.number, r.place, r.lost) for r in timeline_of(recorded(str(tmp_path))).restarts] == [(1, 3.0, 40.0)]


def test_the_numbers_of_callbacks_are_known_over_the_whole_run(tmp_path: Path) -> None:
    """Two checkpoints are left of nine epochs; what one of them has inside an epoch is there too."""
    noted = {"C": {"wait": [*range(9)], "late": [None, None, 5, 5, None, None, 6, 6, 6]}}
    for epoch, batch in ((8, None), (9, 3)):
        name, data = f"{epoch}-{batch}.keras", {"batches of an epoch": 8}
        saved = {"epoch": epoch, "batch": batch, "saved_at": BEGAN + epoch, "trace": trace(9, **noted)}
        states = {"C": {"wait": epoch, "late": 6, "pair": np.array([1, epoch])}}
        write(tmp_path, name, states, template="{epoch}-{batch}.keras", data=data, **saved)
    wait, late, pair = timeline_of(recorded(str(tmp_path))).states["C"]
    assert points(wait) == {"wait": {**{e + 1.0: e for e in range(9)}, 9.5: 9}}
    assert [*wait.series[0].runs()] == [[*((e + 1.0, e) for e in range(9)), (9.5, 9.0)]]
    assert late.series[0].runs() == [[(3, 5), (4, 5)], [(7, 6), (8, 6), (9, 6), (9.5, 6)]]
    assert points(pair) == {"pair[1]": {9.0: 8, 9.5: 9}}


def test_a_long_run_has_a_line_through_the_numbers_that_it_kept(tmp_path: Path) -> None:
    """Every second one of more than 1,024 epochs."""
    noted = {"C": {"wait": [*range(0, 1500, 2)]}}
    write(tmp_path, "m.keras", {"C": {"wait": 1499}}, epoch=1499, trace=trace(1500, **noted))
    (panel,) = timeline_of(recorded(str(tmp_path))).states["C"]
    (run,) = panel.series[0].runs()
    assert run == [*((e + 1.0, e) for e in range(0, 1500, 2)), (1500, 1499)]


def test_a_number_of_a_callback_holds_until_the_next_one(tmp_path: Path) -> None:
    """Its line has steps, and none across epochs that are not known."""
    series = Series.of_state("wait", {1.0: 0, 2.0: 3, 5.0: 1})
    first, last = series.runs()
    assert series.corners(first) == [(1.0, 0), (2.0, 0), (2.0, 3)]
    assert series.corners(last) == [(5.0, 1)]
    metric = Series("loss", ((1.0, 0.5), (2.0, 0.4)))
    assert metric.corners(metric.runs()[0]) == [(1.0, 0.5), (2.0, 0.4)]


def test_the_learning_rate_of_the_logs_is_taken_where_no_other_is_known(tmp_path: Path) -> None:
    """A scheduler's own series is the learning rate then, and is no metric beside it."""
    rates = history(3, learning_rate=[0.3, 0.2, 0.1])
    unknown = {**trace(3), "learning_rate": [None, None, None]}
    write(tmp_path, "m.keras", history=rates, trace=unknown, starts=[start(0)])
    timeline = timeline_of(recorded(str(tmp_path)))
    assert timeline.rate is not None and points(timeline.rate) == {"learning rate": {1: 0.3, 2: 0.2, 3: 0.1}}
    assert [panel.title for panel in timeline.metrics] == ["loss"]


def test_each_element_of_a_small_array_is_a_number(tmp_path: Path) -> None:
    """Up to eight, of any shape and width, of variables and within dicts too; each is drawn if it changes."""
    for epoch in range(2):
        given = {
            "rates": np.array([0.5, epoch]),
            "grid": np.array([[1, 2], [3, 4]], "int8"),
            "on": np.array([True, False]),
            "means": variable(np.arange(8.0)),
            "inner": {"pair": np.ones(2, "float32")},
            "nine": np.zeros(9),
        }
        write(tmp_path, f"{epoch}.keras", {"C": given}, epoch=epoch, saved_at=epoch, template=TEMPLATE)
    found = recorded(str(tmp_path))
    assert numbers_of(found.newest.snapshot)["C"] == {
        "rates[0]": 0.5,
        "rates[1]": 1.0,
        "grid[0, 0]": 1,
        "grid[0, 1]": 2,
        "grid[1, 0]": 3,
        "grid[1, 1]": 4,
        "on[0]": 1,
        "on[1]": 0,
        **{f"means[{i}]": i for i in range(8)},
        "inner.pair[0]": 1,
        "inner.pair[1]": 1,
    }
    assert [panel.title for panel in timeline_of(found).states["C"]] == ["rates[1]"]


def test_numbers_are_found_in_small_dicts_and_not_in_large_ones(tmp_path: Path) -> None:
    """What stands under a name in a dict of at most 32 is a number of its own; a vocabulary is none."""
    few = {"mean": 0.5, "name": "a", 3: 4.0}
    write(tmp_path, "m.keras", {"C": {"few": few, "words": {f"w{i}": i for i in range(33)}}})
    assert numbers_of(recorded(str(tmp_path)).newest.snapshot) == {"C": {"few.mean": 0.5}}


def test_a_checkpoint_inside_an_epoch_has_a_place_within_it(tmp_path: Path) -> None:
    """After batch 3 of 8 in the 0-based epoch 1 1.5 epochs are trained; so is the restart from there."""
    inside = {"epoch": 1, "batch": 3, "data": {"batches of an epoch": 8}}
    starts = [start(0), start(9, 1, 4, came_from=5)]
    write(tmp_path, "m.keras", {"C": {"n": 1}}, starts=starts, **inside)
    timeline = timeline_of(recorded(str(tmp_path)))
    assert (timeline.end, timeline.restarts[0].place) == (1.5, 1.5)


@pytest.mark.parametrize("data", [{}, {"batches of an epoch": None}, {"batches of an epoch": "8"}], ids=str)
def test_where_the_length_of_an_epoch_is_not_known_it_is_half_over(tmp_path: Path, data: dict[str, Any]) -> None:
    """A moment inside an epoch stands in its middle."""
    write(tmp_path, "m.keras", epoch=1, batch=3, data=data)
    assert timeline_of(recorded(str(tmp_path))).end == 1.5


def test_of_several_runs_the_newest_is_taken_or_the_one_that_is_named(tmp_path: Path) -> None:
    """Each by the name of its files; the others are named."""
    write(tmp_path, "a1.keras", template="a{epoch}.keras", saved_at=BEGAN)
    write(tmp_path, "b1.keras", template="b{epoch}.keras", saved_at=BEGAN + 1)
    newest, other = recorded(str(tmp_path)), recorded(str(tmp_path), "a{epoch}.keras")
    assert (newest.newest.name, newest.others) == ("b1.keras", ["a{epoch}.keras"])
    assert (other.newest.name, other.others) == ("a1.keras", ["b{epoch}.keras"])
    with pytest.raises(CheckpointNotFoundError, match=r"expected the run c, found a\{epoch\}.keras, b\{epoch\}"):
        recorded(str(tmp_path), "c")


def test_the_path_of_one_checkpoint_means_that_one(tmp_path: Path) -> None:
    """Model file or state file; what it says of the run before it is drawn, nothing of its siblings."""
    write_run(tmp_path)
    for name in ("003.keras", "003.keras.callbacks.pkl"):
        run = recorded(str(tmp_path / name))
        assert [state.name for state in run.states] == ["003.keras"]
        assert [s.name for s in timeline_of(run).metrics[0].series] == ["loss", "val_loss"]


def test_what_is_damaged_is_left_aside_and_named(tmp_path: Path) -> None:
    """A state file that is cut short and a model file of another size, each in a sentence; the rest is there."""
    write_run(tmp_path)
    state = tmp_path / "006.keras.callbacks.pkl"
    state.write_bytes(state.read_bytes()[:-1])
    (tmp_path / "005.keras").write_bytes(b"another model")
    run = recorded(str(tmp_path))
    assert [state.name for state in run.states] == ["001.keras", "002.keras", "003.keras", "004.keras"]
    assert sorted(os.path.basename(told.split(":")[0]) for told in run.aside) == [
        "005.keras",
        "006.keras.callbacks.pkl",
    ]


def test_nothing_and_nothing_whole_are_errors(tmp_path: Path) -> None:
    """An empty directory, a missing one, and one in which nothing verifies."""
    with pytest.raises(CheckpointNotFoundError, match="found none"):
        recorded(str(tmp_path))
    with pytest.raises(CheckpointNotFoundError):
        recorded(str(tmp_path / "nowhere"))
    write(tmp_path, "m.keras").write_bytes(b"no state file")
    with pytest.raises(CorruptCheckpointError):
        recorded(str(tmp_path))


def test_what_a_course_has_left_is_not_drawn(tmp_path: Path) -> None:
    """A run that went on from 1 although there was 2 has not been where 2 was; one that began anew, nowhere."""
    step = {"C": {"n": 1}}
    for epoch in range(3):
        saved = {"epoch": epoch, "saved_at": BEGAN + 10 * epoch * SECOND, "template": TEMPLATE}
        write(tmp_path, f"{epoch}.keras", step, monitor=("loss", 0.5 - 0.1 * epoch), **saved)
    newest = {"epoch": 2, "template": TEMPLATE, "saved_at": BEGAN + 60 * SECOND, "monitor": ("loss", 0.45)}
    write(tmp_path, "3.keras", step, starts=[start(-5), start(40, 2, came_from=10)], **newest)
    run = recorded(str(tmp_path))
    assert [state.name for state in run.states] == ["0.keras", "1.keras", "3.keras"]
    assert run.aside == ["2.keras: left out, as the run went on from an older checkpoint"]
    assert run.best is not None and run.best.name == "1.keras"
    write(tmp_path, "3.keras", step, starts=[start(40)], **newest)
    assert [state.name for state in recorded(str(tmp_path)).states] == ["3.keras"]


@pytest.mark.parametrize(
    "meta",
    [
        {"epoch": 10**400},
        {"epoch": 1, "batch": 10**400, "data": {"batches of an epoch": 10**500}},
        {"starts": [start(0), start(10**400, 10**400, 10**400, came_from=-(10**400))]},
        {"starts": [start(10**400), start(0, -(10**400), -5, came_from=10**400)]},
        {"history": {"epochs": [10**400, None, "a", 2.5], "series": {"loss": [10**400, None, "a", b"b", [1]]}}},
        {"trace": {"epochs": [10**400], "learning_rate": [math.nan], "ended_at": [-(10**400)], "numbers": {}}},
        {"epochs": -(10**400), "saved_at": -(10**400)},
    ],
    ids=["epoch", "batch", "a late start", "an early start", "history", "trace", "time"],
)
def test_numbers_of_any_size_are_drawn_or_left_out(tmp_path: Path, meta: dict[str, Any]) -> None:
    """A file may hold any number; whichever it is, every place in the picture is finite."""
    write(tmp_path, "m.keras", {"C": {"n": 10**400}}, **meta)
    try:
        timeline = timeline_of(recorded(str(tmp_path)))
    except CallbackStateError:  # the file is refused
        return
    panels = [*timeline.common, *(panel for panels in timeline.states.values() for panel in panels)]
    places = [place for panel in panels for series in panel.series for place, _ in series.points]
    assert all(map(math.isfinite, [timeline.end, *places, *(r.place for r in timeline.restarts)]))
    assert "epochs" in timeline.standing


EVERY_OTHER, LATE = ([1, 2, 3], [2, 4, 6]), ([1, 2, 3, 4], [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("epochs", "series"), [(6, EVERY_OTHER), (7, EVERY_OTHER), (5, ([1], [3])), (3, ([], [])), (6, LATE)], ids=str
)
def test_a_series_with_fewer_values_than_epochs_is_placed(tmp_path: Path, epochs: int, series: Any) -> None:
    """With ``validation_freq=n`` each n-th epoch has a value; a series that begins late has the last epochs."""
    values, places = series
    write(tmp_path, "m.keras", history=history(epochs, val_loss=values), epoch=epochs - 1)
    found = points(timeline_of(recorded(str(tmp_path))).metrics[0]).get("val_loss", {})
    assert found == dict(zip(map(float, places), map(float, values), strict=True))


def test_what_counts_as_a_number(tmp_path: Path) -> None:
    """Python's and NumPy's real numbers, arrays and variables of one element under the name alone."""
    integers = [3, True, 1 << 70, np.array(7), np.array([[2]], "uint8")]
    floats = [2.5, -math.inf, math.nan, np.float32(0.5), variable(np.array(0.25)), variable(1.5)]
    others = ["3", None, b"1", [3], 1j, np.complex64(1), np.array("a"), np.zeros(9), np.zeros((0,))]
    others += [variable(np.zeros(9)), np.zeros(2, complex)]
    values = dict(enumerate([*integers, *floats, *others]))
    write(tmp_path, "m.keras", {"C": {"huge": 10**400, **{f"x{i}": value for i, value in values.items()}}})
    found = numbers_of(recorded(str(tmp_path)).newest.snapshot)["C"]
    expected = map(float, [3, 1, 1 << 70, 7, 2, 2.5, -math.inf, math.nan, 0.5, 0.25, 1.5])
    assert repr(found) == repr({"huge": math.inf, **{f"x{i}": number for i, number in enumerate(expected)}})


@pytest.mark.parametrize("values", [[1e-4, 1.0], [1.0, 1.5], [0.0, 1e5], [-1.0, 1e5], [math.nan], []], ids=str)
def test_wide_positive_series_are_drawn_by_their_logarithm(values: list[float]) -> None:
    """Over a thousand between the least and the greatest; never with a zero."""
    series = Series("x", tuple(enumerate(values)))
    assert Panel("x", (series,)).is_logarithmic is (values == [1e-4, 1.0])
