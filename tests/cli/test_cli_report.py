"""A run as one HTML file: what it says and draws, with nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from html_page import Page
from recorded_runs import HOSTILE, doubt, entry, history, start, trace, write, write_run

from callback_state.cli import main
from callback_state.cli.pictures.page import document
from callback_state.cli.runs.recorded import recorded


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of six epochs that was killed twice, made as a user makes it."""
    directory = tmp_path_factory.mktemp("report")
    doubts = [doubt("arrays are shuffled without a seed")]
    write_run(directory / "ckpt", doubts=doubts, training_args={"rate": 0.1})
    assert main(["report", str(directory / "ckpt"), "-o", str(directory / "report.html")]) == 0
    return directory / "report.html"


def page_of(report: Path) -> Page:
    return Page(re.sub(r"<meta[^>]*>|<!DOCTYPE html>", "", report.read_text(encoding="utf-8")))


def test_it_is_one_file_that_points_nowhere(report: Path) -> None:
    """No address, no script, no event handler, and a policy that begins with nothing being allowed."""
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img|<iframe|\son\w+=", text)
    assert "default-src 'none'; style-src 'sha256-" in text
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_the_page_says_what_there_is_to_know(report: Path) -> None:
    """State, restarts with what each has cost, best and newest checkpoint, callbacks, versions, doubts."""
    text = " ".join(part.strip() for part in page_of(report).text)
    for said in (
        "Finished after 6 of 6 epochs; 2 restarts that saved, 5 min lost. Directory ckpt.",
        "best checkpoint 006.keras val_loss 0.266667",
        "newest checkpoint 006.keras 2017-07-14 02:46:00 UTC",
        "began 2017-07-14 02:40:00 UTC",
        "1 1 min 40 s epoch 3 2017-07-14 02:42:00 UTC 2017-07-14 02:40:20 UTC",
        "arrays are shuffled without a seed",
        "Checkpoints (6)",
        "epoch 1 1.1",
        "Callbacks (2) Warmup train.Warmup configuration warmup 40 state step 48 peak 0.5",
        "These do not change and are not drawn: peak.",
        "keras '3.15.1'",
        "training_args rate 0.1",
    ):
        assert said in text, said


def test_every_value_has_its_point_in_a_chart(report: Path) -> None:
    """As many dots as values; each chart has the line of each restart, and is told to those who do not see it."""
    charts = re.findall(r"<figure>.*?</figure>", report.read_text(encoding="utf-8"), re.DOTALL)
    counts = [(chart.count("<circle"), chart.count('class="restart"')) for chart in charts]
    assert counts == [(6, 2), (12, 2), (6, 2), (6, 2), (6, 2)]
    assert all('role="img" aria-label="' in chart for chart in charts)
    assert "<title>restart 1: 1 min 40 s lost</title>" in charts[1]
    assert (
        'aria-label="loss over epochs: loss, 6 values from 0.167 to 1, the last 0.1667; val_loss, 6 values from '
        '0.267 to 1.1, the last 0.2667; 2 restarts marked."'
    ) in charts[1]
    assert "<td>1</td><td>1</td><td>1.1</td>" in charts[1]


def test_no_name_of_a_file_becomes_markup(tmp_path: Path) -> None:
    """Names and texts with scripts and images in them are read as they are."""
    write(
        tmp_path,
        "m.keras",
        {HOSTILE: {HOSTILE: HOSTILE, "n": 1.0}},
        callbacks=[{**entry(HOSTILE), "class": HOSTILE, "arguments": {HOSTILE: ("value", HOSTILE, None)}}],
        template=f"{HOSTILE}.keras",
        monitor=(HOSTILE, 0.5),
        doubts=[doubt(HOSTILE, HOSTILE)],
        versions={HOSTILE: HOSTILE},
        training_args={HOSTILE: HOSTILE, "more": [HOSTILE, {HOSTILE}]},
        history={"epochs": [0, 1], "series": {HOSTILE: [0.5, 0.1], f"val_{HOSTILE}": [0.5, 0.2]}},
        trace=trace(2),
        starts=[start(0), start(10, 1, came_from=5)],
        epoch=1,
    )
    path = tmp_path / "hostile.html"
    path.write_text(document(recorded(str(tmp_path))), encoding="utf-8")
    page = page_of(path)
    assert not {"script", "img", "link"} & {*page.names}
    assert sum("<script>document.title='hit'</script>" in text for text in page.text) > 10


def test_a_run_without_a_number_has_a_page_too(tmp_path: Path) -> None:
    """No epoch, no callback, no value that can be drawn: it says so, and draws nothing."""
    write(tmp_path, "m.keras")
    text = document(recorded(str(tmp_path)))
    assert "<svg" not in text and "do not record restarts" in text
    write(tmp_path, "m.keras", history=history(2, loss=[float("nan")] * 2, val_loss=[float("inf")] * 2))
    text = document(recorded(str(tmp_path)))
    assert '<svg viewBox="0 0 360' not in text and "None of its values is a number." in text


@pytest.mark.parametrize("name", ["report", "plot"])
@pytest.mark.parametrize("target", ["002.keras", "002.keras.callbacks.pkl", "train.py", "link.html", "link.png"])
def test_no_other_file_is_written_over(name: str, target: str, tmp_path: Path, capsys: Any) -> None:
    """A model, a state file, a script, also behind a link: the name tells, the status is 2, and all stays."""
    ckpt = write_run(tmp_path / "ckpt", 3)
    (ckpt / "train.py").write_text("import keras")
    for link in ("link.html", "link.png"):
        (ckpt / link).symlink_to("003.keras")
    before = {path.name: path.read_bytes() for path in ckpt.iterdir()}
    assert main([name, str(ckpt), "-o", str(ckpt / target)]) == 2
    assert "expected a name that ends with ." in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in ckpt.iterdir()} == before


def test_a_long_run_has_lines_without_dots(tmp_path: Path) -> None:
    """Of three hundred epochs every value is in the page, in a table and on a line, and a dot for none."""
    write(tmp_path, "m.keras", history=history(300), trace=trace(300), epoch=299)
    text = document(recorded(str(tmp_path)))
    assert text.count("<polyline") == 3 and text.count("<circle") == 0
    assert text.count("<td>300</td>") == 2 and len(text) < 1_000_000
