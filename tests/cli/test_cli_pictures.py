"""Reports, pictures and the doctor with every golden file and with hostile ones."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hostile.arrays import ARRAYS
from hostile.bombs import BOMBS
from hostile.files import checkpoint, forged, sealed, sealed_tree
from hostile.metas import FORGED
from hostile.values import NODES
from html_page import Page
from places import ROOT
from recorded_runs import write_run

from callback_state.cli.commands import doctor, plot, report
from callback_state.cli.shell.exits import Exit

FILES = ROOT / "tests/golden"
GOLDEN = {str(path.relative_to(FILES)): path for path in sorted(FILES.glob("*/format-*/*"))}
LIES = {**NODES, **ARRAYS}
#: What a look at a file may import.
HARMLESS = ("numpy", "ml_dtypes", "rich", "callback_state", "importlib", "email", "matplotlib")


def looked_at(path: Path, output: Path) -> list[Any]:
    """What report and doctor say of a path."""
    return [run("report", path, "-o", output), run("doctor", path)]


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN.keys())
def test_every_golden_file_has_a_page_and_a_diagnosis(golden: Path, tmp_path: Path) -> None:
    """Whatever release wrote it: the page is complete HTML with its callbacks, and nothing is damaged."""
    page, diagnosis = looked_at(golden, tmp_path / "r.html")
    assert (page.status, page.err) == (Exit.OK, "") and diagnosis.status in (Exit.OK, Exit.LOSS)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    body = text[text.index("<main>") : text.index("</main>") + len("</main>")]
    assert "ModelCheckpointEnhanced " in Page(body).text and "</html>" in text


@pytest.mark.parametrize("lie", LIES)
def test_no_lying_value_harms(lie: str, tmp_path: Path) -> None:
    """A state that no encoder wrote is refused, or is drawn as what it is; no module is imported for it."""
    entry = {"key": "C", "class": "package.C", "version": 1, "arguments": {}, "outside": None}
    tree = sealed_tree(forged(meta={"callbacks": [entry]}, state={"C": {"x": LIES[lie]()}}))
    path, before = checkpoint(tmp_path, tree), {*sys.modules}
    for done in looked_at(Path(path), tmp_path / "r.html"):
        assert done.status in (Exit.OK, Exit.LOSS, Exit.DAMAGED)
    assert [m for m in {*sys.modules} - before if not m.startswith(HARMLESS)] == []


@pytest.mark.parametrize("forgery", FORGED)
def test_no_forged_description_is_believed(forgery: str, tmp_path: Path) -> None:
    """What no release wrote is damaged, and no page is made of it."""
    path = checkpoint(tmp_path, sealed_tree(forged(meta=FORGED[forgery])))
    for done in looked_at(Path(path), tmp_path / "r.html"):
        assert done.status == Exit.DAMAGED and "Traceback" not in done.err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_goes_off(bomb: str, tmp_path: Path) -> None:
    """Streams that hang or crash plain pickle are damaged files here."""
    path = checkpoint(tmp_path, sealed(BOMBS[bomb]()))
    assert [done.status for done in looked_at(Path(path), tmp_path / "r.html")] == [Exit.DAMAGED, Exit.DAMAGED]


@pytest.mark.parametrize("line", [*report.command.examples, *plot.command.examples, *doctor.command.examples])
def test_the_examples_of_the_help_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, in a directory with a run and a script."""
    write_run(tmp_path / "ckpt", epochs=7, restarts=False, versions={})
    shutil.copy(ROOT / "examples/train.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(line)
    assert program == "callback-state"
    done = run(*arguments)
    assert (done.status, done.err) == (Exit.OK, "")


def test_a_long_run_has_lines_without_dots(tmp_path: Path) -> None:
    """Of three hundred epochs every value is in the page, in a table and on a line, and a dot for none."""
    write_run(tmp_path, epochs=300, restarts=False)
    assert run("report", tmp_path, "-o", tmp_path / "r.html").status == Exit.OK
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<polyline") == 6 and text.count("<circle") == 0
    assert text.count("<td>300</td>") == 5 and len(text) < 1_000_000
