"""The examples of the commands that draw and diagnose, and pictures of long runs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from commands import run
from places import ROOT
from recorded_runs import write_run

from callback_state.cli.commands import doctor, plot, report
from callback_state.cli.shell.exits import Exit


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
