"""A run as a picture."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import HOSTILE, history, start, trace, write, write_run

from callback_state.cli import main
from callback_state.cli.pictures.figure import figure_of
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import recorded


def drawn(path: Path) -> Any:
    run = recorded(str(path))
    return figure_of(run, timeline_of(run))


def test_each_panel_has_its_line_and_each_restart_its_mark(tmp_path: Path) -> None:
    """The values of learning rate, metrics and callbacks, at the places where they were, and what was lost."""
    figure = drawn(write_run(tmp_path))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["learning rate", "loss", "Warmup: step", "Warmup: mean", "ModelCheckpointEnhanced: best"]
    _, loss, step, *_ = figure.axes
    lines = [line for line in loss.lines if len(line.get_xdata()) == 6]
    assert [[*line.get_xdata()] for line in lines] == [[1, 2, 3, 4, 5, 6]] * 2
    assert [*lines[1].get_ydata()] == [1 / (e + 1) + 0.1 for e in range(6)]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert [*step.lines[0].get_ydata()] == [8, 16, 24, 32, 40, 48]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [2, 4]
        assert [text.get_text() for text in axes.texts] == ["1", "2"]
    standing = "finished after 6 of 6 epochs; 2 restarts that saved, 5 min lost"
    assert figure.get_suptitle() == f"{{epoch:03d}}.keras: {standing}"
    assert "lost to restart 1: 1 min 40 s, 2: 3 min 20 s" in figure.get_supxlabel()
    assert figure.get_supxlabel().endswith("these do not change and are not drawn: Warmup.peak")


def test_the_ending_says_the_format(tmp_path: Path, capsys: Any) -> None:
    """Whatever its case; the name of the file is printed."""
    write(tmp_path, "m.keras", history=history(2))
    assert main(["plot", str(tmp_path), "-o", str(tmp_path / "run.SVG")]) == 0
    assert (tmp_path / "run.SVG").read_bytes().startswith(b"<?xml")
    assert capsys.readouterr().out == f"{tmp_path / 'run.SVG'}\n"


def test_names_are_no_formulas_and_values_need_not_be_finite(tmp_path: Path) -> None:
    """Dollar signs, control characters and scripts of any kind are shown; NaN and infinities break the line."""
    name = f"$\\frac{{a}}$_{HOSTILE}\x00\ud800"
    values = [0.5, math.nan, math.inf, 1e306]
    series = {name: values, f"val_{name}": [math.nan] * 4, "_x": [1, 2, 3, 4], "val__x": [1, 2, 3, 4]}
    write(
        tmp_path,
        "m.keras",
        {name: {name: math.nan}, "_x": {name: 1}},
        template=f"{name}.keras",
        epoch=3,
        trace=trace(4),
        history={"epochs": [0, 1, 2, 3], "series": series},
        starts=[start(0)],
    )
    figure = drawn(tmp_path)
    figure.savefig(tmp_path / "run.png")
    _, panel, underscore = figure.axes
    assert "$\\frac" in panel.get_title(loc="left") and "\\x00" in panel.get_title(loc="left")
    found = [*panel.lines[0].get_ydata()]
    assert found[0] == 0.5 and all(map(math.isnan, found[1:]))
    assert len(underscore.get_legend().get_texts()) == 2


def test_wide_series_have_a_logarithmic_axis(tmp_path: Path) -> None:
    """Over a thousand between the least and the greatest."""
    write(tmp_path, "m.keras", history=history(3, loss=[1.0, 0.01, 1e-5], val_loss=[]), epoch=2)
    assert [axes.get_yscale() for axes in drawn(tmp_path).axes] == ["log"]


def test_many_restarts_are_summed_up(tmp_path: Path) -> None:
    """Each is marked; beyond a dozen the caption tells how many more there are."""
    starts = [start(0), *(start(10 * i + 5, i, came_from=10 * i) for i in range(1, 31))]
    write(tmp_path, "m.keras", history=history(31), epoch=30, starts=starts)
    figure = drawn(tmp_path)
    assert len(figure.axes[0].texts) == 30
    assert "11: 5 s, 12: 5 s, and 18 more" in " ".join(figure.get_supxlabel().split())
    assert "30 restarts that saved, 2 min 30 s lost" in " ".join(figure.get_suptitle().split())


def test_a_run_with_nothing_to_draw_has_a_picture(tmp_path: Path) -> None:
    """It says how far the run has come."""
    write(tmp_path, "m.keras")
    figure = drawn(tmp_path)
    figure.savefig(tmp_path / "run.png")
    assert figure.axes == [] and figure.get_suptitle() == "m.keras: 1 of 2 epochs"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-o", "run.gif"], 2, "expected a name that ends with .png, .svg, .pdf"),
        (["-o", "nowhere/run.png"], 7, "nowhere/run.png"),
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


def test_matplotlib_is_named_where_it_is_missing(tmp_path: Path) -> None:
    """The error says what to install."""
    write_run(tmp_path, epochs=1)
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from callback_state.cli import main; sys.exit(main(['plot', '.', '-o', 'run.png']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (7, "")
    assert 'needs matplotlib, which is not installed: pip install "callback_state[plot]"' in done.stderr
