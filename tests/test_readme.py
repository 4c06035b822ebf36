"""The README cannot drift: its program, its output and its table are written by these tests.

After a change, ``WRITE_README=1 python -m pytest tests/test_readme.py`` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import README, block, part
from programs import lines_of_code, path_of, start

import callback_state
import callback_state.testing


def test_the_program_and_its_output(tmp_path: Path) -> None:
    """The first thing in the README is examples/train.py, killed and started again, as it printed."""
    part("program", block("python", path_of("train.py").read_text(encoding="utf-8")))
    whole = start("train.py", tmp_path / "whole").out
    died = start("train.py", tmp_path, dies_at=110).out  # the 14th of the fourth epoch
    resumed = start("train.py", tmp_path).out
    shown = f"$ python train.py\n{died}Killed\n$ python train.py\n{resumed}"
    part("output", block("console", shown))
    assert resumed.splitlines()[1:] == whole.splitlines()[-len(resumed.splitlines()) + 1 :]


def test_the_test_of_a_schedule() -> None:
    """The README's section on tests is a file that is run."""
    part("schedule", block("python", path_of("test_schedule.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", callback_state.testing.__all__)
def test_every_public_name_of_testing_is_in_the_readme(name: str) -> None:
    """The same for ``callback_state.testing``."""
    assert name in README.read_text(encoding="utf-8")


def test_the_program_is_short() -> None:
    """A complete program, shorter than sixty lines."""
    assert lines_of_code("train.py") < 60


@pytest.mark.parametrize("name", [n for n in callback_state.__all__ if not n.endswith("Error")])
def test_every_public_name_is_in_the_readme(name: str) -> None:
    """What is not in the README does not exist for a new user."""
    assert name in README.read_text(encoding="utf-8")
