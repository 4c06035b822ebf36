"""The README cannot drift: its program, its output and its table are written by these tests.

After a change, ``WRITE_README=1 python -m pytest tests/test_readme.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest
from places import ROOT

import callback_state
import callback_state.testing
from examples import is_short, path_of, start

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


def test_the_program_and_its_output(tmp_path: Path) -> None:
    """The first thing in the README is examples/train.py, killed and started again, as it printed."""
    part("program", block("python", path_of("train.py").read_text(encoding="utf-8")))
    whole = start("train.py", tmp_path / "whole").stdout
    died = start("train.py", tmp_path, dies_at=110).stdout  # the 14th of the fourth epoch
    resumed = start("train.py", tmp_path).stdout
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
    assert is_short("train.py")


@pytest.mark.parametrize("name", [n for n in callback_state.__all__ if not n.endswith("Error")])
def test_every_public_name_is_in_the_readme(name: str) -> None:
    """What is not in the README does not exist for a new user."""
    assert name in README.read_text(encoding="utf-8")
