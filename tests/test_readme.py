"""The README cannot drift: its output and its tables are written by tests, and it stays short.

After a change, ``WRITE_README=1 python -m pytest tests/test_readme.py tests/promises/test_recipes.py`` writes them
anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import run
from pages import README, block, listing
from programs import lines_of_code, path_of, start

#: The line before the output of the program.
FIRST = "``examples/train.py`` is such a script. Killed in its fourth epoch and started again:"
#: Lines: so many are read to the end.
MOST = 150


def test_the_program_and_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What examples/train.py prints, killed and started again; and what three commands say of its run then."""
    whole = start("train.py", tmp_path / "whole").out
    died = start("train.py", tmp_path, dies_at=110).out  # the 14th of the fourth epoch
    resumed = start("train.py", tmp_path).out
    shown = f"$ python train.py\n{died}Killed\n$ python train.py\n{resumed}"
    listing(FIRST, block("console", shown))
    assert resumed.splitlines()[1:] == whole.splitlines()[-len(resumed.splitlines()) + 1 :]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("prune", "ckpt", "--keep", "2").status == 0
    looks = {"ls ckpt": run("ls", "ckpt"), "verify ckpt/008.keras": run("verify", "ckpt/008.keras")}
    looks["doctor train.py"] = run("doctor", path_of("train.py"))
    text = "".join(f"$ callback-state {line}\n{done.out}" for line, done in looks.items())
    # How old and how large they are differs with the machine and with Keras.
    text = re.sub(r"[ 0-9.]{4} kB +[0-9]+ s  ", "43.4 kB  2 s  ", text)
    listing("And on the command line:", block("console", text))


def test_the_test_of_a_schedule() -> None:
    """It is the end of a file that is run."""
    text = path_of("test_schedule.py").read_text(encoding="utf-8")
    shown = text[text.index("def test_rates") :].replace("\n\n\n", "\n\n")
    listing("In a second, without training (``examples/test_schedule.py``):", block("python", shown))


def test_it_is_short() -> None:
    """The README, and the program that it is about."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST
    assert lines_of_code("train.py") < 60


@pytest.mark.parametrize("name", ["@stateful", "restore_callbacks(", "simulate("])
def test_each_use_is_shown(name: str) -> None:
    """Callbacks of one's own, resuming, and tests of schedules."""
    assert name in README.read_text(encoding="utf-8")
