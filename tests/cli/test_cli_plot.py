"""A run as an SVG picture."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from recorded_runs import HOSTILE, history, start, trace, write, write_run

from callback_state.cli import main
from callback_state.cli.pictures.chart import chart
from callback_state.cli.pictures.series import Panel, Series
from callback_state.cli.pictures.sheet import sheet_of
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import recorded

SVG = "{http://www.w3.org/2000/svg}"


def drawn(path: Path) -> ElementTree.Element:
    run = recorded(str(path))
    return ElementTree.fromstring(sheet_of(run, timeline_of(run)))


def texts(picture: ElementTree.Element) -> list[str]:
    """The texts of a picture, without those of its charts."""
    return [found.text or "" for found in picture.findall(f"{SVG}text")]


def test_each_panel_has_its_chart_and_its_title(tmp_path: Path) -> None:
    """Those of the report, in their order, with the key where there are two lines; and what was lost."""
    picture = drawn(write_run(tmp_path))
    assert picture.get("role") == "img"
    standing = "finished after 6 of 6 epochs; 2 restarts that saved, 5 min lost"
    told = texts(picture)
    assert told[0] == f"{{epoch:03d}}.keras: {standing}" == picture.get("aria-label")
    named = [text for text in told[1:] if text]
    titles = ["learning rate", "loss", "Warmup: step", "Warmup: mean", "ModelCheckpointEnhanced: best"]
    assert [text for text in named if text in titles] == titles
    assert named[2:4] == ["training", "validation"]
    assert named[-2:] == [
        "lost to restart 1: 1 min 40 s, 2: 3 min 20 s",
        "these do not change and are not drawn: Warmup.peak",
    ]
    charts = picture.findall(f"{SVG}svg")
    assert [len(one.findall(f".//{SVG}circle")) for one in charts] == [6, 12, 6, 6, 6]
    assert [len([*one.iter(f"{SVG}polyline")]) for one in charts] == [1, 2, 1, 1, 1]
    places = [(one.get("x"), one.get("y")) for one in charts]
    assert len({*places}) == 5


def test_any_program_can_draw_its_colours(tmp_path: Path) -> None:
    """It has the light colours of the report as they are, as few programs know variables in a picture."""
    style = drawn(write_run(tmp_path)).findtext(f"{SVG}style") or ""
    assert "var(" not in style and "stroke: #0067a8" in style and ".restart line" in style


def test_a_case_of_the_ending_does_not_count(tmp_path: Path, capsys: Any) -> None:
    """The name of the file is printed."""
    write(tmp_path, "m.keras", history=history(2))
    assert main(["plot", str(tmp_path), "-o", str(tmp_path / "run.SVG")]) == 0
    assert (tmp_path / "run.SVG").read_bytes().startswith(b"<svg")
    assert capsys.readouterr().out == f"{tmp_path / 'run.SVG'}\n"


def test_names_are_no_markup_and_values_need_not_be_finite(tmp_path: Path) -> None:
    """Scripts and control characters are shown; NaN and infinities break the line."""
    name = f"a_{HOSTILE}\x00\ud800"
    values = [0.5, math.nan, math.inf, 1e306]
    series = {name: values, f"val_{name}": [math.nan] * 4, "none": [math.nan] * 4}
    write(
        tmp_path,
        "m.keras",
        {name: {name: math.nan}},
        template=f"{name}.keras",
        epoch=3,
        trace=trace(4),
        history={"epochs": [0, 1, 2, 3], "series": series},
        starts=[start(0)],
    )
    picture = drawn(tmp_path)
    assert not [*picture.iter(f"{SVG}script")] and not [*picture.iter(f"{SVG}img")]
    assert any("<script>" in text for text in texts(picture))
    _, panel = picture.findall(f"{SVG}svg")
    assert len([*panel.iter(f"{SVG}circle")]) == 1
    assert "None of its values is a number." in texts(picture)


def test_wide_series_have_a_logarithmic_axis(tmp_path: Path) -> None:
    """Over a thousand between the least and the greatest; the picture says so."""
    write(tmp_path, "m.keras", history=history(3, loss=[1.0, 0.01, 1e-5], val_loss=[]), epoch=2)
    assert "logarithmic" in texts(drawn(tmp_path))


@pytest.mark.parametrize("values", [(1000000.5, 1000001.5), (-1e-7, 1.00001e-7), (1e-30, 3e-30)], ids=str)
def test_no_label_is_cut(values: tuple[float, float]) -> None:
    """However long the numbers are, they stand within the picture."""
    picture = chart(Panel.of("x", Series("x", ((1.0, values[0]), (98765.0, values[1])))), [], 98765.0)
    for at, label in re.findall(r'x="([\d.]+)" y="[\d.]+" class="end">([^<]*)<', str(picture)):
        assert float(at) - 6 * len(label) >= 0
    for at, label in re.findall(r'x="([\d.]+)" y="[\d.]+" class="middle">([^<]*)<', str(picture)):
        assert float(at) + 3 * len(label) <= 360


def test_many_restarts_are_summed_up(tmp_path: Path) -> None:
    """Each is marked; beyond a dozen the caption tells how many more there are."""
    starts = [start(0), *(start(10 * i + 5, i, came_from=10 * i) for i in range(1, 31))]
    write(tmp_path, "m.keras", history=history(31), epoch=30, starts=starts)
    picture = drawn(tmp_path)
    told = " ".join(texts(picture))
    assert len(picture.findall(f".//{SVG}g[@class='restart']")) == 30
    assert "11: 5 s, 12: 5 s, and 18 more" in told and "30 restarts that saved, 2 min 30 s lost" in told


def test_a_run_with_nothing_to_draw_has_a_picture(tmp_path: Path) -> None:
    """It says how far the run has come."""
    write(tmp_path, "m.keras")
    picture = drawn(tmp_path)
    assert not picture.findall(f"{SVG}svg") and texts(picture)[0] == "m.keras: 1 of 2 epochs"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-o", "run.png"], 2, "expected a name that ends with .svg"),
        (["-o", "nowhere/run.svg"], 7, "nowhere/run.svg"),
        (["--run", "other"], 5, "expected the run other, found {epoch:03d}.keras"),
    ],
    ids=["format", "place", "run"],
)
def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: list[str], status: int, said: str
) -> None:
    """Each with its own exit status, and without a file."""
    monkeypatch.chdir(write_run(tmp_path, epochs=1))
    before = sorted(tmp_path.iterdir())
    assert main(["plot", *arguments]) == status
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
