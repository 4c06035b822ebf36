"""The README cannot drift: its program, its output and its table are written by these tests.

After a change, ``WRITE_README=1 python -m pytest tests/test_readme.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import callback_state

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.rst"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def part(name: str, text: str) -> None:
    """Compare the text between two comments of the README with what it should be, or write it."""
    readme = README.read_text(encoding="utf-8")
    pattern = re.compile(rf"(\.\. begin {name}\n\n)(.*?)(\n\.\. end {name}\n)", re.DOTALL)
    found = pattern.search(readme)
    assert found is not None, f"README.rst has no part {name}"
    if os.environ.get("WRITE_README"):
        README.write_text(pattern.sub(lambda m: m[1] + text + m[3], readme), encoding="utf-8")
    else:
        assert found[2] == text


def block(language: str, text: str) -> str:
    return f".. code-block:: {language}\n\n{textwrap.indent(text, '    ')}"


#: Sends the process a SIGKILL at its 110th training step, the 14th of the fourth epoch.
DIES = """
import os, runpy, signal
import keras

steps = 0

def on_train_batch_begin(self, batch, logs=None):
    global steps
    steps += 1
    if steps == 110:
        os.kill(os.getpid(), signal.SIGKILL)

keras.callbacks.EarlyStopping.on_train_batch_begin = on_train_batch_begin
runpy.run_path({path!r}, run_name="__main__")
"""


def start(directory: Path, *, dies: bool = False) -> str:
    """Run the program of the README, if asked until it is killed in its fourth epoch."""
    path = str(ROOT / "examples" / "train.py")
    program = ["-c", DIES.format(path=path)] if dies else [path]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *program],
        cwd=directory, env=ENVIRONMENT, capture_output=True, text=True,
    )
    assert done.returncode == (-9 if dies else 0), done.stderr
    return done.stdout


def test_the_program_and_its_output(tmp_path: Path) -> None:
    """The first thing in the README is examples/train.py, killed and started again, as it printed."""
    part("program", block("python", (ROOT / "examples" / "train.py").read_text(encoding="utf-8")))
    whole_directory = tmp_path / "whole"
    whole_directory.mkdir()
    whole = start(whole_directory)
    died = start(tmp_path, dies=True)
    resumed = start(tmp_path)
    shown = f"$ python train.py\n{died}Killed\n$ python train.py\n{resumed}"
    part("output", block("console", shown))
    assert resumed.splitlines()[1:] == whole.splitlines()[-len(resumed.splitlines()) + 1 :]


def test_the_program_is_short() -> None:
    """A complete program, shorter than sixty lines."""
    assert len((ROOT / "examples" / "train.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", [n for n in callback_state.__all__ if not n.endswith("Error")])
def test_every_public_name_is_in_the_readme(name: str) -> None:
    """What is not in the README does not exist for a new user."""
    assert name in README.read_text(encoding="utf-8")
