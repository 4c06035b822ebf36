"""What is drawn of more values than a picture can show, and of names longer than it has room for."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import doubt, history, start, write

from callback_state.cli.pictures.page import document
from callback_state.cli.pictures.series import Panel, Series, is_drawn
from callback_state.cli.pictures.sheet import sheet_of
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import recorded
from callback_state.cli.values.phrases import short, some

MANY = 50_000


def line(values: list[float]) -> Series:
    return Series("loss", tuple((float(i), value) for i, value in enumerate(values)))


def test_few_points_are_all_drawn() -> None:
    """Up to 2,000; there is nothing to be noted then."""
    for count in (0, 1, 2000):
        series = line([1.0] * count)
        assert series.thinned() == series and Panel.of("loss", series).note == ""


@given(st.lists(st.floats(), min_size=1, max_size=40), st.integers(60, 300))
@settings(deadline=None, max_examples=40)
def test_of_many_points_the_telling_ones_are_drawn(values: list[float], times: int) -> None:
    """At most 2,000 of them, in their order: both ends, the least and the greatest value, and a break."""
    full = line(values * times)
    series = full.thinned()
    assert len(series.points) <= 2000 and len(series.points) + series.left_out == len(full.points)
    kept = dict(series.points)
    assert all(full.points[int(place)][1] is value for place, value in kept.items())
    assert [*kept] == sorted(kept) and {0.0, len(full.points) - 1.0} <= kept.keys()
    drawn = [value for value in values if is_drawn(value)]
    if drawn:
        assert (min(series.drawn), max(series.drawn)) == (min(drawn), max(drawn))
    assert all(map(is_drawn, values)) == all(map(is_drawn, kept.values()))


def test_a_single_peak_is_seen() -> None:
    """One value of fifty thousand that is no number breaks the line, one that is large has its point."""
    values = [0.0] * MANY
    values[12_345], values[34_321] = 7.0, math.nan
    series = line(values).thinned()
    assert (12_345.0, 7.0) in series.points and len(series.runs()) == 2


def test_it_is_said_under_the_chart_that_not_all_is_drawn(tmp_path: Path) -> None:
    """In the report with its table of values, and in the picture."""
    write(tmp_path, "m.keras", history={"epochs": [*range(3000)], "series": {"loss": [*range(3000)]}})
    text = document(recorded(str(tmp_path)))
    told = timeline_of(recorded(str(tmp_path))).metrics[0].note
    assert told.endswith(" of 3,000 points, with the smallest and the largest values")
    assert f'<p class="quiet">Drawn and listed: {told}.</p>' in text
    found = recorded(str(tmp_path))
    assert told in sheet_of(found, timeline_of(found))


LARGE: dict[str, dict[str, Any]] = {
    "values": {"history": {"epochs": [*range(MANY)], "series": {"loss": [float(i) for i in range(MANY)]}}},
    "starts": {"starts": [start(i, came_from=i) for i in range(2_000)]},
    "a name": {"template": "{" * MANY + ".keras", "monitor": ("m" * MANY, 1.0)},
    "doubts": {"doubts": [doubt(f"{i} {'a' * 1000}") for i in range(2000)]},
    "series": {"history": history(2, **{f"s{i}": [1.0, 2.0] for i in range(500)})},
    "a series of long name": {"history": history(2, **{"n" * MANY: [1.0, 2.0]})},
}


@pytest.mark.parametrize(
    ("command", "name"),
    [*((["report", "-o", "r.html"], name) for name in LARGE), (["plot", "-o", "p.svg"], "a name")],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_large_file_makes_no_large_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], name: str
) -> None:
    """Whatever there is too much of: below a megabyte, in seconds."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ckpt", "m.keras", {"Steps": {"step": 1}}, **LARGE[name])
    before = time.process_time()
    assert run(command[0], "ckpt", *command[1:]).status == 0
    assert time.process_time() - before < 10
    assert (tmp_path / command[2]).stat().st_size < 1_000_000


@pytest.mark.parametrize("name", ["a name", "doubts"])
def test_a_large_file_is_shown_in_part(tmp_path: Path, name: str) -> None:
    """The last starts and first doubts, names cut; --json has all."""
    write(tmp_path, "m.keras", {"Steps": {"step": 1}}, **LARGE[name])
    assert len(run("show", tmp_path).out) < 50_000
    assert len(run("show", tmp_path, "--json").out) > 90_000


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Charts, restarts, numbers of callbacks, rows, sentences: how many more there are."""
    states = {"C": {f"x{i}": i for i in range(200)}}
    for epoch in range(2):
        write(
            tmp_path,
            f"{epoch}.keras",
            {"C": {name: value + epoch for name, value in states["C"].items()}},
            history=history(2, **{f"s{i}": [1.0, 2.0] for i in range(60)}),
            epoch=epoch,
            saved_at=epoch + 1,
            starts=[start(i, came_from=i) for i in range(150)],
            doubts=[doubt("again")] * 120,
            template="{epoch}.keras",
        )
    timeline = timeline_of(recorded(str(tmp_path)))
    assert timeline.remarks[1:] == [
        "Of 61 metrics the first 40 are drawn.",
        "Of 200 numbers of callbacks the first 40 are drawn.",
        "Of 150 restarts the last 100 are drawn.",
    ]
    text = document(recorded(str(tmp_path)))
    assert text.count("<figure>") == 80 and "<td>150</td>" in text and "<td>50</td>" not in text
    assert "<li>24 more.</li>" in text
    shown = run("show", tmp_path).out
    assert "and 130 before; --json has all" in shown and "and 100 more; --json has all" in shown


def test_a_name_is_cut_where_it_is_too_long() -> None:
    """And a list after a dozen items."""
    assert (short("abc"), short("x" * 200)) == ("abc", "x" * 119 + "…")
    assert some([str(i) for i in range(13)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 1 more"
