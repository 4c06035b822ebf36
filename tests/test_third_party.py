"""The hook on a real callback from PyPI: examples/third_party.py, killed within an epoch and started again."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "third_party.py"

#: Sends the process a SIGKILL at its 75th training step, the 17th of the third epoch.
DIES = """
import os, runpy, signal
import keras

steps = 0

def on_train_batch_begin(self, batch, logs=None):
    global steps
    steps += 1
    if steps == 75:
        os.kill(os.getpid(), signal.SIGKILL)

keras.callbacks.ModelCheckpoint.on_train_batch_begin = on_train_batch_begin
runpy.run_path({path!r}, run_name="__main__")
"""
#: "12.0/29.0 [00:00<00:02, 6.24batch/s, loss=1.86]", or "s/batch" where that is slow.
BAR = re.compile(r"([0-9.]+)/([0-9.]+) \[[^]]*?(?:(batch|epoch)/s|s/(batch|epoch))([^]]*)\]")


def start(directory: Path, *, dies: bool = False) -> list[tuple[str, float, float, str]]:
    """What the bars of one start showed, one after the other: (unit, done, of, metrics)."""
    directory.mkdir(exist_ok=True)
    program = ["-c", DIES.format(path=str(EXAMPLE))] if dies else [str(EXAMPLE)]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *program], cwd=directory, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "120"},
    )
    assert done.returncode == (-9 if dies else 0), done.stderr
    shown = [(m[3] or m[4], float(m[1]), float(m[2]), m[5]) for m in BAR.finditer(done.stderr)]
    return [bar for bar, _ in itertools.groupby(shown)]


def test_bars_go_on_where_they_were(tmp_path: Path) -> None:
    """Resumed at the 12th batch of the third epoch, both bars are there at once, and from then on show what
    the bars of a run that was not killed show."""
    whole = start(tmp_path / "whole")
    died = start(tmp_path / "killed", dies=True)
    assert died == whole[: len(died)]
    resumed = start(tmp_path / "killed")
    there = resumed.index(("epoch", 2, 6, ""))
    assert resumed[there + 1] == ("batch", 12, 29, "")
    assert [bar[1] for bar in resumed[:there]] == [0, 0]
    rest = resumed[there + 2 :]
    assert rest == whole[-len(rest) :]
    assert rest[0][:3] == ("batch", 13, 29) and rest[-1][:3] == ("epoch", 6, 6)


def test_the_example_is_short() -> None:
    """A complete program, shorter than sixty lines."""
    assert len(EXAMPLE.read_text().splitlines()) < 60
