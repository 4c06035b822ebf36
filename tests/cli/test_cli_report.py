"""A run as one HTML file, as a browser shows it: whole, readable on a phone, with nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from html_page import Page
from recorded_runs import HOSTILE, doubt, entry, history, start, trace, write, write_run

from callback_state.cli import main
from callback_state.cli.pictures.page import document
from callback_state.cli.runs.recorded import recorded

needs_chromium = pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)
PHONE, DESKTOP = 360, 1200
CHARTS = "[...document.querySelectorAll('figure > svg')]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of six epochs that was killed twice, made as a user makes it."""
    directory = tmp_path_factory.mktemp("report")
    doubts = [doubt("arrays are shuffled without a seed")]
    write_run(directory / "ckpt", doubts=doubts, training_args={"rate": 0.1})
    assert main(["report", str(directory / "ckpt"), "-o", str(directory / "report.html")]) == 0
    return directory / "report.html"


def hostile(directory: Path) -> Path:
    """A page of a run in which every name and every text looks like HTML."""
    write(
        directory,
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
    path = directory / "hostile.html"
    path.write_text(document(recorded(str(directory))), encoding="utf-8")
    return path


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_browser_shows_it_whole_and_asks_nobody(
    chromium: browser.Browser, report: Path, width: int, dark: bool
) -> None:
    """No error on the console, no request but for the file itself, nothing wider than the screen."""
    chromium.complaints(), chromium.requests()
    chromium.open(report, width=width, dark=dark)
    assert chromium.complaints() == []
    assert chromium.requests() == {report.as_uri(): ""}
    assert chromium.ask("window.innerWidth") == width >= chromium.ask("document.scrollingElement.scrollWidth")
    assert chromium.ask(f"{CHARTS}.length") == 5


@needs_chromium
def test_every_value_has_its_point_in_a_chart(chromium: browser.Browser, report: Path) -> None:
    """As many dots as values, a title each; each chart has the line of each restart; all within the picture."""
    chromium.open(report, width=DESKTOP)
    dots = chromium.ask(f"{CHARTS}.map(chart => chart.querySelectorAll('circle').length)")
    marks = chromium.ask(f"{CHARTS}.map(chart => chart.querySelectorAll('.restart').length)")
    assert (dots, marks) == ([6, 12, 6, 6, 6], [2, 2, 2, 2, 2])
    told = chromium.ask("document.querySelector('.restart title').textContent")
    assert told == "restart 1: 1 min 40 s lost"
    outside = chromium.ask(
        f"{CHARTS}.some(svg => {{ const box = svg.getBoundingClientRect();"
        " return [...svg.querySelectorAll('circle, text, line, polyline')].some(e => {"
        " const b = e.getBoundingClientRect(); return b.left < box.left - 1 || b.right > box.right + 1"
        " || b.top < box.top - 1 || b.bottom > box.bottom + 1 || !(b.width + b.height > 0); }); })"
    )
    assert outside is False


@needs_chromium
def test_text_is_large_enough_and_apart_from_its_ground(chromium: browser.Browser, report: Path) -> None:
    """On a phone nothing is smaller than 9 pixels, and every text has a contrast of 4.5, in both schemes."""
    for dark in (False, True):
        chromium.open(report, width=PHONE, dark=dark)
        texts = "[...document.querySelectorAll('figure > svg text')]"
        sizes = chromium.ask(f"{texts}.map(t => t.getBoundingClientRect().height)")
        assert len(sizes) > 20 and min(sizes) >= 9
        assert chromium.ask(_CONTRAST) >= 4.5


#: The least contrast (WCAG 2.2) of any text with the ground behind it.
_CONTRAST = """Math.min(...[...document.querySelectorAll('body *')].filter(
  e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) && !/^title$/i.test(e.tagName)).map(e => {
    const rgb = text => text.match(/[\\d.]+/g).map(Number);
    const light = c => [.2126, .7152, .0722].reduce((sum, part, i) => {
      const v = c[i] / 255; return sum + part * (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); }, 0);
    let ground = e;
    while (ground && rgb(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const style = getComputedStyle(e), text = e.closest('svg') ? style.fill : style.color;
    const a = light(rgb(text)), b = light(rgb(getComputedStyle(ground || document.body).backgroundColor));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }))"""


@needs_chromium
def test_charts_are_told_to_those_who_do_not_see_them(chromium: browser.Browser, report: Path) -> None:
    """Each is an image with a sentence, and its values are in a table that opens without a script."""
    chromium.open(report, width=PHONE)
    told = chromium.ask(f"{CHARTS}.map(chart => [chart.role, chart.ariaLabel])")
    assert [role for role, _ in told] == ["img"] * 5
    assert told[1][1] == (
        "loss over epochs: loss, 6 values from 0.167 to 1, the last 0.1667; val_loss, 6 values from 0.267 to 1.1, "
        "the last 0.2667; 2 restarts marked."
    )
    assert chromium.ask("document.querySelectorAll('script').length") == 0
    chromium.ask("document.querySelectorAll('details summary')[1].click()")
    rows = chromium.ask("document.querySelectorAll('details')[1].innerText.split('\\n').filter(t => t.trim())")
    assert rows[:3] == ["values", "epochs\tloss\tval_loss", "1\t1\t1.1"] and len(rows) == 8


@needs_chromium
def test_no_name_of_a_file_becomes_markup(chromium: browser.Browser, tmp_path: Path) -> None:
    """Names with scripts and images in them are read as they are; none is run, and nothing is asked for."""
    path = hostile(tmp_path)
    chromium.complaints(), chromium.requests()
    chromium.open(path, width=PHONE)
    assert chromium.complaints() == [] and chromium.requests() == {path.as_uri(): ""}
    assert chromium.ask("document.querySelectorAll('script, img').length") == 0
    assert chromium.ask("document.title") == f"Training run {HOSTILE}.keras".replace("\u202e", "\\u202e")
    assert chromium.ask("document.scrollingElement.scrollWidth") == PHONE
    assert chromium.ask("document.querySelectorAll('figure > svg circle').length") == 2 + 4


@needs_chromium
def test_the_policy_forbids_what_a_name_could_smuggle_in(
    chromium: browser.Browser, report: Path, tmp_path: Path
) -> None:
    """Were there markup of others in the page, no script of it would run, and no image or style be loaded."""
    smuggled = (
        "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">"
        "<img src='http://localhost/i.png'><link rel=stylesheet href='http://localhost/s.css'>"
        "<p style='color:red'>"
    )
    text = report.read_text(encoding="utf-8").replace("<main>", f"<main>{smuggled}")
    path = tmp_path / "smuggled.html"
    path.write_text(text, encoding="utf-8")
    chromium.complaints(), chromium.requests()
    chromium.open(path, width=DESKTOP)
    assert chromium.ask("document.title").startswith("Training run")
    assert len(chromium.complaints()) >= 5
    asked = {url: reason for url, reason in chromium.requests().items() if url != path.as_uri()}
    assert len(asked) == 3 and {*asked.values()} == {"csp"}
    path.write_text(text.replace("Content-Security-Policy", "none"), encoding="utf-8")
    chromium.open(path, width=DESKTOP)
    assert chromium.ask("document.title") == "hit"


def test_it_is_one_file_that_points_nowhere(report: Path) -> None:
    """No address, no script, no event handler, and a policy that begins with nothing being allowed."""
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img|<iframe|\son\w+=", text)
    assert "default-src 'none'; style-src 'sha256-" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_the_page_says_what_there_is_to_know(report: Path) -> None:
    """State, restarts with what each has cost, best and newest checkpoint, callbacks, versions, doubts."""
    page = Page(re.sub(r"<meta[^>]*>|<!DOCTYPE html>", "", report.read_text(encoding="utf-8")))
    text = " ".join(part.strip() for part in page.text)
    for said in (
        "Finished after 6 of 6 epochs; 2 restarts that saved, 5 min lost. Directory ckpt.",
        "best checkpoint 006.keras val_loss 0.266667",
        "newest checkpoint 006.keras 2017-07-14 02:46:00 UTC",
        "began 2017-07-14 02:40:00 UTC",
        "1 1 min 40 s epoch 2, batch 0 2017-07-14 02:42:00 UTC 2017-07-14 02:40:20 UTC",
        "arrays are shuffled without a seed",
        "Checkpoints (6)",
        "the end of epoch 0 1.1",
        "Callbacks (2) Warmup train.Warmup configuration warmup 40 state step 48 peak 0.5",
        "These do not change and are not drawn: peak.",
        "keras '3.15.1'",
        "training_args rate 0.1",
    ):
        assert said in text, said


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
    write_run(tmp_path, epochs=300, restarts=False)
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<polyline") == 6 and text.count("<circle") == 0
    assert text.count("<td>300</td>") == 5 and len(text) < 1_000_000
